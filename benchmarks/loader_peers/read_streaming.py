"""mosaicml-streaming over the same JPEGs as MDS shards: python read_streaming.py FOLDER SIZE DECODER EPOCHS.

FOLDER is that of the tars; the MDS shards lie in its subfolder `mds` and are written by the first call.
"""

import importlib.util
import sys
import tarfile
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from bare import BATCH, decoder, report, speed


def import_base() -> types.ModuleType:
    """`streaming.base`, which is all that is measured, without the package's __init__: that imports its classes for
    vision and with them torchvision."""
    spec = importlib.util.find_spec("streaming")
    assert spec is not None and spec.submodule_search_locations is not None
    package = types.ModuleType("streaming")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["streaming"] = package
    return importlib.import_module("streaming.base")


def main() -> None:
    folder, size, decode, epochs = Path(sys.argv[1]), int(sys.argv[2]), decoder(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    streaming = import_base()
    mds = folder / "mds"
    if not mds.exists():
        with streaming.MDSWriter(out=str(mds), columns={"image": "bytes"}) as writer:
            for path in sorted(folder.glob("*.tar")):
                with tarfile.open(path) as tar:
                    for member in tar:
                        if member.name.endswith(".jpg"):
                            writer.write({"image": tar.extractfile(member).read()})
    dataset = streaming.StreamingDataset(local=str(mds), shuffle=True, batch_size=BATCH)

    def epoch() -> Iterator[int]:
        images: list[np.ndarray] = []
        for sample in dataset:
            images.append(decode(sample["image"], size))
            if len(images) == BATCH:
                yield len(np.stack(images))
                images = []
        if images:
            yield len(np.stack(images))

    report(speed(epoch, epochs))


if __name__ == "__main__":
    main()
