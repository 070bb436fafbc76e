"""The loader: samples a second and core beside a bare decode-crop-resize loop, plain webdataset and mosaicml-streaming.

All read the same JPEGs (8-bit, quality 95, short side 512) from a warm page cache, in one process without workers, and yield
squares of 224 pixels in batches of 32. The bare loop reads by offset and does nothing else; ours besides seeks by the plan,
checks, parses, masks and packs. Peers run in environments of their own, which the first run installs (1 GB each), and decode
with the bare loop's function. All of it repeats in turn. Speeds are by processor time, so that a neighbour on the machine
counts for nothing and a peer that waits loses nothing; those by the clock stand beside them.

Ours decodes JPEGs at a reduced scale. Rows "reduced" show the others with that decoder: what is left is the loader's own cost.

Pictures are made up or, where CXRPT_REAL_DATA names the folder of public samples, those of nih14 and covid-chestxray. How much
the reduced scale changes them is printed first.

    python benchmarks/loader.py [--pictures 512] [--repeats 3] [--peers FOLDER]
"""

import argparse
import functools
import hashlib
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch
from loader_peers.bare import BATCH, decoder, pictures, speed, square

from cxrpt.config import load_config
from cxrpt.data.manifest import Manifest
from cxrpt.data.sample import SampleMeta
from cxrpt.data.shards import INDEX_DTYPE, index_path
from cxrpt.data.transforms import load_square
from cxrpt.preflight import prepare
from data_prep.build.write_shards import ShardSample, shard_name, write_shard
from data_prep.reports.sections import find_sections
from data_prep.synthetic.anatomy import draw_anatomy
from data_prep.synthetic.exposure import draw_exposure, expose
from data_prep.synthetic.frontal import draw_frontal
from data_prep.synthetic.study import Study, draw_studies
from data_prep.synthetic.wording import write_report
from data_prep.train_tokenizer import train_tokenizer

PEERS = Path(__file__).parent / "loader_peers"
STORE_SIZE, SIZE, OTHER_SIZES = 512, 224, (128, 384, 512)
PER_SHARD = 100
EPOCHS = 2
MIX = {"pairs": 60, "images": 25, "texts": 15}


def stored(image: np.ndarray) -> bytes:
    """As shards hold a picture."""
    height, width = image.shape
    scale = STORE_SIZE / min(height, width)
    if scale < 1:
        image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def made_up(study: Study, exposures: int = 4) -> list[bytes]:
    """Pictures of one chest, as digital radiography takes them: 1,024 to 1,536 pixels on the short side."""
    cv2.setNumThreads(1)
    phantom = draw_frontal(draw_anatomy(study.patient.number, study.patient.sex), study.findings)
    drawn = [draw_exposure(study.generator(100 + number), 2 * STORE_SIZE, "PA") for number in range(exposures)]
    return [stored(np.round(expose(phantom, one) * 255).astype(np.uint8)) for one in drawn]


def real(folder: Path) -> list[bytes]:
    """The public samples; those smaller than what shards hold are left out."""
    paths = [path for name in ("nih14", "covid-chestxray") for path in sorted((folder / name / "images").iterdir())]
    images = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths]
    return [stored(image) for image in images if image is not None and min(image.shape) >= STORE_SIZE]


def get_pictures(number: int, folder: str | None) -> list[bytes]:
    """`number` pictures; where there are fewer, they repeat."""
    if folder:
        found = real(Path(folder))
    else:
        studies = draw_studies("north", -(-number // 4), 0)
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            found = [image for images in pool.map(made_up, studies) for image in images]
    return [found[n % len(found)] for n in range(number)]


def write_shards(root: Path, institution: str, images: list[bytes], texts: list[str]) -> None:
    """A train split of image-only samples, or of pairs where there are texts."""
    folder = root / institution / "train"
    folder.mkdir(parents=True)
    entries = []
    for first in range(0, len(images), PER_SHARD):
        samples = []
        for number in range(first, min(first + PER_SHARD, len(images))):
            key = hashlib.sha256(f"{institution}/{number}".encode()).hexdigest()[:32]
            text = texts[number % len(texts)] if texts else None
            sections = find_sections(text) if text else {}
            meta = SampleMeta(institution, key[:16], key[:12], "PA", sections, {"effusion": 0}, 60, "F", 0, (2000, 2400))
            samples.append(ShardSample(key, meta, images[number], text.encode() if text else None))
        entries.append(write_shard(folder / shard_name(institution, "train", first // PER_SHARD), samples))
    (folder / "manifest.json").write_text(Manifest(institution, "train", {}, tuple(entries)).to_json())


def bare_epoch(folder: Path, size: int, decode: Callable[[bytes, int], np.ndarray]) -> Iterator[int]:
    shards = sorted(folder.glob("*.tar"))
    indexes = [np.load(index_path(shard)) for shard in shards]
    assert all(index.dtype == INDEX_DTYPE for index in indexes)
    places = [np.stack([index["image"]["offset"], index["image"]["size"]], 1).astype(np.int64) for index in indexes]
    for data in pictures(shards, places):
        decode(data, size)
        yield 1


def cxrpt_epoch(root: Path, uses: dict[str, int], size: int, augment: bool) -> Callable[[], Iterator[int]]:
    """The micro-batches of a rank that is alone, as training gets them; an epoch is as many samples as there are pictures."""
    folder = "images" if list(uses) == ["images"] else "pairs"
    sources = [
        word
        for use, weight in uses.items()
        for word in (f"data.sources.{use}.path={root / folder}", f"data.sources.{use}.use={use}",
                     f"data.sources.{use}.weight={weight}")
    ]  # fmt: skip
    config = load_config(
        None,
        [
            *("name=benchmark", f"data.tokenizer={root / 'tokenizer.model'}", *sources, f"data.image_size={size}"),
            *(f"data.augment={str(augment).lower()}", f"data.lanes={BATCH}", f"train.global_batch={BATCH}"),
        ],
    )
    batches = prepare(config, 0, 1).micro_batches(0)
    number = sum(len(np.load(index)) for index in (root / folder / "train").glob("*.npy"))
    at = iter(range(1 << 30))
    return lambda: (batches.micro_batch(next(at)).num_samples for _ in range(number // BATCH))


def environment(folder: Path, peer: str) -> Path:
    """The Python of a peer's own environment, installed if it is not there."""
    wanted, ready = (PEERS / f"{peer}.txt").read_text(), folder / peer / "ready.txt"
    python = folder / peer / "bin" / "python"
    if not ready.is_file() or ready.read_text() != wanted:
        print(f"installing {peer} in {folder / peer}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder / peer], check=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", PEERS / f"{peer}.txt"], check=True)
        if peer == "streaming":
            subprocess.run([*pip, "--no-deps", "mosaicml-streaming==0.13.0"], check=True)
        ready.write_text(wanted)
    return python


def run_peer(python: Path, peer: str, folder: Path, decoder_name: str) -> dict[str, float]:
    arguments = [python, PEERS / f"read_{peer}.py", folder, str(SIZE), decoder_name, str(EPOCHS)]
    path = os.pathsep.join([str(PEERS.parent.parent), os.environ.get("PYTHONPATH", "")])
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    run = subprocess.run(arguments, check=True, capture_output=True, text=True, env=os.environ | threads | {"PYTHONPATH": path})
    return json.loads(run.stdout.splitlines()[-1])


def difference(images: list[bytes], size: int) -> str:
    """How much reduced decoding changes a picture: against the whole one, its middle averaged to the size."""
    decibels, means, most = [], [], 0
    for data in images:
        off = np.abs(load_square(data, size).astype(int) - square(data, size))
        decibels.append(10 * np.log10(255**2 / max(float((off**2).mean()), 1e-4)))
        means.append(off.mean())
        most = max(most, int(off.max()))
    return (
        f"{size:4} px: PSNR {statistics.median(decibels):.1f} dB (lowest {min(decibels):.1f}), "
        f"mean absolute error {np.mean(means):.2f}, largest {most} of 255"
    )


def measure(root: Path, peers: Path, repeats: int) -> dict[str, list[dict[str, float]]]:
    """Every contestant's speeds, one of each a repeat."""
    folder = root / "images" / "train"
    pythons = {peer: environment(peers, peer) for peer in ("webdataset", "streaming")}
    contestants: dict[str, Callable[[], dict[str, float]]] = {}
    for size in (SIZE, *OTHER_SIZES):
        for name in ("whole", "reduced"):
            epoch = functools.partial(bare_epoch, folder, size, decoder(name))
            contestants[f"bare loop, {name}, {size} px"] = functools.partial(speed, epoch, EPOCHS)
        contestants[f"cxrpt, images, {size} px"] = functools.partial(
            speed, cxrpt_epoch(root, {"images": 1}, size, augment=False), EPOCHS
        )
        contestants[f"cxrpt, images augmented, {size} px"] = functools.partial(
            speed, cxrpt_epoch(root, {"images": 1}, size, augment=True), EPOCHS
        )
    contestants[f"cxrpt, pairs, images, texts 60/25/15 augmented, {SIZE} px"] = functools.partial(
        speed, cxrpt_epoch(root, MIX, SIZE, augment=True), EPOCHS
    )
    for peer, python in pythons.items():
        for name in ("whole", "reduced"):
            contestants[f"{peer}, {name}, {SIZE} px"] = functools.partial(run_peer, python, peer, folder, name)
    run_peer(pythons["streaming"], "streaming", folder, "whole")  # writes its shards
    speeds: dict[str, list[dict[str, float]]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, take in contestants.items():
            speeds[name].append(take())
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--peers",
        type=Path,
        default=Path(os.environ.get("CXRPT_BENCHMARK_PEERS") or Path(tempfile.gettempdir()) / "cxrpt-loader-peers"),
        help="folder of the peers' environments; also CXRPT_BENCHMARK_PEERS",
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    real_data = os.environ.get("CXRPT_REAL_DATA")
    images = get_pictures(options.pictures, real_data)
    kind, kilobytes = "real" if real_data else "made up", np.mean([len(one) for one in images]) / 1e3
    print(f"{len(set(images))} pictures ({kind}), {kilobytes:.0f} kB each, to {len(images)} samples")
    for size in (SIZE, *OTHER_SIZES):
        print(difference(sorted(set(images)), size))
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_shards(root, "images", images, [])
        write_shards(root, "pairs", images, [write_report(study) for study in draw_studies("north", 300, 0)])
        train_tokenizer([root / "pairs"], root / "tokenizer.model", vocab_size=4000)
        speeds = measure(root, options.peers, options.repeats)
    core = {name: np.array([one["core"] for one in taken]) for name, taken in speeds.items()}
    for name, taken in speeds.items():
        clock = statistics.median(one["wall"] for one in taken)
        print(f"{name:58} {np.median(core[name]):5.0f} /s a core {clock:5.0f} by the clock  {core[name].round().astype(int)}")
    print(json.dumps(claims(core)))


def claims(core: dict[str, np.ndarray]) -> list[dict[str, object]]:
    """Ratios are taken within a repeat."""

    def ratio(a: str, b: str) -> float:
        return float(np.median(core[f"{a}, {SIZE} px"] / core[f"{b}, {SIZE} px"]))

    rivals = {peer: np.median(core[f"{peer}, whole, {SIZE} px"]) for peer in ("webdataset", "streaming")}
    faster = max(rivals, key=lambda peer: rivals[peer])
    same = max(rivals, key=lambda peer: np.median(core[f"{peer}, reduced, {SIZE} px"]))
    what, ours = "loader, samples/s a core", "cxrpt, images"
    return [
        claim(what, ratio(ours, "bare loop, whole"), 0.95, "bare decode-crop-resize loop"),
        claim(what, ratio(ours, f"{faster}, whole"), 1.2, f"the faster peer ({faster})"),
        claim(what, ratio(ours, "bare loop, reduced"), None, "bare loop with cxrpt's reduced decoding"),
        claim(what, ratio(ours, f"{same}, reduced"), None, f"the faster peer with cxrpt's reduced decoding ({same})"),
        claim(f"{what}, augmented", ratio("cxrpt, images augmented", "bare loop, whole"), None, "bare decode-crop-resize loop"),
    ]


def claim(name: str, value: float, goal: float | None, against: str) -> dict[str, object]:
    """A row without a goal is information."""
    met = None if goal is None else value >= goal
    return {"claim": name, "value": round(value, 3), "goal": goal, "met": met, "against": against, "unit": "ratio"}


if __name__ == "__main__":
    main()
