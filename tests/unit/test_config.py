import pytest

from cxrpt.config import load_config, to_yaml
from cxrpt.errors import InputError

BASE = ["name=r", "data.sources.north.path=shards/north"]


def test_defaults_file_command_line_in_this_order(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("data:\n  sources: {north: {path: s/north, weight: 2}}\n  workers: 1\ntrain: {steps: 7}\n")
    config = load_config(file, ["train.steps=9", "data.sources.north.use=pairs"])
    assert (config.name, config.train.steps, config.data.workers, config.optim.lr) == ("mine", 9, 1, 5e-4)
    assert (config.data.sources["north"].weight, config.data.sources["north"].use) == (2.0, "pairs")


@pytest.mark.parametrize(
    ("word", "closest"),
    [
        ("optim.leraning_rate=1", "optim."),
        ("train.globl_batch=8", "train.global_batch"),
        ("data.sources.north.wieght=1", "data.sources.north.weight"),
        ("zero_stage=1", "engine.zero_stage"),
        ("trian.steps=1", "train"),
    ],
)
def test_unknown_key_names_the_closest(word, closest):
    with pytest.raises(InputError, match="there is no key") as caught:
        load_config(None, [*BASE, word])
    assert closest in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["data.sources.north.weight=0"], "sums to 0"),
        (["data.sources.north.weight=-1"], "between 0 and"),
        (["data.sources.north.weight_from_step={4:0,7:5}"], "a blank after each colon"),
        (["data.sources.north.weight_from_step={0: 1}"], "steps above 0"),
        (["data.sources.north.epochs=-1"], "or more"),
        (["data.temperature=-1"], "at least 0.1"),
        (["train.steps=many"], "train.steps"),
        (["train.global_batch=100"], "multiple of data.lanes=64"),
        (["engine.device=tpu"], "auto, cpu or cuda"),
        (["engine.hang_timeout_s=-1"], "0 (off) or more"),
        (["train.stop_signals=[TERM,SIGUR1]"], "no such signal: the closest is 'USR1'"),
        (["train.stop_signals=[KILL]"], "no such signal"),
        (["train.spike_threshold=nan"], "0 (off) or more"),
        (["train.trace_steps=-2"], "0 (off) or more"),
        (["train.trace_from_step=0"], "above 0"),
        (["data.sources.north.use=both"], "all, pairs, images or texts"),
        (["steps"], "key=value"),
        (["objective.itc_weight=1"], "split_pairs"),
        (["data.image_size=0"], "above 0"),
        (["data.lanes=0"], "above 0"),
        (["eval.mask_kinds=[mixed,2x3]"], "a square of patches such as 2x2"),
        (["eval.mask_kinds=[]"], "at least one"),
        (["eval.max_biharmonic=-1"], "0 (none) or more"),
        (["optim.lr=-1"], "above 0"),
        (["optim.lr=nan"], "above 0"),
        (["data.image_size=100000"], "at most 4096"),
        (["model.depth=-1"], "model.depth"),
        (["train=3"], "train"),
        (["engine.zero_stage=4"], "0, 1, 2 or 3"),
        (["engine.zero_stage=0"], "set engine.precision=fp32, not bf16, or stage 1"),
        (["engine.precision=fp8"], "bf16, fp16 or fp32"),
        (["engine.initial_loss_scale_power=40"], "between 0 and 32"),
        (["engine.loss_scale_window=0"], "above 0"),
        (["engine.recompute_blocks=-2"], "-1 (all)"),
        (["engine.compile=true", "engine.zero_stage=3"], "use stage 2"),
        (["optim.schedule=linear"], "cosine or constant"),
        (["optim.cooldown_steps=5"], "optim.schedule=constant"),
        (["optim.warmup_steps=-1"], "0 or more"),
        (["optim.min_lr=1"], "between 0 and optim.lr"),
        (["eval.classifiers=[linear,probe]"], "'probe': must be one of linear, attention, fine_tune, zero_shot"),
        (["eval.classifiers=[]"], "must be one of linear"),
        (["eval.label_shares=[0,100]"], "eval.label_shares=0.0"),
        (["eval.label_shares=[]"], "per cent, above 0"),
        (["eval.label_shares=[101]"], "at most 100"),
        (["eval.label_draws=0"], "above 0"),
        (["eval.fine_tune_steps=0"], "above 0"),
        (["eval.fine_tune_lr=nan"], "between 0 and 1"),
        (["eval.threads=-1"], "eval.threads=-1: must be 0 (all) or more"),
        (["train.keep_last=-1"], "0 (all) or more"),
        (["train.keep_every=-1"], "0 (none) or more"),
        (["engine.max_skipped_steps=-1"], "0 or more"),
        (["data.max_bad_fraction=1.5"], "between 0 and 1"),
        (["optim.betas=[0.9,1.0]"], "below 1"),
        (["objective.mlm_weight=-1"], "0 (off) or more"),
        (["objective.mvm_scales=[1,2,2]"], "each once"),
        (["objective.mvm_scales=[1,0,2]"], "above 0"),
        (["objective.mvm_scale_weights=[0,0,0]"], "not all 0"),
        (["objective.mvm_scale_weights=[1,-1,1]"], "0 or more"),
        (["name=.."], "a run needs a name"),
    ],
)
def test_bad_values_are_one_clear_line(words, part):
    with pytest.raises(InputError) as caught:
        load_config(None, [*BASE, *words])
    assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_not_yaml_is_an_input_error(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("a: [1,\nb: }")
    with pytest.raises(InputError, match="not a yaml"):
        load_config(file)
    file.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        load_config(file)
    with pytest.raises(InputError, match="is a folder"):
        load_config(tmp_path)
    file.write_text("- 1\n- 2\n")
    with pytest.raises(InputError):
        load_config(file)


def test_yaml_of_a_config_reads_back_equal(tmp_path):
    config = load_config(None, [*BASE, "train.steps=3", "data.sources.west.path=w", "data.sources.west.use=texts"])
    file = tmp_path / "config.yaml"
    file.write_text(to_yaml(config))
    assert load_config(file) == config


def test_a_file_differs_from_its_base(tmp_path):
    (tmp_path / "common.yaml").write_text("base: defaults.yaml\ndata:\n  sources: {north: {path: s, weight: 2}}\nseed: 1\n")
    (tmp_path / "defaults.yaml").write_text("seed: 5\ntrain: {steps: 7}\n")
    (tmp_path / "mixed.yaml").write_text("base: common.yaml\ndata:\n  sources: {south: {path: t, use: images}}\n")
    config = load_config(tmp_path / "mixed.yaml", ["train.log_every=3"])
    assert (config.name, config.seed, config.train.steps, config.train.log_every) == ("mixed", 1, 7, 3)
    assert {name: source.use for name, source in config.data.sources.items()} == {"north": "all", "south": "images"}


def test_a_base_that_is_missing_or_circular_is_told(tmp_path):
    (tmp_path / "one.yaml").write_text("base: two.yaml\n")
    with pytest.raises(InputError, match=r"two.yaml does not exist"):
        load_config(tmp_path / "one.yaml", BASE)
    (tmp_path / "two.yaml").write_text("base: one.yaml\n")
    with pytest.raises(InputError, match="its own base"):
        load_config(tmp_path / "one.yaml", BASE)
