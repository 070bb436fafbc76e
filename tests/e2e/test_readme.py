"""Every command block of README and CONTRIBUTING runs."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).parents[2]


def blocks(name, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)


def test_the_readme_from_top_to_bottom(tmp_path):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    (yaml,) = blocks("README.md", "yaml")
    (tmp_path / "mine.yaml").write_text(yaml)
    shell = [block for block in blocks("README.md", "sh") if "make " not in block]
    assert len(shell) == 4
    for block in shell:
        done = subprocess.run(
            ["bash", "-euc", block], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, (block, done.stdout[-1500:], done.stderr[-1500:])
    # The key is drawn, and with it who of so few patients is in which split.
    with tarfile.open(next(tmp_path.glob("shards/north/*/*.tar"))) as shard:
        picture = next(member for member in shard if member.name.endswith(".jpg"))
        pixels = cv2.imdecode(np.frombuffer(shard.extractfile(picture).read(), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert cv2.imwrite(str(tmp_path / "chest.png"), pixels)
    (python,) = blocks("README.md", "python")
    told = subprocess.run([sys.executable, "-c", python], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert told.stdout == "(1, 192) (1, 192) (1, 192)\n"
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
