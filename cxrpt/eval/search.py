"""Exact search among unit vectors, in blocks of queries x candidates, and what chance would find.

(N, D) queries, (N, D) candidates ─► blocks of at most QUERIES x CANDIDATES scores ─► numbers of each query

Nothing of N x N numbers is ever held: 100,000 queries among 100,000 candidates need as much beside their vectors as 5,000
among 5,000 do. Vectors are rounded to multiples of 2 ** -24, about the rounding of their fp32; then every partial sum of a dot
product of unit vectors is a multiple of 2 ** -48 and at most 1, exact in float64, so that scores, ties among them, and hence
ranks depend neither on the size of the blocks nor on the order in which a library adds.
"""

from collections.abc import Iterator

import numpy as np

QUERIES, CANDIDATES = 512, 4096
"""Sides of a block; its scores take 16 MiB, and no more than a few arrays of that size live at a time."""

CUTS = (1, 5, 10)
"""k of R@k."""

PRECISION_CUTS = (5, 10)
"""k of P@k."""

_STEPS = 2.0**24
_LESS_THAN_A_STEP = 2.0**-50


def on_grid(vectors_ND: np.ndarray) -> np.ndarray:
    """Unit vectors as the search takes them: float32, multiples of 2 ** -24, which float32 holds exactly up to 1."""
    rounded = vectors_ND.astype(np.float32)
    np.rint(np.multiply(rounded, np.float32(_STEPS), out=rounded), out=rounded)
    return np.divide(rounded, np.float32(_STEPS), out=rounded)


def _score_blocks(queries_QD: np.ndarray, candidates_ND: np.ndarray, width: int) -> Iterator[tuple[slice, np.ndarray]]:
    """The columns of each block, and its scores (Q, C) float64."""
    queries = queries_QD.astype(np.float64)
    for first in range(0, len(candidates_ND), width):
        columns = slice(first, first + width)
        yield columns, queries @ candidates_ND[columns].astype(np.float64).T


def ranks_of_hits(
    queries_ND: np.ndarray,
    candidates_ND: np.ndarray,
    study_N: np.ndarray,
    wording_N: np.ndarray,
    block: tuple[int, int] = (QUERIES, CANDIDATES),
) -> tuple[np.ndarray, np.ndarray]:
    """The rank of each query's best hit among all candidates, and how many hits it has.

    Candidates that are no hits and score the same as the best hit count as better than it.

    Args:
        queries_ND: of `on_grid`; query n belongs to pair n, as candidate n does.
        candidates_ND: the same.
        study_N: number of each pair's study; a candidate of the same study is a hit.
        wording_N: number of each pair's text; a candidate with the same text is a hit.
        block: queries and candidates at a time.

    Returns:
        (N,) int64 ranks from 1, and (N,) int64 numbers of hits.
    """
    num_queries, width = len(queries_ND), block[1]
    ranks_N, hits_N = np.ones(num_queries, np.int64), np.zeros(num_queries, np.int64)
    for first in range(0, num_queries, block[0]):
        rows = slice(first, first + block[0])
        best_Q = np.full(len(ranks_N[rows]), -np.inf)
        for columns, scores_QC in _score_blocks(queries_ND[rows], candidates_ND, width):
            hit_QC = _hits(study_N, wording_N, rows, columns)
            hits_N[rows] += hit_QC.sum(1)
            np.maximum(best_Q, np.max(scores_QC, axis=1, where=hit_QC, initial=-np.inf), out=best_Q)
        for columns, scores_QC in _score_blocks(queries_ND[rows], candidates_ND, width):
            better_QC = scores_QC >= best_Q[:, None]
            ranks_N[rows] += (better_QC & ~_hits(study_N, wording_N, rows, columns)).sum(1)
    return ranks_N, hits_N


def _hits(study_N: np.ndarray, wording_N: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    return (study_N[rows, None] == study_N[columns]) | (wording_N[rows, None] == wording_N[columns])


def right_in_top(
    queries_ND: np.ndarray,
    candidates_ND: np.ndarray,
    set_N: np.ndarray,
    block: tuple[int, int] = (QUERIES, CANDIDATES),
) -> np.ndarray:
    """Which of each query's best candidates are right, those of the same number in `set_N`.

    Of candidates that score the same, those that are wrong come first.

    Args:
        queries_ND: of `on_grid`; query n belongs to pair n, as candidate n does.
        candidates_ND: the same.
        set_N: number of each pair's set of findings.
        block: queries and candidates at a time.

    Returns:
        (N, K) bool, best first; K is the largest of PRECISION_CUTS, or N if that is less.
    """
    num_queries = len(queries_ND)
    kept = min(max(PRECISION_CUTS), num_queries)
    right_NK = np.zeros((num_queries, kept), bool)
    for first in range(0, num_queries, block[0]):
        rows = slice(first, first + block[0])
        best_QK = np.empty((len(right_NK[rows]), 0))
        for columns, keys_QC in _score_blocks(queries_ND[rows], candidates_ND, block[1]):
            # Scores are multiples of 2 ** -48: this puts wrong ones before right ones of the same score, and tells them apart.
            np.add(keys_QC, _LESS_THAN_A_STEP, out=keys_QC, where=set_N[rows, None] != set_N[columns])
            keys_QC.partition(max(0, keys_QC.shape[1] - kept), axis=1)
            best_QK = np.concatenate([best_QK, keys_QC[:, -kept:]], axis=1)
            best_QK = np.sort(best_QK, axis=1)[:, -kept:]
        steps_QK = best_QK[:, ::-1] * 2.0**48
        right_NK[rows] = steps_QK == np.floor(steps_QK)
    return right_NK


def precisions(right_NK: np.ndarray) -> np.ndarray:
    """(N, cuts) float64: the share that is right of the first k, for k of PRECISION_CUTS; of all if there are fewer."""
    return np.stack([right_NK[:, :cut].mean(1) for cut in PRECISION_CUTS], axis=1)


def recall_by_chance(hits_N: np.ndarray) -> dict[str, float]:
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


def precision_by_chance(set_N: np.ndarray) -> dict[str, float]:
    """What candidates in random order would give, exactly: the mean share of right candidates, whatever k is."""
    sizes = np.unique(set_N, return_counts=True)[1].astype(np.float64)
    share = float((sizes**2).sum() / len(set_N) ** 2)
    return {f"p{cut}": share for cut in PRECISION_CUTS}
