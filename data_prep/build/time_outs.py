"""Which inputs took too long, so that every later build with the same key says so at once instead of finding out again.

<key>.timeouts.jsonl    {"input":"<keyed hash>","seconds":60.0}, a line a verdict, only ever appended to

A verdict holds for builds that allow as many seconds or fewer: who allows more tries again. Without this file, whether a
file near the limit is kept would hang on the machine, and so would the bytes of the shards.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from cxrpt.errors import InputError


def read_time_outs(path: Path, seconds: float) -> frozenset[str]:
    """Keyed hashes of inputs known to take more than `seconds`; none where there is no file.

    Raises:
        InputError: the file is broken.
    """
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        return frozenset(line["input"] for line in lines if line["seconds"] >= seconds)
    except FileNotFoundError:
        return frozenset()
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path} is no list of time-outs: remove it, and the next build finds them again") from None


def add_time_outs(path: Path, inputs: Iterable[str], seconds: float) -> None:
    """Append verdicts, durably; several builds may do so at once."""
    text = "".join(json.dumps({"input": name, "seconds": seconds}, separators=(",", ":")) + "\n" for name in sorted(inputs))
    if not text:
        return
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(handle, text.encode())
        os.fsync(handle)
    finally:
        os.close(handle)
