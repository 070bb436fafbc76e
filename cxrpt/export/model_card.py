"""The model card of an export, in Markdown: only what is recorded or was measured, and where nothing is, that.

Provenance, results of evaluations, the configuration as it may leave ─► README.md
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cxrpt.checkpoint.export import WEIGHTS
from cxrpt.eval.report import summary_rows
from cxrpt.export.provenance import Provenance, SourceSeen
from cxrpt.model.pretrain import Shape

UNKNOWN = "not recorded"
_KINDS = {"hospital": "a hospital's export", "table": "a table of pictures", "nih14": "NIH ChestX-ray14", "openi": "OpenI",
          "mimic-cxr": "MIMIC-CXR"}  # fmt: skip
_USES = {"all": "everything", "pairs": "pairs", "images": "pictures", "texts": "reports"}
_METHOD = (
    "Of headers and tables only age (90 and above as one), sex, view, labels, the picture's size and days since the patient's "
    "first study are kept, and ids as keyed hashes. Pictures are encoded afresh, and left out where burned-in text was tagged "
    "or found. In reports names, ids, dates, places and numbers that headers and tables give for the study, or that a pattern "
    "knows, are replaced by `___`. The method and what it misses: `docs/deidentification.md` of that version of cxrpt."
)


@dataclass(frozen=True)
class CardFacts:
    """All that a card tells."""

    name: str
    step: int
    dtype: str
    num_parameters: int
    sha256: str
    """Of the weights."""
    saved_dtype: str
    """In which the checkpoint held the weights, and the evaluation used them."""
    shape: Shape
    sections: tuple[str, ...]
    tokenizer: str
    tokenizer_made: dict[str, Any]
    """What is known of its making; empty if nothing is."""
    config: dict[str, Any]
    """As `shared_config` gives it."""
    provenance: Provenance | None
    results: list[dict[str, Any]]
    evaluated_steps: list[int]


def write_card(facts: CardFacts) -> str:
    """The card's text."""
    parts = (_head, _use, _data, _deidentification, _training, _evaluation, _limits, _licence)
    return "\n\n".join("\n".join(part(facts)).strip() for part in parts) + "\n"


def _head(facts: CardFacts) -> list[str]:
    shape = facts.shape
    objectives = _objectives(facts.config["objective"])
    contrast = "yes" if shape.contrast else "no"
    known = [one.name for one in facts.provenance.sources] if facts.provenance else facts.config["data"]["sources"]
    sources = _listed(known)
    rows = [
        ("step", f"{facts.step:,}"),
        ("parameters", f"{facts.num_parameters:,} in {facts.dtype}"),
        ("transformer", f"width {shape.width}, {shape.depth} layers, {shape.heads} heads"),
        ("picture", f"{shape.image_size} x {shape.image_size} pixels, one channel, patches of {shape.patch_size}"),
        ("text", f"up to {shape.max_text_tokens} tokens; sections {_listed(facts.sections) or 'all'}"),
        ("tokenizer", f"SentencePiece, {shape.vocab_size:,} pieces, fingerprint `{facts.tokenizer}`"),
        ("contrastive head", contrast),
        (f"`{WEIGHTS}`", f"sha256 `{facts.sha256}`"),
    ]
    return [
        f"# {_plain(facts.name)}",
        "",
        "One transformer that reads a chest radiograph, a report, or both as one sequence, and gives embeddings of them. "
        f"Pre-trained with cxrpt on {sources} by {objectives}. It names no findings and is **not for clinical use**.",
        "",
        *_table(("", ""), rows),
    ]


def _objectives(objective: dict[str, Any]) -> str:
    names = {
        "mlm_weight": "masked language modelling",
        "mvm_weight": "multi-scale masked vision modelling",
        "itc_weight": "an image-text contrast",
    }
    used = [name for key, name in names.items() if objective.get(key, 0) > 0]
    return " and ".join([", ".join(used[:-1]), used[-1]]) if len(used) > 1 else used[0]


def _use(facts: CardFacts) -> list[str]:
    compared = (
        "Image and text embeddings were trained to be compared: cosines between them are meaningful."
        if facts.shape.contrast
        else "Image and text embeddings were not trained to be compared: take the mean of each kind away first, as the "
        "evaluation of retrieval did."
    )
    return [
        "## Intended use",
        "",
        "Research: features for probes and search, or weights to start from, on radiographs and reports like those below.",
        "",
        "```python",
        "import cxrpt",
        "",
        f"model = cxrpt.load_pretrained({json.dumps(facts.name)})",
        'model.embed_images(["chest.png"])  # (1, width)',
        'model.embed_texts(["No effusion."])',
        'model.embed_pairs(["chest.png"], ["No effusion."])',
        "```",
        "",
        "Pictures as `cxrpt prep` makes them: upright, windowed, bright where dense; the model sees their middle square. "
        f"Text as the sections above, joined by a line break, with `___` where something was removed. {compared}",
    ]


def _data(facts: CardFacts) -> list[str]:
    heading = ["## Training data", ""]
    if facts.provenance is None:
        names = ", ".join(map(_plain, facts.config["data"]["sources"]))
        return [*heading, f"Sources of the configuration: {names}. Counts and what was seen of them: {UNKNOWN}."]
    sources = facts.provenance.sources
    rows = [
        (
            _plain(one.name), _made_from(one), _USES[_use_of(one)], *_held(one), f"{one.samples:,}", f"{one.seen:,}",
            f"{one.epochs:.2f}", f"{one.bad:,}",
        )
        for one in sources
    ]  # fmt: skip
    columns = ("source", "made from", "used", "pairs", "pictures", "reports", "samples of that use", "seen", "passes", "bad")
    lines = [
        *heading,
        *_table(columns, rows),
        "",
        "Pairs, pictures alone and reports alone are those of the training split; *seen* counts the samples drawn up to step "
        f"{facts.step:,}, *bad* those of them that could not be read and were replaced by another of the source.",
    ]
    lines += ["", *(f"- {line}" for line in (*_mixes(facts.provenance), _patients(sources), *_inputs(sources)))]
    changed = [one.name for one in sources if len(one.contents) > 1]
    if changed:
        lines.append(f"- The content of {_listed(changed)} changed in mid-run; the counts are those of the last content.")
    return lines


def _mixes(provenance: Provenance) -> list[str]:
    lines = []
    for first, shares in provenance.mixes:
        shown = ", ".join(f"{_plain(name)} {share:.1%}" for name, share in shares.items())
        lines.append(f"Mix from step {first:,}: {shown} of the samples.")
    return lines


def _use_of(source: SourceSeen) -> str:
    use = source.contents[-1].rpartition(" ")[2]
    return use if use in _USES else "all"


def _made_from(source: SourceSeen) -> str:
    if source.record is None:
        return UNKNOWN
    kind = str(source.record.settings.get("source"))
    code = source.record.institution
    return (_KINDS.get(kind, "") or UNKNOWN) + (f", code {_plain(code)}" if code != source.name else "")


def _held(source: SourceSeen) -> tuple[str, str, str]:
    if source.record is None:
        return UNKNOWN, UNKNOWN, UNKNOWN
    return f"{source.record.pairs:,}", f"{source.record.images:,}", f"{source.record.texts:,}"


def _patients(sources: tuple[SourceSeen, ...]) -> str:
    known = {one.name: one.record.build["patients"] for one in sources if one.record and one.record.build}
    told = [f"{_plain(name)} {count:,}" for name, count in known.items()]
    rest = [one.name for one in sources if one.name not in known]
    told += [f"{UNKNOWN} for {_listed(rest)}"] if rest else []
    return f"Patients in the training split: {', '.join(told)}."


def _inputs(sources: tuple[SourceSeen, ...]) -> list[str]:
    """What came of the files and reports that the shards were built from, source by source."""
    lines = []
    rest = []
    for one in sources:
        if not (build := one.record.build if one.record else {}):
            rest.append(one.name)
            continue
        reasons = ", ".join(f"{_plain(reason)} {count:,}" for reason, count in sorted(build["reasons"].items()))
        lines.append(
            f"Inputs of {_plain(one.name)}, files and reports of all splits: {build['found']:,} found, {build['kept']:,} kept, "
            f"{build['excluded']:,} excluded, {build['failed']:,} failed{f' ({reasons})' if reasons else ''}."
        )
    return lines + ([f"What was left out when the shards of {_listed(rest)} were built: {UNKNOWN}."] if rest else [])


def _builders(provenance: Provenance | None) -> tuple[dict[str, list[str]], list[str]]:
    """Names of sources by the version of `cxrpt prep` that made their shards, and of those whose maker is not known."""
    built: dict[str, list[str]] = {}
    others = []
    for one in provenance.sources if provenance else ():
        settings = one.record.settings if one.record else {}
        if settings.get("source") in _KINDS and "cxrpt" in settings:
            built.setdefault(str(settings["cxrpt"]), []).append(one.name)
        else:
            others.append(one.name)
    return built, others


def _deidentification(facts: CardFacts) -> list[str]:
    built, of_others = _builders(facts.provenance)
    lines = ["## De-identification", ""]
    for version, names in built.items():
        lines.append(f"- {_listed(names)}: shards made by `cxrpt prep` {_plain(version)}, as their manifests say. {_METHOD}")
    if of_others:
        lines.append(f"- {_listed(of_others)}: {UNKNOWN}; their manifests do not say what made the shards.")
    if not built and not of_others:
        lines.append(f"- How the data was de-identified: {UNKNOWN}.")
    made = facts.tokenizer_made
    if made:
        lines.append(
            f"- The tokenizer was trained on {made['num_texts']:,} training reports of {_listed(made['institutions'])}; words "
            f"that fewer than {made['min_patients']} patients share were left out of them."
        )
    else:
        lines.append(f"- Which reports the tokenizer was trained on: {UNKNOWN}.")
    lines.append("- How many identifiers were left in reports or pictures was not measured on this data.")
    return lines


def _training(facts: CardFacts) -> list[str]:
    provenance = facts.provenance
    lines = ["## Training", ""]
    if provenance is not None:
        frozen = provenance.frozen
        kept = (("global batch", "train.global_batch"), ("precision", "engine.precision"))
        told = ", ".join(f"{name} {frozen[key]}" for name, key in kept if key in frozen)
        seen = sum(one.seen for one in provenance.sources)
        lines.append(
            f"{facts.step:,} steps, {seen:,} samples{f'; {told}' if told else ''}; steps skipped for a loss or gradient that "
            f"was not finite: {provenance.skipped_steps}."
        )
        if provenance.losses:
            losses = ", ".join(f"{name} {value:.3f}" for name, value in provenance.losses.items())
            lines += ["", f"Training losses at step {provenance.losses_at:,} (means since the step logged before): {losses}."]
    lines += ["", "Settings, as the run was last started (all of them in `config.yaml`):", ""]
    for part in ("objective", "optim"):
        lines.append(f"- {part}: " + ", ".join(f"{key} {_value(value)}" for key, value in facts.config[part].items()))
    data = facts.config["data"]
    lines.append(
        f"- data: augment {_value(data['augment'])}, temperature {_value(data['temperature'])}; seed {facts.config['seed']}"
    )
    if provenance is not None and provenance.versions:
        lines.append(
            "- versions: " + ", ".join(f"{_plain(name)} {_plain(number)}" for name, number in provenance.versions.items())
        )
    return lines


def _evaluation(facts: CardFacts) -> list[str]:
    lines = ["## Evaluation", ""]
    shown = 0
    for results in facts.results:
        try:
            rows = [(row.task, row.measure, row.score, row.baseline, row.remark) for row in summary_rows(results)]
            splits = {details["split"] for details in results["details"].values() if "split" in details}
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
        shown += 1
        split = ", ".join(sorted(splits)) or "none"
        lines += [f"Step {facts.step:,}, split: {_plain(split)}, of the sources above.", ""]
        lines += [*_table(("task", "measure", "score", "baseline", "remark"), rows), "", *_how_scored(results["details"]), ""]
    if not shown:
        others = ", ".join(f"{step:,}" for step in facts.evaluated_steps)
        lines.append(f"This step was not evaluated.{f' Evaluated were {others}.' if others else ''}")
    elif facts.dtype != facts.saved_dtype:
        lines.append(
            f"The scores are those of the weights in {facts.saved_dtype}; these, in {facts.dtype}, "
            + ("have the same values." if facts.dtype == "fp32" else "were rounded and not evaluated.")
        )
    return lines


def _how_scored(details: dict[str, Any]) -> list[str]:
    told = {
        "classify": ("features", "interval"),
        "retrieve": ("vectors", "hits", "precision", "held_out", "interval"),
        "regenerate": ("masks", "scored", "baselines", "interval"),
        "grounding": ("interval", "scored_words", "passes", "scored_regions", "masked_words_about"),
    }
    return [
        f"- {task}: {'; '.join(_plain(details[task][key]) for key in keys if key in details[task])}."
        for task, keys in told.items()
        if task in details and any(key in details[task] for key in keys)
    ]


def _limits(facts: CardFacts) -> list[str]:
    lines = [
        "No score was measured on an institution that is not among the sources, nor by age, sex, view or device.",
        "Whether the model repeats texts of its training reports was not measured: handle the weights with the care that the "
        "de-identified reports ask for.",
        "The language of the reports is not recorded; the model knows only that of its sources.",
        "`embed_pairs` was not scored by any task.",
    ]
    built, others = _builders(facts.provenance)
    if built:
        names = _listed(name for of_version in built.values() for name in of_version)
        lines.append(
            f"`cxrpt prep` puts no patient into two splits of a source ({names}); a patient of two sources may be trained on "
            "in one and tested on in the other."
        )
    if others or not built:
        whose = f" for {_listed(others)}" if others else ""
        lines.append(f"Whether patients of the training split are in other splits too: {UNKNOWN}{whose}.")
    if facts.provenance is not None and all(one.record is not None for one in facts.provenance.sources):
        held = [one.record for one in facts.provenance.sources if _use_of(one) in ("all", "pairs")]
        if not any(record is not None and record.pairs for record in held):
            lines.append("No picture was seen together with its report in training.")
    return ["## Known limits", "", *(f"- {line}" for line in lines)]


def _licence(facts: CardFacts) -> list[str]:
    return ["## Licence", "", "Not stated. To be filled in by whoever may decide it, under the terms of the data."]


def _table(names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return lines + ["| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |" for row in rows]


def _plain(text: object) -> str:
    """A name of the user's as it can stand in a line of Markdown."""
    words = " ".join(str(text).split())
    return "".join(f"\\{character}" if character in "\\`*<>[]" else character for character in words)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(_plain, names))


def _value(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_value, value))
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)
