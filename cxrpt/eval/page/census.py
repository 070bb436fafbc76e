"""What the model was trained on, source by source, as the page shows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cxrpt.config import SourceConfig
from cxrpt.eval.page.charts import stacked_bar
from cxrpt.eval.page.numbers import NONE, count, number_of, percent, plain

KINDS = ("pairs", "images", "texts")
USES = {"all": "all", "pairs": "pairs only", "images": "pictures only", "texts": "reports only"}


@dataclass(frozen=True)
class SourceRow:
    """One source."""

    name: str
    use: str
    weight: str
    share: str
    counts: tuple[str, ...]
    """Pairs, pictures alone, reports alone of the training split."""
    bar: Markup
    patients: str
    seen: str
    epochs: str
    bad: str


@dataclass(frozen=True)
class Census:
    """All sources, and what is known of them together."""

    rows: tuple[SourceRow, ...]
    totals: tuple[str, ...]
    """Pairs, pictures alone, reports alone; empty where those of a source are not known."""
    total_seen: str


def census(trained_on: Sequence[Mapping[str, Any]], sources: Mapping[str, SourceConfig]) -> Census:
    """The rows of the results' `trained_on`, beside what the configuration says; sources that only one names too."""
    known = {str(one["source"]): one for one in trained_on}
    held = {name: [number_of(one, kind) for kind in KINDS] for name, one in known.items()}
    largest = max((int(sum(number or 0 for number in numbers)) for numbers in held.values()), default=0)
    names = dict.fromkeys([*sources, *known])
    rows = tuple(_row(name, known.get(name, {}), sources.get(name), largest) for name in names)
    complete = known and all(None not in numbers for numbers in held.values())
    sums = tuple(count(sum(column)) for column in zip(*held.values(), strict=True)) if complete else ()
    seen = [number_of(one, "seen") for one in known.values()]
    return Census(rows, sums, count(sum(number or 0 for number in seen)) if any(seen) else NONE)


def _row(name: str, one: Mapping[str, Any], source: SourceConfig | None, largest: int) -> SourceRow:
    numbers = [number_of(one, kind) for kind in KINDS]
    parts = [
        (word, int(number or 0)) for word, number in zip(("pairs", "pictures alone", "reports alone"), numbers, strict=True)
    ]
    told = ", ".join(f"{number:,} {word}" for word, number in parts)
    share = number_of(one, "share")
    use = str(one.get("use") or (source.use if source else ""))
    return SourceRow(
        name=name,
        use=USES.get(use, use),
        weight=NONE if source is None else _weight(source),
        share=percent(share),
        counts=tuple(map(count, numbers)),
        bar=stacked_bar(parts, largest, f"{name}: {told}") if largest else Markup(""),
        patients=count(number_of(one, "patients")),
        seen=count(number_of(one, "seen")),
        epochs=plain(number_of(one, "epochs"), 2),
        bad=count(number_of(one, "bad")),
    )


def _weight(source: SourceConfig) -> str:
    later = "".join(f", {weight:g} from step {step:,}" for step, weight in sorted(source.weight_from_step.items()))
    return f"{source.weight:g}{later}"
