"""What the hashes of a ledger stand for: a map for the owner of the key alone, beside the output and never in it.

<out>.<institution>.paths.jsonl     {"hash":"<keyed hash>","input":"<relative path or row>"}, mode 0600
"""

import json
from collections.abc import Iterable
from pathlib import Path

from cxrpt.errors import InputError
from data_prep.privacy.pseudonyms import Pseudonyms
from data_prep.processes.durable import write_file


def write_path_map(path: Path, input_ids: Iterable[str], pseudonyms: Pseudonyms) -> None:
    """Hash and input, a line each, readable by the owner alone."""
    lines = sorted((pseudonyms.of("input", input_id), input_id) for input_id in input_ids)
    text = "".join(json.dumps({"hash": name, "input": input_id}) + "\n" for name, input_id in lines)
    write_file(path, text.encode(), mode=0o600)


def explain(digits: str, out: Path) -> list[str]:
    """The inputs whose ledger hash starts with `digits`, from the path maps beside `out`.

    Raises:
        InputError: there is no path map, or none of its lines fits.
    """
    # The folder of the institution, which a build names at its end, will do too.
    places = (out.absolute(), out.absolute().parent)
    maps = sorted(path for place in places for path in place.parent.glob(f"{place.name}.*.paths.jsonl"))
    if not maps:
        raise InputError(f"there is no path map beside {out}: it lies where the build was made")
    if not digits:
        raise InputError("give the hash, or its first digits")
    found = []
    for path in maps:
        with path.open() as file:
            for line in file:
                fields = json.loads(line)
                if fields["hash"].startswith(digits):
                    found.append(fields["input"])
    if not found:
        raise InputError(f"no input of {out} has the hash {digits}: take it from the `input` of a ledger line")
    return found
