import pytest

from launch.console import wide_console


@pytest.mark.parametrize(
    ("terminal", "words", "width"),
    [
        (None, {}, 120), (None, {"width": 240}, 240), (None, {"least": True}, 120),
        (80, {}, 80), (80, {"least": True}, 120), (200, {}, 200), (200, {"least": True}, 200),
    ],
)  # fmt: skip
def test_tables_are_as_wide_as_the_terminal_or_wide_enough(monkeypatch, terminal, words, width):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal is not None)
    monkeypatch.setenv("COLUMNS", str(terminal or 80))
    assert wide_console(**words).width == width
