"""From the results of an evaluated step to one page that stands alone.

evals/step-*/results.json   scores of this step, and of the others for curves     ┐
evals/step-N/figures/*.png  pictures                                              │
journal.jsonl               training losses                                       ├─► evals/step-N/report.html
config.yaml, code.txt       settings and versions                                 ┘

The page is a function of these files: no date, no path, nothing from the network. Checkpoint and shards may be gone. What a
results file lacks, as one of an older version does, is left out.
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from cxrpt import __version__
from cxrpt.config import RunConfig, config_of
from cxrpt.durable import replace_text
from cxrpt.errors import InputError
from cxrpt.eval.page.census import census
from cxrpt.eval.page.classification import classification
from cxrpt.eval.page.curves import score_curves, training_curves
from cxrpt.eval.page.grounding import grounding, skipped_parts
from cxrpt.eval.page.numbers import count, millions, number_of
from cxrpt.eval.page.overview import statements, tiles
from cxrpt.eval.page.pictures import Pictures
from cxrpt.eval.page.regeneration import MEASURES, regeneration
from cxrpt.eval.page.retrieval import retrieval
from cxrpt.eval.report import OTHER_VERSION, read_results
from cxrpt.export.shared_config import shared_config
from cxrpt.page.environment import page_environment
from cxrpt.run_paths import JOURNAL, results_files
from cxrpt.track.journal import read_journal

TASKS = {
    "classify": "Classification",
    "retrieve": "Retrieval",
    "regenerate": "Regeneration",
    "grounding": "Grounding",
}

_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""What HTML or UTF-8 cannot hold."""

log = logging.getLogger(__name__)
Part = TypeVar("Part")


def page_path(results: Path) -> Path:
    """Where the page of a results file lies: `report.html` beside `results.json`, `report-val.html` of `results-val.json`."""
    return results.with_name(results.name.replace("results", "report", 1)).with_suffix(".html")


def find_results(run_dir: Path, step: int | None, split: str | None) -> Path:
    """The results file of an evaluated step.

    Args:
        run_dir: the run's directory.
        step: an evaluated step; None takes the newest.
        split: what was scored, if not the run's own `eval.split`.

    Raises:
        InputError: no run directory, or no such results.
    """
    config = config_of(run_dir)
    name = "results.json" if split in (None, config.eval.split) else f"results-{split}.json"
    found = results_files(run_dir, name)
    if not found:
        of_split = "" if name == "results.json" else f" --split {split}"
        raise InputError(f"{run_dir} holds no evals/step-*/{name}: evaluate it first with `cxrpt evaluate {run_dir}{of_split}`")
    step = max(found) if step is None else step
    if step not in found:
        raise InputError(f"step {step} has no {name}: evaluated are {', '.join(map(str, sorted(found)))}")
    return found[step]


def write_page(run_dir: Path, results: Path) -> Path:
    """Write the page of a results file beside it; one that is there is replaced.

    Raises:
        InputError: the results cannot be read, or the page cannot be written.
    """
    path = page_path(results)
    try:
        replace_text(path, render_page(run_dir, results))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): free disk space, or mend its rights") from None
    return path


def render_page(run_dir: Path, results: Path) -> str:
    """The page of a results file.

    Raises:
        InputError: no run directory, or results that cannot be read.
    """
    config, shown = config_of(run_dir), read_results(results)
    environment = page_environment("cxrpt.eval.page")
    html = environment.get_template("page.html.j2").render(_context(run_dir, results, config, shown)) + "\n"
    return _UNREADABLE.sub("\ufffd", html)


def _context(run_dir: Path, results: Path, config: RunConfig, shown: Mapping[str, Any]) -> dict[str, Any]:
    """What the template is given."""
    details: dict[str, Any] = {task: one for task, one in shown["details"].items() if isinstance(one, dict)}
    skipped = {task: str(one["skipped"]) for task, one in details.items() if "skipped" in one}
    done = {task: one for task, one in details.items() if task not in skipped}
    pictures = Pictures(results.with_name(results.stem.replace("results", "figures", 1)))
    parts = {
        "classify": _part("classify", done, lambda one: classification(one)),
        "retrieve": _part("retrieve", done, lambda one: retrieval(one, pictures)),
        "regenerate": _part("regenerate", done, lambda one: regeneration(one, pictures)),
        "grounding": _part("grounding", done, lambda one: grounding(one)),
    }
    not_run = [(TASKS.get(task, task), "not run", reason) for task, reason in skipped.items()]
    not_run += [(TASKS.get(task, task), "not shown", OTHER_VERSION) for task in done if parts.get(task) is None]
    whole = {task: one for task, one in done.items() if parts.get(task) is not None}
    skipped_probes = skipped_parts(whole.get("grounding", {}))
    not_run += [(f"{TASKS['grounding']}, {name}", "not run", reason) for name, reason in skipped_probes]
    journal = read_journal(run_dir / JOURNAL)
    evaluated = sorted([shown, *_others(run_dir, results)], key=lambda one: one["step"])
    return {
        "version": __version__,
        "run": config.name,
        "step": shown["step"],
        "facts": _facts(config, shown, details),
        "results_name": results.name,
        "tiles": _or(tiles, [], whole),
        "statements": _or(statements, [], whole),
        "not_run": not_run,
        "tasks": TASKS,
        "parts": parts,
        "measures": MEASURES,
        "training": _or(training_curves, [], journal, int(shown["step"])),
        "scores": _or(score_curves, [], evaluated, int(shown["step"])),
        "num_evaluated": len(evaluated),
        "census": _or(census, None, shown.get("trained_on") or [], config.data.sources),
        "settings": _settings(config),
        "code": _code(run_dir),
        "seconds": number_of(shown, "seconds"),
    }


def _part(task: str, done: Mapping[str, Any], build: Callable[[Any], Part]) -> Part | None:
    return _or(build, None, done[task]) if task in done else None


def _or(build: Callable[..., Any], otherwise: Any, *given: Any) -> Any:
    """What `build` gives; `otherwise` where the results are not as it reads them."""
    try:
        return build(*given)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, AssertionError, ArithmeticError) as error:
        log.debug("a part of the page is left out: %s: %s", type(error).__name__, error)
        return otherwise


def _facts(config: RunConfig, shown: Mapping[str, Any], details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was evaluated, in few words."""
    model, found = config.model, shown.get("model")
    rows = []
    if (parameters := number_of(found, "parameters")) is not None:
        rows.append(("Model", f"{model.size}, {millions(parameters)} parameters"))
    else:
        rows.append(("Model", model.size))
    width, depth, heads = (number_of(found, key) for key in ("width", "depth", "heads"))
    if width and depth and heads:
        rows.append(("Transformer", f"width {width:.0f}, {depth:.0f} blocks, {heads:.0f} heads"))
    size, patch = config.data.image_size, config.model.patch_size
    rows.append(("Pictures", f"{size} × {size} px, patches of {patch} px"))
    splits = sorted({str(one["split"]) for one in details.values() if "split" in one})
    rows.append(("Scored split", ", ".join(splits) or config.eval.split))
    drawn = [name for name, source in config.data.sources.items() if source.is_drawn]
    rows.append(("Sources", ", ".join(drawn)))
    if list(config.evaluated) != drawn:
        rows.append(("Scored sources", ", ".join(config.evaluated)))
    objective = config.objective
    weights = (("MLM", objective.mlm_weight), ("MVM", objective.mvm_weight), ("ITC", objective.itc_weight))
    rows.append(("Objectives", ", ".join(f"{name} × {weight:g}" for name, weight in weights if weight)))
    rows.append(("Trained", f"{count(float(shown['step']))} of {config.train.steps:,} steps of {config.train.global_batch:,}"))
    return rows


def _settings(config: RunConfig) -> str:
    """The configuration as yaml, without paths, addresses and what belongs to the machine."""
    return OmegaConf.to_yaml(OmegaConf.create(shared_config(config) | {"eval": asdict(config.eval)}))


def _code(run_dir: Path) -> list[tuple[str, str]]:
    try:
        lines = (run_dir / "code.txt").read_text().splitlines()
    except OSError:
        return []
    return [(name, version) for name, _, version in (line.partition(" ") for line in lines) if version]


def _others(run_dir: Path, results: Path) -> Iterator[dict[str, Any]]:
    """The results of the other steps; those that do not parse are passed over."""
    for path in results_files(run_dir, results.name).values():
        if path != results:
            with suppress(InputError):
                yield read_results(path)
