"""What servers, databases and disks do to the sink: in the end every step is in the store once, and little was said."""

import http.server
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from cxrpt.errors import InputError
from cxrpt.track import sink, tracking_files
from cxrpt.track.journal import Journal
from cxrpt.track.sink import end_sink, fetch_metrics, follow, start_sink, sync_once
from cxrpt.track.tracking_files import read_tracking, write_tracking
from cxrpt.track.trouble import TrackingError
from tests.small_disk import fill

SECRET = "hunter2"


def write_steps(run_dir, *steps, value=1.0):
    journal = Journal(run_dir / "journal.jsonl")
    for step in steps:
        journal.write(step, {"loss": value, "lr": 0.1})
    journal.close()


def write_results(run_dir, step, **metrics):
    folder = run_dir / "evals" / f"step-{step:08d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps({"step": step, "metrics": metrics}))


def points(store, name="loss"):
    """(step, value) of every point of every run, duplicates included."""
    with sqlite3.connect(store) as connection:
        query = "select step, value from metrics where key = ? order by step, timestamp"
        return connection.execute(query, (name,)).fetchall()


def count_runs(store):
    with sqlite3.connect(store) as connection:
        return connection.execute("select count(*) from runs").fetchone()[0]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text(path.read_text()[:90])])
def test_a_state_that_is_lost_is_asked_of_the_server(run_dir, damage):
    store = run_dir.parents[1] / "mlflow.db"
    write_steps(run_dir, 10, 20, 30)
    write_results(run_dir, 20, auroc=0.5)
    sync_once(run_dir)
    write_steps(run_dir, 20, 30, 40, value=2.0)
    sync_once(run_dir)
    damage(run_dir / "tracking-state.json")
    write_tracking(run_dir, f"sqlite:///{store}", "trials", "demo", {"optim.lr": 0.5})
    write_steps(run_dir, 40, 50, value=3.0)
    sync_once(run_dir)
    assert points(store) == [(10, 1.0), (20, 1.0), (30, 1.0), (40, 2.0), (50, 3.0)]
    assert points(store, "eval/auroc") == [(20, 0.5)] and count_runs(store) == 1
    with sqlite3.connect(store) as connection:
        query = "select key, value from tags where key like 'changed%'"
        assert connection.execute(query).fetchall() == [("changed.optim.lr", "0.5")]


def test_settings_that_are_written_anew_keep_the_key(run_dir):
    before = read_tracking(run_dir)
    write_tracking(run_dir, before["uri"], "trials", "demo", {})
    assert read_tracking(run_dir)["run_key"] == before["run_key"]
    (run_dir / "tracking.json").write_text('{"uri": "sqli')
    with pytest.raises(InputError, match="damaged"):
        sync_once(run_dir)
    write_tracking(run_dir, before["uri"], "trials", "demo", {})
    assert sync_once(run_dir) == 0


def test_nothing_is_sent_while_it_cannot_be_noted(run_dir, monkeypatch):
    store = run_dir.parents[1] / "mlflow.db"
    write_steps(run_dir, 10)
    sync_once(run_dir)
    write_steps(run_dir, 20)

    def full(path, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(tracking_files, "replace_text", full)
        with pytest.raises(TrackingError, match=r"tracking-state\.json cannot be written: No space"):
            sync_once(run_dir)
        with pytest.raises(InputError, match="free disk space"):
            write_tracking(run_dir, f"sqlite:///{store}", "trials", "demo", {})
    assert points(store) == [(10, 1.0)]
    sync_once(run_dir)
    assert points(store) == [(10, 1.0), (20, 1.0)]


def test_a_server_that_lost_its_database_gets_everything_once(run_dir, empty_store, caplog):
    store = run_dir.parents[1] / "mlflow.db"
    write_steps(run_dir, 10, 20)
    write_results(run_dir, 20, auroc=0.5)
    sync_once(run_dir)
    shutil.copy(store, run_dir / "old.db")
    store.write_bytes(empty_store)
    with pytest.raises(InputError, match="--sync"):
        fetch_metrics(run_dir)
    assert sync_once(run_dir) == 5, "though there is nothing new"
    assert [r.getMessage() for r in caplog.records if "does not know this run" in r.getMessage()]
    write_steps(run_dir, 30)
    assert sync_once(run_dir, look=False) == 2
    assert points(store) == [(10, 1.0), (20, 1.0), (30, 1.0)] and count_runs(store) == 1
    store.write_bytes(empty_store)
    write_steps(run_dir, 40)
    assert sync_once(run_dir, look=False) == 9, "seen when something is sent"
    shutil.copy(run_dir / "old.db", store)
    sync_once(run_dir)
    assert points(store) == [(10, 1.0), (20, 1.0), (30, 1.0), (40, 1.0)] and count_runs(store) == 1
    assert points(store, "eval/auroc") == [(20, 0.5)]
    store.unlink()
    sync_once(run_dir)
    assert points(store) == [(10, 1.0), (20, 1.0), (30, 1.0), (40, 1.0)]


def test_what_somebody_deleted_is_not_made_again(run_dir):
    write_steps(run_dir, 10)
    sync_once(run_dir)
    client = sink._client(read_tracking(run_dir)["uri"])
    run_id = json.loads((run_dir / "tracking-state.json").read_text())["run_id"]
    client.delete_run(run_id)
    write_steps(run_dir, 20)
    for look in (True, False):
        with pytest.raises(TrackingError, match="was deleted on the tracking server"):
            sync_once(run_dir, look=look)
    client.restore_run(run_id)
    assert sync_once(run_dir) == 2
    client.delete_experiment(client.get_run(run_id).info.experiment_id)
    (run_dir / "tracking-state.json").unlink()
    with pytest.raises(TrackingError, match="'trials' was deleted"):
        sync_once(run_dir)


def test_results_that_changed_are_sent_again_and_read_back(run_dir):
    store = run_dir.parents[1] / "mlflow.db"
    write_results(run_dir, 20, auroc=0.5, recall=0.9)
    write_results(run_dir, 30, auroc=0.6)
    assert sync_once(run_dir) == 3
    os.utime(run_dir / "evals/step-00000020/results.json")
    assert sync_once(run_dir) == 0, "the same values are not news"
    write_results(run_dir, 20, auroc=0.4, recall=0.9)
    assert sync_once(run_dir) == 2 and sync_once(run_dir) == 0
    assert points(store, "eval/auroc") == [(20, 0.5), (20, 0.4), (30, 0.6)]
    assert {e.step: e.metrics["eval/auroc"] for e in fetch_metrics(run_dir)} == {20: 0.4, 30: 0.6}
    latest = sink._client(f"sqlite:///{store}")
    run_id = json.loads((run_dir / "tracking-state.json").read_text())["run_id"]
    assert latest.get_run(run_id).data.metrics["eval/auroc"] == 0.6


@pytest.fixture
def locked(run_dir):
    connection = sqlite3.connect(run_dir.parents[1] / "mlflow.db", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return run_dir, "database is locked", connection.close


@pytest.fixture
def no_database(run_dir, empty_store):
    store = run_dir.parents[1] / "mlflow.db"
    store.write_bytes(b"something else" * 1000)
    return run_dir, "file is not a database", lambda: store.write_bytes(empty_store)


@pytest.fixture
def full(run_dir, small_disk, empty_store):
    """The file that the store is in, and the run with it, lie on a disk that is full."""
    moved = small_disk / "runs" / "demo"
    moved.mkdir(parents=True)
    (small_disk / "mlflow.db").write_bytes(empty_store)
    write_tracking(moved, f"sqlite:///{small_disk}/mlflow.db", "trials", "demo", {})
    write_steps(moved, 1, 2, 3)
    fill(small_disk / "ballast")
    return moved, "full|No space", (small_disk / "ballast").unlink


@pytest.fixture
def full_before_the_first_run(tmp_path, small_disk):
    write_tracking(tmp_path, f"sqlite:///{small_disk}/mlflow.db", "trials", "demo", {})
    (small_disk / "ballast").write_bytes(bytes(3_800_000))
    return tmp_path, "disk is full", (small_disk / "ballast").unlink


@pytest.mark.parametrize("trouble", ["locked", "no_database", "full", "full_before_the_first_run"])
def test_a_database_in_trouble_costs_two_lines(trouble, request, capfd, caplog, monkeypatch):
    run_dir, reason, mend = request.getfixturevalue(trouble)
    monkeypatch.setattr(sink, "_LONGEST_WAIT_S", 0.2)
    if trouble != "full":
        write_steps(run_dir, 1, 2, 3)
    told = follow_through(run_dir, mend, caplog)
    assert len(told) == 2 and "back" in told[1]
    assert any(part in told[0] for part in reason.split("|")), told
    store = read_tracking(run_dir)["uri"].removeprefix("sqlite:///")
    assert points(store) == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert capfd.readouterr().err == "", "MLflow has its own handlers"


def follow_through(run_dir, mend, caplog):
    """Follow a run in trouble, mend it once that is told and was tried again, and end; all that was said."""
    closed = threading.Event()
    thread = threading.Thread(target=follow, args=(run_dir, closed, 60.0))
    caplog.clear()
    thread.start()
    while not caplog.records and thread.is_alive():
        time.sleep(0.05)
    time.sleep(1.0)
    mend()
    closed.set()
    thread.join(90)
    assert not thread.is_alive()
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


class Server(http.server.BaseHTTPRequestHandler):
    """As much of MLflow's REST interface as the sink speaks; `trouble` may answer in its place."""

    def _answer(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        if self.trouble and self.trouble(self, body):
            return
        run = {"info": {"run_id": "r1", "experiment_id": "1", "lifecycle_stage": "active"}, "data": {}}
        if self.path.endswith("log-batch"):
            self.arrived.extend((m["key"], m["step"], m["value"], m["timestamp"]) for m in body.get("metrics", []))
        answer = {"experiment": {"experiment_id": "1", "name": "t"}} if "experiments" in self.path else {"run": run}
        self.say(200, {} if "search" in self.path or "log-batch" in self.path else answer)

    def say(self, status, content, **headers):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = _answer

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path):
    """A server whose `trouble` can be set, and a run that is tracked there."""
    handler = type("Handler", (Server,), {"arrived": [], "trouble": None})
    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listening.daemon_threads = True
    listening.block_on_close = False
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    handler.run_dir = run_dir
    write_tracking(run_dir, f"http://127.0.0.1:{listening.server_port}", "t", "demo", {"a": 1})
    write_steps(run_dir, 1, 2, 3)
    yield handler
    listening.shutdown()
    listening.server_close()


def hang(handler, body):
    time.sleep(20)
    return True


def answer(status, content, **headers):
    def trouble(handler, body):
        handler.say(status, content, **headers)
        return True

    return trouble


TROUBLES = {
    "hangs": (hang, "no answer in time"),
    "fails": (answer(500, {"error_code": "INTERNAL_ERROR", "message": f"{SECRET} in a statement"}), "HTTP 500"),
    "is busy": (answer(429, {"error_code": "REQUEST_LIMIT_EXCEEDED"}, Retry_After="3600"), "HTTP 429"),
    "refuses": (answer(401, {"error_code": "UNAUTHENTICATED", "message": SECRET}), "MLFLOW_TRACKING_USERNAME"),
    "is a proxy": (answer(502, f"<html>{SECRET}</html>".encode()), "HTTP 502"),
    "is no MLflow": (answer(200, f"<html>{SECRET}</html>".encode()), "Exception|Error"),
    "refuses a value": (answer(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": SECRET}), "INVALID_PARAMETER_VALUE"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_in_trouble_costs_two_lines_and_delay(trouble, server, capfd, caplog, monkeypatch):
    server.trouble, reason = staticmethod(TROUBLES[trouble][0]), TROUBLES[trouble][1]
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr(sink, "_LONGEST_WAIT_S", 0.2)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)

    def mend():
        server.trouble = None

    told = follow_through(server.run_dir, mend, caplog)
    assert len(told) == 2 and "back" in told[1] and any(part in told[0] for part in reason.split("|")), told
    assert [(key, step) for key, step, _, _ in server.arrived if key == "loss"] == [("loss", s) for s in (1, 2, 3)]
    assert SECRET not in caplog.text and capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "proxy", [f"http://me:{SECRET}@127.0.0.1:1", f"me:{SECRET}@", f"ftp://me:{SECRET}@proxy", f"http://me:{SECRET}@:x"]
)
def test_a_proxy_s_password_is_not_told(server, monkeypatch, proxy):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy)
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(TrackingError) as caught:
        sync_once(server.run_dir)
    assert SECRET not in str(caught.value) and caught.value.__suppress_context__ and "\n" not in str(caught.value)


def test_a_sink_that_is_killed_in_mid_batch_is_replaced_and_sends_the_same(server):
    def kill(handler, body):
        if body.get("metrics") and not killed:
            handler.arrived.extend((m["key"], m["step"], m["value"], m["timestamp"]) for m in body["metrics"])
            killed.append(process.pid)
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        return False

    killed = []
    server.trouble = staticmethod(kill)
    process = start_sink(server.run_dir)
    while not killed:
        time.sleep(0.05)
    write_steps(server.run_dir, 4)
    end_sink(process, server.run_dir)
    assert process.returncode == -signal.SIGKILL
    # MLflow's stores know a point by all of these.
    assert sorted(step for key, step, _, _ in set(server.arrived) if key == "loss") == [1, 2, 3, 4]


def test_a_server_that_hangs_does_not_hold_up_the_end(server, monkeypatch):
    server.trouble = staticmethod(lambda handler, body: time.sleep(600) or True)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
    command = [sys.executable, "-m", "cxrpt.track.sink", str(server.run_dir), "--drain-s", "1"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0 and "gave up" in errors and len(errors.splitlines()) == 1


def test_a_defect_is_one_line_without_its_message(server, monkeypatch, capfd):
    def broken(run_dir, look):
        raise ValueError(SECRET)

    monkeypatch.setattr(sink, "sync_once", broken)
    monkeypatch.setattr(sys, "argv", ["sink", str(server.run_dir)])
    monkeypatch.setattr(signal, "signal", lambda *args: None)
    monkeypatch.setattr(threading.Thread, "start", lambda self: None)
    with pytest.raises(SystemExit):
        sink.main()
    errors = capfd.readouterr().err
    assert SECRET not in errors and "ValueError in test_sink_troubles.py" in errors and len(errors.splitlines()) == 1
