"""Evaluation results as entries of a run's metrics, and what metrics are called outside the journal.

RUN_DIR/evals/step-00001000/results.json    {"step": 1000, "metrics": {"classify/auroc": 0.81, ...}}
"""

import json
import logging
from pathlib import Path

from cxrpt.run_paths import results_files
from cxrpt.track.journal import Entry

log = logging.getLogger(__name__)


def metric_name(kind: str, name: str) -> str:
    """How a metric of a kind of entry is called outside the journal: those of training as they are, others `kind/name`."""
    return name if kind == "train" or name.startswith(f"{kind}/") else f"{kind}/{name}"


def read_evals(run_dir: Path) -> list[Entry]:
    """The evaluation results of a run, one entry of kind "eval" a step; a file that does not parse yet is passed over."""
    entries = []
    for path in results_files(run_dir).values():
        try:
            fields = json.loads(path.read_text())
            metrics = {str(name): float(value) for name, value in fields["metrics"].items() if value is not None}
            entries.append(Entry(1, int(fields["step"]), path.stat().st_mtime, "eval", metrics))
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            log.debug("%s does not parse", path.name)
    return sorted(entries, key=lambda entry: entry.step)
