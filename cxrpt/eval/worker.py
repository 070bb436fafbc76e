"""Evaluate one committed step of a run: claim it, run the tasks, write the results once.

RUN_DIR/evals/step-00001000/
    claim           who is at it
    figures/        pictures
    tables/         what was scored item by item, a Parquet file a task (cxrpt.eval.item_tables); whole before the results are
    results.json    {"step": 1000, "metrics": {"classify/auroc": 0.81, ...}, "details": {...}, "seconds": 21.4,
                     "model": {"parameters": ..., "width": ...}, "trained_on": [{"source": "north", "pairs": ..., "seen": ...}]}
    report.html     the same to look at (cxrpt.eval.page)
"""

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import torch
from threadpoolctl import threadpool_limits

from cxrpt.checkpoint.choose_step import choose_step
from cxrpt.checkpoint.export import Exported, load_exported
from cxrpt.checkpoint.store import COMMITTED, committed_steps, step_folder
from cxrpt.config import RunConfig, config_of
from cxrpt.durable import replace_text
from cxrpt.errors import InputError
from cxrpt.eval.claim import Interrupted, claimed
from cxrpt.eval.classify import classify
from cxrpt.eval.grounding import grounding
from cxrpt.eval.item_tables import drafted, tables_folder
from cxrpt.eval.page.page import page_path, write_page
from cxrpt.eval.regenerate import regenerate
from cxrpt.eval.retrieve import retrieve
from cxrpt.eval.samples import CannotRunError, SplitFolder, open_split, require_split
from cxrpt.eval.subject import model_facts, training_facts
from cxrpt.run_paths import evaluation_folder

log = logging.getLogger(__name__)


def evaluate_step(
    run_dir: Path,
    step: int | None,
    *,
    split: str | None = None,
    force: bool = False,
    stopped: Callable[[], bool] = lambda: False,
) -> Path:
    """Evaluate one step of a run.

    Args:
        run_dir: the run's directory, wherever it lies now; relative paths of its sources start at the working directory.
        step: a committed step; None takes the newest.
        split: what is scored, instead of the run's `eval.split`; its results lie beside the run's own.
        force: evaluate again where there are results.
        stopped: asked between tasks; the evaluation is then given up.

    Returns:
        The results file, which is `results.json` for the run's own split and `results-<split>.json` for another. Its page lies
        beside it (`page_path`).

    Raises:
        ClaimedError: another process is evaluating the step.
        InputError: no run directory, no such step, no such split.
        Interrupted: it was given up.
    """
    config = config_of(run_dir)
    step = choose_step(run_dir, step)
    folder = evaluation_folder(run_dir, step)
    own_split, split = config.eval.split, split or config.eval.split
    if split not in ("val", "test"):
        raise InputError(f"split {split!r}: must be val or test")
    suffix = "" if split == own_split else f"-{split}"
    results = folder / f"results{suffix}.json"
    if results.exists() and not force:
        if not page_path(results).exists():
            _show(run_dir, results)
        return results
    with claimed(folder) as claim:
        # Retention withdraws COMMITTED and then looks for claims: one of the two sees the other.
        if not (step_folder(run_dir, step) / COMMITTED).exists():
            raise InputError(f"step {step} was removed just now; committed are {committed_steps(run_dir)}")
        if results.exists() and not force:
            return results
        began = time.monotonic()
        with threads(config.eval.threads), drafted(tables_folder(results)) as tables:
            exported = load_exported(step_folder(run_dir, step))
            about: dict[str, Any] = {"model": model_facts(exported)}
            about["trained_on"] = training_facts(run_dir, step_folder(run_dir, step), step, config.data.lanes)
            metrics, details = run_tasks(
                config, exported, split, folder / f"figures{suffix}", tables, lambda: stopped() or not claim.is_ours()
            )
        fields = {"step": step, "metrics": metrics, "details": details, "seconds": round(time.monotonic() - began, 3)}
        replace_text(results, json.dumps(_finite(fields | about), indent=1, allow_nan=False) + "\n")
        _show(run_dir, results)
    return results


def _show(run_dir: Path, results: Path) -> None:
    """Write the page; the scores are worth having without it."""
    try:
        write_page(run_dir, results)
    except InputError as error:
        log.warning("%s; then `cxrpt evaluate %s --page` writes it", error, run_dir)


def run_tasks(
    config: RunConfig,
    exported: Exported,
    split: str,
    figures: Path,
    tables: Path,
    given_up: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Run the tasks of the configuration; one that has nothing to run on gives its reason instead of numbers, and no table.

    Raises:
        Interrupted: `given_up` said so, before a task or after the last.
    """
    folders = {name: open_split(config, name) for name in dict.fromkeys(("train", "val", split))}
    require_split(folders[split], config, split)
    exported.model.to(_device(config.engine.device))
    metrics: dict[str, float] = {}
    details: dict[str, Any] = {}
    for task in config.eval.tasks:
        began = time.monotonic()
        try:
            found, about = _run_task(task, config, exported, folders, split, figures, tables)
        except CannotRunError as reason:
            found, about = {}, {"skipped": str(reason)}
        metrics |= {name: value for name, value in found.items() if math.isfinite(value)}
        details[task] = about | {"seconds": round(time.monotonic() - began, 3)}
        log.info("%s: %s", task, about.get("skipped", f"{details[task]['seconds']:.1f} s"))
        if given_up():
            raise Interrupted
    return metrics, details


def _run_task(
    task: str,
    config: RunConfig,
    exported: Exported,
    folders: dict[str, list[SplitFolder]],
    split: str,
    figures: Path,
    tables: Path,
) -> tuple[dict[str, float], dict[str, Any]]:
    if task == "classify":
        return classify(exported, folders, split, config.eval, tables)
    if task == "retrieve":
        return retrieve(exported, folders, split, config.eval, figures, tables)
    if task == "grounding":
        return grounding(exported, folders, split, config.eval, config.objective)
    assert task == "regenerate", "checked with the configuration"
    if config.objective.mvm_weight == 0:
        raise CannotRunError("the run did not learn to regenerate (objective.mvm_weight=0)")
    return regenerate(exported, folders, split, config.eval, figures, tables)


def _device(wanted: str) -> torch.device:
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Give torch, OpenCV, BLAS and OpenMP `number` CPU threads, 0 for as many as torch has; then what they had."""
    before, before_cv = torch.get_num_threads(), cv2.getNumThreads()
    number = number or before
    torch.set_num_threads(number)
    cv2.setNumThreads(number)
    try:
        with threadpool_limits(number):
            yield
    finally:
        torch.set_num_threads(before)
        cv2.setNumThreads(before_cv)


def _finite(value: Any) -> Any:
    """The same tree with None for numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
