"""What the code imports is asked for by name: that another package brings it today may end with its next version."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[3]
OURS = ("cxrpt", "data_prep", "launch")


def imported() -> set[str]:
    found = set()
    for path in (path for package in OURS for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).partition(".")[0])
    return found - sys.stdlib_module_names - set(OURS)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_that_is_imported_is_declared():
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    declared = {normal(re.split(r"[=<>~!\[ ]", line)[0]) for line in dependencies}
    owners = packages_distributions()
    found = imported()
    assert {"torch", "cv2", "skimage"} <= found
    assert not {name for name in found if not declared & {normal(one) for one in owners.get(name, ())}}
