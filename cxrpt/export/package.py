"""The folder in which a model is handed on, and whether one is whole.

DIR/
    weights.safetensors  model.json  tokenizer.model      the model (export.py)
    config.yaml                                           how it was trained (shared_config.py)
    README.md                                             the model card, to be completed by whoever hands it on
    checksums.json       {"format": 1, "files": [{"name": ..., "size": ..., "sha256": ...}]}, of all but the card
"""

import json
from pathlib import Path

from cxrpt.checkpoint.export import MODEL, TOKENIZER, WEIGHTS
from cxrpt.checkpoint.sums import first_damage, sum_of
from cxrpt.errors import InputError

CONFIG, CARD, CHECKSUMS = "config.yaml", "README.md", "checksums.json"
FORMAT = 1
_SUMMED = (WEIGHTS, MODEL, TOKENIZER, CONFIG)


def write_checksums(folder: Path) -> str:
    """Write checksums.json over files that are there.

    Returns:
        The sha256 of the weights.
    """
    sums = [sum_of(folder, name) for name in _SUMMED]
    (folder / CHECKSUMS).write_text(json.dumps({"format": FORMAT, "files": sums}, indent=1) + "\n")
    return sums[0]["sha256"]


def check_package(folder: Path) -> None:
    """Compare a folder that `write_package` wrote with its checksums.

    Raises:
        InputError: it is none, or a file is missing or of another size or content.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder: name one that `cxrpt export` wrote")
    try:
        fields = json.loads((folder / CHECKSUMS).read_text())
        written, files = fields["format"], fields["files"]
        names = {str(entry["name"]) for entry in files if entry["size"] >= 0 and entry["sha256"]}
    except FileNotFoundError:
        raise InputError(f"{folder} holds no {CHECKSUMS}: name a folder that `cxrpt export` wrote") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{folder / CHECKSUMS} does not parse: copy or export the folder again") from None
    if written != FORMAT:
        raise InputError(
            f"{folder / CHECKSUMS} has format {written!r}, this version reads {FORMAT}: use the version that wrote it"
        )
    if names != set(_SUMMED):
        raise InputError(f"{folder / CHECKSUMS} does not name the files of an export: copy or export the folder again")
    if damage := first_damage(folder, files):
        raise InputError(f"{folder}: {damage}: copy or export the folder again")
