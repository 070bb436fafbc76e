"""What an evaluation scored, item by item, for statistics of one's own: several runs can be compared over the same items.

columns of a task, block by block ─► .tables.XX.tmp/classify.parquet, ... ─► once all tasks are done ─► tables/

    classify.parquet      a row for each share, method, draw of labels, image and class
    retrieve.parquet      a row for each direction and query
    regenerate.parquet    a row for each kind of mask, ratio, picture and method, at full resolution

Numbers stand in place of keys and pseudonyms: nothing here names a patient, a study or a file.
"""

import os
import shutil
import uuid
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cxrpt.errors import InputError

_WORDS = pa.dictionary(pa.int16(), pa.string())

COLUMNS = {
    "classify": pa.schema(
        [
            # In the order of evaluation, all sources together.
            ("image", pa.int32()),
            ("source", _WORDS),
            ("patient", pa.int32()),
            ("class", _WORDS),
            # 1, 0, or -1 where uncertain or not known: such a row is in no score.
            ("label", pa.int8()),
            ("method", _WORDS),
            # Per cent of the labelled training patients; 0 for prompts.
            ("share", pa.float32()),
            ("draw", pa.int16()),
            # NaN where the class could not be fitted, which counts as chance.
            ("score", pa.float32()),
        ]
    ),
    "retrieve": pa.schema(
        [
            # Among the pairs that were chosen: a text that is empty to the model leaves a gap.
            ("pair", pa.int32()),
            ("source", _WORDS),
            ("patient", pa.int32()),
            ("direction", _WORDS),
            # Of the first hit in the whole pool, from 1.
            ("rank", pa.int32()),
            # Candidates that are hits, the own one among them.
            ("hits", pa.int32()),
        ]
    ),
    "regenerate": pa.schema(
        [
            # In the order of evaluation; every kind and ratio has the same pictures.
            ("image", pa.int32()),
            ("patient", pa.int32()),
            ("kind", _WORDS),
            # Hidden, as asked for.
            ("percent", pa.float32()),
            ("method", _WORDS),
            # Of hidden pixels in 0..1; PSNR in dB.
            ("psnr", pa.float32()),
            ("ssim", pa.float32()),
            ("mae", pa.float32()),
        ]
    ),
}
"""By task. `patient` is a number that images and pairs of one patient of one source share within the table."""


def numbered(names: Iterable[Hashable]) -> np.ndarray:
    """(N,) int32: equal for equal names, 0, 1, ... in the order in which they first appear.

    In the order of their names, the numbers would tell something of pseudonyms.
    """
    number_of: dict[Hashable, int] = {}
    return np.array([number_of.setdefault(name, len(number_of)) for name in names], np.int32)


def write_item_table(folder: Path, task: str, blocks: Iterable[Mapping[str, Any]]) -> Path:
    """Write the table of a task, `<folder>/<task>.parquet`, a block of rows at a time.

    Args:
        folder: made if it is not there.
        task: one of COLUMNS.
        blocks: column -> (rows,) values, or one value for all rows; each block has all columns of the task.

    Returns:
        The file, which is on the disk.

    Raises:
        OSError: the file system failed; the file is not whole then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path, schema = folder / f"{task}.parquet", COLUMNS[task]
    with path.open("wb") as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for block in blocks:
                writer.write_table(_rows(block, schema))
        file.flush()
        os.fsync(file.fileno())
    return path


def _rows(block: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    assert set(block) == set(schema.names), sorted(set(block) ^ set(schema.names))
    columns = {name: np.asarray(values) for name, values in block.items()}
    num_rows = max(len(values) for values in columns.values() if values.ndim)
    arrays = []
    for field in schema:
        values = np.broadcast_to(columns[field.name], num_rows)
        if field.type == _WORDS:
            words, number_N = np.unique(values, return_inverse=True)
            numbers, names = pa.array(number_N, pa.int16()), pa.array(words.tolist(), pa.string())
            arrays.append(pa.DictionaryArray.from_arrays(numbers, names))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


@contextmanager
def drafted(folder: Path) -> Iterator[Path]:
    """A folder to make and to write tables into: it takes the place of `folder` when the block ends, and goes where it raises.

    So tables of an earlier evaluation stay as long as their results do, and no longer: not those of a task that is skipped now.
    """
    # Of processes that were killed, or that were frozen and lost their claim: those find that out and give up.
    for left in folder.parent.glob(f".{folder.name}.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield draft
        if folder.exists():
            shutil.rmtree(folder)
        if draft.exists():
            draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def tables_folder(results: Path) -> Path:
    """Where the tables of a results file lie: `tables` beside `results.json`, `tables-val` beside `results-val.json`."""
    return results.with_name(results.stem.replace("results", "tables", 1))


def read_table(place: Path, task: str) -> pd.DataFrame:
    """The table of a task, words as categoricals.

    Args:
        place: a results file, or the folder of its tables.
        task: one of COLUMNS.

    Raises:
        InputError: there is no such table, as for a task that was skipped, or it cannot be read.
    """
    path = (place if place.is_dir() else tables_folder(place)) / f"{task}.parquet"
    if not path.exists():
        raise InputError(
            f"no {path}: the task was skipped (its results give the reason) or has no table (those with one are "
            f"{', '.join(COLUMNS)}); an evaluation of an earlier version is done again with --force"
        )
    try:
        return pd.read_parquet(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}): evaluate the step again with --force") from None
