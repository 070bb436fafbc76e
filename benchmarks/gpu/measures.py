"""How fast is it? Utilisation with and without the loader, what padding costs, what fits, where the time goes."""

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.gpu.machine import ROOT, Machine, Row
from benchmarks.gpu.work import batches, engine_step, new_engine, new_model, seconds_each, shape_of
from benchmarks.packing import Setting
from benchmarks.packing import measure as measure_packing
from cxrpt.config import load_config
from cxrpt.data.sample import Kind
from cxrpt.model.flops import training_flops
from cxrpt.preflight import prepare
from cxrpt.track.journal import read_journal
from cxrpt.track.metrics import matmul_flops
from data_prep.train_tokenizer import train_tokenizer
from tests.made_shards import make_shards

BATCHES = {("base", 224): (256, 512), ("large", 224): (256,), ("base", 512): (64,), ("large", 512): (32, 64)}
GOALS = {("base", 224): 0.50, ("large", 512): 0.60}
"""Utilisation of a whole training step, loader included."""
GROUPS = {
    "attention": ("flash", "fmha", "attention"),
    "matrix products": ("gemm", "cutlass", "nvjet", "xmma", "addmm", "aten::mm"),
    "optimizer": ("adam", "multi_tensor", "foreach"),
    "norms": ("layer_norm", "layernorm"),
    "copies and casts": ("memcpy", "copy", "cat", "memset"),
    "gather and scatter": ("index", "gather", "scatter"),
    "reductions, softmax, losses": ("reduce", "softmax", "nll", "norm"),
    "elementwise": ("elementwise", "gelu", "vectorized"),
}
"""Where a kernel belongs, by words in its name; the first that fits."""
_rates: dict[torch.dtype, float] = {}


def peak(machine: Machine) -> float:
    """FLOP/s of a large matrix product in bf16 on this device."""
    return _rates.setdefault(torch.bfloat16, matmul_flops(machine.device, torch.bfloat16))


def product(machine: Machine) -> list[Row]:
    """What utilisation is measured against."""
    return [Row("matrix product, bf16", "measured", f"{peak(machine) / 1e12:,.1f} TFLOP/s", values={"flops": peak(machine)})]


def sizes(machine: Machine) -> Iterator[tuple[str, int, int]]:
    """Size, picture and samples of what is measured."""
    for (size, image), samples in BATCHES.items():
        for one in samples[: 1 if machine.small else None]:
            yield size, side(machine, image), min(one, 4) if machine.small else one


def side(machine: Machine, image: int) -> int:
    """Of a picture, pixels."""
    return 64 if machine.small else image


def step(machine: Machine, size: str, image: int, samples: int, **settings: object) -> tuple[float, float, float]:
    """Utilisation, samples/s and peak GiB of steps over batches that lie on the GPU."""
    work = batches(machine, image, samples)
    shape = shape_of(machine, size, image)
    engine = new_engine(machine, new_model(machine, size, image), samples, **({"precision": "bf16"} | settings))
    few = machine.small
    each = seconds_each(machine, lambda n: engine_step(engine, work[n % len(work)]), 1 if few else 4, 2 if few else 10)
    flops = sum(training_flops(batch, shape) for batch in work) / len(work)
    return flops / each / peak(machine), samples / each, machine.peak_gib()


def steps(machine: Machine) -> list[Row]:
    """Every size, as the configuration has it."""
    return [_row(machine, f"step, {size}, {image} px, {samples} samples", size, image, samples)
            for size, image, samples in sizes(machine)]  # fmt: skip


def variants(machine: Machine) -> list[Row]:
    """The same with other settings: compiled, recomputed, other stages."""
    samples = 4 if machine.small else 256
    settings: dict[str, dict[str, object]] = {
        "ZeRO 2": {"zero_stage": 2}, "ZeRO 3": {"zero_stage": 3}, "all blocks recomputed": {"recompute_blocks": -1},
        "compiled": {"compile": True},
    }  # fmt: skip
    if machine.small:
        del settings["compiled"]
    image = side(machine, 224)
    return [_row(machine, f"step, base, {image} px, {samples} samples, {what}", "base", image, samples, **words)
            for what, words in settings.items()]  # fmt: skip


def _row(machine: Machine, name: str, size: str, image: int, samples: int, **settings: object) -> Row:
    machine.clear()
    try:
        used, rate, gib = step(machine, size, image, samples, **settings)
    except torch.OutOfMemoryError:
        return Row(name, "measured", "does not fit")
    text = f"utilisation {used:.3f}, {rate:,.0f} samples/s, {gib:.1f} GiB"
    return Row(name, "measured", text, values={"mfu": used, "samples_per_s": rate, "peak_gib": gib})


def padding(machine: Machine) -> list[Row]:
    """Packed beside padded batches of the same model."""
    rows = []
    for size, image, samples in (("base", 224, 128), ("large", 512, 16)):
        sized = ("tiny", 4) if machine.small else (size, samples)
        setting = Setting(sized[0], side(machine, image), "bf16", sized[1], 0.0)
        found = measure_packing(setting, 2, 1 if machine.small else 5, machine.device)
        text = f"{found['value']} of what the padding saved promises"
        rows.append(
            Row(f"packing over padding, {size}, {image} px", "measured", text, "at least 0.95", {"ratio": found["value"]})
        )  # type: ignore[dict-item]
    return rows


def whole_run(machine: Machine) -> list[Row]:
    """Training by the command line, from shards, as a user starts it."""
    rows = []
    for (size, image), goal in GOALS.items():
        samples = 8 if machine.small else max(BATCHES[size, image])
        words = [f"name={size}-{image}", *_words(machine, size, image, samples)]
        (machine.folder / "nothing.yaml").write_text("{}\n")
        command = [sys.executable, "-m", "launch.cli", "pretrain", f"{machine.folder}/nothing.yaml", *words, "--ranks", "1"]
        began = time.monotonic()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
        if done.returncode:
            raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"code {done.returncode}")
        last = read_journal(machine.folder / "runs" / f"{size}-{image}" / "journal.jsonl")[-1].metrics
        wait = last["speed/span_data_s"] / last["speed/step_s"]
        text = (
            f"utilisation {last['speed/mfu']:.3f}, {last['speed/samples_per_s']:,.0f} samples/s, waits for data {wait:.1%} "
            f"of a step, {last['memory/peak_gib']:.1f} GiB; {time.monotonic() - began:.0f} s in all"
        )
        values = {"mfu": last["speed/mfu"], "samples_per_s": last["speed/samples_per_s"], "data_wait": wait}
        name = f"training, loader included, {size}, {image} px, {samples} samples"
        rows.append(Row(name, "measured", text, f"utilisation at least {goal:.2f}, waits at most 2 %", values))
    return rows


def _words(machine: Machine, size: str, image: int, samples: int) -> list[str]:
    """Configuration of a run on the shards that are given, or on made-up ones."""
    root = machine.folder
    if not machine.shards and not (root / "made").exists():
        for name, kind, count in (("pairs", Kind.PAIR, 2400), ("images", Kind.IMAGE, 1000), ("texts", Kind.TEXT, 600)):
            make_shards(root / "made", name, kind, count // (20 if machine.small else 1), per_shard=400, size=576)
    shards = machine.shards or sorted((root / "made").iterdir())
    if not (root / "tokenizer.model").exists():
        train_tokenizer(shards, root / "tokenizer.model", vocab_size=500 if machine.small or not machine.shards else 8000)
    few = machine.small
    return [
        *(f"data.sources.{path.name}.path={path}" for path in shards), f"data.tokenizer={root}/tokenizer.model",
        f"data.image_size={side(machine, image)}", f"data.workers={0 if few else _workers()}", f"data.lanes={samples}",
        f"model.size={size}", *(["model.width=64", "model.depth=2", "model.heads=2"] if few else []),
        "engine.precision=bf16", f"engine.device={machine.device.type}", "track.uri=none", f"runs={root}/runs",
        f"train.global_batch={samples}", f"train.steps={6 if few else 60}", f"train.log_every={3 if few else 20}",
        "train.checkpoint_every=1000",
    ]  # fmt: skip


def _workers() -> int:
    return max(1, len(os.sched_getaffinity(0)) - 2)


def cores(machine: Machine) -> list[Row]:
    """What one core decodes, masks and packs, without a GPU."""
    import cv2

    from cxrpt.data.loading.lengths import measure_tokens_per_word

    cv2.setNumThreads(1)
    rows = []
    for size, image in GOALS:
        config = load_config(None, ["name=cores", *_words(machine, size, image, 8 if machine.small else 64)])
        prepared = prepare(config, 0, 1, 1, None, False)
        rates = measure_tokens_per_word(prepared.sources, prepared.maker)
        stream = prepared.micro_batches(0, rates)
        stream.micro_batch(0)
        began, samples, at = time.perf_counter(), 0, 1
        while time.perf_counter() - began < (0.5 if machine.small else 5):
            samples += stream.micro_batch(at).num_samples
            at += 1
        rate = samples / (time.perf_counter() - began)
        rows.append(Row(f"loader, {image} px, one core", "measured", f"{rate:,.0f} samples/s", values={"samples_per_s": rate}))
    return rows


def shares(machine: Machine) -> list[Row]:
    """Where the GPU's time goes in a step."""
    rows = []
    for size, image in GOALS:
        machine.clear()
        samples = 4 if machine.small else min(BATCHES[size, image])
        work = batches(machine, side(machine, image), samples)
        engine = new_engine(machine, new_model(machine, size, side(machine, image)), samples, precision="bf16")
        seconds_each(machine, lambda n, e=engine, w=work: engine_step(e, w[n % 2]), 1 if machine.small else 4, 1)  # type: ignore[misc]
        on_gpu = machine.device.type == "cuda"
        activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
        with profile(activities=[activity]) as seen:
            began = time.perf_counter()
            for batch in work:
                engine_step(engine, batch)
            machine.wait()
            wall = time.perf_counter() - began
        groups: dict[str, float] = defaultdict(float)
        for event in seen.key_averages():
            spent = event.self_device_time_total if on_gpu else event.self_cpu_time_total
            groups[_group(event.key)] += spent / 1e6
        busy = sum(groups.values())
        parts = sorted(groups.items(), key=lambda item: -item[1])
        text = ", ".join(f"{name} {spent / busy:.1%}" for name, spent in parts) + f"; busy {busy / wall:.1%} of the time"
        name = f"shares of a step, {size}, {image} px, {samples} samples"
        rows.append(Row(name, "measured", text, values={name: spent / busy for name, spent in parts} | {"busy": busy / wall}))
        del engine
    return rows


def _group(kernel: str) -> str:
    low = kernel.lower()
    return next((name for name, words in GROUPS.items() if any(word in low for word in words)), "other")


ITEMS: tuple[tuple[str, int, Callable[[Machine], list[Row]]], ...] = (
    ("matrix product", 5, product),
    ("training, loader included", 100, whole_run),
    ("steps", 90, steps),
    ("packing over padding", 40, padding),
    ("one core's loader", 15, cores),
    ("shares of a step", 30, shares),
    ("variants", 90, variants),
)
