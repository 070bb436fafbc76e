"""The command line as a whole: quick, in groups, with an example of every command."""

import errno
import os
import shlex
import subprocess
import sys

import click
import pytest
import typer.main

from launch import cli
from launch.cli import GROUPS, app

ROOT = typer.main.get_command(app)


def every_command(group=ROOT, words=()):
    for name, command in group.commands.items():
        if isinstance(command, click.Group) or hasattr(command, "commands"):
            yield from every_command(command, (*words, name))
        else:
            yield (*words, name), command


COMMANDS = dict(every_command())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_that_its_own_parser_takes(words):
    lines = [line.strip() for line in COMMANDS[words].help.splitlines()]
    (example,) = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    given = shlex.split(example)
    assert tuple(given[: len(words) + 1]) == ("cxrpt", *words)
    COMMANDS[words].make_context("cxrpt", given[len(words) + 1 :])


def test_every_command_stands_in_a_group_of_the_help():
    told = subprocess.run([sys.executable, "-m", "launch.cli", "--help"], capture_output=True, text=True).stdout
    assert all(f" {group} " in told for group in GROUPS)
    assert "─ Commands ─" not in told and {words[0] for words in COMMANDS} <= set(told.split())
    assert "--install-completion" in told


def test_the_command_line_starts_without_torch():
    words = "import sys, launch.cli; print([m for m in ('torch', 'deepspeed', 'mlflow', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "free some space"), (errno.EDQUOT, "free some space"), (errno.EACCES, "its rights")]
)
def test_what_the_file_system_refuses_is_one_line_with_what_to_do(monkeypatch, capsys, number, hint):
    def refuse(arguments):
        raise OSError(number, os.strerror(number), "/hospital/a patient's name")

    monkeypatch.setattr("launch.cli.app", refuse)
    with pytest.raises(SystemExit) as end:
        cli.main([])
    said = capsys.readouterr().err
    assert end.value.code == 2 and os.strerror(number) in said and hint in said
    assert "hospital" not in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "error", [OSError(errno.ESTALE, "Stale file handle", "/export/Hill_Ann.dcm"), KeyError("/export/Hill_Ann.dcm")]
)
def test_what_nobody_foresaw_names_no_path_of_an_export(error, monkeypatch, capfd):
    def app(arguments):
        raise error

    monkeypatch.setattr(cli, "app", app)
    monkeypatch.delenv("CXRPT_DEBUG", raising=False)
    with pytest.raises(SystemExit) as caught:
        cli.main(["prep", "hospital", "/export"])
    told = "".join(capfd.readouterr())
    assert caught.value.code == 1 and type(error).__name__ in told and "CXRPT_DEBUG" in told and told.count("\n") == 1
    assert "Hill" not in told and "Traceback" not in told
    with pytest.raises(type(error)):
        cli.main(["plan", "mine.yaml"])
    monkeypatch.setenv("CXRPT_DEBUG", "1")
    with pytest.raises(type(error)):
        cli.main(["prep", "hospital", "/export"])
