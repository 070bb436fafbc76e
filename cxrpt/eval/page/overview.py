"""The top of the page: a tile a headline number, and what can be said in short, each with its control."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cxrpt.eval.page.charts import scale_bar
from cxrpt.eval.page.classification import headline_of, headline_scores, score_of, share_words, title_of
from cxrpt.eval.page.grounding import points
from cxrpt.eval.page.numbers import count, lower_first, number_of, percent, percents, plain, times, value_of
from cxrpt.eval.page.regeneration import METHODS as FILLERS
from cxrpt.eval.page.regeneration import RIVALS, few_biharmonic, mask_words, ratio_words
from cxrpt.eval.page.retrieval import DIRECTIONS
from cxrpt.eval.page.verdict import AHEAD, BEHIND, OPEN, UNKNOWN, Difference, difference

HEADLINE_CELL = ("mixed", "75")


@dataclass(frozen=True)
class Tile:
    """One headline number with its interval, and what it is to be compared with."""

    title: str
    value: str
    interval: str
    bar: Markup
    beside: tuple[tuple[str, str], ...]
    about: str
    anchor: str


@dataclass(frozen=True)
class Statement:
    """What a comparison came to."""

    level: str
    words: str
    value: str
    interval: str


def tiles(details: Mapping[str, Any]) -> list[Tile]:
    """Tiles of the tasks that have numbers."""
    made = []
    classify, retrieve, regenerate, grounding = (
        details.get(task) or {} for task in ("classify", "retrieve", "regenerate", "grounding")
    )
    if value_of(classify, "methods") and number_of(headline_scores(classify), "mean", "auroc") is not None:
        made.append(_classify_tile(classify))
    for direction, name in DIRECTIONS.items():
        if number_of(retrieve, "scores", direction, "r5") is not None:
            made.append(_retrieve_tile(retrieve, direction, name))
    cells = value_of(regenerate, "cells")
    if cells and number_of(cells, *_headline_cell(cells), "methods", "model", "psnr") is not None:
        made.append(_regenerate_tile(cells))
    for kind in ("finding", *(value_of(grounding, "words") or {})):
        if number_of(grounding, "words", kind, "right", "own") is not None:
            made.append(_grounding_tile(grounding["words"][kind], kind))
            break
    return made


def _classify_tile(details: Mapping[str, Any]) -> Tile:
    method, share = headline_of(details)
    mean = headline_scores(details)["mean"]
    controls = headline_scores(details).get("gain") or ("pixels", "untrained")
    others = {name: number_of(details["methods"], name, "shares", share, "mean", "auroc") for name in controls}
    beside = [(title_of(name), value) for name, value in others.items() if value is not None] + [("Chance", 0.5)]
    score = score_of(mean, "auroc")
    ends = [number_of(mean, key) for key in ("auroc", "auroc_low", "auroc_high")]
    assert ends[0] is not None
    num_classes = len(headline_scores(details).get("classes") or {})
    return Tile(
        "Mean AUROC", score.value, score.interval, _bar(ends[0], beside, (0.3, 1.0), ends[1], ends[2], score.value),
        tuple((name, plain(value)) for name, value in beside),
        f"{title_of(method)}, {share_words(share)}, {num_classes} {'class' if num_classes == 1 else 'classes'}", "classify",
    )  # fmt: skip


def _retrieve_tile(details: Mapping[str, Any], direction: str, name: str) -> Tile:
    value, chance = (number_of(details, "scores", one, "r5") for one in (direction, "chance"))
    low, high = (number_of(details, "scores", direction, f"r5_{end}") for end in ("low", "high"))
    assert value is not None
    beside = [("Chance", chance)] if chance is not None else []
    ratio = times(value, chance)
    shown = tuple((one, f"{percent(number)}{f', {ratio}' if ratio != '–' else ''}") for one, number in beside)
    for key, words in (("r1", "R@1"), ("r10", "R@10")):
        shown += ((words, percent(number)),) if (number := number_of(details, "scores", direction, key)) is not None else ()
    if (rank := number_of(details, "scores", direction, "median_rank")) is not None:
        shown += (("Median rank", count(rank)),)
    limits = (0.0, max(0.2, 1.15 * value))
    bar = _bar(value, beside, limits, low, high, percent(value))
    return Tile(
        f"R@5, {name.lower()}", percent(value), percents(low, high), bar, shown,
        f"pool of {count(number_of(details, 'pool'))} pairs", "retrieve",
    )  # fmt: skip


def _regenerate_tile(cells: Mapping[str, Any]) -> Tile:
    masks, ratio = _headline_cell(cells)
    scores = cells[masks][ratio]["methods"]
    value = number_of(scores, "model", "psnr")
    assert value is not None
    beside = [(FILLERS[name][0], number_of(scores, name, "psnr")) for name in ("telea", "biharmonic", "mean")]
    few = few_biharmonic(cells[masks][ratio])
    told = f"; biharmonic on {few} images only" if few else ""
    known = [(name, number) for name, number in beside if number is not None]
    numbers = [value, *(number for _, number in known)]
    limits = (min(numbers) - 1, max(numbers) + 1)
    return Tile(
        "PSNR of hidden pixels", f"{plain(value, 2)} dB", "", _bar(value, known, limits, None, None, f"{plain(value, 2)} dB"),
        tuple((name, f"{plain(number, 2)} dB") for name, number in known),
        f"{ratio_words(ratio)} hidden, {mask_words(masks)}{told}", "regenerate",
    )  # fmt: skip


def _headline_cell(cells: Mapping[str, Any]) -> tuple[str, str]:
    masks, ratio = HEADLINE_CELL
    if ratio in (cells.get(masks) or {}):
        return masks, ratio
    masks = masks if cells.get(masks) else next(iter(cells))
    return masks, max(cells[masks], key=float)


def _grounding_tile(one: Mapping[str, Any], kind: str) -> Tile:
    right = one["right"]
    own = number_of(right, "own")
    assert own is not None
    beside = [(name, number_of(right, key)) for name, key in (("Another study’s image", "swapped"), ("No image", "none"))]
    known = [(name, number) for name, number in beside if number is not None]
    return Tile(
        f"Masked {kind} words right", percent(own), "", _bar(own, known, (0.0, 1.0), None, None, percent(own)),
        tuple((name, percent(number)) for name, number in known),
        f"with the study’s own image; {count(number_of(one, 'places'))} places", "grounding",
    )  # fmt: skip


def _bar(
    value: float, beside: list[tuple[str, float]], limits: tuple[float, float], low: float | None, high: float | None, said: str
) -> Markup:
    ticks = [(number, name) for name, number in beside]
    return scale_bar(value, low, high, limits, ticks, f"{said} on a scale from {limits[0]:.3g} to {limits[1]:.3g}")


def statements(details: Mapping[str, Any]) -> list[Statement]:
    """The comparisons in short; a difference whose interval holds zero is open, whichever way it points."""
    made: list[Statement] = []
    classify, retrieve, regenerate, grounding = (
        details.get(task) or {} for task in ("classify", "retrieve", "regenerate", "grounding")
    )
    if value_of(classify, "methods"):
        made += _classify_statements(classify)
    made += _retrieve_statements(retrieve)
    if value_of(regenerate, "cells"):
        made += _regenerate_statements(regenerate["cells"])
    for kind, one in (value_of(grounding, "words") or {}).items():
        made += _statement(
            points(value_of(one, "gain_over_swapped")),
            f"Masked {kind.replace('_', ' ')} words: own image over another’s, points",
        )
    for kind, one in (value_of(grounding, "regions") or {}).items():
        gain = value_of(one, "gain_over_wrong")
        made += _statement(difference(gain, "value", 2), f"Regions, {kind.replace('_', ' ')}: own report over another’s, dB")
    return made


def _statement(found: Difference | None, words: str) -> list[Statement]:
    return [] if found is None else [Statement(found.level, words, found.value, found.interval)]


def _classify_statements(details: Mapping[str, Any]) -> list[Statement]:
    """Gains of the headline, and of the other methods where labels are fewest and most."""
    made = []
    method, share = headline_of(details)
    for name, one in details["methods"].items():
        with_gain = [at for at in sorted(one["shares"], key=float) if value_of(one["shares"], at, "gain")]
        for at in [share] if name == method else dict.fromkeys([*with_gain[:1], *with_gain[-1:]]):
            for other, found in (value_of(one["shares"], at, "gain") or {}).items():
                words = f"{title_of(name)} over {lower_first(title_of(other))}, AUROC at {share_words(at)}"
                made += _statement(difference(found, "auroc", 3), words)
    return made


def _retrieve_statements(details: Mapping[str, Any]) -> list[Statement]:
    made = []
    for direction, name in DIRECTIONS.items():
        value, low, high = (number_of(details, "scores", direction, key) for key in ("r5", "r5_low", "r5_high"))
        chance = number_of(details, "scores", "chance", "r5")
        if value is None or chance is None:
            continue
        level = UNKNOWN if low is None or high is None else AHEAD if low > chance else BEHIND if high < chance else OPEN
        interval = "" if low is None or high is None else f"{times(low, chance)} to {times(high, chance)}"
        words = f"{name} over chance: {percent(value)} found among the first five, {percent(chance)} by chance"
        made.append(Statement(level, words, times(value, chance), interval))
    return made


def _regenerate_statements(cells: Mapping[str, Any]) -> list[Statement]:
    """For each rival: in how many cells the model is ahead, and where it is not."""
    made = []
    for rival, name in RIVALS.items():
        found = {
            (masks, ratio): gain
            for masks, by_ratio in cells.items()
            for ratio, cell in by_ratio.items()
            if (gain := difference(value_of(cell, "gain_db", rival), "mean", 2)) is not None
        }
        if not found:
            continue
        ahead = [cell for cell, gain in found.items() if gain.level == AHEAD]
        behind = [cell for cell, gain in found.items() if gain.level == BEHIND]
        rest: dict[str, list[str]] = {}
        for masks, ratio in (cell for cell in found if cell not in ahead):
            rest.setdefault(f"{float(ratio):g} %", []).append(mask_words(masks).removesuffix(" squares"))
        level = AHEAD if not rest else "mixed" if ahead else BEHIND if behind else OPEN
        words = f"Regeneration over {name}: ahead in {len(ahead)} and behind in {len(behind)} of {len(found)} cells"
        if rest and ahead:
            words += "; not ahead at " + ", nor at ".join(f"{ratio} of {', '.join(masks)}" for ratio, masks in rest.items())
        masks, ratio = _headline_cell(cells)
        if (head := found.get((masks, ratio))) is not None:
            made.append(Statement(level, f"{words}. At {ratio_words(ratio)} of {masks}:", f"{head.value} dB", head.interval))
        else:
            made.append(Statement(level, words, "", ""))
    return made
