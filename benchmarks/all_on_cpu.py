"""The claims that two cores can measure in ten minutes, one after the other, as one table; `make bench`.

Shorter than the runs that stand in README.md: fewer repeats, the smallest model. Nothing else should run meanwhile.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RUNS = (
    "plan.py --repeats 3",
    "packing.py --sizes tiny --images 224 --repeats 5",
    "engine.py --sizes tiny --batches 1 --repeats 8 --no-scaling",
    "checkpoint.py --no-resume --repeats 6",
    "prep.py --studies 120 --repeats 3",
    "memory.py",
)


def run(words: str) -> tuple[list[dict], float]:
    """Claims of one script, and the seconds it took."""
    began = time.monotonic()
    script, *options = words.split()
    done = subprocess.run([sys.executable, HERE / script, *options], stdout=subprocess.PIPE, text=True, env=_environment())
    if done.returncode:
        sys.exit(f"{words}: ended with code {done.returncode}")
    claims = json.loads(done.stdout.splitlines()[-1])
    return claims if isinstance(claims, list) else [claims], time.monotonic() - began


def _environment() -> dict[str, str]:
    paths = [str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def main() -> None:
    rows, began = [], time.monotonic()
    for words in RUNS:
        claims, seconds = run(words)
        rows += claims
        print(f"{words}: {seconds:.0f} s", file=sys.stderr, flush=True)
    print("| claim | goal | seen | met | against |\n|---|---|---|---|---|")
    for row in rows:
        met = {True: "yes", False: "**no**", None: ""}[row.get("met")]
        cells = (row["claim"], row.get("goal") or "", f"{row['value']} {row.get('unit', '')}", met, row.get("against", ""))
        print(f"| {' | '.join(map(str, cells))} |")
    print(f"\n{len(rows)} claims, {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
