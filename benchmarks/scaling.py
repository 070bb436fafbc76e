"""How a run would scale, on paper: what a step computes and sends, how efficient it would be, and what would break first.

What is counted comes from the code (parameters, FLOPs of a pack, bytes on the wire by ZeRO stage). What depends on the number
of ranks alone is simulated at that number: a checkpoint of 1,024 ranks, 1,024 clients at one store; the plan of 8,192
lanes by plan.py. What only GPUs can tell is assumed, and said to be: nothing here was run on several GPUs.

    python -m benchmarks.scaling [--tflops 790] [--utilisation 0.5] [--gpu gpu/gpu.json]
"""

import argparse
import json
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from torch.distributed import TCPStore

from benchmarks.packing import PATCH, SCALES, Setting, draw_examples
from cxrpt.checkpoint.shards import Piece, ShardBuffer, ShardReader, layout_of, shard_name, write_index
from cxrpt.data.batch import Batch, pack
from cxrpt.model.flops import training_flops
from cxrpt.model.pretrain import SIZES, PretrainModel, Shape

GPUS = (8, 64, 512, 1024)
A_NODE = 8
IN_NODE = 450e9
"""Bytes/s of a GPU to others of its node (NVLink 4, one way)."""
NETWORKS = {"8 x 400 Gb/s a node": 400e9, "100 Gb/s a node": 12.5e9}
"""Bytes/s that leave a node."""
SAMPLES = {("base", 224): 256, ("large", 224): 256, ("base", 512): 64, ("large", 512): 64}
"""Of a GPU and step."""
LOADER = {224: 920, 512: 545}
"""Samples/s of a core of machine A, measured by loader.py on real pictures: pairs, images and texts 60/25/15, augmented."""
FIXED = 4096
"""Samples of a step of all GPUs, where that does not grow."""
VOCAB, LONGEST = 30_000, 256


@dataclass(frozen=True)
class Step:
    """One GPU's step."""

    parameters: int
    flops: float
    samples: int


def shape_of(size: str, image: int) -> Shape:
    return Shape(*SIZES[size], 4.0, PATCH, image, VOCAB, LONGEST, SCALES, False, False)


def count(size: str, image: int) -> Step:
    """Parameters, and FLOPs of a pack of pairs, images and texts 60/25/15."""
    shape, samples = shape_of(size, image), SAMPLES[size, image]
    with torch.device("meta"):
        parameters = sum(p.numel() for p in PretrainModel(shape).parameters())
    drawn: list[Batch] = []
    rng = np.random.default_rng(0)
    for _ in range(2):
        drawn.append(pack(draw_examples(rng, Setting(size, image, "bf16", 64, 0.0)), image // PATCH, PATCH, SCALES, 1))
    flops = sum(training_flops(batch, shape) for batch in drawn) / (2 * 64) * samples
    return Step(parameters, flops, samples)


def sent(parameters: int, stage: int) -> tuple[float, float]:
    """Bytes that a step reduces and gathers: gradients in fp32, as the engine sums them; weights in bf16."""
    reduced, gathered = 4.0 * parameters, 2.0 * parameters
    return {0: (2 * reduced, 0.0), 1: (reduced, gathered), 2: (reduced, gathered), 3: (reduced, 2 * gathered)}[stage]


def seconds_to_send(volume: float, gpus: int, network: float) -> float:
    """A ring through all GPUs: each sends the volume once, all but its own part; the slowest link decides."""
    share = (gpus - 1) / gpus
    in_node = volume * share / IN_NODE
    return in_node if gpus <= A_NODE else max(in_node, volume * share / network)


def efficiency(step: Step, stage: int, gpus: int, network: float, rate: float) -> tuple[float, float]:
    """Of a step: nothing of what is sent hidden behind computing, and all of it that can be.

    The reduction can hide behind the backward pass (two thirds of the FLOPs), a gather of ZeRO 3 behind either pass; that of
    ZeRO 1 and 2 follows the update and hides behind nothing.
    """
    compute = step.flops / rate
    reduced, gathered = (seconds_to_send(volume, gpus, network) for volume in sent(step.parameters, stage))
    hidden = max(compute, reduced + gathered) if stage == 3 else compute + max(0.0, reduced - compute * 2 / 3) + gathered
    return compute / (compute + reduced + gathered), compute / hidden


# --- simulated at size


def cut(shape: Shape, ranks: int) -> list[list[Piece]]:
    """What each rank keeps, as ZeRO 1 cuts one flat vector; the numbers are of no interest and nothing is stored twice."""
    with torch.device("meta"):
        sizes = [(name, tuple(p.shape), p.numel()) for name, p in PretrainModel(shape).named_parameters()]
    total = sum(size for _, _, size in sizes)
    of_rank = -(-total // ranks)
    some = torch.zeros(of_rank)
    pieces: list[list[Piece]] = [[] for _ in range(ranks)]
    at = 0
    for name, dimensions, size in sizes:
        start = 0
        while start < size:
            rank, within = divmod(at, of_rank)
            length = min(size - start, of_rank - within)
            piece = some[within : within + length]
            pieces[rank].append(Piece(name, dimensions, start, (piece, piece, piece)))
            start, at = start + length, at + length
    return pieces


def checkpoint(ranks: int, size: str) -> dict[str, float]:
    """A checkpoint of so many ranks, written rank by rank, and what one rank, and rank 0 for the export, then read."""
    pieces = cut(shape_of(size, 224), ranks)
    with tempfile.TemporaryDirectory(prefix="cxrpt-scaling-") as place:
        folder = Path(place)
        (folder / "shards").mkdir()
        largest = 0
        for rank, own in enumerate(pieces):
            buffer = ShardBuffer(own)
            buffer.copy(own)
            largest = max(largest, buffer.write(folder / shard_name(rank))["size"])
        began = time.perf_counter()
        write_index(folder, [layout_of(own) for own in pieces])
        index_s = time.perf_counter() - began
        began = time.perf_counter()
        ShardReader(folder).load(pieces[ranks // 2])
        rank_s = time.perf_counter() - began
        began = time.perf_counter()
        ShardReader(folder).load([piece for own in cut(shape_of(size, 224), 3)[1:2] for piece in own])
        other_s = time.perf_counter() - began
        began = time.perf_counter()
        ShardReader(folder).weights(torch.bfloat16)
        export_s = time.perf_counter() - began
        return {
            "ranks": ranks, "files": ranks + 1, "largest_mb": largest / 1e6,
            "index_mb": (folder / "shards" / "index.json").stat().st_size / 1e6, "index_s": index_s,
            "one_rank_reads_s": rank_s, "one_of_three_ranks_reads_s": other_s, "weights_together_s": export_s,
        }  # fmt: skip


def rendezvous(ranks: int) -> float:
    """Seconds until so many clients of one store have all said that they are there and read what the first one said.

    Threads of this machine, so that its cores, not a network, are what they share.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=300))
    began = time.perf_counter()

    def client(rank: int) -> None:
        own = TCPStore("127.0.0.1", store.port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=300))
        own.set(f"rank/{rank}", "here")
        if own.add("count", 1) == ranks:
            own.set("all", "here")
        own.wait(["all"])

    with ThreadPoolExecutor(ranks) as pool:
        list(pool.map(client, range(ranks)))
    return time.perf_counter() - began


# --- tables


def fixed_batch(rate: float) -> list[str]:
    """The same where the batch does not grow with the GPUs, which is what ends scaling first."""
    lines = [
        "| size | network | " + " | ".join(f"{n} GPUs, {FIXED // n} each" for n in GPUS) + " |",
        "|---|---|" + "---|" * len(GPUS),
    ]
    for size, image in (("base", 224), ("large", 512)):
        whole = count(size, image)
        for name, network in NETWORKS.items():
            cells = []
            for gpus in GPUS:
                samples = FIXED // gpus
                step = Step(whole.parameters, whole.flops * samples / whole.samples, samples)
                least, most = efficiency(step, 1, gpus, network, rate)
                cells.append(f"{least:.2f} to {most:.2f}")
            lines.append(f"| {size}, {image} px | {name} | {' | '.join(cells)} |")
    return lines


def predictions(rate: float) -> list[str]:
    lines = [
        "| size | samples a GPU | network | " + " | ".join(f"{n} GPUs" for n in GPUS) + " |",
        "|---|---|---|" + "---|" * len(GPUS),
    ]
    for (size, image), samples in SAMPLES.items():
        step = count(size, image)
        for name, network in NETWORKS.items():
            cells = []
            for gpus in GPUS:
                least, most = efficiency(step, 1, gpus, network, rate)
                cells.append(f"{least:.2f} to {most:.2f}")
            lines.append(f"| {size}, {image} px | {samples} | {name} | {' | '.join(cells)} |")
    return lines


def cores(tflops: float) -> list[str]:
    """What decodes, masks and packs for one GPU."""
    shares = (0.3, 0.5, 0.6)
    lines = ["| size | " + " | ".join(f"utilisation {share}" for share in shares) + " |", "|---" * (1 + len(shares)) + "|"]
    for size, image in SAMPLES:
        step = count(size, image)
        rates = [tflops * share * step.samples / step.flops for share in shares]
        cells = [f"{rate:,.0f} samples/s, {rate / LOADER[image]:.1f} cores" for rate in rates]
        lines.append(f"| {size}, {image} px | {' | '.join(cells)} |")
    return lines


def volumes() -> list[str]:
    lines = [
        "| size | parameters | stage 0 | stages 1, 2 | stage 3 | checkpoint, 12 bytes a weight |",
        "|---|---|---|---|---|---|",
    ]
    for size in ("base", "large"):
        parameters = count(size, 224).parameters
        cells = [f"{sum(sent(parameters, stage)) / 1e9:.2f} GB" for stage in (0, 1, 3)]
        lines.append(f"| {size} | {parameters / 1e6:.0f} M | {' | '.join(cells)} | {12 * parameters / 1e9:.2f} GB |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tflops", type=float, default=790.0, help="of a matrix product in bf16: assumed, if not measured")
    parser.add_argument("--utilisation", type=float, default=0.5, help="share of it that a step reaches on one GPU: assumed")
    parser.add_argument("--gpu", type=Path, help="gpu.json of gpu.sh, whose rate of a matrix product is taken instead")
    options = parser.parse_args()
    rate, source = options.tflops * 1e12, "assumed"
    if options.gpu:
        rows = json.loads(options.gpu.read_text())["rows"]
        rate, source = next(row["values"]["flops"] for row in rows if row["name"].startswith("matrix product")), "measured"
    print(f"{rate / 1e12:.0f} TFLOP/s {source}, utilisation {options.utilisation} assumed; {os.cpu_count()} cores simulate")
    print(
        "\n".join(
            [
                "",
                *volumes(),
                "",
                *cores(rate),
                "",
                *predictions(rate * options.utilisation),
                "",
                *fixed_batch(rate * options.utilisation),
                "",
            ]
        ),
        flush=True,
    )
    simulated = [checkpoint(ranks, "large") for ranks in (8, 1024)]
    met = {ranks: rendezvous(ranks) for ranks in (64, 1024)}
    for row in simulated:
        print(", ".join(f"{name} {value:.3g}" for name, value in row.items()))
    print(", ".join(f"{ranks} clients at one store: {seconds:.1f} s" for ranks, seconds in met.items()))
    print(json.dumps({"rate": rate, "checkpoint": simulated, "rendezvous_s": met}))


if __name__ == "__main__":
    main()
