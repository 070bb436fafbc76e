"""The classification task as the page shows it: methods by share of labels, classes, institutions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from cxrpt.eval.page.charts import Axis, Line, Point, line_chart, roc_chart, scale_bar, swatch
from cxrpt.eval.page.numbers import count, lower_first, number_of, percent, plain, value_of
from cxrpt.eval.page.verdict import Difference, difference

METHODS = {
    "linear": ("Linear probe", 0, 0),
    "attention": ("Attention-pool probe", 4, 0),
    "fine_tune": ("Fine-tuned", 2, 0),
    "zero_shot": ("Zero-shot", 3, 0),
    "scratch": ("Trained from scratch", 2, 1),
    "untrained": ("Linear probe, fresh weights", 0, 1),
    "attention_untrained": ("Attention-pool probe, fresh weights", 4, 1),
    "pixels": ("Linear probe on pixels", 7, 2),
}
"""What a method is called, its colour, and its dash: a control looks like what it controls, but dashed."""

_DODGE = 0.07


@dataclass(frozen=True)
class Score:
    """A number with its interval, as shown; `bar` draws it where there is room."""

    value: str
    interval: str
    bar: Markup | None = None


@dataclass(frozen=True)
class Cell:
    """A method at a share of the labels."""

    auroc: Score
    auprc: Score
    train_images: str
    draws: str


@dataclass(frozen=True)
class MethodRow:
    """A method over the shares; None where it was not run at one."""

    name: str
    about: str
    is_control: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class GainRow:
    """What a method gains over its control, at each of the shares."""

    method: str
    over: str
    gains: tuple[Difference | None, ...]


@dataclass(frozen=True)
class ClassRow:
    """A class, by the method of the headline."""

    name: str
    auroc: Score
    auprc: Score
    prevalence: str
    positives: str
    negatives: str


@dataclass(frozen=True)
class InstitutionRow:
    """The mean over the classes that one institution has enough of."""

    name: str
    num_classes: int
    auroc: Score
    auprc: Score


@dataclass(frozen=True)
class Scope:
    """Scores of images that are averaged together: of all institutions, or of one where they share no table."""

    name: str
    """Empty for all institutions."""
    methods: tuple[MethodRow, ...]
    charts: tuple[tuple[str, Markup], ...]
    gains: tuple[GainRow, ...]
    gain_shares: tuple[str, ...]
    """Those at which there is a gain."""
    classes: tuple[ClassRow, ...]
    rocs: tuple[tuple[str, Markup, str], ...]
    unfitted: tuple[tuple[str, str], ...]
    """Method with share, and the classes that it could not be fitted for."""


@dataclass(frozen=True)
class Classification:
    """All that the page says of the task."""

    about: tuple[tuple[str, str], ...]
    headline: str
    shares: tuple[str, ...]
    legend: tuple[tuple[Markup, str], ...]
    scopes: tuple[Scope, ...]
    institutions: tuple[InstitutionRow, ...]
    by_institution: tuple[tuple[str, tuple[str, ...]], ...]
    """Class, and its AUROC at each of the institutions."""
    left_out: tuple[tuple[str, str], ...]


def classification(details: Mapping[str, Any]) -> Classification:
    """The view of `details.classify`; whatever is missing in it is left out."""
    methods = {name: details["methods"][name] for name in _ordered(details["methods"])}
    shares = sorted({share for one in methods.values() for share in one["shares"]}, key=float)
    scores = headline_scores(details)
    method, share = headline_of(details)
    institutions = scores.get("institutions") or {}
    classes = scores.get("classes") or {}
    if not classes and institutions:
        scopes = [_scope(name, _of_institution(methods, name), shares, method, share) for name in institutions]
    else:
        scopes = [_scope("", methods, shares, method, share)]
    several = institutions if classes and len(institutions) > 1 else {}
    return Classification(
        about=_about(details),
        headline=f"{title_of(method)}, {share_words(share)}",
        shares=tuple(map(share_words, shares)),
        legend=tuple((swatch(*look_of(name)), title_of(name)) for name in methods),
        scopes=tuple(scopes),
        institutions=tuple(_institution_row(name, one) for name, one in several.items()),
        by_institution=tuple(
            (name, tuple(plain(number_of(one, "classes", name, "auroc")) for one in several.values()))
            for name in (classes if several else ())
        ),
        left_out=tuple((str(name), str(why)) for name, why in (details.get("left_out") or {}).items()),
    )


def _of_institution(methods: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The methods with the scores of one institution in place of those of all."""
    return {
        name: one | {"shares": {at: value_of(found, "institutions", source) or {} for at, found in one["shares"].items()}}
        for name, one in methods.items()
    }


def _scope(name: str, methods: Mapping[str, Any], shares: list[str], method: str, share: str) -> Scope:
    classes = value_of(methods, method, "shares", share, "classes") or {}
    compared = [at for at in shares if any(value_of(one["shares"], at, "gain") for one in methods.values())]
    return Scope(
        name=name,
        methods=tuple(_method_row(one, methods[one], shares) for one in methods),
        charts=tuple(_charts(methods, shares)),
        gains=tuple(_gains(methods, compared)),
        gain_shares=tuple(map(share_words, compared)),
        classes=tuple(_class_row(one, found) for one, found in classes.items()),
        rocs=tuple(_rocs(classes)),
        unfitted=tuple(_unfitted(methods, shares)),
    )


def headline_of(details: Mapping[str, Any]) -> tuple[str, str]:
    """Method and share of the headline: as the results say, or the first method with its largest share.

    Raises:
        KeyError: no method, or none with a share.
    """
    methods = details["methods"]
    method, share = value_of(details, "headline", "method"), str(value_of(details, "headline", "share"))
    if value_of(methods, method, "shares", share):
        return method, share
    for name in _ordered(methods):
        if methods[name]["shares"]:
            return name, max(methods[name]["shares"], key=float)
    raise KeyError("methods")


def headline_scores(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """The scores of the headline."""
    method, share = headline_of(details)
    return details["methods"][method]["shares"][share]


def title_of(method: str) -> str:
    """What a method is called on the page."""
    return METHODS[method][0] if method in METHODS else method.replace("_", " ").capitalize()


def look_of(method: str) -> tuple[int, int]:
    """Colour and dash of a method."""
    return METHODS[method][1:] if method in METHODS else (5, 3)


def share_words(share: str) -> str:
    """`10` is "10 % of labels", `0` "no labels"."""
    return "no labels" if float(share) == 0 else f"{float(share):g} % of labels"


def score_of(found: Mapping[str, Any] | None, name: str, limits: tuple[float, float] | None = None, mark: str = "") -> Score:
    """A score with `_low` and `_high` beside it; with limits, drawn too, over chance where that is told."""
    value, low, high = (number_of(found, key) for key in (name, f"{name}_low", f"{name}_high"))
    interval = "" if low is None or high is None else f"{plain(low)}–{plain(high)}"
    if value is None or limits is None:
        return Score(plain(value), interval)
    ticks = [(0.5, "chance 0.5")] if mark == "chance" else []
    said = f"{plain(value)}{f', interval {interval}' if interval else ''}"
    return Score(plain(value), interval, scale_bar(value, low, high, limits, ticks, said, "small"))


def _ordered(methods: Mapping[str, Any]) -> list[str]:
    return [name for name in METHODS if name in methods] + [name for name in methods if name not in METHODS]


def _about(details: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    rows = []
    if (images := number_of(details, "images")) is not None:
        patients = number_of(details, "patients")
        rows.append(("Scored", f"{count(images)} images{'' if patients is None else f' of {count(patients)} patients'}"))
    if (images := number_of(details, "train_images")) is not None:
        rows.append(("Learned from", f"up to {count(images)} labelled images of the training split"))
    rows.append(("Interval", str(details.get("interval") or "")))
    by_words: dict[str, list[str]] = {}
    for source, words in (details.get("protocols") or {}).items():
        by_words.setdefault(str(words), []).append(str(source))
    rows.append(("Splits", "; ".join(f"{', '.join(sources)}: {words}" for words, sources in by_words.items())))
    rows += [(f"Not run: {lower_first(title_of(name))}", str(why)) for name, why in (details.get("not_run") or {}).items()]
    rows.append(("No mean", str(details.get("no_mean") or "")))
    rows.append(("Could not be read", bad_words(details.get("bad_samples"))))
    return tuple(row for row in rows if row[1])


def bad_words(bad: Any) -> str:
    """Numbers of bad samples by source, or by split and source, in words; empty without any."""
    if not isinstance(bad, Mapping):
        return ""
    parts = []
    for name, number in bad.items():
        if isinstance(number, Mapping):
            parts += [f"{one:,} of {source} ({name})" for source, one in number.items() if one]
        elif number:
            parts.append(f"{number:,} of {name}")
    return ", ".join(parts)


def _method_row(name: str, method: Mapping[str, Any], shares: list[str]) -> MethodRow:
    cells = [_cell(method["shares"].get(share)) for share in shares]
    dashed = look_of(name)[1] > 0
    return MethodRow(title_of(name), str(method.get("about") or ""), dashed, tuple(cells))


def _cell(scores: Mapping[str, Any] | None) -> Cell | None:
    if not scores:
        return None
    mean = scores.get("mean")
    draws = number_of(scores, "draws") or 1
    return Cell(
        score_of(mean, "auroc"), score_of(mean, "auprc"), count(_rounded(number_of(scores, "train_images"))),
        "" if draws <= 1 else f"{draws:.0f} draws",
    )  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(round(value))


def _charts(methods: Mapping[str, Any], shares: list[str]) -> list[tuple[str, Markup]]:
    names = tuple("none" if float(share) == 0 else f"{float(share):g} %" for share in shares)
    made = []
    for key, title, reference in (("auroc", "Mean AUROC", 0.5), ("auprc", "Mean AUPRC", None)):
        lines = []
        for number, (name, method) in enumerate(methods.items()):
            shift = (number - (len(methods) - 1) / 2) * _DODGE
            points = [
                Point(
                    place + shift,
                    value,
                    *(number_of(method["shares"], share, "mean", f"{key}_{end}") for end in ("low", "high")),
                )
                for place, share in enumerate(shares)
                if (value := number_of(method["shares"], share, "mean", key)) is not None
            ]
            if points:
                lines.append(Line(title_of(name), tuple(points), *look_of(name), told=".3f"))
        if lines:
            axis = Axis("share of the labelled training patients", names, reference=reference, limits=(0.0, 1.0))
            made.append((title, line_chart(lines, axis, f"{title} of each method by share of labels")))
    return made


def _gains(methods: Mapping[str, Any], shares: list[str]) -> list[GainRow]:
    rows = []
    for name, method in methods.items():
        for other in dict.fromkeys(other for one in method["shares"].values() for other in one.get("gain") or {}):
            gains = tuple(difference(value_of(method["shares"], share, "gain", other), "auroc", 3) for share in shares)
            rows.append(GainRow(title_of(name), title_of(other), gains))
    return rows


def _unfitted(methods: Mapping[str, Any], shares: list[str]) -> list[tuple[str, str]]:
    rows = []
    for name, method in methods.items():
        for share in shares:
            draws = number_of(method["shares"], share, "draws") or 1
            chance = value_of(method["shares"], share, "chance")
            if isinstance(chance, Mapping) and chance:
                told = ", ".join(f"{one} in {number:g} of {draws:g}" for one, number in chance.items())
                rows.append((f"{title_of(name)}, {share_words(share)}", f"{told} draws"))
    return rows


def _class_row(name: str, one: Mapping[str, Any]) -> ClassRow:
    positives, negatives = number_of(one, "positives"), number_of(one, "negatives")
    share = None if positives is None or negatives is None else positives / max(positives + negatives, 1)
    return ClassRow(
        name, score_of(one, "auroc", (0.3, 1.0), "chance"), score_of(one, "auprc"), percent(share),
        count(positives), count(negatives),
    )  # fmt: skip


def _rocs(classes: Mapping[str, Any]) -> list[tuple[str, Markup, str]]:
    made = []
    for name, one in classes.items():
        fpr, tpr = value_of(one, "roc", "fpr"), value_of(one, "roc", "tpr")
        if fpr and tpr:
            score = plain(number_of(one, "auroc"))
            made.append((name, roc_chart(fpr, tpr, f"ROC curve of {name}, area {score}"), score))
    return made


def _institution_row(name: str, one: Mapping[str, Any]) -> InstitutionRow:
    mean = one.get("mean")
    return InstitutionRow(
        name, len(one.get("classes") or {}), score_of(mean, "auroc", (0.3, 1.0), "chance"), score_of(mean, "auprc")
    )
