"""The page comes with the results, tells what was evaluated, and never costs the scores."""

import json

from cxrpt.data_record import SourceRecord
from cxrpt.eval.page.page import page_path
from cxrpt.eval.subject import training_facts
from cxrpt.eval.worker import evaluate_step
from cxrpt.export.provenance import Provenance, SourceSeen
from launch.cli import main


def test_an_evaluation_writes_its_page_and_what_it_was_of(make_run, tmp_path, exported, capsys):
    run = make_run(tmp_path / "r", "eval.tasks=[]")
    results = evaluate_step(run, None)
    page = page_path(results)
    assert "step 10" in page.read_text() and page == results.with_name("report.html")
    fields = json.loads(results.read_text())
    parameters = sum(one.numel() for one in exported.model.parameters())
    assert fields["model"]["parameters"] == parameters and fields["model"]["width"] == 32
    assert fields["trained_on"] == [], "the checkpoint was made without a state of the run"

    page.unlink()
    stamp = results.stat().st_mtime_ns
    assert evaluate_step(run, None) == results and page.exists() and results.stat().st_mtime_ns == stamp
    try:
        main(["evaluate", str(run)])
    except SystemExit as done:
        assert not done.code
    assert str(page) in capsys.readouterr().out.replace("\n", "")


def test_a_page_that_cannot_be_written_does_not_cost_the_scores(make_run, tmp_path, caplog):
    run = make_run(tmp_path / "r", "eval.tasks=[]")
    folder = run / "evals" / "step-00000010"
    (folder / "report.html").mkdir(parents=True)
    results = evaluate_step(run, None)
    assert json.loads(results.read_text())["step"] == 10
    assert "cannot be written" in caplog.text and "--page" in caplog.text


def test_what_was_trained_on_is_told_by_source(monkeypatch, tmp_path):
    record = SourceRecord("north", "pairs", 80, 9, 3, 2, {}, {"patients": 70})
    seen = (SourceSeen("north", 80, 640, 1, 8.0, ("a pairs",), record), SourceSeen("old", 5, 4, 0, 0.8, ("b all",), None))
    provenance = Provenance(seen, ((1, {"old": 1.0}), (5, {"north": 0.75, "old": 0.25})), {}, 0, {}, None, {})
    monkeypatch.setattr("cxrpt.eval.subject.read_provenance", lambda *words: provenance)
    north, old = training_facts(tmp_path, tmp_path, 10, 4)
    assert north == {
        "source": "north", "samples": 80, "seen": 640, "epochs": 8.0, "bad": 1, "share": 0.75,
        "use": "pairs", "pairs": 80, "images": 9, "texts": 3, "patients": 70,
    }  # fmt: skip
    assert old == {"source": "old", "samples": 5, "seen": 4, "epochs": 0.8, "bad": 0, "share": 0.25}
