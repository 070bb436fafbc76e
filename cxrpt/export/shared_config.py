"""The part of a run's configuration that may leave with its model.

Numbers and switches are kept, and of words only those of a list: a path, a URL, a name of a run or an experiment can identify
a machine, a user or a hospital, and what is added to the tree later is left out until somebody has thought of it.
"""

from dataclasses import asdict
from typing import Any

from omegaconf import OmegaConf

from cxrpt.config import RunConfig

PARTS = ("seed", "data", "model", "objective", "optim", "engine", "train")
_WORDS = {"data.sections", "data.sources.*.use", "model.size", "engine.precision", "optim.schedule"}
_OF_THE_MACHINE = {"data.workers", "data.prefetch", "data.cache_gb"}


def shared_config(config: RunConfig) -> dict[str, Any]:
    """The tree as it may be shown to anyone; names of sources stay, as they are institution codes."""
    tree = asdict(config)
    return {part: _shared(tree[part], part) for part in PARTS}


def shared_yaml(config: RunConfig) -> str:
    """The same as yaml, with a heading that says what it is not."""
    heading = "# How the model was trained. Paths, names of runs and what belongs to the machine are left out.\n"
    return heading + OmegaConf.to_yaml(OmegaConf.create(shared_config(config)))


def _shared(value: Any, path: str) -> Any:
    if isinstance(value, dict):
        below = {key: f"{path}.{'*' if path == 'data.sources' else key}" for key in value}
        return {key: _shared(value[key], below[key]) for key in value if _may_leave(value[key], below[key])}
    return value


def _may_leave(value: Any, path: str) -> bool:
    if path in _OF_THE_MACHINE:
        return False
    if isinstance(value, list):
        return all(_may_leave(item, path) for item in value)
    return isinstance(value, dict | int | float) or path in _WORDS
