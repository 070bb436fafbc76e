"""A day's worth of micro-batches through two workers: nobody's memory and nobody's open files grow."""

import os
from contextlib import closing
from pathlib import Path

import pytest

from cxrpt.config import load_config
from cxrpt.data.loading.lengths import measure_tokens_per_word
from cxrpt.data.loading.micro_batches import micro_batches
from cxrpt.data.sample import Kind
from cxrpt.preflight import prepare
from data_prep.train_tokenizer import train_tokenizer
from tests.made_shards import make_shards

pytestmark = pytest.mark.long

BATCHES, WARM, EVERY = int(os.environ.get("CXRPT_SOAK_BATCHES", "200000")), 10_000, 1_000


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_memory_and_open_files_stay(tmp_path):
    for institution, kind, count in (("north", Kind.PAIR, 800), ("south", Kind.IMAGE, 400), ("west", Kind.TEXT, 400)):
        make_shards(tmp_path, institution, kind, count, seed=count, size=16)
    train_tokenizer([tmp_path / "north", tmp_path / "west"], tmp_path / "tok.model", vocab_size=600)
    words = [f"data.sources.{name}.path={tmp_path / name}" for name in ("north", "south", "west")]
    words += [f"data.tokenizer={tmp_path / 'tok.model'}", "name=soak", "data.image_size=16", "model.patch_size=8"]
    words += ["data.lanes=2", "train.global_batch=2", "data.max_text_tokens=12"]
    prepared = prepare(load_config(None, words), 0, 1)
    dataset = prepared.micro_batches(0, measure_tokens_per_word(prepared.sources, prepared.maker))
    memory: dict[int, list[int]] = {}
    files: dict[int, set[int]] = {}
    with closing(micro_batches(dataset, 2, 4, False)) as stream:
        for number in range(1, BATCHES + 1):
            next(stream)
            if number >= WARM and number % EVERY == 0:
                workers = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
                pids = [os.getpid(), *(int(p) for p in workers if b"loader_worker" in Path(f"/proc/{p}/cmdline").read_bytes())]
                assert len(pids) == 3
                for pid in pids:
                    memory.setdefault(pid, []).append(resident_bytes(pid))
                    files.setdefault(pid, set()).add(open_files(pid))
    growth = {pid: max(sizes) / sizes[0] - 1 for pid, sizes in memory.items()}
    print({pid: f"{sizes[0] >> 20} MiB, {100 * growth[pid]:+.2f} %" for pid, sizes in memory.items()}, files)
    assert len(memory) == 3 and all(value < 0.05 for value in growth.values()), growth
    assert all(len(counts) == 1 for counts in files.values()), files
