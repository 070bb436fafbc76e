"""Where in a run directory lies what several parts of the project read or write."""

from pathlib import Path

JOURNAL = "journal.jsonl"
EVALS = "evals"


def evaluation_folder(run_dir: Path, step: int) -> Path:
    """What the evaluations of a step leave: claim, results, figures, tables, page."""
    return run_dir / EVALS / f"step-{step:08d}"


def results_files(run_dir: Path, name: str = "results.json") -> dict[int, Path]:
    """Results by step, in order; `name` may be a pattern, and then each step has the first that it fits."""
    found: dict[int, Path] = {}
    for path in sorted((run_dir / EVALS).glob(f"step-*/{name}")):
        number = path.parent.name.removeprefix("step-")
        if number.isdecimal():
            found.setdefault(int(number), path)
    return dict(sorted(found.items()))
