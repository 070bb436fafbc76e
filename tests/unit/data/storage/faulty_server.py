"""A web server of a folder, on the loopback, that can be told to fail."""

import contextlib
import shutil
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest


class FaultyServer:
    """Counts requests; `faults[name]` are what the next requests of files with that name meet, one each.

    404, 503, `cut` (fewer bytes than announced), `short` (none announced, fewer sent, no error), `wrong` (a byte changed),
    `longer`, `drop` (the connection), `stall` (half, then nothing), `slow`.
    """

    def __init__(self, root: Path):
        self.root, self.faults, self.requests = root, dict[str, list[str]](), Counter[str]()
        self.headers: list[str] = []
        self.closing = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    outer.answer(self)

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def downloads(self, suffix: str) -> dict[str, int]:
        return {name: count for name, count in self.requests.items() if name.endswith(suffix)}

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(request.path).path).lstrip("/")
        name = path.rpartition("/")[2]
        self.requests[path] += 1
        self.headers.append(f"{request.path} {request.headers.get('Authorization', '')}")
        waiting = self.faults.get(name) or self.faults.get("*") or []
        fault = waiting.pop(0) if waiting else ""
        if fault == "drop":
            request.close_connection = True
            return
        if fault in ("404", "503") or not (self.root / path).is_file():
            request.send_error(int(fault or 404))
            return
        data = (self.root / path).read_bytes()
        if fault == "wrong":
            data = data[:600] + bytes([data[600] ^ 1]) + data[601:]
        if fault == "longer":
            data += b"\0" * 512
        request.send_response(200)
        if fault != "short":
            request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if fault in ("cut", "short"):
            data = data[: len(data) // 2]
        if fault == "stall":
            request.wfile.write(data[: len(data) // 2])
            self.closing.wait(30)
            return
        if fault == "slow":
            for start in range(0, len(data), 4096):
                request.wfile.write(data[start : start + 4096])
                time.sleep(0.02)
            return
        request.wfile.write(data)


@contextlib.contextmanager
def serving(root: Path) -> Iterator[FaultyServer]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed, by which http is read")
    server = FaultyServer(root)
    thread = threading.Thread(target=server.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.server.shutdown()
        server.server.server_close()
        thread.join()
