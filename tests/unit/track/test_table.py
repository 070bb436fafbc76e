import json
import math

import pandas as pd
import pytest

from cxrpt.errors import InputError
from cxrpt.track.journal import Journal
from cxrpt.track.table import metrics_table, only, plot, side_by_side, write_table
from cxrpt.track.tracking_files import write_tracking
from launch.metrics import metrics


@pytest.fixture
def run_dir(tmp_path):
    folder = tmp_path / "demo"
    folder.mkdir()
    journal = Journal(folder / "journal.jsonl")
    for step in (10, 20, 30):
        journal.write(step, {"loss/mlm": 30 / step, "loss/mlm/north": math.nan, "speed/samples_per_s": 40.0 + step})
    (folder / "evals" / "step-00000020").mkdir(parents=True)
    results = {"step": 20, "metrics": {"classify/auroc": 0.8, "retrieve/r1": None}}
    (folder / "evals" / "step-00000020" / "results.json").write_text(json.dumps(results))
    (folder / "evals" / "step-00000030").mkdir()
    (folder / "evals" / "step-00000030" / "results.json").write_text('{"step": 3')
    return folder


def test_one_row_a_step_and_evaluations_beside_training(run_dir):
    frame = metrics_table([run_dir])
    assert list(frame["step"]) == [10, 20, 30] and set(frame["run"]) == {"demo"}
    assert list(frame["loss/mlm"]) == [3.0, 1.5, 1.0]
    assert frame["eval/classify/auroc"].isna().tolist() == [True, False, True]
    assert "eval/retrieve/r1" not in frame
    assert str(frame["time"].dt.tz) == "UTC"
    assert list(metrics_table([run_dir], kind="eval")["step"]) == [20]


def test_two_runs_of_one_name_stay_apart(run_dir, tmp_path):
    other = tmp_path / "deep" / "demo"
    other.mkdir(parents=True)
    Journal(other / "journal.jsonl").write(10, {"loss/mlm": 7.0})
    frame = metrics_table([run_dir, other])
    assert len(frame) == 4 and frame["run"].nunique() == 2


def test_side_by_side_shows_the_last_values(run_dir, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Journal(other / "journal.jsonl").write(40, {"loss/mlm": 7.0})
    frame = metrics_table([run_dir, other])
    seen = side_by_side(frame)
    assert list(seen.columns) == ["demo", "other"]
    assert seen.loc["step"].tolist() == [30, 40] and seen.loc["loss/mlm"].tolist() == [1.0, 7.0]
    assert seen.loc["eval/classify/auroc", "demo"] == 0.8, "the last that was evaluated"
    assert math.isnan(seen.loc["eval/classify/auroc", "other"])
    lines = write_table(frame, "table", None).splitlines()
    assert lines[0].split() == ["demo", "other"] and ["loss/mlm", "1", "7"] in [line.split() for line in lines]


def test_only_some_metrics(run_dir):
    frame = only(metrics_table([run_dir]), "auroc")
    assert list(frame.columns) == ["run", "step", "time", "eval/classify/auroc"] and list(frame["step"]) == [20]
    with pytest.raises(InputError, match="no metric has 'rouge'"):
        only(metrics_table([run_dir]), "rouge")
    with pytest.raises(InputError, match="no regular expression"):
        only(metrics_table([run_dir]), "(")


def test_every_format_holds_the_same_numbers(run_dir, tmp_path):
    frame = metrics_table([run_dir])
    for form, read in (("csv", pd.read_csv), ("json", pd.read_json), ("parquet", pd.read_parquet)):
        out = tmp_path / "out" / f"m.{form}"
        assert write_table(frame, form, out) == ""
        back = read(out)
        assert list(back["step"]) == [10, 20, 30] and back["loss/mlm"].tolist() == [3.0, 1.5, 1.0]
        assert back["eval/classify/auroc"].notna().sum() == 1
    assert "eval/classify/auroc" in write_table(frame, "table", None)
    with pytest.raises(InputError, match="--out"):
        write_table(frame, "parquet", None)
    with pytest.raises(InputError, match="is a folder: name a file"):
        write_table(frame, "csv", tmp_path)
    with pytest.raises(InputError, match="is a file: name another place"):
        write_table(frame, "csv", tmp_path / "out" / "m.csv" / "n.csv")
    with pytest.raises(InputError, match="xml"):
        write_table(frame, "xml", None)


def test_plots_are_drawn(run_dir, tmp_path):
    plot(metrics_table([run_dir]), tmp_path / "p" / "m.png")
    assert (tmp_path / "p" / "m.png").read_bytes()[:4] == b"\x89PNG"
    plot(metrics_table([run_dir]), tmp_path / "m.svg")
    comments = [line for line in (tmp_path / "m.svg").read_text().splitlines() if line.startswith("    <!--") or "<!--" in line]
    for title in ("Masked language loss", "Speed", "Classification"):
        assert any(title in line for line in comments)
    assert not any("Contrastive" in line for line in comments)
    plot(pd.concat([metrics_table([run_dir]), metrics_table([run_dir]).assign(run="other")]), tmp_path / "two.svg")
    told = (tmp_path / "two.svg").read_text()
    assert "<!-- other -->" in told and "Masked language loss" in told and "mlm/north" not in told
    with pytest.raises(InputError, match="ends in"):
        plot(metrics_table([run_dir]), tmp_path / "m.txt")
    with pytest.raises(InputError, match="plotted"):
        plot(metrics_table([run_dir])[["run", "step", "time"]], tmp_path / "n.png")


def test_no_run_and_no_metrics(tmp_path):
    with pytest.raises(InputError, match="no run directory"):
        metrics_table([tmp_path / "none"])
    with pytest.raises(InputError, match="no metrics"):
        metrics_table([tmp_path])


def test_the_command_prints_and_names_a_dead_server(run_dir, capsys):
    metrics([run_dir], form="csv")
    assert capsys.readouterr().out.startswith("run,step,time,")
    with pytest.raises(InputError, match=r"tracking\.json"):
        metrics([run_dir], source="mlflow")
    write_tracking(run_dir, "http://127.0.0.1:1", "t", "demo", {})
    with pytest.raises(InputError, match="does not answer"):
        metrics([run_dir], sync=True)
