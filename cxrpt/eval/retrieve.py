"""Retrieval between images and reports, over the pairs of a split.

pairs ─► unit vectors of image and text ─► exact search in blocks ─► rank of the first hit of each query ─► R@k, median rank
                                                                └─► the ten best of each query ─► P@k by label

**R@k.** A hit is a candidate of the query's own study, or one whose text is the same to the model (after the choice of sections
and truncation): such reports cannot be told apart, and a study's images share one. R@k is the share of queries with a hit
among their first k.

**P@k.** After the precision by class of ConVIRT (Zhang et al., 2020) and GLoRIA (Huang et al., 2021): a candidate is right if
it is of the query's class, and the share that is right of the first k is averaged over queries. Their sets hold studies of one
class each. Here a study has any number of findings, and its class is the set of those labelled 1: a candidate is right if its
set is the same, the empty set (labelled, nothing present) among them. A pair with a label of -1 has no known set and one
without labels neither: both are left out, as queries and as candidates, so that this pool can be smaller. A finding that is
not labelled counts as not present, in a source that does not label it too. The query's own study is a candidate, as for R@k,
and always right; chance counts it as well. So numbers are not to be set beside published ones.

In both, candidates that score the same count against the model: one whose vectors are all alike finds nothing.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cxrpt.checkpoint.export import Exported
from cxrpt.config import EvalConfig
from cxrpt.data.sample import Kind
from cxrpt.eval.features import PairVectors, pair_vectors
from cxrpt.eval.held_out import require_held_out
from cxrpt.eval.item_tables import numbered, write_item_table
from cxrpt.eval.mean_interval import ABOUT, mean_intervals
from cxrpt.eval.retrieve_examples import draw_examples
from cxrpt.eval.samples import CannotRunError, Place, SplitFolder, choose
from cxrpt.eval.search import (
    CUTS,
    PRECISION_CUTS,
    on_grid,
    precision_by_chance,
    precisions,
    ranks_of_hits,
    recall_by_chance,
    right_in_top,
)

DIRECTIONS = ("image_to_text", "text_to_image")
_MIN_PAIRS = 2


Ranks = dict[str, tuple[np.ndarray, np.ndarray]]
"""By direction, as `ranks_of_hits` gives them."""


def retrieve(
    exported: Exported,
    folders: dict[str, list[SplitFolder]],
    split: str,
    config: EvalConfig,
    figures: Path,
    tables: Path | None = None,
) -> tuple[dict[str, float], dict[str, Any]]:
    """Search the pairs of a split in both directions, and draw some of what was found into `figures`.

    Args:
        exported: the model.
        folders: the run's folders by split.
        split: what is scored.
        config: limits and batch.
        figures: where pictures go.
        tables: where the table of all ranks goes (`item_tables`); None writes none.

    Returns:
        Metrics by name, and details.

    Raises:
        CannotRunError: the split has fewer than two pairs, or patients of the training split.
    """
    pairs = pair_vectors(exported, folders[split], config.max_pairs, config.batch)
    if len(pairs) < _MIN_PAIRS:
        raise CannotRunError(f"{len(pairs)} pairs of image and text in {split}, at least {_MIN_PAIRS} are needed")
    held_out = require_held_out(folders["train"], pairs.sources, pairs.patients)
    vectors = (on_grid(pairs.image_ID), on_grid(pairs.text_ID))
    groups = hit_groups(pairs)
    ranks = ranks_in_pool(vectors, groups, np.arange(len(pairs)))
    everything = score_pool(pairs, vectors, groups, np.arange(len(pairs)), ranks)
    if tables is not None:
        chosen = choose(folders[split], (Kind.PAIR,), config.max_pairs)
        write_item_table(tables, "retrieve", _item_blocks(pairs, chosen, ranks))
    sources = {name: np.flatnonzero(np.array(pairs.sources) == name) for name in dict.fromkeys(pairs.sources)}
    metrics = {
        f"retrieve/{direction}/{name}": value
        for direction, values in everything["scores"].items()
        for name, value in values.items()
    }
    return metrics, {
        "split": split,
        **everything,
        "sections": list(exported.sections) or ["the whole report"],
        "held_out": held_out,
        "hits": "a candidate of the same study, or with the same text after section choice and truncation, is a hit",
        "ties": "a candidate that is no hit and scores as high as the best hit counts as better; so for precision",
        "precision": "of pairs that are labelled without an uncertain label: a candidate is right if the set of its findings "
        "labelled present is the query's; the query's own study is a candidate too",
        "interval": f"{ABOUT} of the queries, the candidates as they are",
        "vectors": "contrastive head"
        if pairs.contrastive
        else "the model has no contrastive head: cosine of mean last states, the mean of each modality removed",
        "bad_samples": dict(pairs.bad),
        "institutions": {
            name: score_pool(pairs, vectors, groups, rows)
            for name, rows in sources.items()
            if len(sources) > 1 and len(rows) >= _MIN_PAIRS
        },
        "examples": draw_examples(exported, pairs, vectors, groups, figures),
    }


def hit_groups(pairs: PairVectors) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int64 numbers of each pair's study and of its wording."""
    return _numbers(_within(pairs.sources, pairs.studies)), _numbers(pairs.wordings)


def finding_sets(labels: list[dict[str, int]]) -> np.ndarray:
    """(N,) int64: equal for pairs with the same findings labelled 1; -1 without labels, or with an uncertain one."""
    known = [bool(one) and -1 not in one.values() for one in labels]
    present = ["\n".join(sorted(name for name, value in one.items() if value == 1)) for one in labels]
    return np.where(known, _numbers(present), -1)


def _within(sources: list[str], names: list[str]) -> list[str]:
    """Pseudonyms that are apart for different sources."""
    return [f"{source}/{name}" for source, name in zip(sources, names, strict=True)]


def _numbers(names: list[Any]) -> np.ndarray:
    return np.unique(np.array(names), return_inverse=True)[1]


def ranks_in_pool(vectors: tuple[np.ndarray, np.ndarray], groups: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> Ranks:
    """The rank of each query's first hit in the pool of some pairs, and its number of hits; arguments as of `score_pool`."""
    study_N, wording_N = groups[0][rows], groups[1][rows]
    images, texts = vectors[0][rows], vectors[1][rows]
    return {
        direction: ranks_of_hits(*sides, study_N, wording_N)
        for direction, sides in zip(DIRECTIONS, ((images, texts), (texts, images)), strict=True)
    }


def _item_blocks(pairs: PairVectors, chosen: list[Place], ranks: Ranks) -> Iterator[dict[str, Any]]:
    """The rows of the table, those of each direction together.

    Pairs are numbered among those that were `chosen`, which depends on no model: to a model of other sections other texts are
    empty, and left out.
    """
    number_of = {place: number for number, place in enumerate(chosen)}
    same = {
        "pair": [number_of[place] for place in pairs.places],
        "source": pairs.sources,
        "patient": numbered(_within(pairs.sources, pairs.patients)),
    }
    for direction, (rank_N, hits_N) in ranks.items():
        yield same | {"direction": direction, "rank": rank_N, "hits": hits_N}


def score_pool(
    pairs: PairVectors,
    vectors: tuple[np.ndarray, np.ndarray],
    groups: tuple[np.ndarray, np.ndarray],
    rows: np.ndarray,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """The scores of both directions in the pool of some pairs, and what the pool is.

    Args:
        pairs: all pairs.
        vectors: of images and of texts, as `on_grid` gives them.
        groups: as `hit_groups` gives them.
        rows: the pairs of this pool.
        ranks: what `ranks_in_pool` gives for it, where that is known already.
    """
    ranks = ranks or ranks_in_pool(vectors, groups, rows)
    study_N, wording_N, set_N = groups[0][rows], groups[1][rows], finding_sets([pairs.labels[row] for row in rows])
    patients = _within([pairs.sources[row] for row in rows], [pairs.patients[row] for row in rows])
    labelled = np.flatnonzero(set_N >= 0)
    labelled = labelled if len(labelled) >= _MIN_PAIRS else labelled[:0]
    scores: dict[str, dict[str, float]] = {}
    for direction in DIRECTIONS:
        queries, candidates = (one[rows] for one in (vectors if direction == "image_to_text" else vectors[::-1]))
        ranks_N, hits_N = ranks[direction]
        found = _with_intervals([f"r{cut}" for cut in CUTS], np.stack([ranks_N <= cut for cut in CUTS], axis=1), patients)
        found["median_rank"] = float(np.median(ranks_N))
        if len(labelled):
            right_NK = right_in_top(queries[labelled], candidates[labelled], set_N[labelled])
            names = [f"p{cut}" for cut in PRECISION_CUTS]
            found |= _with_intervals(names, precisions(right_NK), [patients[row] for row in labelled])
        scores[direction] = found
    # How many candidates are hits, or right, is the same in both directions.
    scores["chance"] = recall_by_chance(hits_N) | (precision_by_chance(set_N[labelled]) if len(labelled) else {})
    return {
        "pool": len(rows),
        "distinct_texts": len(np.unique(wording_N)),
        "studies": len(np.unique(study_N)),
        "patients": len(set(patients)),
        "labelled": len(labelled),
        "finding_sets": len(np.unique(set_N[labelled])),
        "scores": scores,
    }


def _with_intervals(names: list[str], values_NM: np.ndarray, patients: list[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, mean, ends in zip(names, values_NM.mean(0), mean_intervals(values_NM, patients), strict=True):
        found |= {name: float(mean), f"{name}_low": ends.low, f"{name}_high": ends.high}
    return found
