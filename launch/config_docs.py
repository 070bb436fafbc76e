"""What the keys of a configuration mean, read from the docstrings beside them.

`python -m launch.config_docs` prints docs/configuration.md.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from cxrpt.config import RunConfig
from launch.cluster_config import PREFIX, ClusterConfig

HEAD = """\
# Configuration

Made of the typed configuration by `python -m launch.config_docs`; not written by hand.

A configuration holds what differs from the defaults below. Values come, each over those before, from these defaults, from
the file that the file's `base` names, from the file itself, and from `key=value` words of the command line. A key that does
not exist is an error that names the closest one; a value out of its range says the rule. `cxrpt init` writes a file to begin
with.
"""
PIPE = "\\|"
"""A bar that ends no cell."""
CLUSTER_HEAD = f"""
# The cluster's file

What `--cluster FILE` of `cxrpt submit` and `cxrpt prep` names. On the command line its keys begin with `{PREFIX}`, as in
`{PREFIX}train.nodes=4`.
"""


@dataclass(frozen=True)
class Key:
    """One key of the tree."""

    path: str
    """Dotted; `NAME` stands for a key of the user's own."""
    kind: str
    default: str
    """As yaml writes it."""
    text: str


@dataclass(frozen=True)
class Section:
    """The keys of one dataclass."""

    path: str
    """Empty for the root."""
    text: str
    keys: tuple[Key, ...]


def sections(schema: Any, path: str = "") -> Iterator[Section]:
    """The tree's sections from the root down."""
    hints, prefix = get_type_hints(schema), f"{path}." if path else ""
    keys, below = [], []
    for entry in fields(schema):
        hint = hints[entry.name]
        of_values = (get_args(hint) or (None,))[-1]
        if is_dataclass(hint):
            below.append((hint, prefix + entry.name))
        elif is_dataclass(of_values):
            below.append((of_values, f"{prefix}{entry.name}.NAME"))
        else:
            keys.append(Key(prefix + entry.name, _kind(hint), _default(entry), _field_texts(schema).get(entry.name, "")))
    yield Section(path, inspect.cleandoc(schema.__doc__ or ""), tuple(keys))
    for part, name in below:
        yield from sections(part, name)


def keys_of(schema: type) -> dict[str, Key]:
    """Every key by its path."""
    return {key.path: key for section in sections(schema) for key in section.keys}


@cache
def _field_texts(schema: type) -> dict[str, str]:
    """Docstrings below the fields of a dataclass and of what it derives from."""
    texts = {}
    for cls in reversed(schema.__mro__[:-1]):
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(body, ast.ClassDef)
        for entry, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name) and isinstance(after, ast.Expr):
                assert isinstance(after.value, ast.Constant)
                texts[entry.target.id] = " ".join(str(after.value.value).split())
    return texts


def _kind(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint)


def _default(entry: Field[Any]) -> str:
    value = entry.default_factory() if entry.default_factory is not MISSING else entry.default
    if isinstance(value, str):
        return value or '""'
    return str(value).lower() if isinstance(value, bool) else str(value).replace("'", "")


def _markdown(schema: type, prefix: str = "") -> str:
    lines = []
    for section in sections(schema):
        if section.path:
            lines += [f"## {prefix}{section.path}", "", section.text, ""]
        else:
            lines += ["", section.text, ""]
        if section.keys:
            lines += ["| key | type | default | |", "|---|---|---|---|"]
        for key in section.keys:
            cells = (f"`{prefix}{key.path}`", key.kind, f"`{key.default}`", key.text)
            lines.append(f"| {' | '.join(cell.replace('|', PIPE) for cell in cells)} |")
        lines.append("")
    return "\n".join(lines)


def reference() -> str:
    """The page."""
    return f"{HEAD}{_markdown(RunConfig)}{CLUSTER_HEAD}{_markdown(ClusterConfig, PREFIX)}".rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(reference())
