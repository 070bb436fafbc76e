"""The only door to MLflow: a process of its own that follows a run's journal and evaluation results.

    RUN_DIR/tracking.json        where to (write_tracking)      ┐
    RUN_DIR/journal.jsonl        what training logged           ├─► batches ─► MLflow
    RUN_DIR/evals/step-*/results.json                           ┘
    RUN_DIR/tracking-state.json  what has arrived: run id, byte offset, last step of each kind, evaluated steps, params

The state is replaced after every confirmed batch. A batch that arrived but was not noted is sent again with the same time
stamps, which MLflow's stores recognise. A dead server costs delay only: the journal stays, and the sink tries again.
"""

import argparse
import fcntl
import json
import logging
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cxrpt.errors import InputError
from cxrpt.track.address import check_tracking_uri
from cxrpt.track.journal import Entry, parse_lines
from cxrpt.track.results import metric_name, read_evals

SETTINGS_NAME = "tracking.json"
STATE_NAME = "tracking-state.json"
JOURNAL_NAME = "journal.jsonl"

_METRICS_PER_BATCH = 1000  # MLflow's limits
_PARAMS_PER_BATCH = 100
_KEY_LENGTH = 250
_VALUE_LENGTH = 500  # newer servers take 6000, older ones 500
_POLL_S = 2.0
_LONGEST_WAIT_S = 60.0
_RUN_TAG = "cxrpt.run_key"

log = logging.getLogger("cxrpt.track.sink")


class TrackingError(RuntimeError):
    """The tracking server did not take or give what it was asked; nothing is lost."""


@dataclass
class SinkState:
    """What has reached the tracking server; the content of `tracking-state.json`."""

    uri: str = ""
    experiment: str = ""
    run_key: str = ""
    """Tag by which the run is found again if it was made but its id not noted."""
    run_id: str = ""
    offset: int = 0
    last_step: dict[str, int] = field(default_factory=dict)
    evals: list[int] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)


def write_tracking(run_dir: Path, uri: str, experiment: str, run_name: str, params: dict[str, Any]) -> None:
    """Note where the metrics of a run go.

    Raises:
        InputError: the URI cannot work; see `check_tracking_uri`.
    """
    check_tracking_uri(uri, must_answer=False)
    settings = {"uri": uri, "experiment": experiment, "run_name": run_name, "params": {k: str(v) for k, v in params.items()}}
    _replace(run_dir / SETTINGS_NAME, settings)


def read_tracking(run_dir: Path) -> dict[str, Any]:
    """What `write_tracking` noted.

    Raises:
        InputError: the run has none.
    """
    try:
        return json.loads((run_dir / SETTINGS_NAME).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{run_dir} holds no {SETTINGS_NAME}: the run is not tracked, or it is no run directory") from None


def start_sink(run_dir: Path, drain_s: float = 30.0) -> subprocess.Popen:
    """Follow a run in a process of its own.

    It ends when its stdin is closed (also by the death of whoever started it) and everything was sent, or `drain_s` seconds
    after that where the server does not answer; what is left goes with the next start or `cxrpt metrics --sync`.
    """
    command = [sys.executable, "-P", "-m", "cxrpt.track.sink", str(run_dir), "--drain-s", str(drain_s)]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def sync_once(run_dir: Path) -> int:
    """Send what has not been sent; gives the number of metric values sent.

    Raises:
        InputError: the run is not tracked.
        TrackingError: the server did not take it; nothing is lost.
    """
    settings = read_tracking(run_dir)
    with _only_one(run_dir), _tracking_errors():
        client = _client(settings["uri"])
        state = _load_state(run_dir, settings)
        _open_run(client, run_dir, settings, state)
        return _send_journal(client, run_dir, state) + _send_evals(client, run_dir, state)


def fetch_metrics(run_dir: Path) -> list[Entry]:
    """What the tracking server holds of a run, one entry a step; names as `metric_name` gives them.

    Raises:
        InputError: the run is not tracked, or nothing of it was ever sent.
        TrackingError: the server does not answer.
    """
    settings = read_tracking(run_dir)
    state = _load_state(run_dir, settings)
    if not state.run_id:
        raise InputError(f"{run_dir}: nothing of this run has reached the tracking server: run `cxrpt metrics --sync`")
    steps: dict[int, dict[str, float]] = {}
    times: dict[int, float] = {}
    with _tracking_errors():
        client = _client(settings["uri"])
        for name in client.get_run(state.run_id).data.metrics:
            for point in client.get_metric_history(state.run_id, name):
                steps.setdefault(point.step, {})[name] = point.value
                times[point.step] = max(times.get(point.step, 0.0), point.timestamp / 1000)
    return [Entry(1, step, times[step], "train", steps[step]) for step in sorted(steps)]


def _client(uri: str) -> Any:
    # Before the import: MLflow reads them once. Its own patience (7 retries of 2 minutes) would hold up the end of a run.
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "20"),
        ("GIT_PYTHON_REFRESH", "quiet"),
    ):
        os.environ.setdefault(name, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if uri.startswith("sqlite:///"):
        Path(uri.removeprefix("sqlite:///").split("?")[0]).parent.mkdir(parents=True, exist_ok=True)
    return mlflow.MlflowClient(tracking_uri=uri)


@contextmanager
def _tracking_errors() -> Iterator[None]:
    """What a server or its database can do to us becomes TrackingError; defects of ours stay what they are."""
    import mlflow.exceptions
    import requests
    import sqlalchemy.exc

    try:
        yield
    except (mlflow.exceptions.MlflowException, requests.RequestException, sqlalchemy.exc.SQLAlchemyError) as error:
        raise TrackingError(str(error).splitlines()[0][:200]) from error


def _load_state(run_dir: Path, settings: dict[str, Any]) -> SinkState:
    try:
        state = SinkState(**json.loads((run_dir / STATE_NAME).read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        state = SinkState()
    if (state.uri, state.experiment) != (settings["uri"], settings["experiment"]):
        # Another server knows nothing of this run: everything goes there from the start.
        return SinkState(uri=settings["uri"], experiment=settings["experiment"])
    return state


def _save_state(run_dir: Path, state: SinkState) -> None:
    _replace(run_dir / STATE_NAME, asdict(state))


def _open_run(client: Any, run_dir: Path, settings: dict[str, Any], state: SinkState) -> None:
    """Make the MLflow run where there is none yet, and log the params that it lacks."""
    from mlflow.entities import Param

    if not state.run_id:
        if not state.run_key:
            state.run_key = uuid.uuid4().hex
            _save_state(run_dir, state)
        experiment = client.get_experiment_by_name(settings["experiment"])
        number = experiment.experiment_id if experiment else client.create_experiment(settings["experiment"])
        found = client.search_runs([number], f"tags.`{_RUN_TAG}` = '{state.run_key}'")
        run = found[0] if found else client.create_run(number, run_name=settings["run_name"], tags={_RUN_TAG: state.run_key})
        state.run_id = run.info.run_id
        _save_state(run_dir, state)
    params = {_key(name): str(value)[:_VALUE_LENGTH] for name, value in settings["params"].items()}
    new = [Param(name, value) for name, value in params.items() if name not in state.params]
    for start in range(0, len(new), _PARAMS_PER_BATCH):
        client.log_batch(state.run_id, params=new[start : start + _PARAMS_PER_BATCH])
    for name, value in params.items():
        # MLflow refuses to change a param; a resumed run may rightly have another value (more steps, more nodes).
        if state.params.get(name, value) != value:
            client.set_tag(state.run_id, _key(f"changed.{name}"), value)
    if state.params != state.params | params:
        state.params |= params
        _save_state(run_dir, state)


def _send_journal(client: Any, run_dir: Path, state: SinkState) -> int:
    path = run_dir / JOURNAL_NAME
    if not path.exists():
        return 0
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(state.offset if state.offset <= size else 0)
        begin = file.tell()
        data = file.read()
    data = data[: data.rfind(b"\n") + 1]  # a line that is still being written comes next time
    if not data:
        return 0
    latest: dict[tuple[str, int], Entry] = {}
    for entry in parse_lines(data):
        if entry.step > state.last_step.get(entry.kind, -1):
            latest[entry.kind, entry.step] = entry
    sent = 0
    entries = sorted(latest.values(), key=lambda entry: entry.step)
    batch: list[Any] = []
    marks: dict[str, int] = {}
    for entry in entries:
        points = _points(entry)
        if batch and len(batch) + len(points) > _METRICS_PER_BATCH:
            sent += _confirm(client, run_dir, state, batch, marks)
            batch, marks = [], {}
        batch += points
        marks[entry.kind] = entry.step
    # Only now, since all that lies before this offset is sent with this batch.
    state.offset = begin + len(data)
    return sent + _confirm(client, run_dir, state, batch, marks)


def _confirm(client: Any, run_dir: Path, state: SinkState, batch: list[Any], marks: dict[str, int]) -> int:
    """Send, and note it once the server has it. An entry of more than a batch goes in several."""
    for start in range(0, len(batch), _METRICS_PER_BATCH):
        client.log_batch(state.run_id, metrics=batch[start : start + _METRICS_PER_BATCH])
    state.last_step |= marks
    _save_state(run_dir, state)
    return len(batch)


def _send_evals(client: Any, run_dir: Path, state: SinkState) -> int:
    sent = 0
    for entry in read_evals(run_dir):
        if entry.step not in state.evals:
            state.evals = sorted([*state.evals, entry.step])
            sent += _confirm(client, run_dir, state, _points(entry), {})
    return sent


def _points(entry: Entry) -> list[Any]:
    from mlflow.entities import Metric

    stamp = int(entry.time * 1000)
    return [Metric(_key(metric_name(entry.kind, name)), value, stamp, entry.step) for name, value in entry.metrics.items()]


def _key(name: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:_KEY_LENGTH]


def _replace(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with draft.open("w") as file:
        json.dump(content, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@contextmanager
def _only_one(run_dir: Path) -> Iterator[None]:
    """A sink and a `--sync` at once would send the same lines twice."""
    with (run_dir / ".tracking.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def follow(run_dir: Path, closed: threading.Event, drain_s: float) -> None:
    """Send until `closed` is set and everything has gone, or `drain_s` seconds after it was set."""
    wait_s, warned, deadline = 1.0, False, math.inf
    while True:
        last = closed.is_set()
        if last and deadline == math.inf:
            deadline = time.monotonic() + drain_s
        try:
            sync_once(run_dir)
        except TrackingError as error:
            if not warned:
                log.warning("tracking server does not take metrics (%s); they stay in the journal and follow later", error)
                warned = True
            if time.monotonic() >= deadline:
                log.warning("gave up on the tracking server; `cxrpt metrics --sync` sends what is left")
                return
            # Once closed, the event no longer paces the loop.
            pause = min(wait_s, max(0.1, deadline - time.monotonic()))
            time.sleep(pause) if last else closed.wait(pause)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            continue
        if warned:
            log.warning("the tracking server is back; everything has been sent")
        wait_s, warned = 1.0, False
        if last:
            return
        closed.wait(_POLL_S)


def main() -> None:
    """`python -m cxrpt.track.sink RUN_DIR`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--drain-s", type=float, default=30.0)
    arguments = parser.parse_args()
    logging.basicConfig(format="cxrpt tracking: %(message)s", level=logging.WARNING)
    # Ctrl-C reaches the whole group; the run saves first, and closes our stdin when it has.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    closed = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        closed.set()

    threading.Thread(target=watch, daemon=True).start()
    follow(arguments.run_dir, closed, arguments.drain_s)


if __name__ == "__main__":
    main()
