"""URLs: how they are joined, opened and shown, and what becomes of transfers that fail."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cxrpt.data.storage.remote import AbsentError, TransferError, check_url, is_remote, join_url, local_folder, redact, stream
from cxrpt.errors import InputError

from .faulty_server import serving


@pytest.fixture
def server(tmp_path):
    (tmp_path / "north" / "train").mkdir(parents=True)
    (tmp_path / "north" / "train" / "a.tar").write_bytes(os.urandom(300_000))
    with serving(tmp_path) as running:
        yield running


def read(url, stall_s=5.0):
    return b"".join(stream(url, stall_s))


def test_what_is_a_folder_and_what_a_url():
    assert not any(map(is_remote, ("shards/north", "/a:b/north", "./a:b", "file:///shards/north", "C:/x")))
    assert all(map(is_remote, ("http://h/x", "s3://b/x", "pipe:cat {}", "nonsense://x")))
    assert str(local_folder("file:///shards/a%20b")) == "/shards/a b" and str(local_folder("shards")) == "shards"
    with pytest.raises(InputError, match="names the host elsewhere"):
        local_folder("file://elsewhere/shards")


@pytest.mark.parametrize(
    ("prefix", "joined"),
    [
        ("http://h/shards/", "http://h/shards/train/m.json"),
        ("https://h/shards?sig=a/b", "https://h/shards/train/m.json?sig=a/b"),
        ("https://h/get?file={}&sig=1", "https://h/get?file=train/m.json&sig=1"),
        ("pipe:ssh host 'cat /s/{}' | gunzip", "pipe:ssh host 'cat /s/train/m.json' | gunzip"),
        ("pipe:curl 'http://h?x#y'/s", "pipe:curl 'http://h?x#y'/s/train/m.json"),
    ],
)
def test_names_are_joined(prefix, joined):
    assert join_url(prefix, "train/m.json") == joined


@pytest.mark.parametrize("name", ["../../etc/passwd", "a; rm -rf x", "$(id)", "a b", "-o/x\n", "", "/x", "a//b", ".hidden"])
def test_names_that_lead_elsewhere_are_refused(name):
    with pytest.raises(InputError, match="no plain file name"):
        join_url("pipe:cat /s/{}", name)


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("nonsense://user:secret@h/x", "nothing opens nonsense: URLs"),
        ("http:h/x", "write it as http://HOST/FOLDER"),
        ("http://", "write it as http://HOST/FOLDER"),
        ("pipe:  ", r"write it as pipe:COMMAND \{\}"),
        ("http://user:secret@h/x\ny", "control character"),
    ],
)
def test_urls_that_cannot_work(url, rule):
    with pytest.raises(InputError, match=rule) as caught:
        check_url(url)
    assert "user" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:secret@host:8443/shards/north", "https://***@host:8443/shards/north"),
        ("https://secret@host/north?X-Amz-Signature=secret#secret", "https://***@host/north?***"),
        ("https://user:sec/secret@host/x", "https://***@host/x"),
        ("https://user:p?secret@host/x", "https://***"),
        ("https://user:p#secret@host/x", "https://***"),
        ("https://host/x?sig=secret@secret", "https://***"),
        ("s3://bucket/north", "s3://bucket/north"),
        ("pipe:ssh -i secret host cat /x/{}", "pipe:ssh ..."),
        ("pipe:TOKEN=secret curl https://h/{}", "pipe:*** ..."),
        ("shards/north", "shards/north"),
    ],
)
def test_credentials_are_never_shown(url, shown):
    assert redact(url) == shown


def test_whole_files_and_what_servers_answer(server):
    url = f"{server.url}/north/train/a.tar"
    data = (server.root / "north" / "train" / "a.tar").read_bytes()
    assert read(url) == data
    server.faults["a.tar"] = ["503", "cut", "drop", "404"]
    with pytest.raises(TransferError, match="503"):
        read(url)
    with pytest.raises(TransferError, match="transfer closed"):
        read(url)
    with pytest.raises(TransferError, match="Empty reply"):
        read(url)
    with pytest.raises(AbsentError, match="404"):
        read(url)
    assert read(url) == data
    server.faults["a.tar"] = ["short"]
    assert len(read(url)) == len(data) // 2, "no program can tell: whoever reads must know the size"


def test_a_dead_server_is_told_at_once_and_a_silent_one_in_time(server):
    with pytest.raises(TransferError, match="Failed to connect"):
        read("http://127.0.0.1:9/x")
    server.faults["a.tar"] = ["stall"]
    with pytest.raises(TransferError, match=r"sent nothing for 0\.3 s"):
        read(f"{server.url}/north/train/a.tar", 0.3)


def test_urls_that_a_shell_or_curl_would_take_apart(server):
    for name in ("a[1].tar", "{a,b}.tar", "a'b.tar", 'a"b.tar'):
        (server.root / name).write_bytes(name.encode())
        assert read(f"{server.url}/{name}") == name.encode()


def test_commands(tmp_path, monkeypatch):
    (tmp_path / "a.tar").write_bytes(b"x" * 200_000)
    assert len(read(f"pipe:cat {tmp_path}/a.tar")) == 200_000
    with pytest.raises(AbsentError, match=r"pipe:cat \.\.\.: .*No such file"):
        read(f"pipe:cat {tmp_path}/b.tar")
    with pytest.raises(TransferError, match="exit status 3"):
        read(f"pipe:cat {tmp_path}/a.tar; exit 3")
    with pytest.raises(TransferError, match="signal 9"):
        read("pipe:kill -9 $$")
    with pytest.raises(TransferError, match="not found"):
        read("pipe:no-such-program-anywhere x")
    for status in (127, 255):  # what bash says of a program, and ssh of its key
        with pytest.raises(TransferError) as caught:
            read(f"pipe:echo 'x: No such file or directory' >&2; exit {status}")
        assert not isinstance(caught.value, AbsentError)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="the program 'aws' that reads it is not installed"):
        read("s3://bucket/a.tar")


def test_a_flood_of_error_output_does_not_stop_a_transfer():
    assert read("pipe:yes complaint | head -c 3000000 >&2; echo data") == b"data\n"


def test_s3_and_gs_are_read_by_their_own_programs(tmp_path, monkeypatch):
    for program in ("aws", "gcloud"):
        (tmp_path / program).write_text('#!/bin/sh\necho "$0 $*"\n')
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read("s3://bucket/a.tar").decode().split("/")[-3:] == ["", "bucket", "a.tar -\n"]
    assert b"gcloud storage cat gs://bucket/a.tar" in read("gs://bucket/a.tar")


def _all_processes() -> Iterator[str]:
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # one that has ended since
            yield file.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def test_what_was_started_ends_with_the_transfer():
    mark = f"98.{os.getpid()}"

    def alive() -> bool:
        return any(f"sleep {mark}" in words for words in _all_processes())

    with pytest.raises(TransferError, match="sent nothing"):
        read(f"pipe:echo begin; sleep {mark} | cat", 0.2)
    stopped = stream(f"pipe:echo begin; sleep {mark} | cat", 5)
    assert next(stopped) == b"begin\n" and alive()
    stopped.close()
    until = time.monotonic() + 5
    while alive() and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive()


def test_secrets_of_the_environment_are_filled_in_and_not_shown(server, monkeypatch):
    monkeypatch.setenv("SHARDS_TOKEN", "hush-7391")
    assert read(f"{server.url}/north/train/a.tar?sig=$SHARDS_TOKEN")
    assert server.headers[-1].startswith("/north/train/a.tar?sig=hush-7391")
    with pytest.raises(InputError, match="the environment holds no variable NOT_SET_ANYWHERE"):
        read(server.url + "/x?sig=${NOT_SET_ANYWHERE}")
    with pytest.raises(TransferError) as caught:
        read('pipe:echo "denied: $SHARDS_TOKEN and --key 5151-shh" >&2; exit 1')
    assert "hush" not in str(caught.value) and "5151" not in str(caught.value)


def test_credentials_of_a_url_reach_the_server_and_nobody_else(server):
    with_user = server.url.replace("//", "//ward:hush-7391@")
    read(f"{with_user}/north/train/a.tar")
    assert "Basic" in server.headers[-1]
    server.faults["a.tar"] = ["404", "stall"]
    with pytest.raises(AbsentError) as caught:
        read(f"{with_user}/north/train/a.tar?sig=shh-5151")
    assert "hush" not in str(caught.value) and "shh" not in str(caught.value)
    halted = stream(f"{with_user}/north/train/a.tar", 5)
    next(halted)
    listed = "\n".join(_all_processes())
    halted.close()
    assert re.search(r"curl .*--config -", listed) and "hush-7391" not in listed, "the list of processes is everybody's"


def test_no_torch_is_needed():
    code = "import sys; from cxrpt.data.storage import check_shards, open_shards; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
