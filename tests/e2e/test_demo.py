"""The whole way, by the command line: what comes out, and what must not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cxrpt.track.journal import read_journal
from data_prep.synthetic import canaries
from tests.decoded_table import decoded

ROOT = Path(__file__).parents[2]
INSTITUTIONS = ("north", "south", "west")


def cxrpt(*words, code=0, cwd=None):
    done = subprocess.run(
        [sys.executable, "-m", "launch.cli", *map(str, words)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == code, (done.stdout[-2000:], done.stderr[-4000:])
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    said = cxrpt("demo", "--out", "demo", "--studies", "90", "--steps", "20", cwd=folder)
    return folder / "demo", said


def test_the_summary_says_all(demo):
    out, said = demo
    for words in ("inputs", "losses", "MLM", "MVM", "mlflow.db", "metrics.png", "figures"):
        assert words in said, words
    assert (out / "metrics.csv").stat().st_size and (out / "metrics.png").stat().st_size
    results = json.loads(next((out / "runs/demo/evals").glob("step-*/results.json")).read_text())
    assert {"retrieve", "regenerate"} <= {name.split("/")[0] for name in results["metrics"]}
    # The key is new, and so is the split: of a dozen test images a class may have too few to be scored, which must be said.
    assert "classify/auroc" in results["metrics"] or "no class has" in json.dumps(results["details"]["classify"])


def test_nothing_vanishes(demo):
    out, _ = demo
    for name in INSTITUTIONS:
        lines = [json.loads(line) for line in (out / "shards" / name / "ledger.jsonl").read_text().splitlines()]
        built = json.loads((out / "shards" / name / "build.json").read_text())
        assert built["kept"] + built["excluded"] + built["failed"] == built["found"] == len(lines) > 0
        assert {line["outcome"] for line in lines} <= {"kept", "excluded", "failed"}


def test_losses_fall(demo):
    entries = read_journal(demo[0] / "runs/demo/journal.jsonl")
    first, last = entries[0].metrics, entries[-1].metrics
    assert last["loss/mlm"] < first["loss/mlm"] and last["loss/mvm"] < first["loss/mvm"]


WORDS = {".csv", ".json", ".jsonl", ".log", ".md", ".txt", ".yaml", ".vocab"}
"""Ends of the names of files that hold nothing but words."""


def test_no_canary_in_any_output_log_or_record(demo):
    """File contents (tars and the MLflow database among them), names of files, and what was printed."""
    out, said = demo
    listed = (out / "export" / "CANARIES.txt").read_text().split("\n")
    marks = sorted({mark.strip() for mark in [*listed, *canaries()] if mark.strip()})
    assert len(marks) > 20
    exported = b"".join(p.read_bytes() for p in (out / "export").rglob("*") if p.is_file())
    present = [mark for mark in marks if mark.encode() in exported]
    assert len(present) > 20, "the canaries are not in the export: the test would prove nothing"
    looked_at = 0
    # Beside the export only the map that resolves ledger hashes may name its files: it lies outside the output, mode 0600.
    for path in [p for p in out.rglob("*") if not p.is_relative_to(out / "export") and not p.match("shards.*.paths.jsonl")]:
        names = str(path.relative_to(out)).lower()
        content = decoded(path).lower() if path.is_file() else b""
        looked_at += path.is_file()
        # Among megabytes of weights or pixels any four letters stand somewhere by chance.
        long_enough = 1 if path.suffix in WORDS else 6
        for mark in [mark for mark in marks if len(mark) >= long_enough]:
            assert mark.lower() not in names, f"{mark} in a file name"
            assert mark.lower().encode() not in content, f"{mark} in {path.relative_to(out)}"
    assert looked_at > 30
    told = said.lower()
    assert not [mark for mark in marks if mark.lower() in told]


def test_the_key_and_the_path_map_lie_outside_the_shards(demo):
    out, _ = demo
    assert (out / "shards.key").stat().st_mode & 0o777 == 0o600
    for name in INSTITUTIONS:
        assert (out / f"shards.{name}.paths.jsonl").stat().st_mode & 0o777 == 0o600


def test_run_again_it_does_nothing_new(demo):
    out, _ = demo
    before = {p: p.stat().st_mtime_ns for p in (out / "shards").rglob("*.tar")}
    lines = (out / "runs/demo/journal.jsonl").read_text().splitlines()
    cxrpt("demo", "--out", "demo", "--studies", "90", "--steps", "20", cwd=out.parent)
    assert {p: p.stat().st_mtime_ns for p in (out / "shards").rglob("*.tar")} == before
    assert (out / "runs/demo/journal.jsonl").read_text().splitlines() == lines


def test_a_truncated_tar_is_named_by_verify_and_by_pretrain(demo):
    out, _ = demo
    shard = next((out / "shards/north/train").glob("*.tar"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[: len(whole) // 2])
    try:
        assert shard.name in cxrpt("verify", out / "shards", code=1)
        words = [f"data.sources.{name}.path={out}/shards/{name}" for name in INSTITUTIONS]
        said = cxrpt("pretrain", ROOT / "configs/demo.yaml", *words, f"data.tokenizer={out}/tokenizer.model", "name=x", code=2)
        assert "truncated" in said and shard.name in said and len(said.strip().splitlines()) == 1
    finally:
        shard.write_bytes(whole)


def test_an_output_that_holds_another_build_is_refused(demo):
    out, _ = demo
    said = cxrpt("prep", "hospital", out / "export/south", "--out", out / "shards", "--institution", "north", code=2)
    assert "holds a build with another source" in said and "Traceback" not in said


def test_metrics_come_out_of_the_journal_and_of_mlflow(demo, tmp_path):
    import pandas as pd

    out, _ = demo
    cxrpt("metrics", out / "runs/demo", "--format", "json", "--out", tmp_path / "a.json")
    cxrpt("metrics", out / "runs/demo", "--format", "parquet", "--out", tmp_path / "b.parquet", "--source", "mlflow")
    journal, store = pd.read_json(tmp_path / "a.json"), pd.read_parquet(tmp_path / "b.parquet")
    both = sorted(set(journal.columns) & set(store.columns) - {"run", "time"})
    assert any(name.endswith("loss/mlm") for name in both) and any("eval" in name for name in both)
    for name in both:
        a, b = journal[name].dropna().to_numpy(), store[name].dropna().to_numpy()
        np.testing.assert_allclose(a, b, rtol=1e-6, err_msg=name)
