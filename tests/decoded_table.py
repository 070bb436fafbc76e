"""The content of Parquet files without their compression, for tests that look for what must not be in them."""

import io
from pathlib import Path

import pyarrow.parquet as pq


def decoded(path: Path) -> bytes:
    """What a file holds, names of columns and metadata too; a Parquet file's values as they are, every word in full."""
    if path.suffix != ".parquet":
        return path.read_bytes()
    plain = io.BytesIO()
    pq.write_table(pq.read_table(path), plain, compression="none", use_dictionary=False)
    return plain.getvalue() + str(pq.read_metadata(path).metadata).encode()
