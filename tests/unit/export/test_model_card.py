"""Provenance of a checkpoint, and the card that tells it: what is recorded, and where nothing is, that."""

import json

import pytest

from cxrpt.checkpoint.state import RunState
from cxrpt.checkpoint.store import COMMITTED, commit, seal_files, step_folder
from cxrpt.config import load_config
from cxrpt.data.order.plan import Plan
from cxrpt.data.order.timeline import plan_segments
from cxrpt.data.storage.sources import open_sources
from cxrpt.data_record import write_data_record
from cxrpt.eval.worker import evaluate_step
from cxrpt.export.provenance import read_provenance
from cxrpt.export.write_package import write_package
from cxrpt.track.journal import Journal


@pytest.fixture
def run(make_run, tmp_path):
    """A run whose mix changed after 4 of its 10 steps, with what training leaves in a run directory."""
    quick = ("eval.max_regenerated=4", "eval.mask_ratios=[0.5]", "eval.untrained_baseline=false", "eval.classifiers=[linear]")
    run = make_run(tmp_path / "run", "data.sources.west.weight_from_step={4: 2}", "data.sources.north.weight=2", *quick,
                   steps=(10, 20))  # fmt: skip
    config = load_config(run / "config.yaml")
    sources = open_sources(config.data)
    plans, lanes = [source.plan for source in sources], config.data.lanes
    segments = plan_segments(plans, 0, lanes, 1024, 0, config.train.global_batch // lanes)
    plan = Plan(plans, lanes, segments)
    state = RunState(
        10, 20, timeline=[one.to_json() for one in segments], frozen={"train.global_batch": 8, "engine.precision": "bf16"}
    )
    state.samples_by_source, state.bad_by_source = {"north": 36, "south": 18, "west": 26}, {"north": 1}
    (step_folder(run, 10) / "run.json").write_text(state.to_json())
    recommit(step_folder(run, 10))
    write_data_record(run, sources, tmp_path / "none.model")
    journal = Journal(run / "journal.jsonl")
    for step, loss in ((9, 4.5), (12, 1.5)):
        journal.write(step, {"loss/mlm": loss, "loss/mlm/north": 9.0, "optim/lr": 1.0})
    journal.close()
    (run / "code.txt").write_text("cxrpt 0.1.0\ntorch 2.13.0\n")
    return run, plan.epochs(20)


def recommit(folder):
    (folder / COMMITTED).unlink()
    commit(folder, seal_files(folder))


def card_of(run, out, **options):
    write_package(run, out, **options)
    return (out / "README.md").read_text()


def test_provenance_is_what_the_run_directory_tells(run):
    run, epochs = run
    found = read_provenance(run, step_folder(run, 10), 10, 4)
    assert [one.name for one in found.sources] == ["north", "south", "west"]
    assert {one.name: one.epochs for one in found.sources} == epochs
    assert [(one.samples, one.seen, one.bad) for one in found.sources] == [(160, 36, 1), (160, 18, 0), (80, 26, 0)]
    assert [first for first, _ in found.mixes] == [1, 5]
    assert found.mixes[0][1]["north"] == 0.5 and found.mixes[1][1]["west"] == pytest.approx(0.4, abs=1e-3)
    assert (found.losses_at, found.losses) == (9, {"mlm": 4.5}) and found.versions == {"cxrpt": "0.1.0", "torch": "2.13.0"}
    assert read_provenance(run, step_folder(run, 20), 20, 4) is None, "an older checkpoint has no state"


def test_a_mix_that_is_to_come_is_not_told(run):
    run, _ = run
    state = RunState.read(step_folder(run, 10))
    state.step, state.slot = 3, 6
    (step_folder(run, 10) / "run.json").write_text(state.to_json())
    assert [first for first, _ in read_provenance(run, step_folder(run, 10), 3, 4).mixes] == [1]


def test_the_card_tells_what_was_seen_and_scored(run, tmp_path):
    run, _ = run
    before = card_of(run, tmp_path / "before", step=10)
    assert "This step was not evaluated." in before and "Evaluated were" not in before
    results = json.loads(evaluate_step(run, 10).read_text())
    card = card_of(run, tmp_path / "after", step=10)
    for words in (
        "| north | not recorded | everything | 160 | 0 | 0 | 160 | 36 |", "| 1 |\n| south |", "Mix from step 5:", "west 39.9%",
        "10 steps, 80 samples; global batch 8, precision bf16", "at step 9 (means since the step logged before): mlm 4.500.",
        "Step 10, split: test", "split_pairs 0", "Which reports the tokenizer was trained on: not recorded",
        "north, south, west: not recorded; their manifests do not say what made the shards",
        f"{results['metrics']['classify/auroc']:.3f} [", "## Licence\n\nNot stated.",
    ):  # fmt: skip
        assert words in card, words
    other = card_of(run, tmp_path / "other", step=20)
    assert (
        "This step was not evaluated. Evaluated were 10." in other and "Counts and what was seen of them: not recorded" in other
    )
    assert "were rounded and not evaluated" in card_of(run, tmp_path / "half", step=10, dtype="bf16")


def test_shards_of_cxrpt_prep_are_told_from_others(run, tmp_path):
    run, _ = run
    record = json.loads((run / "data.json").read_text())
    north = next(one for one in record["contents"].values() if one["institution"] == "north")
    north["settings"] = {"source": "hospital", "cxrpt": "0.1.0"}
    north["build"] = {"found": 200, "kept": 190, "excluded": 7, "failed": 3, "reasons": {"duplicate": 7}, "patients": 1234}
    (run / "data.json").write_text(json.dumps(record))
    card = card_of(run, tmp_path / "model", step=10)
    for words in (
        "| north | a hospital's export |", "- north: shards made by `cxrpt prep` 0.1.0", "- south, west: not recorded; their",
        "Patients in the training split: north 1,234, not recorded for south, west.",
        "200 found, 190 kept, 7 excluded, 3 failed (duplicate 7)",
        "What was left out when the shards of south, west were built: not recorded.",
    ):  # fmt: skip
        assert words in card, words


def test_a_run_of_an_older_version_or_with_torn_files_is_told_as_unknown(run, tmp_path):
    run, _ = run
    (run / "data.json").unlink()
    (run / "journal.jsonl").unlink()
    (run / "code.txt").unlink()
    (run / "evals" / "step-00000010").mkdir(parents=True)
    (run / "evals" / "step-00000010" / "results.json").write_text('{"step": 10, "details": {"classify": {}}}')
    (run / "evals" / "step-00000010" / "results-val.json").write_text("{")
    card = card_of(run, tmp_path / "model", step=10)
    assert "| north | not recorded | everything | not recorded | not recorded | not recorded | 160 | 36 |" in card
    assert "Training losses" not in card and "versions" not in card and "was not evaluated." in card
    (step_folder(run, 10) / "run.json").write_text('{"step": 10, "gone": 3}')
    recommit(step_folder(run, 10))
    assert "Counts and what was seen of them: not recorded" in card_of(run, tmp_path / "torn", step=10)


def test_names_cannot_write_markdown(make_run, tmp_path):
    run = make_run(tmp_path / "run", "data.sections=['A|B `c`']")
    card = card_of(run, tmp_path / "a|b<i>")
    assert "# a|b\\<i\\>" in card and "sections A\\|B \\`c\\` |" in card and 'load_pretrained("a|b<i>")' in card
