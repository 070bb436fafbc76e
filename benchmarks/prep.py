"""Shard building: studies a second and core beside the bare decode-and-encode loop, and what a second process adds.

The export is the synthetic hospital at a size that digital radiography has (short side 2,000 to 2,600 pixels, seven transfer
syntaxes, reports, dirt). The bare loop reads the same files, decodes, windows, reduces and encodes them, and does nothing else:
no header scan, linking, de-identification, checks of the picture, duplicates, ledger, spool or shards. All of it repeats in
turn, so that a machine that slows down does so for all.

    python benchmarks/prep.py [--studies 400] [--size 2000] [--repeats 3]
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import psutil
import pydicom
from pydicom.pixels import pixel_array
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless
from rich.console import Console

from data_prep.build.run import build
from data_prep.build.settings import BuildSettings
from data_prep.synthetic import make_hospital

STORE_SIZE = 512
FASTEST = {JPEGLSLossless: "pyjpegls", JPEG2000Lossless: "pylibjpeg"}
"""The bare loop has the benefit of the fastest decoder of a core too; pydicom's first choice, GDCM, is slower, and takes all
cores for JPEG 2000."""


def bare(paths: list[Path]) -> int:
    """Decode, window, reduce and encode; returns how many pictures came out."""
    cv2.setNumThreads(1)
    warnings.simplefilter("ignore")
    worked = 0
    for path in paths:
        try:
            dataset = pydicom.dcmread(path)
            stored = pixel_array(dataset, decoding_plugin=FASTEST.get(dataset.file_meta.TransferSyntaxUID, ""))
        except Exception:  # the bare loop takes what decodes; the build's own ledger tells the others
            continue
        if stored.ndim != 2:
            continue
        low, high = float(stored.min()), float(stored.max())
        scale = 255.0 / max(high - low, 1.0)
        inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
        pixels = cv2.convertScaleAbs(
            stored, alpha=-scale if inverted else scale, beta=high * scale if inverted else -low * scale
        )
        height, width = pixels.shape
        factor = STORE_SIZE / min(height, width)
        if factor < 1:
            pixels = cv2.resize(pixels, (round(width * factor), round(height * factor)), interpolation=cv2.INTER_AREA)
        cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
        worked += 1
    return worked


def bare_in_two(paths: list[Path]) -> float:
    """Seconds of the bare loop in two processes that are already there: what this machine's second core is worth."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(bare, [paths[:2], paths[2:4]]))
        began = time.perf_counter()
        list(pool.map(bare, [paths[start : start + 4] for start in range(0, len(paths), 4)]))
        return time.perf_counter() - began


class MemoryWatch:
    """The largest resident memory of any process below this one while the block runs, bytes."""

    def __enter__(self) -> "MemoryWatch":
        self.peak, self._over = 0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for process in psutil.Process().children(recursive=True):
                try:
                    self.peak = max(self.peak, process.memory_info().rss)
                except psutil.Error:
                    continue


def timed_build(export: Path, out: Path, processes: int) -> tuple[float, int]:
    """Seconds of a whole build, and how many pictures and reports it kept."""
    began = time.perf_counter()
    summary = build(BuildSettings("hospital", export, out, "north", processes=processes), Console(quiet=True))
    return time.perf_counter() - began, summary.kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=400, help="of the whole made-up hospital; half of them are in its north")
    parser.add_argument("--size", type=int, default=2000, help="smallest short side of a picture, pixels")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_hospital(root / "export", studies=options.studies, size=options.size, processes=2)
        # Builds sync what they write, and would wait for the gigabytes of the export to reach the disk.
        os.sync()
        north = root / "export" / "north"
        paths = sorted(path for path in (north / "dicom").rglob("*") if path.is_file())
        num_studies = len({path.parent for path in paths})
        print(f"{num_studies} studies, {len(paths)} files, {sum(path.stat().st_size for path in paths) / 1e6:.0f} MB")
        # Both are warm: imports and the fork server's start are not what a build of hours is made of.
        bare(paths)
        make_hospital(root / "small", studies=16)
        timed_build(root / "small" / "north", root / "out-small", 2)
        times: dict[str, list[float]] = {"bare": [], "bare in two": [], "one process": [], "two processes": []}
        with MemoryWatch() as watch:
            for repeat in range(options.repeats):
                began = time.perf_counter()
                worked = bare(paths)
                times["bare"].append(time.perf_counter() - began)
                times["bare in two"].append(bare_in_two(paths))
                for processes, name in ((1, "one process"), (2, "two processes")):
                    seconds, kept = timed_build(north, root / f"out-{repeat}-{processes}", processes)
                    times[name].append(seconds)
        print(f"{worked} pictures decoded by the bare loop; {kept} pictures and reports kept by the build")
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name:14} {seconds:6.2f} s  {num_studies / seconds:6.2f} studies/s  {[round(one, 2) for one in times[name]]}")
    share = float(np.median(np.array(times["bare"]) / np.array(times["one process"])))
    added = float(np.median(np.array(times["one process"]) / np.array(times["two processes"]))) - 1
    machine = float(np.median(np.array(times["bare"]) / np.array(times["bare in two"]))) - 1
    first = f"the first (that of the bare loop adds {machine:.2f})"
    claims = [
        claim("shard build, studies/s a core", share, 0.9, "decode-and-encode alone on the same files", "ratio"),
        claim("shard build, second process", added, 0.8, first, "ratio"),
        claim("shard build, memory left of a worker's 1 GiB", 1 - watch.peak / 2**30, 0.0, "1 GiB", "share"),
    ]
    print(json.dumps(claims))


def claim(name: str, value: float, goal: float, against: str, unit: str) -> dict[str, object]:
    return {"claim": name, "value": round(value, 3), "goal": goal, "met": value >= goal, "against": against, "unit": unit}


if __name__ == "__main__":
    main()
