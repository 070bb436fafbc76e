"""Batches that ranks and workers read: the same steps however they are spread."""

import dataclasses
import itertools
import os
import signal
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from cxrpt.config import load_config
from cxrpt.data.loading.micro_batches import MicroBatches, micro_batches
from cxrpt.data.loading.step import shape_step
from cxrpt.data.loading.worker_pool import Worker, WorkerEndedError, worker_pool
from cxrpt.data.sample import Kind
from cxrpt.data.shards import index_path
from cxrpt.errors import InputError
from cxrpt.preempt import STOP_SIGNALS
from cxrpt.preflight import check_launch, prepare
from data_prep.train_tokenizer import train_tokenizer

from ....made_shards import make_shards
from ..storage.faulty_server import serving


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards")
    for institution, kind, count in (("north", Kind.PAIR, 100), ("south", Kind.IMAGE, 60), ("west", Kind.TEXT, 60)):
        make_shards(root, institution, kind, count, seed=count, size=48)
    train_tokenizer([root / "north", root / "west"], root / "tok.model", vocab_size=600)
    return root


def config_of(root, *words):
    sources = [f"data.sources.{name}.path={root / name}" for name in ("north", "south", "west")]
    usual = ["data.image_size=32", "data.lanes=8", "train.global_batch=16", "model.patch_size=8", "data.max_text_tokens=40"]
    return load_config(None, ["name=t", f"data.tokenizer={root / 'tok.model'}", *sources, *usual, *words])


def fingerprints(batch):
    """What can be recognised of a batch's content, whatever its order."""
    images = [batch.patches_PE[i : i + 16].numpy().tobytes() for i in range(0, len(batch.patches_PE), 16)]
    return sorted([*(hash(i) for i in images), *batch.tokens_W.tolist()])


def dataset(config, rank=0, world=1, slot=0) -> MicroBatches:
    return prepare(config, rank, world).micro_batches(slot)


def test_every_world_reads_the_same_steps(shards):
    for words in ((), ("engine.micro_batch=4",)):
        config = config_of(shards, *words)
        whole = dataset(config_of(shards))
        for world in (2, 4):
            ranks = [dataset(config, rank, world) for rank in range(world)]
            for step in range(4):
                parts = ranks[0].shape.accumulation
                found = [fingerprints(r.micro_batch(step * parts + part)) for r in ranks for part in range(parts)]
                assert sorted(itertools.chain(*found)) == fingerprints(whole.micro_batch(step))


def test_without_balance_every_rank_keeps_the_samples_of_its_lanes(shards):
    def texts_and_exchange(*words):
        ranks = [dataset(config_of(shards, *words), rank, 2) for rank in range(2)]
        return ranks, [fingerprints(one.micro_batch(0)) for one in ranks], [one.micro_batch(0).exchange for one in ranks]

    balanced, exchanged, sums = texts_and_exchange()
    alone, own, no_sums = texts_and_exchange("data.balance=false")
    assert [one.shape.group for one in balanced] == [2, 2] and [one.shape.group for one in alone] == [1, 1]
    assert sums[0] == sums[1] != 0 and no_sums == [0, 0], "told only where samples are exchanged"
    assert own != exchanged and sorted(itertools.chain(*own)) == sorted(itertools.chain(*exchanged)), (
        "another share of the same"
    )
    for rank, one in enumerate(alone):
        lane, slot = (part.ravel() for part in np.meshgrid(np.arange(4 * rank, 4 * rank + 4), np.arange(2)))
        batch = one.micro_batch(0)
        assert batch.num_by_source == tuple(np.bincount(one.plan.places(lane, slot).source, minlength=3).tolist())


def tensors_of(batch):
    found = []
    batch.map(lambda tensor: found.append(tensor) or tensor)
    return found


def assert_equal(a, b):
    for x, y in zip(tensors_of(a), tensors_of(b), strict=True):
        assert x.dtype == y.dtype and torch.equal(x, y)
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert type(x) is type(y) and (not isinstance(x, int | tuple) or x == y), field.name


def test_workers_change_nothing_and_seeking_equals_walking(shards):
    config = config_of(shards, "objective.split_pairs=0.5")
    alone = list(itertools.islice(micro_batches(dataset(config), 0, 2, False), 9))
    for workers, prefetch in ((2, 2), (3, 1)):
        with closing(micro_batches(dataset(config), workers, prefetch, False)) as stream:
            # All are held at once: a batch must not lie in memory that a worker fills again.
            for a, b in zip(alone, list(itertools.islice(stream, 9)), strict=True):
                assert_equal(a, b)
    later = list(itertools.islice(micro_batches(dataset(config, slot=6), 0, 2, False), 2))
    for a, b in zip(alone[3:], later, strict=False):
        assert_equal(a, b)


def test_a_batch_of_a_worker_is_one_buffer_and_goes_to_a_device_in_one_copy(shards, monkeypatch):
    with closing(micro_batches(dataset(config_of(shards)), 1, 1, False)) as stream:
        batch = next(stream)
    assert len({tensor.untyped_storage().data_ptr() for tensor in tensors_of(batch)}) == 1
    assert all(tensor.data_ptr() % 16 == 0 for tensor in tensors_of(batch))
    copies, copy = [], torch.Tensor.to
    monkeypatch.setattr(torch.Tensor, "to", lambda *args, **options: copies.append(args) or copy(*args, **options))
    moved = batch.to(torch.device("meta"))
    assert len(copies) == 1
    for here, there in zip(tensors_of(batch), tensors_of(moved), strict=True):
        assert (there.device.type, there.dtype, there.shape, there.stride(), there.storage_offset()) == (
            "meta", here.dtype, here.shape, here.stride(), here.storage_offset()
        )  # fmt: skip
    assert batch.to(torch.device("cpu")).tokens_W is batch.tokens_W, "nothing moves to where it is"


def test_workers_hold_few_files_and_no_torch(shards):
    before = len(list(Path("/proc/self/fd").iterdir()))
    with worker_pool(dataset(config_of(shards)), 2, 4) as pool:
        for worker in pool:
            worker.next_batch(False)
            assert "libtorch" not in Path(f"/proc/{worker.process.pid}/maps").read_text()
        # A socket a worker, and a file for each of its slots.
        assert len(list(Path("/proc/self/fd").iterdir())) - before == 2 * (1 + 4)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_stop_signals_do_not_reach_workers_at_any_time(shards, monkeypatch):
    begin = Worker.begin

    def signal_first(worker, parcel):
        for number in STOP_SIGNALS:  # while it is starting
            os.kill(worker.process.pid, number)
        begin(worker, parcel)

    monkeypatch.setattr(Worker, "begin", signal_first)
    with worker_pool(dataset(config_of(shards)), 1, 2) as (worker,):
        for _ in range(4):
            for number in STOP_SIGNALS:
                os.kill(worker.process.pid, number)
            worker.next_batch(False)
        assert worker.process.poll() is None
    assert worker.process.returncode is not None
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(STOP_SIGNALS) == set(), "the trainer takes them again"


def test_a_killed_worker_is_one_line_after_what_it_had_ready(shards):
    config = config_of(shards)
    with worker_pool(dataset(config), 2, 3) as pool:
        first = pool[0].next_batch(False)
        time.sleep(0.5)
        os.kill(pool[0].process.pid, signal.SIGKILL)
        with pytest.raises(
            WorkerEndedError, match=r"loader worker 0 \(pid \d+\) was killed.*data\.workers=2 or data\.prefetch=3"
        ):
            for number in range(2, 100, 2):
                assert_equal(pool[0].next_batch(False), dataset(config).micro_batch(number))
        assert_equal(pool[1].next_batch(False), dataset(config).micro_batch(1))
    assert_equal(first, dataset(config).micro_batch(0))
    assert pool[1].process.returncode is not None


def error_of(dataset, workers):
    with closing(micro_batches(dataset, workers, 2, False)) as stream, pytest.raises(Exception) as raised:
        list(itertools.islice(stream, 20))
    return raised.value


def test_an_error_in_a_worker_is_that_without_workers(shards, tmp_path):
    make_shards(tmp_path, "north", Kind.PAIR, 80, size=48)
    config = config_of(shards, f"data.sources.north.path={tmp_path / 'north'}")
    without_plan, without_index = dataset(config), dataset(config)
    without_plan.plan = None
    index_path(without_index.sources[0].shards[1]).write_bytes(b"none")
    for broken, kind in ((without_plan, AttributeError), (without_index, InputError)):
        alone, by_worker = error_of(broken, 0), error_of(broken, 2)
        assert type(alone) is type(by_worker) is kind and str(alone) == str(by_worker)
        assert "Traceback" in str(by_worker.__cause__) and "in loader worker" in str(by_worker.__cause__)


def test_ranks_that_take_samples_by_other_lengths_notice(shards, monkeypatch):
    import cxrpt.agreement
    from cxrpt.dist.world import World

    def exchanges(*rates):
        config = config_of(shards)
        ranks = [prepare(config, rank, 2).micro_batches(0, rates[rank]) for rank in range(2)]
        assert ranks[0].shape.group == 2
        return ranks[0].shape, [rank.micro_batch(3) for rank in ranks]

    def agree(shape, batches):
        def sums(values):
            values[-1] = batches[1].exchange
            return values

        monkeypatch.setattr(cxrpt.agreement, "sum_over_ranks", sums)
        return cxrpt.agreement.agree([batches[0]], ["mlm"], shape, World(0, 2, 2, torch.device("cpu")), False, (False, False))

    same = (1.5, 0.0, 1.5)
    assert agree(*exchanges(same, same)).imbalance == 1.0, "the other rank told of no tokens here"
    with pytest.raises(RuntimeError, match="ranks disagree on who takes which sample"):
        agree(*exchanges(same, (0.01, 0.0, 0.01)))


def test_masks_differ_by_epoch(shards):
    maker = prepare(config_of(shards), 0, 1).maker
    raw = dataset(config_of(shards)).shards.reader(0, 0).read(0)
    first, again, second = maker.make(raw, 0, 0), maker.make(raw, 0, 0), maker.make(raw, 0, 1)
    assert np.array_equal(first.hidden, again.hidden) and np.array_equal(first.patches, again.patches)
    assert not np.array_equal(first.hidden, second.hidden) and not np.array_equal(first.patches, second.patches)


def damage(shard: Path, numbers):
    """Flip a bit in the picture of some samples; their keys."""
    data, index = bytearray(shard.read_bytes()), np.load(index_path(shard))
    for record in index[numbers]:
        data[int(record["image"]["offset"]) + 20] ^= 255
    shard.write_bytes(data)
    return [record["key"].decode() for record in index[numbers]]


def only_north(shards, tmp_path, *words):
    without = ("data.sources.south.weight=0", "data.sources.west.weight=0")
    return config_of(shards, f"data.sources.north.path={tmp_path / 'north'}", *without, *words)


def test_bad_samples_are_replaced_counted_and_described(shards, tmp_path):
    make_shards(tmp_path, "north", Kind.IMAGE, 40, size=48)
    keys = damage(tmp_path / "north" / "train" / "north-train-000000.tar", slice(3))
    config = only_north(shards, tmp_path)
    batches = [dataset(config).micro_batch(n) for n in range(5)]  # 80 samples of 40: two epochs
    assert [sum(batch.num_bad_by_source) for batch in batches] == [batch.num_bad_by_source[0] for batch in batches]
    assert sum(batch.num_bad_by_source[0] for batch in batches) == 2 * 3, "each slot counts once, whatever its substitutes are"
    assert all(batch.num_samples == 16 for batch in batches)
    told = [bad for batch in batches for bad in batch.bad]
    assert {bad.key for bad in told} == set(keys)
    assert {(bad.source, bad.shard, bad.what) for bad in told} == {
        (0, "north-train-000000.tar", "member 'image' does not match its checksum")
    }
    with closing(micro_batches(dataset(config), 2, 2, False)) as stream:
        for a, b in zip(batches, list(itertools.islice(stream, 5)), strict=True):
            assert_equal(a, b)
    ranks = [dataset(config, rank, 4) for rank in range(4)]
    for step, batch in enumerate(batches):
        assert sorted(itertools.chain(*(fingerprints(rank.micro_batch(step)) for rank in ranks))) == fingerprints(batch)


def test_reports_of_a_micro_batch_are_few(shards, tmp_path):
    make_shards(tmp_path, "north", Kind.IMAGE, 40, size=48)
    damage(tmp_path / "north" / "train" / "north-train-000000.tar", slice(30))
    batch = dataset(only_north(shards, tmp_path)).micro_batch(0)
    assert len(batch.bad) == 4 < batch.num_bad_by_source[0] <= 16


@pytest.mark.parametrize("workers", [0, 2])
def test_a_shard_that_is_bad_throughout_names_itself(shards, tmp_path, workers):
    make_shards(tmp_path, "north", Kind.IMAGE, 80, size=48)
    damage(tmp_path / "north" / "train" / "north-train-000001.tar", slice(40))
    said = r"all 17 samples tried of the 40 of north-train-000001\.tar are bad .*: run `cxrpt verify .*/north/train`"
    stream = micro_batches(dataset(only_north(shards, tmp_path)), workers, 2, False)
    with closing(stream), pytest.raises(InputError, match=said):
        list(itertools.islice(stream, 20))


def test_what_does_not_fit_says_what_to_change():
    assert shape_step(16, 8, 0, 0, 2).micro_batch == 8
    with pytest.raises(InputError, match=r"3 ranks do not divide data\.lanes=8: use (2|4) ranks"):
        shape_step(16, 8, 0, 0, 3)
    with pytest.raises(InputError, match="choose a divisor of 8"):
        shape_step(16, 8, 3, 0, 2)


def test_shards_are_looked_at_where_a_run_is_launched(shards, tmp_path):
    make_shards(tmp_path, "north", Kind.PAIR, 80, size=48)
    config = config_of(shards, f"data.sources.north.path={tmp_path / 'north'}", "track.uri=none", f"runs={tmp_path / 'runs'}")
    check_launch(config, 1, False)
    (tmp_path / "north" / "train" / "north-train-000001.tar").unlink()
    with pytest.raises(InputError, match=r"north-train-000001\.tar is missing"):
        check_launch(config, 1, False)
    prepare(config, 0, 1)


def test_remote_and_local_sources_give_the_same_batches(shards, tmp_path):
    with serving(shards) as server:
        urls = [f"{server.url}/north", f"pipe:cat {shards}/south/{{}}", f"{server.url}/west?sig=shh"]
        words = [f"data.sources.{name}.path={url}" for name, url in zip(("north", "south", "west"), urls, strict=True)]
        remote = config_of(shards, *words, f"data.cache_dir={tmp_path / 'cache'}")
        assert prepare(remote, 0, 1).data == prepare(config_of(shards), 0, 1).data
        expected = list(itertools.islice(micro_batches(dataset(config_of(shards)), 0, 2, False), 6))
        for workers in (0, 2):
            found = list(itertools.islice(micro_batches(dataset(remote), workers, 2, False), 6))
            for a, b in zip(expected, found, strict=True):
                for name in ("patches_PE", "tokens_W", "hidden_P", "order_N", "mlm_rows_M"):
                    assert torch.equal(getattr(a, name), getattr(b, name))
        fetched = server.downloads(".tar") | server.downloads(".npy")
        assert fetched and set(fetched.values()) == {1}, "once for all processes"


def test_remote_shards_are_asked_for_ahead(shards, tmp_path, monkeypatch):
    with serving(shards) as server:
        path = f"data.sources.north.path={server.url}/north"
        batches = dataset(config_of(shards, path, f"data.cache_dir={tmp_path / 'cache'}", "train.global_batch=8"))
        wanted = []
        monkeypatch.setattr(batches.shards, "want", lambda pairs: wanted.append(set(pairs)))
        batches.micro_batch(3)
        now, ahead = (batches.plan.places(*batches.plan.step_slots(slot, 1, 0, 1)) for slot in (3, 67))
        assert wanted == [set(zip(p.source.tolist(), p.shard.tolist(), strict=True)) for p in (now, ahead)]
    local = dataset(config_of(shards))
    monkeypatch.setattr(local.shards, "want", None)
    local.micro_batch(0)
