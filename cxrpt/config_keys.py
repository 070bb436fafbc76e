"""The keys that a configuration may have, and the closest one to a key that it may not."""

import difflib
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

from cxrpt.errors import InputError


def key_paths(cls: Any, prefix: str = "") -> list[str]:
    """All dotted keys of the tree; `*` stands for a key of the user's own (a source's name)."""
    paths = []
    hints = get_type_hints(cls)
    for entry in fields(cls):
        path, hint = prefix + entry.name, hints[entry.name]
        paths.append(path)
        if is_dataclass(hint):
            paths += key_paths(hint, path + ".")
        elif is_dataclass(value_type := (get_args(hint) or (None,))[-1]):
            paths += [f"{path}.*", *key_paths(value_type, f"{path}.*.")]
        elif get_origin(hint) is dict:
            paths.append(f"{path}.*")
    return paths


def check_keys(given: Any, where: str, known: list[str], prefix: str = "", pattern: str = "") -> None:
    """Raise InputError for the first key that the tree does not have."""
    if not isinstance(given, dict):
        if any(key.startswith(pattern) for key in known) and prefix:
            raise InputError(f"{where}: {prefix[:-1]}={given!r}: a section takes keys, as in {prefix}KEY=VALUE")
        return
    if prefix.endswith(".weight_from_step.") and None in given.values():
        raise InputError(f"{where}: {prefix[:-1]}={given!r}: write a blank after each colon, as in {{20000: 0.5, 50000: 0}}")
    for key, value in given.items():
        path, by_name, by_star = f"{prefix}{key}", f"{pattern}{key}", f"{pattern}*"
        if by_name not in known and by_star not in known:
            candidates = [
                prefix + k.removeprefix(pattern) for k in known if k.startswith(pattern) and "*" not in k[len(pattern) :]
            ]
            # The whole tree is searched only when no sibling is near: a key in the wrong section is as common as a slip.
            near = difflib.get_close_matches(path, [c for c in candidates if c.count(".") == path.count(".")], 1, 0.6)
            near = near or difflib.get_close_matches(path, [k for k in known if "*" not in k], 1, 0.3)
            hint = f"; the closest key is {near[0]!r}" if near else ""
            raise InputError(f"{where}: there is no key {path!r}{hint}")
        check_keys(value, where, known, path + ".", (by_name if by_name in known else by_star) + ".")
