"""SLURM's commands, played by scripts; tests/slurm asks the real ones."""

import pytest


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """A function that makes a command of a name print lines, or fail; there are no other commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, lines: str, code: int = 0) -> None:
        path = folder / name
        told = f"/bin/cat <<'END'\n{lines}\nEND\n" if lines else ""
        path.write_text(f"#!/bin/sh\n{told}exit {code}\n")
        path.chmod(0o755)

    return make
