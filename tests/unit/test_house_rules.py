"""The storeys of the house (who may import whom) and what every file must be, read from the sources themselves."""

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(p for package in ("cxrpt", "data_prep", "launch") for p in (ROOT / package).rglob("*.py"))
ALLOWED_TOP = {
    "pyproject.toml", "README.md", "launch", "cxrpt", "data_prep", "configs", "tests", "docker", "benchmarks", "docs", ".ci",
    "Makefile", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "mkdocs.yml", ".gitignore", ".git",
}  # fmt: skip
ONE_IMPORTER = {
    "deepspeed": {"cxrpt/dist/engine.py"},
    "mlflow": {"cxrpt/track/sink.py"},
    "submitit": {"launch/cluster.py"},
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path, top_level_only: bool = False, but_for_types: bool = False) -> set[str]:
    """Full dotted names that a file imports (`from a import b` gives `a.b`)."""
    tree = ast.parse(path.read_text())
    if but_for_types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")]
    nodes = tree.body if top_level_only else list(ast.walk(tree))
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_import_rules(path):
    module, names = module_name(path), imports(path)
    rel = str(path.relative_to(ROOT))

    def refuse(*packages: str) -> None:
        bad = sorted(n for n in names if within(n, *packages))
        assert not bad, f"{module} must not import {bad}"

    if within(module, "cxrpt"):
        refuse("launch", "data_prep")
        if module != "cxrpt.train":
            refuse("cxrpt.train")
    if within(module, "data_prep"):
        refuse("launch", "torch")
        allowed = (
            "cxrpt.data.sample",
            "cxrpt.data.manifest",
            "cxrpt.data.shards",
            "cxrpt.data.text",
            "cxrpt.errors",
            "cxrpt.page",
            "cxrpt.__version__",
        )
        bad = sorted(n for n in names if within(n, "cxrpt") and not within(n, *allowed))
        assert not bad, f"{module} must not import {bad}"
    if within(module, "launch"):
        early = [n for n in imports(path, top_level_only=True) if within(n, "torch", "cxrpt.train", "cxrpt.eval.worker")]
        assert not early, f"{module} must import {early} inside the function that needs it"
    if within(module, "cxrpt.page"):
        bad = sorted(n for n in names if within(n, "cxrpt") and not within(n, "cxrpt.page"))
        assert not bad, f"{module} must not import {bad}"
    if within(module, "cxrpt.data", "cxrpt.model"):
        refuse("torch.distributed", "deepspeed", "mlflow")
    parts_of_config = ("cxrpt.config", "cxrpt.config_keys", "cxrpt.config_layers", "cxrpt.config_rules")
    if module in parts_of_config:
        foreign = {n.split(".")[0] for n in names} - set(sys.stdlib_module_names) - {"omegaconf", "cxrpt"}
        assert not foreign and all(within(n, "cxrpt.errors", *parts_of_config) for n in names if within(n, "cxrpt")), (
            f"{module} imports {names}"
        )
    for package, importers in ONE_IMPORTER.items():
        if rel not in importers:
            refuse(package)
    if not within(module, "data_prep"):
        refuse("pydicom")
    if rel not in {"cxrpt/data/text.py", "data_prep/train_tokenizer.py"}:
        refuse("sentencepiece")


DATA_ROOMS = (None, "order", "storage", "loading")
"""Rooms of cxrpt.data, each knowing those before it; None stands for the files beside them."""


@pytest.mark.parametrize("path", [p for p in SOURCES if "cxrpt/data/" in str(p)], ids=module_name)
def test_a_room_of_cxrpt_data_knows_only_those_before_it(path):
    def place(module: str) -> int:
        parts = module.split(".")
        return DATA_ROOMS.index(parts[2]) if len(parts) > 2 and parts[2] in DATA_ROOMS else 0

    told = [name for name in imports(path, but_for_types=True) if within(name, "cxrpt.data")]
    bad = [name for name in told if place(name) > place(module_name(path))]
    assert not bad, f"{path} must not import {bad}"


ROOMS = (
    {"ledger"}, {"inputs"}, {"loose"}, {"files"}, {"processes"}, {"pictures", "privacy"}, {"reports"}, {"linking"}, {"sources"},
    {"build"}, {"checks"}, {"inspect"},
)  # fmt: skip


def storey_of(module: str) -> int | None:
    """The place of a room of data_prep in ROOMS; None for what is in none."""
    parts = module.split(".")
    return next((n for n, rooms in enumerate(ROOMS) if parts[0] == "data_prep" and parts[1:2] and parts[1] in rooms), None)


@pytest.mark.parametrize("path", [p for p in SOURCES if storey_of(module_name(p)) is not None], ids=module_name)
def test_a_room_of_data_prep_knows_only_those_before_it(path):
    module = module_name(path)
    mine, room = storey_of(module), module.split(".")[1]
    told = [name for name in imports(path, but_for_types=True) if storey_of(name) is not None]
    bad = [name for name in told if storey_of(name) > mine or (storey_of(name) == mine and name.split(".")[1] != room)]
    assert not bad, f"{module} must not import {sorted(bad)}"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_rank_and_slurm_variables_are_read_in_one_place(path):
    if module_name(path) == "cxrpt.dist.world":
        return
    read = re.findall(r"""environ(?:\.get\(|\[)\s*["'](RANK|WORLD_SIZE|LOCAL_RANK|SLURM_\w+)["']""", path.read_text())
    assert not read, f"only cxrpt.dist.world reads {read}"


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_one_duty_a_file(path):
    assert path.stem not in {"utils", "util", "common", "helpers", "misc"}, "a name that says what the file does"
    lines = path.read_text().count("\n")
    assert lines <= 450, f"{path} has {lines} lines: it has more than one duty"
    if lines:
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no module docstring"


def test_top_level_is_what_was_agreed():
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert top <= ALLOWED_TOP, f"not agreed on: {sorted(top - ALLOWED_TOP)}"
