"""The command line as a whole: quick, in groups, with an example of every command."""

import errno
import os
import shlex
import subprocess
import sys

import click
import pytest
import typer.main

from launch.cli import GROUPS, app, main

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
        main([])
    said = capsys.readouterr().err
    assert end.value.code == 2 and os.strerror(number) in said and hint in said
    assert "hospital" not in said and said.count("\n") == 1
