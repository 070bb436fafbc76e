"""Evaluation workers beside a training job, and what becomes of their work when one of them is killed."""

import json
import signal

import pytest

from .lab import send

pytestmark = pytest.mark.slurm

LIKE = ("train.steps=100", "train.checkpoint_every=20", "train.log_every=1", "train.keep_last=0")
QUICK = ("eval.tasks=[retrieve]", "eval.max_pairs=16", "eval.order=oldest")


def results(runs, name: str) -> set[str]:
    return {path.parent.name for path in runs.folder(name).glob("evals/*/results.json")}


def test_checkpoints_are_evaluated_while_training_goes_on(cluster_runs):
    name, steps = "evaluated", 300
    long = (f"train.steps={steps}", "train.checkpoint_every=60")
    cluster_runs.submit(
        name, *LIKE, *long, *QUICK, "cluster.evaluate.workers=1", f"track.uri=sqlite:///{cluster_runs.root}/m.db"
    )
    cluster_runs.wait(lambda: bool(results(cluster_runs, name)), "a first result")
    early = cluster_runs.last_step(name)
    cluster_runs.wait_until_done(name, steps)
    assert results(cluster_runs, name) == {f"step-{step:08d}" for step in range(60, steps + 1, 60)}, (
        "the worker ends when all is done"
    )
    assert early < steps, "the first result came while the run trained"
    entries = cluster_runs.cxrpt("metrics", str(cluster_runs.folder(name)), "--source", "mlflow", "--format", "csv")
    assert "retrieve/" in entries, "results reach MLflow"
    told = json.loads(cluster_runs.cxrpt("status", str(cluster_runs.folder(name)), "--json"))
    assert (told["state"], told["step"], told["to_evaluate"]) == ("done", steps, 0)


def test_another_worker_takes_over_from_one_that_was_killed(cluster_runs, lab):
    name = "taken-over"
    cluster_runs.finish(name, *LIKE, "train.steps=20", "eval.max_pairs=16", ranks=2)
    # All tasks, so that the worker is killed in mid-work.
    cluster_runs.submit(name, *LIKE, "train.steps=20", "cluster.evaluate.workers=2")
    claim = cluster_runs.folder(name) / "evals" / "step-00000020" / "claim"
    cluster_runs.wait(claim.exists, "a claim")
    first = json.loads(claim.read_text())
    assert not results(cluster_runs, name)
    send(signal.SIGKILL, [lab.processes(first["host"], b"submitit")[first["pid"]]])
    cluster_runs.wait(lambda: bool(results(cluster_runs, name)), "a result by the other")
    cluster_runs.wait(lambda: not claim.exists(), "the end of the claim")
    cluster_runs.wait(lambda: not cluster_runs.jobs(), "the end of its jobs", 120)


def test_a_worker_whose_node_has_gone_is_replaced_from_another_node(cluster_runs):
    name = "node-lost"
    lab, folder = cluster_runs.lab, cluster_runs.folder(name)
    words = (*LIKE, "train.steps=20", "eval.max_pairs=16")
    cluster_runs.finish(name, *words, ranks=2)
    claim = folder / "evals" / "step-00000020" / "claim"
    cluster_runs.submit(name, *words, "cluster.evaluate.workers=1", "cluster.evaluate.options.nodelist=n1")
    cluster_runs.wait(claim.exists, "a claim")
    lab.switch_off("n1")
    assert json.loads(claim.read_text())["host"] == "n1" and not results(cluster_runs, name)
    cluster_runs.submit(name, *words, "cluster.evaluate.workers=2", "cluster.evaluate.options.nodelist=n2")
    cluster_runs.wait(lambda: claim.exists() and json.loads(claim.read_text())["host"] == "n2", "the other's claim")
    cluster_runs.wait(lambda: bool(results(cluster_runs, name)), "a result by the other")
    lab.switch_on("n1")
    cluster_runs.wait(lambda: not cluster_runs.jobs(), "the end of its jobs", 120)
    assert not claim.exists()


def test_two_submits_at_once_make_one_trainer(cluster_runs):
    name = "twice"
    words = cluster_runs.submit_words(name, *LIKE)
    both = [cluster_runs.lab.start(*words, cwd=cluster_runs.cwd) for _ in range(2)]
    said = [one.communicate(timeout=120)[0] for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sum("training: job" in one for one in said) == 1
    assert sum("is at it" in one for one in said) == 1
    cluster_runs.wait_until_done(name, 100)


def test_training_with_and_without_workers_is_the_same(cluster_runs):
    """What it costs in time is measured by benchmarks/beside_evaluation.py."""
    for name, workers in (("without", 0), ("with", 1)):
        node = "cluster.evaluate.options.nodelist=n2"
        one = ("cluster.train.nodes=1", "cluster.train.options.nodelist=n1", node, f"cluster.evaluate.workers={workers}")
        cluster_runs.submit(name, *LIKE, *QUICK, *one)
        cluster_runs.wait_until_done(name, 100)
    assert cluster_runs.losses("with") == cluster_runs.losses("without")
