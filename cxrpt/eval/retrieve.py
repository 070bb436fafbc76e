"""Retrieval between images and reports, over the pairs of a split.

pairs ─► unit vectors of image and text ─► cosine, in blocks ─► rank of the first hit of each query ─► R@k, median rank

A hit is a candidate of the query's own study, or one whose text is the same to the model (after the choice of sections and
truncation): such reports cannot be told apart, and a study's images share one. Candidates that score the same as the best
hit count as better than it, so that a model whose vectors are all alike scores nothing.
"""

from typing import Any

import numpy as np

from cxrpt.checkpoint.export import Exported
from cxrpt.config import EvalConfig
from cxrpt.eval.features import PairVectors, pair_vectors
from cxrpt.eval.samples import CannotRunError, SplitFolder

CUTS = (1, 5, 10)
DIRECTIONS = ("image_to_text", "text_to_image")
_BLOCK = 512
_MIN_PAIRS = 2


def retrieve(
    exported: Exported, folders: dict[str, list[SplitFolder]], split: str, config: EvalConfig
) -> tuple[dict[str, float], dict[str, Any]]:
    """Search the pairs of a split in both directions.

    Args:
        exported: the model.
        folders: the run's folders by split.
        split: what is scored.
        config: limits and batch.

    Returns:
        Metrics by name, and details.

    Raises:
        CannotRunError: the split has fewer than two pairs.
    """
    pairs = pair_vectors(exported, folders[split], config.max_pairs, config.batch)
    if len(pairs) < _MIN_PAIRS:
        raise CannotRunError(f"{len(pairs)} pairs of image and text in {split}, at least {_MIN_PAIRS} are needed")
    groups = hit_groups(pairs)
    metrics = {f"retrieve/{name}": value for name, value in _both_directions(pairs, groups, np.arange(len(pairs))).items()}
    sources = {name: np.flatnonzero(np.array(pairs.sources) == name) for name in dict.fromkeys(pairs.sources)}
    return metrics, {
        "split": split,
        "pool": len(pairs),
        "distinct_texts": len(set(pairs.wordings)),
        "studies": len(set(pairs.studies)),
        "sections": list(exported.sections) or ["the whole report"],
        "hits": "a candidate of the same study, or with the same text after section choice and truncation, is a hit",
        "ties": "a candidate that scores as high as the best hit counts as better",
        "vectors": "contrastive head"
        if pairs.contrastive
        else "the model has no contrastive head: cosine of mean last states, the mean of each modality removed",
        "bad_samples": dict(pairs.bad),
        "institutions": {
            name: {"pool": len(rows)} | _both_directions(pairs, groups, rows)
            for name, rows in sources.items()
            if len(sources) > 1 and len(rows) >= _MIN_PAIRS
        },
    }


def hit_groups(pairs: PairVectors) -> tuple[np.ndarray, np.ndarray]:
    """(N,) int64 numbers of each pair's study and of its wording."""
    studies = np.unique(
        [f"{source}/{study}" for source, study in zip(pairs.sources, pairs.studies, strict=True)], return_inverse=True
    )[1]
    return studies, np.unique(np.array(pairs.wordings), return_inverse=True)[1]


def _both_directions(pairs: PairVectors, groups: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> dict[str, float]:
    study_N, wording_N = groups[0][rows], groups[1][rows]
    values: dict[str, float] = {}
    vectors = (pairs.image_ID[rows], pairs.text_ID[rows])
    for direction, (queries, candidates) in zip(DIRECTIONS, (vectors, vectors[::-1]), strict=True):
        ranks_N, hits_N = ranks_of_hits(queries, candidates, study_N, wording_N)
        values |= {f"{direction}/r{cut}": float((ranks_N <= cut).mean()) for cut in CUTS}
        values[f"{direction}/median_rank"] = float(np.median(ranks_N))
    # How many candidates are hits is the same in both directions.
    return values | {f"chance/{name}": value for name, value in chance(hits_N).items()}


def ranks_of_hits(
    queries_ND: np.ndarray, candidates_ND: np.ndarray, study_N: np.ndarray, wording_N: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each query's best hit among all candidates, and how many hits it has.

    Args:
        queries_ND: unit vectors; query n belongs to pair n, as candidate n does.
        study_N: number of each pair's study, as wording_N of its text.

    Returns:
        (N,) int64 ranks from 1, and (N,) int64 numbers of hits.
    """
    ranks, hits = [], []
    for first in range(0, len(queries_ND), _BLOCK):
        block = slice(first, first + _BLOCK)
        scores_QN = queries_ND[block] @ candidates_ND.T
        hit_QN = (study_N[block, None] == study_N) | (wording_N[block, None] == wording_N)
        best_Q = np.where(hit_QN, scores_QN, -np.inf).max(1)
        ranks.append(1 + (~hit_QN & (scores_QN >= best_Q[:, None])).sum(1))
        hits.append(hit_QN.sum(1))
    return np.concatenate(ranks), np.concatenate(hits)


def chance(hits_N: np.ndarray) -> dict[str, float]:
    """What candidates in random order would give, exactly: R@k, and the median rank of the first hit.

    Args:
        hits_N: hits of each query among the N candidates.
    """
    num_candidates = len(hits_N)
    counts, times = np.unique(hits_N, return_counts=True)
    # missed[r]: the share of queries with no hit among the first r, a product of (N - h - i) / (N - i).
    places = np.arange(num_candidates)
    missed = np.ones(num_candidates + 1)
    missed[1:] = sum(
        share * np.cumprod(np.clip(num_candidates - count - places, 0, None) / (num_candidates - places))
        for count, share in zip(counts, times / times.sum(), strict=True)
    )
    values = {f"r{cut}": float(1 - missed[min(cut, num_candidates)]) for cut in CUTS}
    return values | {"median_rank": float(np.argmax(missed <= 0.5))}
