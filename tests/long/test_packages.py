"""The wheel and the source distribution hold all that `cxrpt demo` needs outside the repository."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def run(*words, cwd, **more):
    done = subprocess.run([sys.executable, *words], cwd=cwd, env=os.environ | more, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (words, done.stdout[-1500:], done.stderr[-1500:])
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Both distributions, of what git knows: what lies about in a working tree must not be missed."""
    folder = tmp_path_factory.mktemp("packages")
    source = folder / "source"
    source.mkdir()
    (folder / "dist").mkdir()
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    names = [name for name in files.stdout.decode().split("\0") if name and (ROOT / name).exists()]
    with tarfile.open(folder / "tree.tar", "w") as tree:
        for name in names:
            tree.add(ROOT / name, name, recursive=False)
    with tarfile.open(folder / "tree.tar") as tree:
        tree.extractall(source, filter="data")
    backend = "import sys; from setuptools import build_meta as b; out = sys.argv[1]; b.build_sdist(out); b.build_wheel(out)"
    run("-c", backend, str(folder / "dist"), cwd=source)
    return folder / "dist"


def test_both_hold_the_same_files(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        of_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        of_sdist = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert of_wheel <= of_sdist
    assert {"cxrpt/py.typed", "launch/configs/demo.yaml", "cxrpt/page/templates/base.css"} <= of_wheel
    assert not [name for name in of_wheel if name.startswith(("tests", "benchmarks", "docs"))]


def test_the_demo_runs_from_the_wheel_in_a_folder_of_its_own(built, tmp_path):
    place = tmp_path / "installed"
    run(
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(place),
        str(next(built.glob("*.whl"))),
        cwd="/",
    )
    where = {"PYTHONPATH": str(place)}
    assert run("-c", "import launch; print(launch.__file__)", cwd=tmp_path, **where).startswith(str(place))
    run("-m", "launch.cli", "demo", "--out", "demo", "--studies", "90", "--steps", "6", "--ranks", "1", cwd=tmp_path, **where)
    assert (tmp_path / "demo" / "metrics.csv").exists() and list((tmp_path / "demo").glob("runs/demo/evals/*/report.html"))
