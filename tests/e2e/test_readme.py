"""Every command block of README and CONTRIBUTING runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)


def test_the_readme_from_top_to_bottom(tmp_path):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (yaml,) = blocks("README.md", "yaml")
    (tmp_path / "mine.yaml").write_text(yaml)
    shell = [block for block in blocks("README.md", "sh") if "make " not in block]
    assert len(shell) == 3
    for block in shell:
        done = subprocess.run(
            ["bash", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, (block, done.stdout[-1500:], done.stderr[-1500:])
    (python,) = blocks("README.md", "python")
    told = subprocess.run([sys.executable, "-c", python], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert re.fullmatch(r"\d+ \['.jpg', '.json', '.txt'\]\n", told.stdout), told.stdout
    assert (tmp_path / "metrics.csv").exists() and (tmp_path / "metrics.png").exists()


def test_the_make_words_exist():
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    for name in ("README.md", "CONTRIBUTING.md"):
        for block in blocks(name, "sh"):
            for word in re.findall(r"^(?:\S+=\S+ )?make (\w+)", block, re.M):
                assert word in targets, f"{name}: make {word}"


def test_links_of_the_readme_resolve_and_it_is_short():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / target).exists(), target
    assert text.count("\n") < 200
