"""Plain webdataset over the same tars: python read_webdataset.py FOLDER SIZE DECODER EPOCHS."""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
import webdataset
from bare import BATCH, decoder, report, speed


def main() -> None:
    folder, size, decode, epochs = Path(sys.argv[1]), int(sys.argv[2]), decoder(sys.argv[3]), int(sys.argv[4])
    torch.set_num_threads(1)
    urls = [str(path) for path in sorted(folder.glob("*.tar"))]
    dataset = (
        webdataset.WebDataset(urls, shardshuffle=len(urls))
        .shuffle(1000)
        .to_tuple("jpg")
        .map_tuple(lambda data: decode(data, size))
        .batched(BATCH)
    )

    def epoch() -> Iterator[int]:
        for (images,) in dataset:
            assert images.shape[1:] == (size, size)
            yield len(images)

    report(speed(epoch, epochs))


if __name__ == "__main__":
    main()
