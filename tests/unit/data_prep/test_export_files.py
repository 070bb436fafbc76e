"""Which files of an export are looked into: links, circles, locked folders."""

import os

from data_prep.files import export_files
from data_prep.files.export_files import find_files, reason_against_path
from data_prep.ledger import Reason


def test_every_file_once_whatever_links_there_are(tmp_path):
    src = tmp_path / "src"
    (src / "b" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").write_text("x")
    for name in ("a", "b/c", "b/deep/d", "skip.csv"):
        (src / name).write_text(name)
    (src / "to_file").symlink_to("b/c")
    (src / "to_folder").symlink_to("b")
    (src / "b" / "circle").symlink_to("..")
    (src / "itself").symlink_to("itself")
    (src / "gone").symlink_to("nothing")
    (src / "outside").symlink_to(tmp_path / "elsewhere")
    (src / "outside_file").symlink_to(tmp_path / "elsewhere" / "x")
    os.mkfifo(src / "pipe")
    found = find_files(src, [(src / "skip.csv").resolve()])
    assert found.names == ["a", "b/c", "b/deep/d", "gone", "itself", "outside", "outside_file", "pipe"]
    reasons = [reason_against_path(path) for path in found]
    assert reasons == [None] * 3 + [Reason.MISSING_FILE] * 2 + [Reason.OUTSIDE_SOURCE] * 2 + [Reason.CANNOT_READ]
    assert len(found) == 8 and found[0] == src / "a" and list(found[1:3]) == [src / "b/c", src / "b/deep/d"]


def test_a_folder_that_is_a_link_itself_and_one_that_is_skipped(tmp_path):
    (tmp_path / "real" / "reports").mkdir(parents=True)
    (tmp_path / "real" / "reports" / "r").write_text("r")
    (tmp_path / "real" / "a").write_text("a")
    (tmp_path / "src").symlink_to(tmp_path / "real")
    src = tmp_path / "src"
    assert find_files(src, [(src / "reports").resolve()]).names == ["a"]


def test_reports_and_labels_that_are_links_out_of_the_export_are_no_images(tmp_path):
    (tmp_path / "archive" / "reports").mkdir(parents=True)
    (tmp_path / "archive" / "labels.csv").touch()
    (tmp_path / "src").mkdir()
    src = tmp_path / "src"
    for name in ("reports", "labels.csv"):
        (src / name).symlink_to(tmp_path / "archive" / name)
    assert find_files(src, [(src / "reports").resolve(), (src / "labels.csv").resolve()]).names == []


def test_a_locked_folder_is_an_input(tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a").write_text("a")
    (tmp_path / "locked").mkdir()
    real = os.scandir

    def scandir(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "denied")
        return real(folder)

    # The tests may run as root, for whom no folder is locked.
    monkeypatch.setattr(export_files.os, "scandir", scandir)
    found = find_files(tmp_path)
    assert found.names == ["locked", "open/a"] and reason_against_path(found[0]) == Reason.CANNOT_READ
