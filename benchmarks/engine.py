"""The engine: step time beside a bare PyTorch loop with the same model, batches and optimizer; two ranks beside one.

The bare loop is forward, backward, `clip_grad_norm_`, a fused `torch.optim.AdamW`, `zero_grad`; in bf16 over a master copy
in fp32, as the engine does it. Both sides go through the same batches in turn, one thread, in one process; in every step
both must have the same loss. Weak scaling: two ranks of one thread, each with as many samples as the one it is compared
with.

    python benchmarks/engine.py [--sizes tiny] [--precisions fp32 bf16] [--stages 1] [--clock wall] [--profile]
"""

import argparse
import cProfile
import itertools
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from packing import PATCH, SCALES, VOCAB, Optimizer, Setting, draw_examples, loss

from cxrpt.config import EngineConfig, OptimConfig
from cxrpt.data.batch import Batch, pack
from cxrpt.dist.engine import DTYPES, Engine
from cxrpt.dist.world import World, join_world, leave_world, local_environment
from cxrpt.model.flops import training_flops
from cxrpt.model.pretrain import SIZES, PretrainModel, Shape
from cxrpt.track.metrics import matmul_flops

LONGEST, WARM_UP = 160, 2
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def new_model(size: str, image_size: int) -> PretrainModel:
    torch.manual_seed(0)
    return PretrainModel(Shape(*SIZES[size], 4.0, PATCH, image_size, VOCAB, LONGEST, SCALES, False, False))


def new_engine(options: argparse.Namespace, world: World) -> Engine:
    config = EngineConfig(zero_stage=options.stage, precision=options.precision, device="cpu")
    return Engine(new_model(options.size, options.image), config, OptimConfig(), options.batch, 1, world)


def draw_batches(options: argparse.Namespace, rank: int) -> list[Batch]:
    rng = np.random.default_rng(rank)
    setting = Setting(options.size, options.image, options.precision, options.batch, 0.0)
    return [pack(draw_examples(rng, setting), options.image // PATCH, PATCH, SCALES, 1) for _ in range(options.batches)]


def engine_step(engine: Engine, batch: Batch) -> float:
    value = loss(engine.forward, batch)
    engine.backward(value)
    engine.step(OptimConfig().lr)
    return float(value.detach())


def bare_step(model: PretrainModel, optimizer: Optimizer, batch: Batch) -> float:
    value = loss(model, batch)
    value.backward()
    optimizer.step()
    return float(value.detach())


# --- in a rank


def one_rank(options: argparse.Namespace, world: World) -> dict[str, list[float]]:
    """Seconds of every step of both sides, which take turns, and the engine's share of a matrix product's rate."""
    clock, batches = CLOCKS[options.clock], draw_batches(options, 0)
    engine = new_engine(options, world)
    bare = new_model(options.size, options.image)
    if options.precision == "bf16":
        bare = bare.bfloat16()
    optimizer = Optimizer(bare)
    sides = {"engine": lambda batch: engine_step(engine, batch), "bare": lambda batch: bare_step(bare, optimizer, batch)}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    peak, used = matmul_flops(world.device, DTYPES[options.precision]), []
    for repeat in range(WARM_UP + options.repeats):
        for batch in batches:
            found = {}
            # Which side comes first alternates: the second finds the batch in the cache.
            for name in sorted(sides, reverse=repeat % 2 == 1):
                began = clock()
                found[name] = sides[name](batch)
                if repeat >= WARM_UP:
                    seconds[name].append(clock() - began)
                    if name == "engine":
                        used.append(training_flops(batch, engine.model.shape) / seconds[name][-1] / peak)
            one, other = found["engine"], found["bare"]
            assert abs(one - other) <= (1e-4 if options.precision == "fp32" else 5e-3) * other, (
                f"{one} in the engine, {other} bare"
            )
    seconds["utilisation"] = used
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(lambda: [engine_step(engine, batch) for batch in batches * 3])
        pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(25)
    return seconds


def scaling_rank(options: argparse.Namespace, world: World) -> dict[str, list[float]]:
    """Seconds of every step of a rank that only trains."""
    batches, engine = draw_batches(options, world.rank), new_engine(options, world)
    seconds = []
    for repeat in range(WARM_UP + options.repeats):
        for batch in batches:
            began = time.perf_counter()
            engine_step(engine, batch)
            seconds += [time.perf_counter() - began] if repeat >= WARM_UP else []
    return {f"{world.size} ranks": seconds}


def run_rank(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    world = join_world("cpu", 300)
    seconds = {"one": one_rank, "scaling": scaling_rank}[options.rank_of](options, world)
    if world.is_first:
        print(json.dumps(seconds))
    leave_world()


# --- over ranks


def start_ranks(what: str, ranks: int, options: argparse.Namespace) -> dict[str, list[float]]:
    words = [
        f"--{name}={getattr(options, name)}"
        for name in ("size", "precision", "stage", "image", "batch", "batches", "repeats", "clock")
    ]
    words += ["--profile"] if options.profile else []
    with tempfile.TemporaryDirectory() as meeting:
        processes = [
            subprocess.Popen(
                [sys.executable, __file__, "--rank-of", what, *words],
                env=os.environ
                | local_environment(rank, ranks, f"file://{meeting}/ranks", 1)
                | {"PYTHONPATH": str(Path(__file__).parents[1])},
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(ranks)
        ]
        told = [process.communicate()[0] for process in processes]
    assert not any(process.returncode for process in processes), "a rank failed"
    found: dict[str, list[float]] = json.loads(told[0].splitlines()[-1])
    return found


def measure(options: argparse.Namespace) -> list[dict[str, object]]:
    setting = f"{options.size}, {options.image} px, {options.precision}, ZeRO {options.stage}, batch {options.batch}"
    seconds = start_ranks("one", 1, options)
    used = statistics.median(seconds.pop("utilisation"))
    ratio = statistics.median(one / other for one, other in zip(seconds["engine"], seconds["bare"], strict=True))
    print(f"{setting}: {options.clock} ms a step {milliseconds(seconds)}; engine over bare {ratio:.3f}", flush=True)
    claims = [
        claim(f"engine, step time: {setting}", ratio, 1.03, f"bare PyTorch loop, {options.clock} time"),
        claim(f"step, FLOP/s: {setting}", used, None, "a matrix product of this core"),
    ]
    if options.scaling:
        for _ in range(2):  # turn by turn: a machine that slows down slows both
            for ranks in (1, 2):
                for name, more in start_ranks("scaling", ranks, options).items():
                    seconds[name] = seconds.get(name, []) + more
        efficiency = statistics.median(seconds["1 ranks"]) / statistics.median(seconds["2 ranks"])
        print(f"{setting}: {milliseconds(seconds)}; weak scaling {efficiency:.3f}", flush=True)
        claims.append(claim(f"engine, weak scaling to 2 ranks: {setting}", efficiency, None, "1 rank of 1 thread"))
    return claims


def milliseconds(seconds: dict[str, list[float]]) -> str:
    def told(values: list[float]) -> str:
        low, middle, high = np.percentile(np.array(values) * 1e3, [10, 50, 90])
        return f"{middle:.1f} ({low:.1f} to {high:.1f})"

    return ", ".join(f"{name} {told(values)}" for name, values in seconds.items())


def claim(name: str, value: float, goal: float | None, against: str) -> dict[str, object]:
    met = value <= goal if goal is not None else None
    return {"claim": name, "value": round(value, 3), "goal": goal, "met": met, "against": against, "unit": "ratio"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "small"])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--stages", nargs="+", type=int, default=[1])
    parser.add_argument("--image", type=int, default=224, help="side, pixels")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=2, help="different ones that every repeat goes through")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: processor time, where other work disturbs")
    parser.add_argument("--no-scaling", dest="scaling", action="store_false")
    parser.add_argument("--profile", action="store_true", help="also say where the engine's steps spend their time")
    for name, kind in (("rank-of", str), ("size", str), ("precision", str), ("stage", int)):
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank_of:
        run_rank(options)
        return
    claims = []
    for shape in itertools.product(options.sizes, options.precisions, options.stages):
        options.size, options.precision, options.stage = shape
        claims += measure(options)
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
