"""What an exercise of the whole way came to, on one screen."""

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cxrpt.run_paths import JOURNAL, results_files
from cxrpt.track.journal import read_journal


def print_summary(out: Path, run: Path, institutions: tuple[str, ...], console: Console) -> None:
    """Print counts of inputs, first and last losses, scores beside their baselines, and where everything lies."""
    from cxrpt.eval.report import read_results, summary_table

    console.rule("summary")
    console.print(_census(out / "shards", institutions))
    console.print(_losses(run))
    found = results_files(run)
    results = found[max(found)]
    console.print(summary_table(read_results(results)))
    places = {
        "shards": out / "shards",
        "run": run,
        "metrics": out / "metrics.csv",
        "plots": out / "metrics.png",
        "page": results.parent / "report.html",
        "figures": results.parent / "figures",
        "MLflow": f"sqlite:///{run.parent}/mlflow.db",
    }
    for name, place in places.items():
        console.print(f"{name:8} {place}", highlight=False, soft_wrap=True)


def _census(shards: Path, institutions: tuple[str, ...]) -> Table:
    table = Table("institution", "found", "kept", "excluded", "failed", "pairs", "images", "texts", title="inputs")
    for name in institutions:
        built = json.loads((shards / name / "build.json").read_text())
        found, kept, excluded, failed = (built[key] for key in ("found", "kept", "excluded", "failed"))
        assert kept + excluded + failed == found, f"{name}: the ledger does not add up"
        kinds = [sum(split[kind] for split in built["splits"].values()) for kind in ("pairs", "images", "texts")]
        table.add_row(name, *(str(count) for count in (found, kept, excluded, failed, *kinds)))
    return table


def _losses(run: Path) -> Table:
    entries = [entry for entry in read_journal(run / JOURNAL) if entry.kind == "train"]
    first, last = entries[0], entries[-1]
    table = Table("objective", "source", f"step {first.step}", f"step {last.step}", title="losses")
    for name in sorted(last.metrics):
        parts = name.split("/")
        if parts[0] == "loss" and parts[1] in ("mlm", "mvm", "itc"):
            before = first.metrics.get(name)
            source = parts[2] if len(parts) > 2 else "all"
            table.add_row(parts[1].upper(), source, "" if before is None else f"{before:.3f}", f"{last.metrics[name]:.3f}")
    return table
