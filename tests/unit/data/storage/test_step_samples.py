"""The samples of a step by name are those that the loader reads."""

import json

import pytest

from cxrpt.checkpoint.state import RunState
from cxrpt.checkpoint.store import step_folder
from cxrpt.data.storage.step_samples import samples_of_step
from cxrpt.preflight import prepare
from launch.cli import main

from ..loading.test_micro_batches import config_of, dataset, shards  # noqa: F401


def read_by_loader(config, step):
    """Names of what two ranks read in a step (counted from 0)."""
    seen = []
    for rank in range(2):
        loader = dataset(config, rank, 2)
        read = loader.shards.read

        def noting(source, shard, sample, read=read, loader=loader):
            raw = read(source, shard, sample)
            seen.append((loader.sources[source].name, loader.sources[source].shards[shard].name, raw.key))
            return raw

        loader.shards.read = noting
        loader.arrays(step)
    return sorted(seen)


@pytest.mark.parametrize("step", [0, 3, 40])
def test_they_are_what_the_ranks_read(shards, step):  # noqa: F811
    config = config_of(shards, "data.sources.north.use=texts", "data.sources.south.weight=2")
    prepared = prepare(config, 0, 1)
    told = samples_of_step(prepared.plan, prepared.sources, prepared.step.slots, step * prepared.step.slots)
    assert sorted((one.source, one.shard, one.key) for one in told) == read_by_loader(config, step)
    assert len(told) == 16 and (max(one.epoch for one in told) > 0) == (step == 40)


def plan(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["plan", *map(str, words)])
    return end.value.code, capsys.readouterr()


def test_the_command_prints_them_and_follows_a_run_whose_mix_changed(shards, tmp_path, capsys):  # noqa: F811
    config = config_of(shards, f"runs={tmp_path}", "data.sources.south.weight=2")
    from cxrpt.config import to_yaml

    (tmp_path / "c.yaml").write_text(to_yaml(config))
    code, said = plan(capsys, tmp_path / "c.yaml", "--step", 4, "--json")
    samples = json.loads(said.out)["samples"]
    assert code == 0 and len(samples) == 16
    code, said = plan(capsys, tmp_path / "c.yaml", "--step", 4)
    assert all(sample["key"] in said.out for sample in samples)

    # The run began without south's greater weight, and took it up in step 10.
    before = prepare(config_of(shards), 0, 1).plan
    segments = [*before.segments, *prepare(config, 0, 1).plan.segments]
    timeline = [segment.to_json() | {"first_slot": first} for segment, first in zip(segments, (0, 20), strict=True)]
    folder = step_folder(config.run_dir, 12)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(RunState(12, 24, timeline=timeline).to_json())
    (folder / "COMMITTED").write_text("{}")
    _, said = plan(capsys, tmp_path / "c.yaml", "--step", 4, "--json")
    then = json.loads(said.out)["samples"]
    prepared = prepare(config_of(shards), 0, 1)
    assert then != samples
    assert [sample["key"] for sample in then] == [one.key for one in samples_of_step(prepared.plan, prepared.sources, 2, 6)]

    timeline[0]["contents"]["north"]["fingerprint"] = "other"
    (folder / "run.json").write_text(RunState(12, 24, timeline=timeline).to_json())
    code, said = plan(capsys, tmp_path / "c.yaml", "--step", 4)
    assert code == 2 and "source 'north' is not what it was at that step" in said.err
    code, said = plan(capsys, tmp_path / "c.yaml", "--step", 0)
    assert code == 2 and "counted from 1" in said.err
