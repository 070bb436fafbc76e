"""Embed a folder of pictures, and reports, with a model that `cxrpt export` wrote. Research only, not for clinical use.

    python embed.py chest-model pictures --reports reports.csv --out embeddings

Pictures are the PNG and JPEG files of the folder and of those below it: upright, windowed, bright where dense, as `cxrpt prep`
makes them. `--reports` is a CSV with a column `text`, or a .txt file with a report on each line. Written are, row for row,

    embeddings/pictures.npy   (n, D) float32     embeddings/pictures.csv   their paths within the folder
    embeddings/reports.npy    (m, D) float32     embeddings/reports.csv    the table of reports

A message about `image 7` or `text 7` means that row, counted from 0.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import cxrpt


def main() -> None:
    """Read the command line, embed, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder that `cxrpt export` wrote")
    parser.add_argument("pictures", type=Path, help="folder of PNG and JPEG files")
    parser.add_argument("--reports", type=Path, help="CSV with a column text, or a .txt file with a report on each line")
    parser.add_argument("--out", type=Path, default=Path("embeddings"), help="folder to write into")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()

    paths = find_pictures(args.pictures)
    table = read_reports(args.reports) if args.reports else None
    model = cxrpt.load_pretrained(args.model, device=args.device)
    args.out.mkdir(parents=True, exist_ok=True)

    names = pd.DataFrame({"picture": [path.relative_to(args.pictures).as_posix() for path in paths]})
    write(args.out / "pictures", model.embed_images(paths), names)
    if table is not None:
        write(args.out / "reports", model.embed_texts(list(table["text"])), table)


def find_pictures(folder: Path) -> list[Path]:
    """PNG and JPEG files of a folder and those below it, by name."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    if not paths:
        raise ValueError(f"{folder} holds no .png or .jpg file")
    return paths


def read_reports(file: Path) -> pd.DataFrame:
    """A table with a column `text`; lines of a .txt file that are blank are left out."""
    if file.suffix == ".txt":
        return pd.DataFrame({"text": [line for line in file.read_text().splitlines() if line.strip()]})
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    if "text" not in table:
        raise ValueError(f"{file} has no column text, only {', '.join(table)}")
    return table


def write(stem: Path, rows: np.ndarray, table: pd.DataFrame) -> None:
    """Write rows as .npy and what they belong to as .csv."""
    np.save(f"{stem}.npy", rows)
    table.to_csv(f"{stem}.csv", index=False)
    print(f"{stem}.npy: {rows.shape[0]} rows of {rows.shape[1]}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:  # what cxrpt refuses is a ValueError; take this away to see where it came from
        sys.exit(f"error: {error}".strip())
