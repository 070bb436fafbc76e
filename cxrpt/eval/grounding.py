"""Does the model join image and text? Probes of words and regions, on held-out pairs.

held-out pairs ─┬─► word probe: hidden words with the own picture, a swapped one, none
                └─► region probe: hidden regions with the own report, a wrong one, none
held-out reports ─► words hidden as in training, beside the commonest token

A model that learned pictures and texts side by side without joining them does as well with the swapped picture and the wrong
report as with its own: the margin is what the probes are about, not the score.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from cxrpt.checkpoint.export import Exported
from cxrpt.config import EvalConfig, ObjectiveConfig
from cxrpt.eval.margins import mean_margin
from cxrpt.eval.masked_words import TrainCounts, ask_masked_words, commonest_word, count_train
from cxrpt.eval.pixel_scores import psnr
from cxrpt.eval.probed_pairs import ProbedPair, read_pairs, swap_partners
from cxrpt.eval.region_probe import HIDDEN, RegionAnswers, ask_regions, questions
from cxrpt.eval.samples import CannotRunError, SplitFolder
from cxrpt.eval.word_probe import WordAnswers, ask_words

NOTES = {
    "interval": "95 %, bootstrap over patients, differences paired by place",
    "scored_words": "all words of a kind hidden together, in all spellings; a word is right if all its pieces are; nats: minus "
    "the log of its probability; denied findings ('no effusion') apart, since the phrase put them there",
    "passes": "own picture; that of another patient of the same view (swapped), each picture once; none: the report alone. "
    "The verdict is own over swapped, and own over wrong: a model that only ever saw both does worse with one alone, "
    "joined or not",
    "scored_regions": "the half and third of a frontal picture that a sentence names, hidden with its mirror image "
    "(both_sides) or alone (one_side); PSNR over the region; wrong: a report of another patient, whose findings lie elsewhere",
    "unigram_about": "always the commonest word of the kind in train, its capitals forgiven, at the same places",
    "masked_words_about": "hidden as in training; unigram: always the commonest token of the source's training reports",
}

Results = dict[str, Any]


def grounding(
    exported: Exported, folders: dict[str, list[SplitFolder]], split: str, config: EvalConfig, objective: ObjectiveConfig
) -> tuple[dict[str, float], Results]:
    """Probe the pairs of a split.

    Returns:
        Metrics by name, and details; a part that could not run gives {"skipped": reason} there.

    Raises:
        CannotRunError: no part could run.
    """
    pairs, bad = read_pairs(exported, folders[split], config.max_probed)
    partners = swap_partners(pairs)
    details: Results = {
        "split": split,
        "pairs": len(pairs),
        "patients": len({pair.patient for pair in pairs}),
        "without_partner": len(pairs) - len(partners),
    } | NOTES
    counts = count_train(exported, folders["train"]) if objective.mlm_weight > 0 else {}
    parts: dict[str, Results] = {}
    steps: tuple[tuple[str, Callable[[], Results]], ...] = (
        ("words", lambda: _words(exported, pairs, partners, counts, split, config, objective)),
        ("regions", lambda: _regions(exported, pairs, split, config, objective)),
        ("masked_words", lambda: _masked_words(exported, folders[split], counts, config, objective, bad)),
    )
    for name, part in steps:
        try:
            parts[name] = part()
        except CannotRunError as reason:
            parts[name] = {"skipped": str(reason)}
    if all("skipped" in one for one in parts.values()):
        raise CannotRunError("; ".join(dict.fromkeys(one["skipped"] for one in parts.values())))
    details |= parts | {"bad_samples": dict(bad)}
    return _flat(parts), details


def _words(
    exported: Exported,
    pairs: list[ProbedPair],
    partners: dict[int, int],
    counts: dict[str, TrainCounts],
    split: str,
    config: EvalConfig,
    objective: ObjectiveConfig,
) -> Results:
    if objective.mlm_weight == 0:
        raise CannotRunError("the run did not learn to tell words (objective.mlm_weight=0)")
    if not pairs:
        raise CannotRunError(f"no pairs of image and text in {split}")
    if not partners:
        raise CannotRunError(f"the {len(pairs)} pairs of {split} are of too few patients to swap pictures within a view")
    answers = ask_words(exported, pairs, partners, config.batch)
    if not answers:
        raise CannotRunError(f"no report of {len(pairs)} pairs of {split} names a finding, side, zone or size")
    return {kind: _of_kind(found, commonest_word(counts, kind)) for kind, found in answers.items()}


def _of_kind(found: WordAnswers, guess: tuple[str, float] | None) -> Results:
    right = {name: np.array(values, float) for name, values in found.right.items()}
    nats = {name: np.array(values) for name, values in found.nats.items()}
    word, share = guess or (None, 0.0)
    summary: Results = {
        "places": len(found.words),
        "patients": len(set(found.patients)),
        "unigram": {"word": word, "share_in_train": share, "accuracy": found.words.count(word or "") / len(found.words)},
        "right": {name: float(values.mean()) for name, values in right.items()},
        "nats": {name: float(values.mean()) for name, values in nats.items()},
    }
    for other in ("swapped", "none"):
        summary[f"gain_over_{other}"] = mean_margin(right["own"] - right[other], found.patients).to_dict()
        # Fewer nats are better.
        summary[f"nats_gain_over_{other}"] = mean_margin(nats[other] - nats["own"], found.patients).to_dict()
    return summary


def _regions(
    exported: Exported, pairs: list[ProbedPair], split: str, config: EvalConfig, objective: ObjectiveConfig
) -> Results:
    if objective.mvm_weight == 0:
        raise CannotRunError("the run did not learn to regenerate (objective.mvm_weight=0)")
    if exported.model.shape.normalize_targets:
        raise CannotRunError("trained on normalised targets (objective.normalize_targets): pixels cannot be scored")
    if not pairs:
        raise CannotRunError(f"no pairs of image and text in {split}")
    asked, without = questions(pairs)
    if not asked:
        raise CannotRunError(f"no report of {len(pairs)} pairs of {split} puts a finding on one side, with another to compare")
    answers = ask_regions(exported, pairs, asked, config.batch)
    about = {"images": len({one.pair for one in asked}), "regions": len(asked), "without_wrong_report": without}
    return about | {name: _of_hiding(found) for name, found in answers.items()}


def _of_hiding(found: RegionAnswers) -> Results:
    errors = {name: np.array(values) for name, values in found.errors.items()}
    decibels = {name: psnr(values) for name, values in errors.items()}
    summary: Results = {
        "psnr": {name: float(values.mean()) for name, values in decibels.items()},
        "mse": {name: float(values.mean()) for name, values in errors.items()},
    }
    for other in ("wrong", "none"):
        summary[f"gain_over_{other}"] = mean_margin(decibels["own"] - decibels[other], found.patients).to_dict()
    return summary


def _masked_words(
    exported: Exported,
    folders: list[SplitFolder],
    counts: dict[str, TrainCounts],
    config: EvalConfig,
    objective: ObjectiveConfig,
    bad: Counter[str],
) -> Results:
    if objective.mlm_weight == 0:
        raise CannotRunError("the run did not learn to tell words (objective.mlm_weight=0)")
    found, spoiled = ask_masked_words(exported, folders, counts, objective.mlm_ratio, config.max_probed, config.batch)
    # The same bad sample may have been met by the probes already.
    for source, number in spoiled.items():
        bad[source] = max(bad[source], number)
    if not found:
        raise CannotRunError("no reports to hide words of")
    return found


def _flat(parts: dict[str, Results]) -> dict[str, float]:
    flat: dict[str, float] = {}

    def put(name: str, margin: dict[str, float]) -> None:
        flat.update({name: margin["value"], f"{name}_low": margin["low"], f"{name}_high": margin["high"]})

    if "skipped" not in parts["words"]:
        for kind, one in parts["words"].items():
            prefix = f"grounding/words/{kind}"
            flat |= {f"{prefix}/accuracy_{name}": value for name, value in one["right"].items()}
            flat |= {f"{prefix}/nats_{name}": value for name, value in one["nats"].items()}
            for name in ("gain_over_swapped", "gain_over_none", "nats_gain_over_swapped", "nats_gain_over_none"):
                put(f"{prefix}/{name}", one[name])
            flat[f"{prefix}/unigram"] = one["unigram"]["accuracy"]
    if "skipped" not in parts["regions"]:
        for hiding in HIDDEN:
            prefix = "grounding/regions" if hiding == HIDDEN[0] else f"grounding/regions/{hiding}"
            one = parts["regions"][hiding]
            flat |= {f"{prefix}/psnr_{name}": value for name, value in one["psnr"].items()}
            for name in ("gain_over_wrong", "gain_over_none"):
                put(f"{prefix}/{name}", one[name])
    if "skipped" not in parts["masked_words"]:
        for source, one in parts["masked_words"].items():
            flat[f"grounding/masked_words/{source}/accuracy"] = one["accuracy"]["value"]
            flat[f"grounding/masked_words/{source}/unigram"] = one["unigram"]
            put(f"grounding/masked_words/{source}/gain_over_unigram", one["gain_over_unigram"])
    return flat
