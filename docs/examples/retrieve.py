"""Find reports for pictures and the reverse with a model that `cxrpt export` wrote. Research only, not for clinical use.

    python retrieve.py chest-model pictures reports.csv --k 5

The CSV has a column `text`; where a column `picture` names the file that a report belongs to, R@k is printed too, counted as
`cxrpt evaluate` does: a hit is the own report or one of the same text, and what is no hit but scores as high counts as better.

A model trained with the contrast (`objective.itc_weight` above 0) gives vectors that are meant to be compared. Of any other,
each kind's mean over all is taken away first, as the evaluation does: that takes many, and expect little above chance.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import cxrpt

BLOCK = 512  # queries at a time, so that never more than BLOCK x candidates scores are held


def main() -> None:
    """Read the command line, embed, search both ways, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder that `cxrpt export` wrote")
    parser.add_argument("pictures", type=Path, help="folder of PNG and JPEG files")
    parser.add_argument("reports", type=Path, help="CSV with a column text and, if pairs are known, picture")
    parser.add_argument("--k", type=int, default=5, help="how many are printed for each query")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()

    table = pd.read_csv(args.reports, dtype=str, keep_default_na=False)
    paths = sorted(path for path in args.pictures.rglob("*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    if "text" not in table or len(table) < 2 or len(paths) < 2:
        raise ValueError("at least two .png or .jpg files and two rows with a column text are needed")
    names = [path.relative_to(args.pictures).as_posix() for path in paths]
    wording = pd.factorize(table["text"])[0]  # a number for each text
    wording_of = dict(zip(table["picture"], wording, strict=True)) if "picture" in table else {}
    shown = np.array([wording_of.get(name, -1) for name in names])  # -1: no report is known
    if wording_of and shown.max() < 0:
        raise ValueError("the column picture names no file of the folder")
    model = cxrpt.load_pretrained(args.model, device=args.device)
    images, texts = model.embed_images(paths), model.embed_texts(list(table["text"]))
    if not model.contrastive:
        images, texts = centred(images), centred(texts)
    reports = [f"row {row}: {text[:70]}" for row, text in enumerate(table["text"])]
    search("picture to report", (images, names, shown), (texts, reports, wording), args.k)
    search("report to picture", (texts, reports, wording), (images, names, shown), args.k)


def centred(rows: np.ndarray) -> np.ndarray:
    """Unit vectors after the mean of all is taken away."""
    rows = rows - rows.mean(axis=0)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def search(title: str, queries: tuple, candidates: tuple, k: int) -> None:
    """Print the k best candidates of each query, and R@k of those that have a hit; a side is (vectors, names, wording)."""
    print(f"== {title}")
    ranks = []
    for first in range(0, len(queries[0]), BLOCK):
        vectors, names, wording = (part[first : first + BLOCK] for part in queries)
        scores = vectors @ candidates[0].T
        for name, row in zip(names, scores, strict=True):
            print(name, *(f"  {row[n]:.3f}  {candidates[1][n]}" for n in np.argsort(-row)[:k]), sep="\n")
        hits = wording[:, None] == candidates[2]
        best = np.max(scores, axis=1, where=hits, initial=-np.inf)
        ranks.append((1 + ((scores >= best[:, None]) & ~hits).sum(axis=1))[hits.any(axis=1)])
    if num_queries := sum(map(len, ranks)):
        recall = ", ".join(f"R@{cut} {(np.concatenate(ranks) <= cut).mean():.3f}" for cut in (1, 5, 10))
        print(f"{title}: {recall} of {num_queries} queries among {len(candidates[0])} candidates")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:  # what cxrpt refuses is a ValueError; take this away to see where it came from
        sys.exit(f"error: {error}".strip())
