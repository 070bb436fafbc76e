"""Files behind URLs, read as streams of bytes.

    http(s)://host/shards/north     ftp, ftps, sftp, scp too: curl
    s3://bucket/shards/north        aws s3 cp URL -
    gs://bucket/shards/north        gsutil cat, or gcloud storage cat where there is no gsutil
    pipe:ssh host cat /shards/{}    any command; {} stands for the name of the file below the institution
    ais, hf, htgs                   webdataset.gopen

Without `{}` the name is joined to the prefix by `/`, before the query if there is one. `$NAME` is filled in from the
environment when a file is opened, so that a secret need not stand in a configuration.

Why curl, aws and gsutil are not started by `webdataset.gopen` as well: its curl tries 31 times (against a server that answers
503 for a minute), after which `read` can return nothing at all without an error, as the status is asked for before the
program has ended; no reason is given; URL and password stand in the error and in the list of processes; a quote in the URL
breaks the shell's line; and of a transfer that stands still, its handle can end the shell but not the program. Any of them
can end a short transfer with status 0 (a server that names no length and closes early), so whoever reads must know the size
or the checksum.
"""

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from cxrpt.errors import InputError

STALL_S = 60.0
"""A transfer that sends nothing for this long is broken off."""

_CURL_SCHEMES = ("http", "https", "ftp", "ftps", "sftp", "scp")
_GOPEN_SCHEMES = ("ais", "hf", "htgs")
_SCHEMES = (*_CURL_SCHEMES, "gs", "s3", "pipe", *_GOPEN_SCHEMES)
_CURL = (
    "curl", "--globoff", "--fail", "--silent", "--show-error", "--location", "--netrc-optional",
    "--speed-limit", "1", "--speed-time", "90",  # should whoever reads be killed while the server says nothing
    "--config", "-",
)  # fmt: skip
_CONNECT_S = 15.0
_CHUNK = 1 << 20
_TAIL = 4096
# What curl, aws, gsutil, cat and ssh say of a file that is not there.
_ABSENT = re.compile(r"returned error: 4(04|10)|curl: \(78\)|\(404\)|NoSuchKey|[Nn]o URLs matched|No such file or directory")
_NOT_OF_THE_FILE = (126, 127, 255)
"""Statuses of a shell without the command and of an ssh without a connection."""


class TransferError(OSError):
    """A file could not be read to its end; the message is one line without credentials."""


class AbsentError(TransferError):
    """There is no such file."""


def is_remote(path: str) -> bool:
    """Whether a source's path is a URL; `file:` is a local folder."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", path)) and not path.startswith("file:")


def local_folder(path: str) -> Path:
    """The folder that a path which is not remote names.

    Raises:
        InputError: a `file:` URL of another host.
    """
    if not path.startswith("file:"):
        return Path(path)
    parts = urlparse(path)
    if parts.netloc not in ("", "localhost"):
        raise InputError(f"{path} names the host {parts.netloc}: write file:///FOLDER, or pipe:ssh HOST cat FOLDER/{{}}")
    return Path(url2pathname(parts.path))


def check_url(url: str) -> None:
    """Refuse a URL prefix that cannot work.

    Raises:
        InputError: an unknown scheme, no host, or characters that no URL holds.
    """
    scheme, _, rest = url.partition(":")
    if scheme not in _SCHEMES:
        raise InputError(
            f"{redact(url)}: nothing opens {scheme}: URLs: use {', '.join(_SCHEMES)} or file, or ./{scheme}:... for a folder"
        )
    if any(ord(character) < 32 for character in url):
        raise InputError(f"{redact(url)}: a line break or another control character stands in it: leave it out")
    if not (rest.strip() if scheme == "pipe" else re.match(r"//[^/?#]", rest)):
        raise InputError(f"{redact(url)}: write it as {'pipe:COMMAND {}' if scheme == 'pipe' else scheme + '://HOST/FOLDER'}")


def join_url(prefix: str, name: str) -> str:
    """The URL of the file `name` (relative, with `/`) below a prefix.

    Raises:
        InputError: a name that could lead elsewhere, or that a shell would take apart.
    """
    if not re.fullmatch(r"[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*", name, re.ASCII):
        raise InputError(f"{redact(prefix)}: its manifest names {name!r}, which is no plain file name: build it again")
    if "{}" in prefix:
        return prefix.replace("{}", name)
    cut = len(prefix) if prefix.startswith("pipe:") else re.search(r"[?#]|$", prefix).start()  # type: ignore[union-attr]
    return f"{prefix[:cut].rstrip('/')}/{name}{prefix[cut:]}"


def redact(url: str) -> str:
    """A path or URL as it may be shown: without user, password and query; of a command, its first word."""
    if not is_remote(url):
        return url
    scheme, _, rest = re.sub(r"[\0-\x1f]", "?", url).partition(":")
    if scheme == "pipe":
        program = re.match(r"\s*([\w./-]+)(\s|$)", rest)
        return f"pipe:{program[1] if program else '***'} ..."
    # Up to the last @ wherever it stands: a password may hold / or ?, and then no parser finds its end.
    before, at, after = rest.rpartition("@")
    if re.search(r"[?#]", before):  # of a password, or of a query whose end holds the @
        return f"{scheme}://***"
    cut = re.search(r"[?#]|$", after).start()  # type: ignore[union-attr]
    return f"{scheme}:{'//***@' if at else ''}{after[:cut]}{'?***' if after[cut:] else ''}"


def stream(url: str, stall_s: float = STALL_S) -> Generator[bytes, None, None]:
    """The bytes behind a URL, chunk by chunk; whoever stops early closes the generator, which ends the transfer.

    Raises:
        AbsentError: there is no such file.
        TransferError: it failed, or sent nothing for `stall_s` seconds.
        InputError: a program that it needs is not installed, or a variable that it names is not set.
    """
    transfer = _start(url, stall_s)
    said = bytearray()
    try:
        yield from _chunks(transfer, url, stall_s, said)
        try:
            status = transfer.process.wait(stall_s)
        except subprocess.TimeoutExpired:
            raise TransferError(f"{redact(url)}: does not end") from None
        if status:
            _drain(transfer, said)
            words = said.decode(errors="replace")
            absent = status not in _NOT_OF_THE_FILE and _ABSENT.search(words)
            ended = f"exit status {status}" if status > 0 else f"signal {-status}"
            raise (AbsentError if absent else TransferError)(f"{redact(url)}: {_scrub(words, url) or ended}")
    finally:
        _end(transfer)


@dataclass(frozen=True)
class _Transfer:
    process: subprocess.Popen[bytes]
    opened: object = None
    """gopen's handle, which waits for the process when it is dropped; None for a process that leads its own group."""


def _start(url: str, stall_s: float) -> _Transfer:
    scheme, _, rest = url.partition(":")
    if scheme == "pipe":
        return _popen(["/bin/sh", "-c", rest], url)
    full = _filled(url)
    if scheme in _CURL_SCHEMES:
        escaped = full.replace("\\", "\\\\").replace('"', '\\"')
        return _popen([*_CURL, "--connect-timeout", str(min(_CONNECT_S, stall_s))], url, f'url = "{escaped}"\n')
    if scheme == "s3":
        return _popen(["aws", "s3", "cp", "--only-show-errors", full, "-"], url)
    if scheme == "gs":
        return _popen(["gsutil", "-q", "cat", full] if shutil.which("gsutil") else ["gcloud", "storage", "cat", full], url)
    from webdataset.gopen import gopen  # imports torch

    try:
        opened = gopen(full)
        return _Transfer(opened.proc, opened)
    except (ImportError, OSError, ValueError) as error:
        raise InputError(f"{redact(url)}: webdataset cannot open it ({type(error).__name__}): install what it needs") from None


def _popen(words: list[str], url: str, fed: str | None = None) -> _Transfer:
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL if fed is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
            env=os.environ | {"LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise InputError(f"{redact(url)}: the program {words[0]!r} that reads it is not installed here") from None
    if process.stdin is not None and fed is not None:
        with suppress(BrokenPipeError):
            process.stdin.write(fed.encode())
        process.stdin.close()
    return _Transfer(process)


def _filled(url: str) -> str:
    """The URL with `$NAME` and `${NAME}` filled in from the environment."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise InputError(f"{redact(url)}: the environment holds no variable {name}: set it where the run is started")
        return os.environ[name]

    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, url)


def _chunks(transfer: _Transfer, url: str, stall_s: float, said: bytearray) -> Generator[bytes, None, None]:
    out, err = transfer.process.stdout, transfer.process.stderr
    assert out is not None
    with selectors.DefaultSelector() as ready:
        ready.register(out, selectors.EVENT_READ)
        if err is not None:
            os.set_blocking(err.fileno(), False)
            ready.register(err, selectors.EVENT_READ)
        until = time.monotonic() + stall_s
        while True:
            events = {key.fileobj for key, _ in ready.select(max(0.0, until - time.monotonic()))}
            if err in events and not _drain(transfer, said):
                ready.unregister(err)
            if out in events:
                if not (chunk := os.read(out.fileno(), _CHUNK)):
                    return
                yield chunk
                until = time.monotonic() + stall_s
            elif time.monotonic() >= until:
                raise TransferError(f"{redact(url)}: sent nothing for {stall_s:g} s")


def _drain(transfer: _Transfer, said: bytearray) -> bool:
    """Take what there is of the error output, of which the end is kept; False at its end."""
    if transfer.process.stderr is None:
        return False
    while True:
        try:
            piece = os.read(transfer.process.stderr.fileno(), _TAIL)
        except BlockingIOError:
            return True
        if not piece:
            return False
        said += piece
        del said[:-_TAIL]


def _end(transfer: _Transfer) -> None:
    process = transfer.process
    # Only while it has not been waited for: its number could be another's afterwards.
    if process.poll() is None:
        with suppress(ProcessLookupError):
            if transfer.opened is None:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def _scrub(said: str, url: str) -> str:
    """The last line that a program said, without anything secret that the URL or the variables named in it hold."""
    lines = [" ".join(line.split()) for line in said.splitlines() if line.strip()]
    line = lines[-1] if lines else ""
    secrets = [os.environ.get(one or other, "") for one, other in re.findall(r"\$(?:(\w+)|\{(\w+)\})", url)]
    scheme, _, rest = url.partition(":")
    if scheme == "pipe":
        # Which word of a command is the secret one cannot be known.
        secrets += re.split(r"""[\s'"=:@,;|&<>()]+""", rest)[1:]
    else:
        user, at, after = rest.rpartition("@")
        secrets += [user.lstrip("/"), *re.split("[/:]", user)] if at else []
        secrets += re.split("[?&=#]", after)[1:]
        if re.search(r"[?#]", user):  # a query whose end holds the @
            secrets += [*re.split("[?&=#@]", user), *re.split("[?&=#@]", after)]
    for secret in sorted((s for s in secrets if len(s) > 2), key=len, reverse=True):
        line = line.replace(secret, "***")
    return line[-300:]
