"""Where tables are printed: as wide as the terminal, or wide enough where there is none."""

import sys

from rich.console import Console


def wide_console(width: int = 120, least: bool = False) -> Console:
    """A console of the terminal's width.

    Args:
        width: where the output is no terminal, so that no cell is folded.
        least: hold a terminal to that width too: it breaks lines, where a narrow table would cut numbers short.
    """
    if not sys.stdout.isatty():
        return Console(width=width)
    return Console(width=max(width, Console().width)) if least else Console()
