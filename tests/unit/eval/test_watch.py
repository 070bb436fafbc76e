import errno
import json
import threading
from dataclasses import replace

import pytest

from cxrpt.attempts import recorded
from cxrpt.config import RunConfig, config_of
from cxrpt.errors import InputError
from cxrpt.eval import claim, watch
from cxrpt.eval.backlog import backlog, run_has_ended, wanted_steps
from cxrpt.eval.claim import ClaimedError, Interrupted, claimed
from cxrpt.eval.watch import watch_run
from cxrpt.eval.worker import evaluate_step
from cxrpt.track.sink import fetch_metrics
from cxrpt.track.tracking_files import write_tracking
from launch.cli import main
from launch.evaluate import evaluate

QUICK = ("eval.tasks=[retrieve]", "eval.max_pairs=8", "train.checkpoint_every=10", "train.steps=30")


@pytest.fixture
def run(make_run, tmp_path):
    return make_run(tmp_path / "r", *QUICK, steps=(10, 20, 30))


@pytest.mark.parametrize(
    ("every", "order", "steps"),
    [(1, "newest", [30, 25, 20, 10]), (1, "oldest", [10, 20, 25, 30]), (2, "oldest", [20, 30])],
)
def test_which_steps_are_wanted(every, order, steps):
    config = RunConfig()
    config.train.steps, config.train.checkpoint_every = 30, 10
    config.eval = replace(config.eval, every=every, order=order)
    assert wanted_steps(config, [10, 20, 25, 30]) == steps, "25 is a save on the way out"


def test_a_worker_ends_with_the_run_and_its_backlog(run):
    assert backlog(run, config_of(run)) == [30, 20, 10]
    assert watch_run(run, lambda: False) == 0
    assert backlog(run, config_of(run)) == []
    folders = [run / "evals" / f"step-{step:08d}" for step in (10, 20, 30)]
    assert all((folder / "results.json").exists() for folder in folders)
    pages = [(folder / "report.html").stat().st_mtime_ns for folder in folders]
    assert pages[-1] == max(pages), "the newest was evaluated first, and shows what came after"


def test_two_workers_share_the_work(run, monkeypatch):
    codes, done = [], []

    def noted(run_dir, step, **options):
        path = evaluate_step(run_dir, step, **options)
        done.append((step, threading.get_ident()))
        return path

    monkeypatch.setattr(watch, "evaluate_step", noted)
    workers = [threading.Thread(target=lambda: codes.append(watch_run(run, lambda: False))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert codes == [0, 0] and backlog(run, config_of(run)) == []
    assert sorted(step for step, _ in done) == [10, 20, 30] and len({worker for _, worker in done}) == 2


def test_a_worker_that_is_stopped_leaves_no_claim(run):
    asked = iter([False, False, True])
    assert watch_run(run, lambda: next(asked, True)) == 75
    assert not list(run.glob("evals/*/claim")) and len(backlog(run, config_of(run))) == 3


def test_when_a_run_has_ended(make_run, tmp_path):
    run = make_run(tmp_path / "r", *QUICK, steps=(10,))
    config = config_of(run)
    assert not run_has_ended(run, config), "nobody has started it yet, or it runs"
    for code, ended in ((0, False), (75, False), (2, True), (1, True)):
        with recorded(run, "7", 1, 10) as record:
            record.code = code
        assert run_has_ended(run, config) == ended
    with recorded(run, "7", 1, 10) as record:
        record.code = 75
        (run / "stop-requested").touch()
    assert run_has_ended(run, config)


def test_a_claim_of_another_host_lapses_when_its_beat_stops(run, monkeypatch):
    folder = run / "evals" / "step-00000010"
    folder.mkdir(parents=True)
    monkeypatch.setattr(claim, "SILENCE_S", 0.2)
    theirs = {"host": "another", "pid": 1, "started": "1", "token": "t", "beat": 0}
    until = threading.Event()
    for beat in range(3):
        (folder / "claim").write_text(json.dumps(theirs | {"beat": beat}))
        with pytest.raises(ClaimedError, match="on another"), claimed(folder):
            pass
        until.wait(0.3)
    with claimed(folder) as ours:
        assert ours.is_ours()


def test_a_worker_that_was_taken_for_dead_gives_up(run, monkeypatch):
    folder = run / "evals" / "step-00000010"

    def taken_over(*arguments, **words):
        (folder / "claim").write_text(json.dumps({"host": "another", "pid": 1, "started": "1", "token": "t", "beat": 0}))
        return {}, {}

    monkeypatch.setattr("cxrpt.eval.worker._run_task", taken_over)
    with pytest.raises(Interrupted):
        evaluate_step(run, 10)
    assert json.loads((folder / "claim").read_text())["host"] == "another", "it is not ours to remove"
    assert not (folder / "results.json").exists()


def test_the_beat_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(claim, "BEAT_S", 0.02)
    with claimed(tmp_path) as ours:
        first = json.loads((tmp_path / "claim").read_text())["beat"]
        threading.Event().wait(0.3)
        assert json.loads((tmp_path / "claim").read_text())["beat"] > first and ours.is_ours()
    assert not (tmp_path / "claim").exists()


def test_what_was_evaluated_by_hand_reaches_mlflow(run, tmp_path, capsys):
    evaluate(run)
    assert "not sent" not in capsys.readouterr().err, "a run without tracking is no trouble"
    write_tracking(run, f"sqlite:///{tmp_path}/m.db", "trials", "r", {})
    evaluate(run, step=20)
    assert {entry.step for entry in fetch_metrics(run)} >= {20, 30}
    write_tracking(run, "http://127.0.0.1:1", "trials", "r", {})
    evaluate(run, step=10)  # the results are there all the same
    assert "cxrpt metrics" in capsys.readouterr().err


def test_trouble_of_the_machine_does_not_end_a_worker(run, monkeypatch, capsys):
    left = [OSError(errno.ESTALE, "Stale file handle"), RuntimeError("CUDA out of memory")]

    def failing(*words, **options):
        if left:
            raise left.pop()
        return evaluate_step(*words, **options)

    monkeypatch.setattr(watch, "evaluate_step", failing)
    monkeypatch.setattr(watch, "_TROUBLE_PAUSE_S", 0.01)
    assert watch_run(run, lambda: False) == 0
    assert backlog(run, config_of(run)) == []
    said = capsys.readouterr().err
    assert "RuntimeError: CUDA out of memory" in said and "Stale file handle" in said


def test_a_folder_that_cannot_be_locked_is_evaluated_all_the_same(run, monkeypatch):
    def unlocked(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(claim.fcntl, "flock", unlocked)
    folder = run / "evals" / "step-00000010"
    with claimed(folder), pytest.raises(ClaimedError), claimed(folder):
        pass
    assert not (folder / "claim").exists()


class Clock:
    """The time of a worker, which goes on only while it waits; `during` is called at every wait."""

    def __init__(self, during=lambda now: None):
        self.now, self._during = 0.0, during

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        assert self.now < 1e4, "a worker that does not end"
        self._during(self.now)


def test_a_worker_ends_when_the_trainer_is_silent_and_not_before(make_run, tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path / "r", *QUICK, "eval.idle_min=0.5", steps=())
    last_beat = 40.0
    clock = Clock(lambda now: (run / "lease.json").write_text(str(now)) if now <= last_beat else None)
    monkeypatch.setattr(watch, "time", clock)
    assert watch_run(run, lambda: False) == 0
    assert last_beat + 30 < clock.now <= last_beat + 30 + 2 * watch._POLL_S, "0.5 min after the last sign of life"
    assert "silent for 0.5 min" in capsys.readouterr().err


@pytest.mark.parametrize("trouble", [InputError("broken"), OSError(errno.EIO, "broken")])
@pytest.mark.parametrize("has_ended", [True, False])
def test_a_step_that_always_fails_is_left_alone_and_told_of(make_run, tmp_path, monkeypatch, capsys, trouble, has_ended):
    run = make_run(tmp_path / "r", *QUICK, "eval.idle_min=0.5", steps=(10, 20, 30) if has_ended else (10, 20))
    tried = []

    def failing(run_dir, step, **options):
        tried.append(step)
        if step == 20:
            raise trouble
        folder = run / "evals" / f"step-{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text("{}")
        return folder / "results.json"

    monkeypatch.setattr(watch, "evaluate_step", failing)
    monkeypatch.setattr(watch, "_renew_page", lambda run_dir: None)
    monkeypatch.setattr(watch, "time", Clock())
    assert watch_run(run, lambda: False) == 1, "what is wanted is not done"
    assert tried.count(20) == watch._MAX_FAILURES and tried.count(10) == 1, "it does not stand in the way of the others"
    assert backlog(run, config_of(run)) == [20]
    said = capsys.readouterr().err
    assert "after 3 failures each: step 20;" in said and ("silent" in said) != has_ended


@pytest.mark.parametrize("code", [0, 1])
def test_watch_of_the_command_line_ends_with_the_code_of_its_worker(tmp_path, monkeypatch, code):
    def worker(run_dir, stopped):
        assert run_dir == tmp_path and not stopped()
        return code

    monkeypatch.setattr(watch, "watch_run", worker)
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(tmp_path), "--watch"])
    assert end.value.code == code


def test_watch_without_slurm_evaluates_what_is_there(make_run, tmp_path):
    run = make_run(tmp_path / "r", *QUICK, steps=(30,))
    with pytest.raises(SystemExit) as end:
        main(["evaluate", str(run), "--watch"])
    assert end.value.code == 0 and (run / "evals" / "step-00000030" / "results.json").exists()
