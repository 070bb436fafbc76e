"""Checkpoints: what a save costs training, how fast it reaches the disk, and how soon a resumed run goes on.

    stall       `Saver.save` beside `torch.save` and fsync of the same tensors; in between a trainer that only waits, until the
                save is committed. The first save, which takes the memory, is told apart.
    load        the same beside a trainer that multiplies matrices on all threads: how much longer its steps take meanwhile
    bandwidth   from `Saver.save` until all shards are on the disk, and until COMMITTED is, which takes the weights alone being
                put together from the shards; beside `dd conv=fsync` of as many bytes into the same folder
    resume      from the start of `cxrpt pretrain` to its first logged step, with a checkpoint that no cache holds and without
                any; the parts that a checkpoint adds, its checksums and its loading, are told apart

Rounds alternate between the sides. The state is cut as ZeRO 1 does it on one rank: three flat fp32 tensors, about 450 pieces.

    python benchmarks/checkpoint.py [--folder FOLDER] [--gib 1] [--repeats 5] [--size base] [--no-resume]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from cxrpt.checkpoint.saver import Saver
from cxrpt.checkpoint.shards import SHARDS, Piece, ShardReader
from cxrpt.checkpoint.store import check_files, committed_steps, step_folder, withdraw_old
from cxrpt.dist.world import join_world, leave_world
from cxrpt.track.journal import read_journal

ROOT, NUM_PIECES, GIB = Path(__file__).parents[1], 150, 2**30


@dataclass
class Seconds:
    """What was measured, a value a round."""

    stall: list[float] = field(default_factory=list)
    sealed: list[float] = field(default_factory=list)
    committed: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    dd: list[float] = field(default_factory=list)
    step_alone: list[float] = field(default_factory=list)
    step_beside: list[float] = field(default_factory=list)
    first: float = 0.0


def seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


# --- saving


def make_pieces(gib: float) -> list[Piece]:
    """Parameters as of transformer blocks: matrices in four sizes, and for each a vector."""
    sizes = [size for matrix in (4, 3, 4, 1) for size in (matrix * 768 * 768, 768)]
    lengths = (sizes * NUM_PIECES)[:NUM_PIECES]
    scale = gib * GIB / 12 / sum(lengths)
    lengths = [max(64, round(length * scale)) for length in lengths]
    flats = tuple(torch.randn(sum(lengths)) for _ in range(3))
    parts = zip(*(flat.split(lengths) for flat in flats), strict=True)
    return [Piece(f"blocks.{n}.weight", (len(part[0]),), 0, part) for n, part in enumerate(parts)]


def plain_save(pieces: list[Piece], path: Path) -> None:
    """Of the flat tensors, without a copy: the fastest that `torch.save` can be."""
    with path.open("wb") as file:
        torch.save([part._base for part in pieces[0].tensors], file)
        file.flush()
        os.fsync(file.fileno())


def copy_by_dd(path: Path, num_bytes: int) -> None:
    blocks = max(1, round(num_bytes / 2**24))
    command = ["dd", "if=/dev/zero", f"of={path}", "bs=16M", f"count={blocks}", "conv=fsync", "status=none"]
    subprocess.run(command, check=True)


def add_weights(folder: Path) -> None:
    save_file(ShardReader(folder).weights(torch.bfloat16), folder / "weights.safetensors")


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def wait_until_committed(saver: Saver, run_dir: Path, step: int, train: Callable[[], object]) -> tuple[float, float]:
    """Train, asking at every step how far the save is, as the loop does; when its shards were on the disk, and all of it."""
    sealed, until = 0.0, time.perf_counter() + 600
    while step not in committed_steps(run_dir):
        train()
        flags = saver.flags()
        sealed = sealed or (time.perf_counter() if flags[0] else 0.0)
        saver.advance(*map(int, flags), 1)
        assert time.perf_counter() < until, "the save did not end"
    committed = time.perf_counter()
    saver.settle()  # also what is removed for it
    return sealed, committed


def measure_saves(folder: Path, gib: float, repeats: int) -> list[dict[str, object]]:
    pieces, found = make_pieces(gib), Seconds()
    saver = Saver(folder, 0, 0, add_weights, lambda: withdraw_old(folder, 1, 0), print)
    matrix, product = torch.randn(1536, 1536), torch.empty(1536, 1536)

    def compute() -> None:
        for _ in range(4):
            torch.mm(matrix, matrix, out=product)

    num_bytes, shards_share = 0, 0.0
    for repeat in range(repeats + 1):
        found.plain += [seconds(partial(plain_save, pieces, folder / "plain.pt"))] if repeat else []
        (folder / "plain.pt").unlink(missing_ok=True)
        began, step = time.perf_counter(), 10 * repeat + 1
        saver.save(step, pieces, {"run.json": "{}"})
        sealed, committed = wait_until_committed(saver, folder, step, lambda: time.sleep(0.01))
        if not repeat:
            found.first, num_bytes = saver.stall_s, folder_bytes(step_folder(folder, step))
            shards_share = folder_bytes(step_folder(folder, step) / SHARDS) / num_bytes
            continue
        found.stall.append(saver.stall_s)
        found.sealed.append(sealed - began)
        found.committed.append(committed - began)
        found.dd.append(seconds(partial(copy_by_dd, folder / "dd", num_bytes)))
        (folder / "dd").unlink()
        found.step_alone += [seconds(compute) for _ in range(20)]
        saver.save(step + 1, pieces, {"run.json": "{}"})
        wait_until_committed(saver, folder, step + 1, lambda: found.step_beside.append(seconds(compute)))
    saver.close()
    for name, values in vars(found).items():
        print(f"{name}: {told(values) if isinstance(values, list) else f'{values:.3f} s'}", flush=True)
    what = f"{gib:g} GiB, {3 * NUM_PIECES} pieces"
    stall = statistics.median(a / b for a, b in zip(found.stall, found.plain, strict=True))
    speed = statistics.median(a / b for a, b in zip(found.dd, found.committed, strict=True))
    sealed_speed = statistics.median(shards_share * a / b for a, b in zip(found.dd, found.sealed, strict=True))
    slower = statistics.mean(found.step_beside) / statistics.mean(found.step_alone)
    extra = sum(found.step_beside) * (1 - 1 / slower) / repeats
    rate = num_bytes / statistics.median(found.committed) / 1e6
    print(
        f"{num_bytes / 1e6:.0f} MB a checkpoint, {rate:.0f} MB/s; a save slows steps down by {extra:.2f} s in all", flush=True
    )
    return [
        claim(f"save, stall: {what}", stall, 0.1, "torch.save and fsync", stall <= 0.1),
        claim(f"first save, stall: {what}", found.first / statistics.median(found.plain), None, "torch.save and fsync"),
        claim(f"steps at full load while a save is under way: {what}", slower, None, "steps without one"),
        claim(f"save, bandwidth of the shards: {what}", sealed_speed, None, "dd conv=fsync"),
        claim(f"save, bandwidth until committed: {what}", speed, None, "dd conv=fsync of as many bytes"),
    ]


# --- resuming


def cxrpt(*words: str, cwd: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "launch.cli", *words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def first_step_s(folder: Path, step: int) -> float:
    """From the start of the command to its first logged step, the `step`-th and last of the run."""
    began = time.time()
    cxrpt("pretrain", "c.yaml", f"train.steps={step}", cwd=folder)
    return {entry.step: entry.time for entry in read_journal(folder / "runs/c/journal.jsonl")}[step] - began


def forget(folder: Path) -> None:
    """Let no cache hold a checkpoint's files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def load_whole(folder: Path) -> None:
    reader = ShardReader(folder)
    lengths = {name: torch.Size(shape).numel() for name, shape in reader.shapes.items()}
    flats = [torch.empty(length).zero_() for length in lengths.values() for _ in range(3)]
    parts = zip(flats[::3], flats[1::3], flats[2::3], strict=True)
    reader.load(Piece(name, (length,), 0, part) for (name, length), part in zip(lengths.items(), parts, strict=True))


def measure_resume(folder: Path, size: str, repeats: int) -> list[dict[str, object]]:
    cxrpt("synth", "export", "--studies", "30", cwd=folder)
    cxrpt("prep", "hospital", "export/north", "--out", "shards", "--institution", "north", cwd=folder)
    cxrpt("tokenizer", "shards/north", "--out", "tokenizer.model", "--vocab-size", "600", cwd=folder)
    (folder / "c.yaml").write_text(
        "data: {tokenizer: tokenizer.model, image_size: 64, lanes: 4, workers: 1, sources: {north: {path: shards/north}}}\n"
        f"model: {{size: {size}}}\nengine: {{precision: fp32}}\ntrack: {{uri: none}}\n"
        "train: {global_batch: 4, log_every: 1, checkpoint_every: 1000, max_failed_saves: 0}\n"
    )
    found: dict[str, list[float]] = {"fresh": [], "resumed": [], "checksums": [], "load": []}
    for _ in range(repeats):
        shutil.rmtree(folder / "runs", ignore_errors=True)
        found["fresh"].append(first_step_s(folder, 1))
        saved = step_folder(folder / "runs/c", 1)
        forget(saved)
        found["resumed"].append(first_step_s(folder, 2))
        forget(saved)
        found["checksums"].append(seconds(partial(check_files, saved)))
        found["load"].append(seconds(partial(load_whole, saved)))
    megabytes = folder_bytes(saved) / 1e6
    print(f"{size}: {megabytes:.0f} MB; " + "; ".join(f"{name} {told(values)}" for name, values in found.items()), flush=True)
    ratio = statistics.median(a / b for a, b in zip(found["resumed"], found["fresh"], strict=True))
    return [claim(f"resume to first step: {size}, {megabytes:.0f} MB", ratio, None, "start without a checkpoint")]


def told(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} s ({min(values):.3f} to {max(values):.3f})"


def claim(name: str, value: float, goal: float | None, against: str, met: bool | None = None) -> dict[str, object]:
    return {"claim": name, "value": round(value, 3), "goal": goal, "met": met, "against": against, "unit": "ratio"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="where to save: on a disk, and not in memory")
    parser.add_argument("--gib", type=float, default=1.0, help="of weights, mean and mean square")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", default="base", help="of the model that is resumed")
    parser.add_argument("--resumes", type=int, default=3)
    parser.add_argument("--no-saves", dest="saves", action="store_false")
    parser.add_argument("--no-resume", dest="resume", action="store_false")
    options = parser.parse_args()
    claims = []
    with tempfile.TemporaryDirectory(prefix="checkpoint-benchmark-", dir=options.folder) as folder:
        if options.saves:
            join_world("cpu", 0)
            claims += measure_saves(Path(folder), options.gib, options.repeats)
            leave_world()
        if options.resume:
            claims += measure_resume(Path(folder), options.size, options.resumes)
    print(json.dumps(claims))


if __name__ == "__main__":
    main()
