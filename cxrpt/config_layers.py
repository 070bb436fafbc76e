"""A typed configuration from yaml files that differ from one another, and from words of the command line."""

import re
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from cxrpt.config_keys import check_keys, key_paths
from cxrpt.errors import InputError

T = TypeVar("T")

BASE = "base"
"""Key of a yaml file that names another, beside it, from which it differs."""


def read_layers(schema: type[T], path: Path | None, overrides: list[str] | None = None, of_words: str = "command line") -> T:
    """The defaults of a tree of dataclasses, then what a file and words of the command line say otherwise.

    Args:
        schema: the tree's root.
        path: of the file, if any.
        overrides: the words, as key=value.
        of_words: what messages call these.

    Raises:
        InputError: no such file, not yaml, an unknown key, or a value of the wrong type.
    """
    known = key_paths(schema)
    tree: DictConfig = OmegaConf.structured(schema)
    layers: list[tuple[str, Any]] = []
    try:
        if path is not None:
            layers += _layers_of(path)
        for word in overrides or []:
            if not re.match(r"[A-Za-z_][\w.-]*=", word):
                raise InputError(f"{word!r} is not of the form key=value")
            layers.append((of_words, OmegaConf.from_dotlist([word])))
        for where, layer in layers:
            given = OmegaConf.to_container(layer)
            if not isinstance(given, dict):
                raise InputError(f"{where}: the configuration must be a mapping of keys")
            check_keys(given, where, known)
            tree = OmegaConf.merge(tree, layer)
        config = OmegaConf.to_object(tree)
    except InputError:
        raise
    except (OmegaConfBaseException, ValueError) as error:
        key = getattr(error, "full_key", None)
        raise InputError(f"{'key ' + repr(key) + ': ' if key else ''}{str(error).splitlines()[0]}") from None
    except Exception as error:  # yaml has a family of errors of its own, and this module may not import it
        if type(error).__module__.startswith("yaml"):
            raise InputError(f"{path}: not a yaml file: {' '.join(str(error).split())}") from None
        raise
    assert isinstance(config, schema)
    return config


def _layers_of(path: Path, outer: tuple[Path, ...] = ()) -> list[tuple[str, Any]]:
    """What a yaml file holds, after what the file holds that its `base` names."""
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise InputError(f"{path} {state}: name a yaml file")
    if path.resolve() in outer:
        raise InputError(f"base={path.name!r}: {path} is its own base, by way of others: take the line out of one of them")
    try:
        layer = OmegaConf.load(path)
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    base = layer.pop(BASE, None) if isinstance(layer, DictConfig) else None
    below = [] if base is None else _layers_of(path.parent / str(base), (*outer, path.resolve()))
    return [*below, (str(path), layer)]
