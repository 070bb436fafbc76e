"""Everything that waits for a GPU, in one run: first whether the CUDA path is right, then how fast it is.

    bash benchmarks/gpu.sh [--minutes 8] [--out gpu] [--shards FOLDER ...] [--small]

Nothing is fetched. What does not fit into the minutes left is skipped, what fails is told, and the rest goes on.
`--small` is the same with tiny models on any machine, a CPU too: it shows that the script works, and its figures mean nothing.
Writes OUT/gpu.json and OUT/gpu.md; exit code 1 if a check failed.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
from pathlib import Path

from benchmarks.gpu import checks, measures
from benchmarks.gpu.machine import Machine, Row, describe, find_machine

ITEMS = (*checks.ITEMS, *measures.ITEMS)
"""Name, seconds that it takes on a large GPU, and what gives its rows; in the order of their worth."""


def run(machine: Machine, seconds: float) -> list[Row]:
    """Every item that fits into the time."""
    ends, rows = time.monotonic() + seconds, []
    for name, takes, item in ITEMS:
        left = ends - time.monotonic()
        if not machine.small and left < takes:
            rows.append(Row(name, "skipped", f"{left:.0f} s are left, it takes about {takes}"))
            continue
        began = time.monotonic()
        try:
            found = item(machine)
        except Exception as error:  # whatever a new machine does to one item, the others are worth having
            traceback.print_exc()
            found = [Row(name, "failed", f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}")]
        machine.clear()
        rows += found
        for row in found:
            print(f"{time.monotonic() - began:6.1f} s  {row}", flush=True)
    return rows


def table(about: dict[str, str], rows: list[Row]) -> str:
    """The rows as a page of markdown."""
    lines = [", ".join(f"{key} {value}" for key, value in about.items()), "", "| what | found | goal |", "|---|---|---|"]
    lines += [f"| {row.name} | {row.text} | {row.goal} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--out", type=Path, default=Path("gpu"))
    parser.add_argument("--shards", type=Path, nargs="+", default=[], help="shards to train on; made-up ones without")
    parser.add_argument("--small", action="store_true", help="tiny sizes, on a CPU too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cxrpt-gpu-") as folder:
        machine = find_machine(options.small, Path(folder), options.shards)
        about = describe(machine)
        print(about, flush=True)
        rows = run(machine, options.minutes * 60)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.json").write_text(json.dumps({"about": about, "rows": [vars(row) for row in rows]}, indent=1) + "\n")
    (options.out / "gpu.md").write_text(table(about, rows))
    print(f"{options.out / 'gpu.md'}: {len(rows)} rows, {sum(row.state == 'failed' for row in rows)} failed")
    sys.exit(any(row.state == "failed" for row in rows))


if __name__ == "__main__":
    main()
