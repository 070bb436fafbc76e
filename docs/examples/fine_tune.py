"""Train a classifier on labels of your own, from a model that `cxrpt export` wrote. Research only, not for clinical use.

    python fine_tune.py chest-model labels.csv --pictures pictures --out classifier.pt [--probe]

The CSV has the columns `picture` (a file within --pictures), `patient`, and one for each label: 1, 0, or empty where unknown. A
quarter of the patients is held out; AUROC is theirs. First a logistic regression a label is fitted on frozen features, which is
all with --probe; then all weights are trained from there (Kumar et al., 2022). With few patients prefer --probe. Used later:

    saved, model = torch.load("classifier.pt"), cxrpt.load_pretrained("chest-model")
    model.module.load_state_dict(saved["model"])  # not after --probe, which leaves the model as it is
    log_odds = torch.from_numpy(model.image_features(pictures)) @ saved["weight"].T + saved["bias"]  # columns: saved["labels"]
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit

import cxrpt


def main() -> None:
    """Read the command line, split by patient, train, score, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder that `cxrpt export` wrote")
    parser.add_argument("table", type=Path, help="CSV with picture, patient and labels")
    parser.add_argument("--pictures", type=Path, default=Path(), help="folder that the column picture is relative to")
    parser.add_argument("--out", type=Path, default=Path("classifier.pt"), help="file to write")
    parser.add_argument("--probe", action="store_true", help="leave the model as it is")
    parser.add_argument("--epochs", type=int, default=20, help="passes over the pictures")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()

    table = pd.read_csv(args.table, dtype={"picture": str, "patient": str})
    if not {"picture", "patient"} < set(table) or table[["picture", "patient"]].isna().any(axis=None):
        raise ValueError(f"{args.table} needs the columns picture and patient, filled in every row, and one for each label")
    labels = table.drop(columns=["picture", "patient"])
    if wrong := [name for name in labels if not labels[name].dropna().isin([0, 1]).all()]:
        raise ValueError(f"column {wrong[0]} holds something else than 1, 0 or nothing")
    truth = labels.to_numpy(float)
    train, held = next(GroupShuffleSplit(1, test_size=0.25, random_state=0).split(truth, groups=table["patient"]))
    if lacking := [name for name, known in zip(labels, truth[train].T, strict=True) if not {0, 1} <= set(known)]:
        raise ValueError(f"column {lacking[0]} has not both 1 and 0 among the patients to train on: leave it out")

    model = cxrpt.load_pretrained(args.model, device=args.device)
    pictures = model.as_seen([args.pictures / name for name in table["picture"]])  # 50 kB each at 224 pixels
    head = fit_probe(model.image_features(pictures[train]), truth[train])
    if not args.probe:
        tune(model, head.to(args.device), pictures[train], truth[train], args.epochs)
    log_odds = head.cpu()(torch.from_numpy(model.image_features(pictures[held]))).detach().numpy()
    print(f"{len(train)} pictures trained on, {len(held)} held out of {table['patient'][held].nunique()} other patients")
    for name, known, scores in zip(labels, truth[held].T, log_odds.T, strict=True):
        rows = ~np.isnan(known)
        auroc = roc_auc_score(known[rows], scores[rows]) if {0, 1} <= set(known) else np.nan
        print(f"{name}: AUROC {auroc:.3f} ({known[rows].sum():.0f} of {rows.sum()} positive)")
    saved = {"labels": list(labels), **head.state_dict()} | ({} if args.probe else {"model": model.module.cpu().state_dict()})
    torch.save(saved, args.out)


def fit_probe(features: np.ndarray, truth: np.ndarray) -> torch.nn.Linear:
    """A logistic regression a label on standardised features, as one layer that takes them as they are."""
    head = torch.nn.Linear(features.shape[1], truth.shape[1])
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    for n, known in enumerate(truth.T):
        rows = ~np.isnan(known)
        probe = LogisticRegression(C=0.01, max_iter=1000).fit((features[rows] - mean) / std, known[rows])
        head.weight.data[n] = torch.from_numpy(probe.coef_[0] / std)
        head.bias.data[n] = float(probe.intercept_[0] - head.weight.data[n].numpy() @ mean)
    return head


def tune(model, head: torch.nn.Linear, pictures: np.ndarray, truth: np.ndarray, epochs: int) -> None:
    """Train all weights of the model and the head on the labels that are known, with rates that warm up and fall to 0."""
    model.module.requires_grad_(True)
    optimizer = torch.optim.Adam([*model.module.parameters(), *head.parameters()])
    num_batches = -(-len(pictures) // 32)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-4, total_steps=epochs * num_batches)
    for epoch in range(epochs):
        for rows in np.array_split(np.random.default_rng(epoch).permutation(len(pictures)), num_batches):
            log_odds = head(model.trainable_features(pictures[rows]))
            target = torch.from_numpy(truth[rows]).to(log_odds)
            known = ~target.isnan()
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(log_odds[known], target[known], reduction="sum").div(target.numel()).backward()
            optimizer.step()
            schedule.step()


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:  # what cxrpt refuses is a ValueError; take this away to see where it came from
        sys.exit(f"error: {error}".strip())
