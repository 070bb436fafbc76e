"""The only door to MLflow: a process of its own that follows a run's journal and evaluation results.

    RUN_DIR/tracking.json        where to                       ┐
    RUN_DIR/journal.jsonl        what training logged           ├─► batches ─► MLflow
    RUN_DIR/evals/step-*/results.json                           ┘
    RUN_DIR/tracking-state.json  what has arrived: run id, byte offset, last step of each kind, evaluations, params

The state is replaced after every confirmed batch. A batch that arrived but was not noted is sent again with the same time
stamps, which MLflow's stores recognise. A dead server costs delay only: the journal stays, and the sink tries again. A state
that is lost is asked of the server; a run that the server lost is sent to it anew.
"""

import argparse
import hashlib
import json
import logging
import math
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from cxrpt.attempts import read_attempts
from cxrpt.errors import InputError
from cxrpt.run_paths import JOURNAL
from cxrpt.track.journal import Entry, parse_lines
from cxrpt.track.results import metric_name, read_evals
from cxrpt.track.tracking_files import SinkState, load_state, locked, read_tracking, save_state
from cxrpt.track.trouble import TrackingError, describe

_METRICS_PER_BATCH = 1000  # MLflow's limits
_PARAMS_PER_BATCH = 100
_KEY_LENGTH = 250
_VALUE_LENGTH = 500  # newer servers take 6000, older ones 500
_POLL_S = 2.0
_LONGEST_WAIT_S = 60.0
_TELL_EVERY_S = 600.0  # a server that comes and goes is not told of each time
_LAST_ANSWER_S = 5.0  # beyond the time to drain, for the answer that is being waited for
_RUN_TAG = "cxrpt.run_key"
_GAVE_UP = "gave up on the tracking server; `cxrpt metrics %s --sync` sends what is left"

log = logging.getLogger("cxrpt.track.sink")


def start_sink(run_dir: Path, drain_s: float = 30.0) -> subprocess.Popen[bytes]:
    """Follow a run in a process of its own.

    It ends when its stdin is closed (also by the death of whoever started it) and everything was sent, or `drain_s` seconds
    after that where the server does not answer; what is left goes with the next start or `cxrpt metrics --sync`.
    """
    command = [sys.executable, "-P", "-W", "ignore", "-m", "cxrpt.track.sink", str(run_dir), "--drain-s", str(drain_s)]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def end_sink(sink: subprocess.Popen[bytes], run_dir: Path) -> None:
    """Let a sink send what is left, and wait for its end; one that was killed is replaced for that."""
    for process in (sink, None):
        process = process or start_sink(run_dir)
        assert process.stdin is not None
        process.stdin.close()
        if process.wait() >= 0:
            return


def sync_once(run_dir: Path, look: bool = True) -> int:
    """Send what has not been sent; gives the number of metric values sent.

    Args:
        run_dir: the run's directory.
        look: also see whether the server still has the run, though there be nothing to send.

    Raises:
        InputError: the run is not tracked.
        TrackingError: the server did not take it; nothing is lost.
    """
    settings = read_tracking(run_dir)
    with _tracking_errors(), locked(run_dir / ".tracking.lock"):  # a sink and a `--sync` at once would send twice
        client = _client(settings["uri"], to_write=True)
        state = load_state(run_dir, settings)
        if not (look and state.run_id and _is_gone(client, state.run_id)):
            try:
                return _send(client, run_dir, settings, state)
            except Exception as error:
                doubtful = getattr(error, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
                if not (doubtful and state.run_id and _is_gone(client, state.run_id)):
                    raise
        log.warning("the tracking server does not know this run any more: everything is sent again, to a new one")
        return _send(client, run_dir, settings, SinkState(uri=settings["uri"], experiment=settings["experiment"]))


def fetch_metrics(run_dir: Path) -> list[Entry]:
    """What the tracking server holds of a run, one entry a step; names as `metric_name` gives them.

    Of a value that was sent again, as that of an evaluation which was repeated, the newest counts; of training, no step that a
    later attempt has not reached again.

    Raises:
        InputError: the run is not tracked, or the server holds nothing of it.
        TrackingError: the server does not answer.
    """
    settings = read_tracking(run_dir)
    steps: dict[int, dict[str, float]] = {}
    times: dict[int, float] = {}
    with _tracking_errors():
        state = load_state(run_dir, settings)
        client = _client(settings["uri"])
        if not state.run_id or _is_gone(client, state.run_id):
            raise InputError(f"the tracking server holds nothing of {run_dir}: run `cxrpt metrics {run_dir} --sync`")
        for name in client.get_run(state.run_id).data.metrics:
            values: dict[int, float] = {}  # in the order of steps, but for evaluations, which may take them in any
            for point in sorted(client.get_metric_history(state.run_id, name), key=lambda point: (point.timestamp, point.step)):
                while values and not name.startswith("eval/") and next(reversed(values)) >= point.step:
                    values.popitem()
                values[point.step] = point.value
                times[point.step] = max(times.get(point.step, 0.0), point.timestamp / 1000)
            for step, value in values.items():
                steps.setdefault(step, {})[name] = value
    return [Entry(1, step, times[step], "train", steps[step]) for step in sorted(steps)]


def _client(uri: str, to_write: bool = False) -> Any:
    # Before the import: MLflow reads them once. Its own patience (7 retries of 2 minutes) would hold up the end of a run, as
    # would a server that names an hour to come back after.
    for name, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"),
        ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "20"),
        ("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false"),
        ("GIT_PYTHON_REFRESH", "quiet"),
        # A connection that is kept writes into a file that was removed, without an error.
        *([("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")] if uri.startswith("sqlite:") else []),
    ):
        os.environ.setdefault(name, value)
    import mlflow

    # They print whole tracebacks of what reaches us as an exception.
    for name in ("mlflow", "alembic", "urllib3", "sqlalchemy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if uri.startswith("sqlite:///"):
        path = Path(uri.removeprefix("sqlite:///").split("?")[0])
        _make_database(path)
        if to_write:
            # MLflow tries for minutes to open a file that is locked, full or no database.
            with closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as store:
                store.execute("BEGIN IMMEDIATE")
    return mlflow.MlflowClient(tracking_uri=uri)


def _make_database(path: Path) -> None:
    """Make MLflow's tables beside the file and move them there: half of them, as a full disk or a kill leaves, is for ever."""
    import mlflow

    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size:
        return
    draft = path.with_name(f".{path.name}.new")
    with locked(path.with_name(f".{path.name}.lock")):  # runs beside each other share a file
        if path.exists() and path.stat().st_size:
            return
        try:
            for left in (draft, draft.with_name(f"{draft.name}-journal")):
                left.unlink(missing_ok=True)
            mlflow.MlflowClient(tracking_uri=f"sqlite:///{draft}").search_experiments()
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


@contextmanager
def _tracking_errors() -> Iterator[None]:
    """What a server, its database or our disk can do to us becomes TrackingError; defects of ours stay what they are."""
    import mlflow.exceptions
    import sqlalchemy.exc

    try:
        yield
    # The exceptions of requests are OSErrors.
    except (mlflow.exceptions.MlflowException, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise TrackingError(describe(error)) from None


def _is_gone(client: Any, run_id: str) -> bool:
    """Whether the server knows nothing of the run: its database was lost, or is another one.

    Raises:
        TrackingError: somebody deleted the run, which is not for us to undo.
    """
    from mlflow.exceptions import MlflowException

    try:
        info = client.get_run(run_id).info
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return True
        raise
    if info.lifecycle_stage == "deleted":
        raise TrackingError(f"run {run_id} was deleted on the tracking server: restore it there, or set track.uri=none")
    return False


def _send(client: Any, run_dir: Path, settings: dict[str, Any], state: SinkState) -> int:
    _open_run(client, run_dir, settings, state)
    sent = _send_journal(client, run_dir, state) + _send_evals(client, run_dir, state)
    _tell_status(client, run_dir, state)
    return sent


def _tell_status(client: Any, run_dir: Path, state: SinkState) -> None:
    """Whether the run goes on, is done, is to be started again or failed, by its last attempt; evaluations may still follow."""
    attempts = read_attempts(run_dir)
    if not attempts:
        return
    last = attempts[-1]
    status = {None: "RUNNING", 0: "FINISHED", 75: "SCHEDULED"}.get(last.code, "FAILED")
    if status == state.status:
        return
    if status in ("FINISHED", "FAILED"):
        client.set_terminated(state.run_id, status, round(last.ended * 1000))
    else:
        client.update_run(state.run_id, status)
    state.status = status
    save_state(run_dir, state)


def _open_run(client: Any, run_dir: Path, settings: dict[str, Any], state: SinkState) -> None:
    """Find the MLflow run, or make it where there is none yet, and log the params that it lacks."""
    from mlflow.entities import Param

    if not state.run_id:
        experiment = client.get_experiment_by_name(settings["experiment"])
        if experiment and experiment.lifecycle_stage == "deleted":
            raise TrackingError(f"experiment {settings['experiment']!r} was deleted on the tracking server: restore it there")
        number = experiment.experiment_id if experiment else client.create_experiment(settings["experiment"])
        key = settings["run_key"]
        found = client.search_runs([number], f"tags.`{_RUN_TAG}` = '{key}'")
        run = found[0] if found else client.create_run(number, run_name=settings["run_name"], tags={_RUN_TAG: key})
        if found:
            # Its state was lost: of what it holds nothing must go there again, not even of a later attempt.
            state.last_step = _last_steps(client, run.info.run_id, run_dir)
            state.params = dict(run.data.params)
        state.run_id = run.info.run_id
        save_state(run_dir, state)
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
        save_state(run_dir, state)


def _last_steps(client: Any, run_id: str, run_dir: Path) -> dict[str, int]:
    """The last step of each kind that the server holds, by the metric that most of the journal's lines have."""
    names: dict[str, Counter[str]] = defaultdict(Counter)
    for entry in parse_lines(_read(run_dir / JOURNAL, 0)):
        names[entry.kind].update(entry.metrics)
    steps = {}
    for kind, counts in names.items():
        for name, _ in counts.most_common(1):
            history = client.get_metric_history(run_id, _key(metric_name(kind, name)))
            steps[kind] = max((point.step for point in history), default=-1)
    return steps


def _send_journal(client: Any, run_dir: Path, state: SinkState) -> int:
    path = run_dir / JOURNAL
    if not path.exists():
        return 0
    begin = state.offset if state.offset <= path.stat().st_size else 0
    data = _read(path, begin)
    data = data[: data.rfind(b"\n") + 1]  # a line that is still being written comes next time
    if not data:
        return 0
    latest: dict[tuple[str, int], Entry] = {}
    for entry in parse_lines(data):
        if entry.step > state.last_step.get(entry.kind, -1):
            latest[entry.kind, entry.step] = entry
    sent = 0
    batch: list[Any] = []
    marks: dict[str, int] = {}
    for entry in sorted(latest.values(), key=lambda entry: entry.step):
        points = _points(entry)
        if batch and len(batch) + len(points) > _METRICS_PER_BATCH:
            sent += _confirm(client, run_dir, state, batch, marks)
            batch, marks = [], {}
        batch += points
        marks[entry.kind] = entry.step
    # Only with the last batch, since all that lies before this offset is sent by then.
    return sent + _confirm(client, run_dir, state, batch, marks, offset=begin + len(data))


def _send_evals(client: Any, run_dir: Path, state: SinkState) -> int:
    sent = 0
    for entry in read_evals(run_dir):
        digest = hashlib.sha256(json.dumps(entry.metrics, sort_keys=True).encode()).hexdigest()[:16]
        if state.evals.get(str(entry.step)) != digest:
            sent += _confirm(client, run_dir, state, _points(entry), {}, evals={str(entry.step): digest})
    return sent


def _confirm(
    client: Any,
    run_dir: Path,
    state: SinkState,
    batch: list[Any],
    marks: dict[str, int],
    offset: int | None = None,
    evals: dict[str, str] | None = None,
) -> int:
    """Send, and note it once the server has it. An entry of more than a batch goes in several."""
    if batch:
        save_state(run_dir, state)  # nothing is sent while it cannot be noted
    for start in range(0, len(batch), _METRICS_PER_BATCH):
        client.log_batch(state.run_id, metrics=batch[start : start + _METRICS_PER_BATCH])
    state.last_step |= marks
    state.evals |= evals or {}
    state.offset = state.offset if offset is None else offset
    save_state(run_dir, state)
    return len(batch)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:
        return b""


def _points(entry: Entry) -> list[Any]:
    from mlflow.entities import Metric

    stamp = int(entry.time * 1000)
    return [Metric(_key(metric_name(entry.kind, name)), value, stamp, entry.step) for name, value in entry.metrics.items()]


def _key(name: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:_KEY_LENGTH]


def follow(run_dir: Path, closed: threading.Event, drain_s: float) -> None:
    """Send until `closed` is set and everything has gone, or `drain_s` seconds after it was set."""
    wait_s, troubled, told_at, look = 1.0, False, -math.inf, True
    deadline = math.inf
    while True:
        last = closed.is_set()
        if last and deadline == math.inf:
            deadline, look = time.monotonic() + drain_s, True
        try:
            sync_once(run_dir, look)
        except InputError as error:
            log.warning("%s; nothing is sent", error)
            return
        except TrackingError as error:
            if not troubled and time.monotonic() - told_at > _TELL_EVERY_S:
                log.warning("the tracking server does not take metrics (%s); they stay in the journal and follow later", error)
                troubled, told_at = True, time.monotonic()
            look = True
            if time.monotonic() >= deadline:
                log.warning(_GAVE_UP, run_dir)
                return
            # Once closed, the event no longer paces the loop.
            pause = min(wait_s, max(0.1, deadline - time.monotonic()))
            time.sleep(pause) if last else closed.wait(pause)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            continue
        if troubled:
            log.warning("the tracking server is back; everything has been sent")
        wait_s, troubled, look = 1.0, False, False
        if last:
            return
        closed.wait(_POLL_S)


def main() -> None:
    """`python -m cxrpt.track.sink RUN_DIR`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--drain-s", type=float, default=30.0)
    arguments = parser.parse_args()
    # Only what we say ourselves: libraries quote what they were given.
    told = logging.StreamHandler()
    told.setFormatter(logging.Formatter("cxrpt tracking: %(message)s"))
    logging.getLogger("cxrpt").addHandler(told)
    logging.getLogger().addHandler(logging.NullHandler())
    # Ctrl-C reaches the whole group; the run saves first, and closes our stdin when it has.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    closed = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        closed.set()
        time.sleep(arguments.drain_s + _LAST_ANSWER_S)
        # A server that hangs must not hold up the end of a run; what it took by now is recognised next time.
        log.warning(_GAVE_UP, arguments.run_dir)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()
    try:
        follow(arguments.run_dir, closed, arguments.drain_s)
    except Exception as error:
        place = error.__traceback__
        while place and place.tb_next:
            place = place.tb_next
        where = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
        log.error("the tracking ends by a defect (%s in %s); metrics stay in the journal", type(error).__name__, where)
        sys.exit(1)


if __name__ == "__main__":
    main()
