"""Addresses of tracking servers: which ones can work, and which must not be written down."""

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit

from cxrpt.errors import InputError

SCHEMES = ("sqlite", "http", "https", "postgresql", "mysql", "databricks")


def check_tracking_uri(uri: str, must_answer: bool = True) -> None:
    """Refuse a tracking URI that cannot work.

    Raises:
        InputError: unknown scheme, a password in it, a bad port, no host; with `must_answer`, nothing listens at an
            http(s) address.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise InputError("tracking URI does not parse: write it as http://HOST:PORT or sqlite:///FILE") from None
    if parts.scheme not in SCHEMES:
        # What stands before the colon may be a name that belongs to a password.
        shown = "none" if "@" in uri else parts.scheme or "none"
        raise InputError(f"tracking URI has scheme {shown}: use one of {', '.join(f'{s}:' for s in SCHEMES)}")
    # Neither the URI nor its parts are quoted before it is known to hold no password.
    if parts.scheme != "sqlite" and (parts.password is not None or (parts.username and parts.scheme.startswith("http"))):
        raise InputError(
            "tracking URI holds a user or password: leave them out, set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        )
    if re.search(r"(?i)(token|passw(or)?d|passphrase|pwd|secret|credentials?|(api|access)_?key)[^=&]*=", parts.query):
        raise InputError("tracking URI holds a secret in its query: leave it out and set MLFLOW_TRACKING_TOKEN")
    if parts.scheme == "sqlite":
        _check_sqlite(uri)
        return
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port is not None and not 1 <= port <= 65535:
        raise InputError(f"tracking URI {_shown(uri)} has a port outside 1..65535: mend the number after the last colon")
    if parts.scheme in ("http", "https"):
        if not parts.hostname:
            raise InputError(f"tracking URI {_shown(uri)} names no host: write it as {parts.scheme}://HOST:PORT")
        if must_answer:
            _knock(parts.hostname, port or (443 if parts.scheme == "https" else 80), uri)


def _shown(uri: str) -> str:
    """The URI without what could be a user or a password where none was expected, and without its query."""
    head, _, tail = uri.split("?")[0].rpartition("@")
    return f"{head.split(':')[0]}:...@{tail}" if head else tail


def _check_sqlite(uri: str) -> None:
    match = re.fullmatch(r"sqlite:///([^?]+)(\?.*)?", uri)
    if not match:
        raise InputError(
            f"tracking URI {_shown(uri)} names no file: write it as sqlite:///relative.db or sqlite:////absolute.db"
        )
    path = Path(match[1])
    if path.is_dir():
        raise InputError(f"tracking URI {_shown(uri)} names a folder: name a file in it")


def _knock(host: str, port: int, uri: str) -> None:
    try:
        socket.create_connection((host, port), timeout=10).close()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"tracking server {_shown(uri)} does not answer ({reason}): start it, or mend track.uri") from None
