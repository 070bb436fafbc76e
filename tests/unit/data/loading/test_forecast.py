"""What `cxrpt plan` tells of a run, beside what the run would read."""

import json

import numpy as np
import pytest

from cxrpt.config import load_config
from cxrpt.data.loading.forecast import forecast
from cxrpt.data.sample import Kind
from cxrpt.preflight import prepare, prepare_lengths
from data_prep.train_tokenizer import train_tokenizer
from launch.cli import main

from ....made_shards import make_shards


@pytest.fixture(scope="module")
def config_file(tmp_path_factory):
    root = tmp_path_factory.mktemp("forecast")
    for institution, kind, count in (("north", Kind.PAIR, 120), ("south", Kind.IMAGE, 60), ("west", Kind.TEXT, 90)):
        make_shards(root, institution, kind, count, seed=count, size=48)
    train_tokenizer([root / "north", root / "west"], root / "tok.model", vocab_size=600)
    (root / "c.yaml").write_text(f"""
data:
  tokenizer: {root}/tok.model
  image_size: 32
  lanes: 8
  max_text_tokens: 40
  sources:
    north: {{path: {root}/north, weight: 2, use: images, weight_from_step: {{30: 1}}}}
    south: {{path: {root}/south}}
    west: {{path: {root}/west, epochs: 1}}
    idle: {{path: {root}/west, weight: 0}}
model: {{size: tiny, patch_size: 8}}
train: {{steps: 60, global_batch: 64}}
""")
    return root / "c.yaml"


def test_it_tells_what_the_plan_draws(config_file):
    prepared = prepare(load_config(config_file), 0, 2)
    seen = forecast(prepared.plan, prepared.sources, prepare_lengths(prepared), prepared.step, 60)
    lane, slot = prepared.plan.step_slots(0, 60 * prepared.step.slots, 0, 1)
    drawn = np.bincount(prepared.plan.places(lane, slot).source, minlength=4).tolist()
    assert [one.drawn for one in seen.sources] == drawn and sum(drawn) == 60 * 64
    assert [(one.paired, one.image_only, one.text_only) for one in seen.sources] == [
        (0, 120, 0), (0, 60, 0), (0, 0, 90), (0, 0, 90)]  # fmt: skip
    assert seen.sources[0].epochs == drawn[0] / 120
    assert seen.text_only == drawn[2] / sum(drawn) and seen.image_only == 1 - seen.text_only
    assert seen.sources[0].tokens_a_sample == 17 and 5 < seen.sources[2].tokens_a_sample < 41
    end = seen.sources[2].ends_at_step
    assert [step for step, _ in seen.changes] == [0, end, 30] and seen.changes[1][1].keys() == {"north", "south"}
    assert 0.7 < seen.sources[2].epochs <= 1
    assert seen.imbalance <= seen.imbalance_of_lanes and seen.imbalance <= seen.imbalance_max


def test_the_command_prints_tables_or_json(config_file, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(config_file), "--nodes", "2", "--ranks", "4", "--workers", "3"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "2 nodes x 4 ranks x 3 workers: a rank takes 1 micro-batches of 8 a step" in told
    assert "from step 30: north 0.5000, south 0.5000" in told and "exchanging samples among 8 ranks" in told
    with pytest.raises(SystemExit):
        main(["plan", str(config_file), "--json"])
    fields = json.loads(capsys.readouterr().out)
    assert fields["sources"][3]["steps_an_epoch"] is None and fields["shape"]["group"] == 1
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(config_file), "--nodes", "3"])
    assert ended.value.code == 2 and "3 ranks do not divide data.lanes=8" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        ends = [f"data.sources.{name}.epochs=1" for name in ("north", "south")]
        main(["plan", str(config_file), *ends])
    assert ended.value.code == 2 and "every source has ended by step" in capsys.readouterr().err


def test_a_source_too_small_for_its_epochs_is_told(config_file, tmp_path):
    make_shards(tmp_path, "few", Kind.TEXT, 5, size=48)
    prepared = prepare(load_config(config_file, [f"data.sources.few={{path: {tmp_path}/few, epochs: 1}}"]), 0, 1)
    seen = forecast(prepared.plan, prepared.sources, prepare_lengths(prepared), prepared.step, 60)
    assert [(one.name, one.drawn, one.ends_at_step) for one in seen.sources][3:] == [("idle", 0, None), ("few", 0, 0)]


def test_a_truncated_shard_is_told_at_once(config_file, tmp_path, capsys):
    shard = make_shards(tmp_path, "cut", Kind.TEXT, 20, size=48) / "train" / "cut-train-000000.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(config_file), f"data.sources.cut.path={tmp_path}/cut"])
    assert ended.value.code == 2 and "cut-train-000000.tar is truncated" in capsys.readouterr().err
