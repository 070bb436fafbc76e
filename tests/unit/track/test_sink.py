import http.server
import json
import math
import os
import socket
import sqlite3
import subprocess
import sys
import threading

import pytest

from cxrpt.attempts import recorded
from cxrpt.errors import InputError
from cxrpt.track import sink
from cxrpt.track.address import check_tracking_uri
from cxrpt.track.journal import Journal
from cxrpt.track.sink import fetch_metrics, start_sink, sync_once
from cxrpt.track.tracking_files import write_tracking
from cxrpt.track.trouble import TrackingError


def history(run_dir, name):
    """Every point in the store, duplicates included."""
    with sqlite3.connect(run_dir.parents[1] / "mlflow.db") as store:
        return store.execute(
            "select step, value, is_nan from metrics where key = ? order by step, timestamp", (name,)
        ).fetchall()


def write_eval(run_dir, step, **metrics):
    folder = run_dir / "evals" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({"step": step, "metrics": metrics}))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_metrics_params_and_evaluations_arrive_once(run_dir):
    journal = Journal(run_dir / "journal.jsonl")
    for step in (10, 20):
        journal.write(step, {"loss/mlm": 1 / step, "loss/mlm/north": 2 / step})
    write_eval(run_dir, 20, **{"classify/auroc": 0.75, "retrieve/r1": "NaN"})
    assert sync_once(run_dir) == 6
    assert sync_once(run_dir) == 0
    journal.write(30, {"loss/mlm": 0.5})
    assert sync_once(run_dir) == 1
    assert [(s, v) for s, v, _ in history(run_dir, "loss/mlm")] == [(10, 0.1), (20, 0.05), (30, 0.5)]
    assert history(run_dir, "eval/classify/auroc") == [(20, 0.75, 0)]
    assert history(run_dir, "eval/retrieve/r1")[0][2] == 1
    with sqlite3.connect(run_dir.parents[1] / "mlflow.db") as store:
        assert dict(store.execute("select key, value from params").fetchall()) == {"optim.lr": "0.0001", "name": "demo"}
        assert store.execute("select count(*) from runs").fetchone() == (1,)


def test_the_server_is_told_how_the_run_ended(run_dir):
    def told():
        sync_once(run_dir)
        with sqlite3.connect(run_dir.parents[1] / "mlflow.db") as store:
            return store.execute("select status, end_time is not null from runs").fetchone()

    with recorded(run_dir, "", 1, 0) as attempt:
        assert told() == ("RUNNING", 0)
        attempt.code = 75
    assert told()[0] == "SCHEDULED", "stopped after a save: it is to be run again"
    with recorded(run_dir, "", 1, 10):
        assert told()[0] == "RUNNING"
    assert told() == ("FINISHED", 1)
    with pytest.raises(RuntimeError), recorded(run_dir, "", 1, 10):
        raise RuntimeError("of a test")
    write_eval(run_dir, 10, **{"classify/auroc": 0.75})
    assert told() == ("FAILED", 1) and history(run_dir, "eval/classify/auroc") == [(10, 0.75, 0)]


def test_a_step_that_was_sent_is_not_sent_again_by_a_later_attempt(run_dir):
    first = Journal(run_dir / "journal.jsonl")
    for step in (10, 20, 30):
        first.write(step, {"loss": 1.0})
    sync_once(run_dir)
    second = Journal(run_dir / "journal.jsonl")
    for step in (20, 30, 40):
        second.write(step, {"loss": 2.0})
    assert sync_once(run_dir) == 1
    assert [(s, v) for s, v, _ in history(run_dir, "loss")] == [(10, 1.0), (20, 1.0), (30, 1.0), (40, 2.0)]


def test_of_what_was_never_sent_the_last_attempt_goes(run_dir):
    for attempt in (1.0, 2.0):
        journal = Journal(run_dir / "journal.jsonl")
        for step in (10, 20):
            journal.write(step, {"loss": attempt})
    assert sync_once(run_dir) == 2
    assert [v for _, v, _ in history(run_dir, "loss")] == [2.0, 2.0]


@pytest.mark.parametrize("after", ["create_run", "log_batch"])
def test_a_kill_between_the_server_and_our_note_repeats_nothing(run_dir, monkeypatch, after):
    Journal(run_dir / "journal.jsonl").write(10, {"loss": 1.0, "bad": math.nan})
    client = sink._client(json.loads((run_dir / "tracking.json").read_text())["uri"])

    class Killed(BaseException):
        pass

    def killed(*args, **kwargs):
        getattr(client, after)(*args, **kwargs)
        if after == "create_run" or kwargs.get("metrics"):
            raise Killed

    class Client:
        def __getattr__(self, name):
            return killed if name == after else getattr(client, name)

    with monkeypatch.context() as patch:
        patch.setattr(sink, "_client", lambda uri, to_write: Client())
        with pytest.raises(Killed):
            sync_once(run_dir)
    sync_once(run_dir)
    assert len(history(run_dir, "loss")) == 1 and len(history(run_dir, "bad")) == 1
    with sqlite3.connect(run_dir.parents[1] / "mlflow.db") as store:
        assert store.execute("select count(*) from runs").fetchone() == (1,)


def test_batches_keep_to_the_limit_and_are_noted_one_by_one(run_dir, monkeypatch):
    journal = Journal(run_dir / "journal.jsonl")
    for step in range(1, 26):
        journal.write(step, {f"m{n}": float(n) for n in range(100)})
    client = sink._client(json.loads((run_dir / "tracking.json").read_text())["uri"])
    sizes = []

    class Client:
        def __getattr__(self, name):
            return getattr(client, name)

        def log_batch(self, run_id, metrics=(), params=()):
            if len(sizes) == 2 and metrics:
                raise sink_error("gone")
            client.log_batch(run_id, metrics=metrics, params=params)
            sizes.extend([len(metrics)] if metrics else [])

    from mlflow.exceptions import MlflowException as sink_error

    with monkeypatch.context() as patch:
        patch.setattr(sink, "_client", lambda uri, to_write: Client())
        with pytest.raises(TrackingError):
            sync_once(run_dir)
    assert sizes == [1000, 1000]
    assert sync_once(run_dir) == 500  # only what was not confirmed
    assert [s for s, _, _ in history(run_dir, "m7")] == list(range(1, 26))


def test_a_line_still_being_written_waits(run_dir):
    Journal(run_dir / "journal.jsonl").write(10, {"loss": 1.0})
    whole = (run_dir / "journal.jsonl").read_bytes()
    with (run_dir / "journal.jsonl").open("ab") as file:
        file.write(whole[:25].replace(b"10", b"20"))
    assert sync_once(run_dir) == 1
    assert json.loads((run_dir / "tracking-state.json").read_text())["offset"] == len(whole)


def test_long_values_odd_names_and_changed_params(run_dir):
    uri = json.loads((run_dir / "tracking.json").read_text())["uri"]
    write_tracking(run_dir, uri, "trials", "demo", {"path": "x" * 9000, "odd[0]=\u00e4": 1, **{f"p{n}": n for n in range(150)}})
    Journal(run_dir / "journal.jsonl").write(1, {"loss (\u00b5)": 1.0})
    assert sync_once(run_dir) == 1
    write_tracking(run_dir, uri, "trials", "demo", {"p1": "other", "new": 1})
    sync_once(run_dir)
    with sqlite3.connect(run_dir.parents[1] / "mlflow.db") as store:
        params = dict(store.execute("select key, value from params").fetchall())
        tags = dict(store.execute("select key, value from tags").fetchall())
    assert len(params) == 153 and 400 < len(params["path"]) < 9000 and params["odd_0___"] == "1" and params["p1"] == "1"
    assert tags["changed.p1"] == "other"
    assert history(run_dir, "loss ___") or history(run_dir, "loss __")


def test_another_server_gets_everything(run_dir, empty_store):
    Journal(run_dir / "journal.jsonl").write(10, {"loss": 1.0})
    sync_once(run_dir)
    (run_dir / "other.db").write_bytes(empty_store)
    write_tracking(run_dir, f"sqlite:///{run_dir}/other.db", "trials", "demo", {})
    assert sync_once(run_dir) == 1


def test_the_process_sends_and_ends_when_its_starter_is_gone(run_dir):
    Journal(run_dir / "journal.jsonl").write(10, {"loss": 1.0})
    process = start_sink(run_dir)
    Journal(run_dir / "journal.jsonl").write(20, {"loss": 2.0})
    process.stdin.close()
    assert process.wait(60) == 0
    assert [(s, v) for s, v, _ in history(run_dir, "loss")] == [(10, 1.0), (20, 2.0)]


class _Store(http.server.BaseHTTPRequestHandler):
    """As much of MLflow's REST interface as the sink speaks; what arrives is kept in `arrived`."""

    arrived: list

    def _answer(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        run = {"info": {"run_id": "r1", "experiment_id": "1", "status": "RUNNING"}, "data": {}}
        if self.path.endswith("log-batch"):
            self.arrived.extend(body.get("metrics", []))
        answer = {"experiment": {"experiment_id": "1", "name": "t"}} if "experiments" in self.path else {"run": run}
        data = json.dumps({} if "search" in self.path or "log-batch" in self.path else answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer

    def log_message(self, *args):
        pass


def test_a_dead_server_costs_delay_only_and_is_back_filled(tmp_path):
    port = free_port()
    write_tracking(tmp_path, f"http://127.0.0.1:{port}", "t", "demo", {"a": 1})
    journal = Journal(tmp_path / "journal.jsonl")
    for step in range(1, 6):
        journal.write(step, {"loss": float(step)})
    command = [sys.executable, "-m", "cxrpt.track.sink", str(tmp_path), "--drain-s", "60"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    said = process.stderr.readline()
    while "does not take metrics" not in said:
        said += (line := process.stderr.readline())
        assert line, f"it ended: {said}"
    handler = type("Handler", (_Store,), {"arrived": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _, errors = process.communicate(timeout=60)  # closes its stdin
    server.shutdown()
    assert process.returncode == 0
    assert [(m["key"], m["step"], m["value"]) for m in handler.arrived] == [("loss", s, float(s)) for s in range(1, 6)]
    assert (said + errors).count("does not take metrics") == 1 and "Traceback" not in said + errors


def test_a_server_that_stays_dead_does_not_hold_up_the_end(tmp_path):
    write_tracking(tmp_path, f"http://127.0.0.1:{free_port()}", "t", "demo", {})
    Journal(tmp_path / "journal.jsonl").write(1, {"loss": 1.0})
    process = start_sink(tmp_path, drain_s=1.0)
    process.stdin.close()
    assert process.wait(60) == 0
    with pytest.raises(TrackingError):
        sync_once(tmp_path)
    with pytest.raises(InputError, match="--sync"):
        fetch_metrics(tmp_path)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("ftp://host/x", "scheme ftp"),
        ("mlruns", "scheme none"),
        ("http://user:hunter2@host:5000", "user or password"),
        ("https://hunter2@host", "user or password"),
        ("postgresql://me:hunter2@db/x", "user or password"),
        ("http://host:5000/?token=hunter2", "secret"),
        ("http://host:0", "port"),
        ("http://host:65536", "port"),
        ("http://host:50x", "port"),
        ("http://", "no host"),
        ("http:me:hunter2@host:5000", "no host"),
        ("http:///me:hunter2@host:5000", "no host"),
        ("sqlite://me:hunter2@/x.db", "names no file"),
        ("me:hunter2@host:5000", "scheme none"),
        ("hunter2:me@host:5000", "scheme none"),
        ("mysql://me@db/x?passwd=hunter2", "secret"),
        ("postgresql://me@db/x?sslpassword=hunter2", "secret"),
        ("http://[::1", "does not parse"),
        ("sqlite://mlflow.db", "names no file"),
        ("sqlite:////tmp", "folder"),
    ],
)
def test_addresses_that_cannot_work(uri, message, tmp_path):
    with pytest.raises(InputError, match=message) as caught:
        write_tracking(tmp_path, uri, "t", "demo", {})
    assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_not_there_is_refused_at_the_first_start_only():
    port = free_port()
    with pytest.raises(InputError, match="does not answer"):
        check_tracking_uri(f"http://127.0.0.1:{port}")
    check_tracking_uri(f"http://127.0.0.1:{port}", must_answer=False)
    with socket.create_server(("127.0.0.1", port)):
        check_tracking_uri(f"http://127.0.0.1:{port}")


def test_fetched_metrics_are_those_of_the_journal(run_dir):
    journal = Journal(run_dir / "journal.jsonl")
    journal.write(10, {"loss": 1.5, "lr": 0.1})
    journal.write(20, {"loss": 1.0})
    write_eval(run_dir, 20, auroc=0.7)
    sync_once(run_dir)
    assert [(e.step, e.metrics) for e in fetch_metrics(run_dir)] == [
        (10, {"loss": 1.5, "lr": 0.1}),
        (20, {"loss": 1.0, "eval/auroc": 0.7}),
    ]
