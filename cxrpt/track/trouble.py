"""What may be said of an error on the way to a tracking server.

Messages of MLflow, requests and SQLAlchemy quote what they were given: addresses of proxies with their passwords, statements
with their values, whatever a server wrote into its answer. Only codes and words of a fixed vocabulary are passed on.
"""

import re
import sqlite3
import ssl

_HINTS = {
    "UNAUTHENTICATED": ": set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    "CUSTOMER_UNAUTHORIZED": ": set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN",
    "PERMISSION_DENIED": ": the account may not write there",
}
"""What a user can do about a code of MLflow."""


class TrackingError(RuntimeError):
    """The tracking server did not take or give what it was asked; nothing is lost."""


def describe(error: BaseException) -> str:
    """A few safe words on an error and what caused it, the most telling cause first."""
    chain = _chain(error)
    for cause in chain:
        if isinstance(cause, sqlite3.Error):
            return f"SQLite: {cause}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or 'failed'}"
    for cause in chain:
        if isinstance(cause, TimeoutError) or "Timeout" in type(cause).__name__:
            return "no answer in time"
        if isinstance(cause, OSError) and cause.errno and cause.strerror:
            return cause.strerror
        if answers := re.fullmatch(r"too many (\d{3}) error responses", str(cause)):
            return f"HTTP {answers[1]}"
    for cause in chain:
        code = getattr(cause, "error_code", None)
        if isinstance(code, str) and re.fullmatch("[A-Z_]+", code) and code != "INTERNAL_ERROR":
            return code + _HINTS.get(code, "")
    return type(chain[-1]).__name__


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    return chain
