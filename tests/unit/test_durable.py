"""Small files that many processes read while one replaces them."""

import errno
import os
import threading
from pathlib import Path

import pytest

from cxrpt import durable
from cxrpt.durable import read_patiently, replace_text


def test_a_reader_finds_the_old_text_or_the_new_one(tmp_path):
    path, texts = tmp_path / "a.json", ["a" * 50_000, "b" * 70_000]
    replace_text(path, texts[0])
    ended = threading.Event()

    def write():
        for number in range(200):
            replace_text(path, texts[number % 2], sync=False)
        ended.set()

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while not ended.is_set():
        assert path.read_text() in texts
    for writer in writers:
        writer.join()
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_leaves_the_old_text_and_no_draft(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    replace_text(path, "old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_text(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_rights(tmp_path):
    before = os.umask(0o022)
    try:
        replace_text(tmp_path / "open", "")
        replace_text(tmp_path / "secret", "", 0o600)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("open", "secret")] == [0o644, 0o600]


def test_a_stale_moment_is_waited_out_and_a_missing_file_is_missing(tmp_path, monkeypatch):
    left, read_text = [errno.ESTALE, errno.ESTALE], Path.read_text

    def failing(path, **options):
        if left:
            raise OSError(left.pop(), "Stale file handle")
        return read_text(path, **options)

    (tmp_path / "a").write_text("said")
    monkeypatch.setattr(durable.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(Path, "read_text", failing)
    assert read_patiently(tmp_path / "a") == "said" and not left
    left += [errno.EIO] * 11
    with pytest.raises(OSError, match="Stale"):
        read_patiently(tmp_path / "a")
    assert not left
    with pytest.raises(FileNotFoundError):
        read_patiently(tmp_path / "b")
