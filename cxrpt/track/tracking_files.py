"""What a run directory says of the tracking of its metrics.

    RUN_DIR/tracking.json        where they go, and the key by which the run is found there    (written at every start)
    RUN_DIR/tracking-state.json  what has arrived                                              (after every batch)

Both are replaced as a whole. The state may be lost: the run is found by its key, and asked what it holds.
"""

import fcntl
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from cxrpt.durable import replace_text
from cxrpt.errors import InputError
from cxrpt.track.address import check_tracking_uri
from cxrpt.track.trouble import TrackingError

SETTINGS_NAME = "tracking.json"
STATE_NAME = "tracking-state.json"


@dataclass
class SinkState:
    """What has reached the tracking server; the content of `tracking-state.json`."""

    uri: str = ""
    experiment: str = ""
    run_id: str = ""
    offset: int = 0
    last_step: dict[str, int] = field(default_factory=dict)
    evals: dict[str, str] = field(default_factory=dict)
    """By evaluated step, a digest of its results."""
    params: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"
    """As MLflow calls it."""


def write_tracking(run_dir: Path, uri: str, experiment: str, run_name: str, params: dict[str, Any]) -> None:
    """Note where the metrics of a run go.

    Raises:
        InputError: the URI cannot work, see `check_tracking_uri`; the file cannot be written.
    """
    check_tracking_uri(uri, must_answer=False)
    path = run_dir / SETTINGS_NAME
    run_key = _noted_key(path) or _noted_key(run_dir / STATE_NAME) or uuid.uuid4().hex  # older versions had it in the state
    told = {name: str(value) for name, value in params.items()}
    try:
        known = {"uri": uri, "experiment": experiment, "run_name": run_name, "run_key": run_key, "params": told}
        replace_text(path, json.dumps(known, indent=1))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}): free disk space, or mend the rights") from None


def read_tracking(run_dir: Path) -> dict[str, Any]:
    """What `write_tracking` noted.

    Raises:
        InputError: the run has none, or a damaged one.
    """
    path = run_dir / SETTINGS_NAME
    try:
        settings = json.loads(path.read_text())
        if settings.keys() >= {"uri", "experiment", "run_name", "run_key", "params"}:
            return settings
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{run_dir} holds no {SETTINGS_NAME}: the run is not tracked, or it is no run directory") from None
    except (ValueError, AttributeError):
        pass
    raise InputError(f"{path} is damaged or of an older version: start the run again, which writes it anew")


def load_state(run_dir: Path, settings: dict[str, Any]) -> SinkState:
    """What has arrived where the settings say; an empty state if that is not known."""
    empty = SinkState(uri=settings["uri"], experiment=settings["experiment"])
    try:
        noted = json.loads((run_dir / STATE_NAME).read_text())
        state = SinkState(**{item.name: noted[item.name] for item in fields(SinkState)})
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return empty
    if any(type(getattr(state, item.name)) is not type(getattr(empty, item.name)) for item in fields(SinkState)):
        return empty
    # Another server knows nothing of this run: everything goes there from the start.
    return state if (state.uri, state.experiment) == (empty.uri, empty.experiment) else empty


def save_state(run_dir: Path, state: SinkState) -> None:
    """Note what has arrived.

    Raises:
        TrackingError: it cannot be written.
    """
    try:
        replace_text(run_dir / STATE_NAME, json.dumps(asdict(state), indent=1))
    except OSError as error:
        raise TrackingError(f"{STATE_NAME} cannot be written: {error.strerror}") from None


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, which is made if need be and stays."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _noted_key(path: Path) -> str | None:
    try:
        return json.loads(path.read_text())["run_key"]
    except (OSError, ValueError, TypeError, KeyError):
        return None
