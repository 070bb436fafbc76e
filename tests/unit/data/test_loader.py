"""Batches that ranks and workers read: the same steps however they are spread."""

import itertools

import numpy as np
import pytest
import torch

from cxrpt.config import load_config
from cxrpt.data.loader import MicroBatches, micro_batches
from cxrpt.data.sample import Kind
from cxrpt.data.shards import index_path
from cxrpt.data.step import shape_step
from cxrpt.errors import InputError
from cxrpt.preflight import check_launch, prepare
from data_prep.train_tokenizer import train_tokenizer

from ...made_shards import make_shards
from .faulty_server import serving


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


def test_workers_change_nothing_and_seeking_equals_walking(shards):
    config = config_of(shards)
    alone = list(itertools.islice(micro_batches(dataset(config), 0, 2, False), 5))
    by_workers = list(itertools.islice(micro_batches(dataset(config), 2, 2, False), 5))
    later = list(itertools.islice(micro_batches(dataset(config, slot=6), 0, 2, False), 2))
    for a, b in zip(alone, by_workers, strict=True):
        assert all(
            torch.equal(getattr(a, n), getattr(b, n)) for n in ("patches_PE", "tokens_W", "hidden_P", "order_N", "mlm_rows_M")
        )
    for a, b in zip(alone[3:], later, strict=True):
        assert (
            torch.equal(a.patches_PE, b.patches_PE)
            and torch.equal(a.tokens_W, b.tokens_W)
            and torch.equal(a.hidden_P, b.hidden_P)
        )


def test_masks_differ_by_epoch(shards):
    maker = prepare(config_of(shards), 0, 1).maker
    raw = dataset(config_of(shards)).shards.reader(0, 0).read(0)
    first, again, second = maker.make(raw, 0, 0), maker.make(raw, 0, 0), maker.make(raw, 0, 1)
    assert np.array_equal(first.hidden, again.hidden) and np.array_equal(first.patches, again.patches)
    assert not np.array_equal(first.hidden, second.hidden) and not np.array_equal(first.patches, second.patches)


def test_a_bad_sample_is_replaced_and_counted(shards, tmp_path):
    make_shards(tmp_path, "north", Kind.IMAGE, 40, size=48)
    shard = tmp_path / "north" / "train" / "north-train-000000.tar"
    data = bytearray(shard.read_bytes())
    for record in np.load(index_path(shard))[:3]:
        data[int(record["image"]["offset"]) + 20] ^= 255
    shard.write_bytes(data)
    config = config_of(
        shards, f"data.sources.north.path={tmp_path / 'north'}", "data.sources.south.weight=0", "data.sources.west.weight=0"
    )
    batches = [dataset(config).micro_batch(n) for n in range(5)]  # 80 samples of 40: two epochs
    again = [dataset(config).micro_batch(n) for n in range(5)]
    assert sum(b.num_bad_by_source[0] for b in batches) >= 6
    assert all(b.num_samples == 16 for b in batches)
    assert all(torch.equal(a.patches_PE, b.patches_PE) for a, b in zip(batches, again, strict=True))


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
        assert prepare(remote, 0, 1).plan.parts() == prepare(config_of(shards), 0, 1).plan.parts()
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
