"""Where in a run directory lies what several parts of the project read or write."""

from pathlib import Path

from cxrpt.errors import InputError

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


def require_run(run_dir: Path) -> None:
    """Raise InputError where there is no run directory."""
    if not run_dir.exists():
        raise InputError(f"{run_dir} does not exist: `cxrpt status` shows what is in runs/")
    if not (run_dir / "config.yaml").is_file():
        raise InputError(f"{run_dir} is no run directory: it holds no config.yaml")
