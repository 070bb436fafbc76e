"""What the documentation says is so: its commands run, its code works, its keys, commands, options and links exist."""

import importlib.util
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest
import typer
import yaml

from cxrpt.config import RunConfig
from cxrpt.config_keys import key_paths
from launch.cli import app
from launch.cluster_config import ClusterConfig

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TEXTS = [ROOT / "README.md", *PAGES]
GUIDES = [DOCS / f"guides/{name}.md" for name in ("build_shards", "pretrain", "resume", "metrics")]
FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.M | re.S)
# The key decides who of so few patients is in which split: this one leaves something to score in each.
KEY = "11" * 32


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def fences(path: Path, *languages: str) -> list[tuple[str, str, str]]:
    """Language, title and body of each fenced block."""
    return [found for found in FENCE.findall(path.read_text()) if not languages or found[0] in languages]


def run(words: list[str], folder: Path, code: Path = ROOT) -> str:
    """Run a program as a user of an activated environment does, and end all that it has left behind."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(code)}
    options = {"cwd": folder, "env": environment, "text": True, "start_new_session": True}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options) as process:
        try:
            said, _ = process.communicate(timeout=300)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, (words[-1], said[-4000:])
    return said


def run_blocks(path: Path, folder: Path, code: Path = ROOT) -> str:
    """Run the shell and Python blocks of a page in their order; what they said."""
    said = ""
    for language, title, body in fences(path, "sh", "python"):
        if not title:
            said += run(["bash", "-euc", body] if language == "sh" else [sys.executable, "-c", body], folder, code)
    return said


@pytest.fixture(scope="module")
def guided(tmp_path_factory):
    """A folder in which the guides were followed, and what was seen."""
    folder = tmp_path_factory.mktemp("guides")
    (folder / "shards.key").write_text(KEY + "\n")
    (folder / "shards.key").chmod(0o600)
    return folder, {guide.stem: run_blocks(guide, folder) for guide in GUIDES}


@pytest.mark.long
def test_the_guides_show_what_they_say(guided):
    folder, said = guided
    build, pretrain, resume, metrics = (said[guide.stem] for guide in GUIDES)
    assert "dry run" in build and "is complete: nothing to do" in build
    assert "has no column 'accession_number'" in build and "exit code 2" in build
    assert "there is no key 'train.step'" in pretrain and "runs/mine is done: 20 steps" in pretrain
    assert "exit code 75" in resume and "exit code 137" in resume and "goes on after step" in resume
    assert "weight" in resume and "--accept-data-change" in resume and "--resume=last-good" in resume
    assert resume.count("exit code 2") == 2
    assert "step 20" in metrics and "mlm" in metrics
    assert (folder / "metrics.png").exists() and (folder / "metrics.csv").read_text().startswith("run,step,time")


@pytest.mark.long
def test_an_export_of_ones_own_is_read_as_the_guide_says(guided):
    folder, _ = guided
    lines = (folder / "ris-shards/ris/ledger.jsonl").read_text().splitlines()
    assert sum('"cannot_decode"' in line for line in lines) == 2  # one more than in the export that it was made of
    built, made = ((folder / place / "build.json").read_text() for place in ("shards/north", "ris-shards/ris"))
    assert sum(map(int, re.findall(r'"pairs": (\d+)', made))) >= sum(map(int, re.findall(r'"pairs": (\d+)', built))) - 3


@pytest.mark.long
@pytest.mark.parametrize("name", ["shard_format", "evaluation"])
def test_python_of_the_reference_works(name, guided):
    folder, _ = guided
    assert fences(DOCS / f"{name}.md", "python") and run_blocks(DOCS / f"{name}.md", folder).strip()


def test_every_python_block_is_run_by_some_test():
    run_here = {*GUIDES, *(DOCS / f"{name}.md" for name in ("shard_format", "evaluation", "extending"))}
    assert {path for path in PAGES if fences(path, "python")} <= run_here


def apply_blocks(page: Path, code: Path) -> dict[str, int]:
    """Make the files and changes of a page in a copy of the packages; lines of code that each heading adds."""
    added: Counter[str] = Counter()
    for part in re.split(r"^## ", page.read_text(), flags=re.M):
        heading = part.splitlines()[0]
        for language, title, body in FENCE.findall(part):
            if not title:
                continue
            target = code / title
            if language == "python":
                assert not target.exists(), f"{title} is there already"
                target.write_text(body)
                added[heading] += sum(bool(line.strip()) for line in body.splitlines())
                continue
            for hunk in re.split(r"^@@\n", body, flags=re.M):
                lines = hunk.splitlines(keepends=True)
                before = "".join(line[1:] for line in lines if line[0] in " -")
                after = "".join(line[1:] for line in lines if line[0] in " +")
                assert target.read_text().count(before) == 1, f"{title}: {before!r} is not there, or not once"
                target.write_text(target.read_text().replace(before, after))
                added[heading] += sum(line[0] == "+" and bool(line[1:].strip()) for line in lines)
    return dict(added)


@pytest.mark.long
def test_what_extends_cxrpt_works(guided, tmp_path):
    folder, _ = guided
    for package in ("cxrpt", "data_prep", "launch"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    added = apply_blocks(DOCS / "extending.md", tmp_path)
    assert len(added) == 3 and max(added.values()) < 30, added
    said = run_blocks(DOCS / "extending.md", folder, tmp_path)
    assert "found 16 = kept 16" in said and "loss/edge/north" in said
    assert re.search(r"sex\W+AUROC\W+[01]\.\d{3}\W+0\.5 chance", said) and "eval/sex/auroc" in said


def spans(path: Path) -> list[str]:
    """What stands in a page as code: inline, and lines of fenced blocks."""
    text = path.read_text()
    lines = [line for _, _, body in FENCE.findall(text) for line in body.replace("\\\n", " ").splitlines()]
    return [*re.findall(r"`([^`\n]+)`", FENCE.sub("", text)), *lines]


def matches(key: str, known: str) -> bool:
    parts, wanted = key.split("."), known.split(".")
    return len(parts) == len(wanted) and all(two in ("*", one) for one, two in zip(parts, wanted, strict=True))


def test_every_key_of_a_configuration_exists():
    known = {*key_paths(RunConfig), *key_paths(ClusterConfig)}
    known |= {f"cluster.{key}" for key in key_paths(ClusterConfig)}
    sections = "|".join({key.split(".")[0] for key in known if "." in key})
    key = re.compile(rf"(?<![\w./-])((?:{sections})\.[a-z_]+[\w.*]*)(?![\w/(]|\.\w)")
    found, unknown = 0, []
    for path in TEXTS:
        for span in spans(path):
            for word in key.findall(span):
                word = word.rstrip(".")
                if re.search(r"\.(?:py|json|jsonl|yaml|csv|md|db|idx|tar)$", word):
                    continue
                found += 1
                if word in ("train.step", "objective.edge_weight"):
                    continue  # shown as a slip, and added by extending.md
                # NAME and * stand for a name of the user's own.
                if not any(matches(word, one) for one in known):
                    unknown.append(f"{name_of(path)}: {word}")
    assert found > 100 and not unknown, unknown


def commands() -> dict[str, set[str]]:
    """Options by command, as typed; a group's by its name are those of all its commands."""
    found: dict[str, set[str]] = {}

    def add(name, command):
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        found[name] = {option for option in options if option.startswith("-")} | {"--help"}
        for word, inner in getattr(command, "commands", {}).items():
            add(f"{name} {word}".strip(), inner)
            found[name] |= found[f"{name} {word}".strip()]

    add("", typer.main.get_command(app))
    return found


def test_every_command_and_its_options_exist():
    known, wrong, seen = commands(), [], 0
    for path in TEXTS:
        for span in spans(path):
            for said in re.findall(r"(?<![\w./-])cxrpt ((?:[a-z][\w-]*|--help)[^|`&()]*)", span):
                try:
                    words = shlex.split(said, comments=True)
                except ValueError:
                    words = said.split()
                name = words[0] if words else ""
                if name not in known and name != "--help":
                    wrong.append(f"{name_of(path)}: cxrpt {said}")
                    continue
                if f"{name} {' '.join(words[1:2])}" in known:
                    name = f"{name} {words[1]}"
                elif name == "prep" and words[1:2] and re.fullmatch(r"[a-z][\w-]+", words[1]):
                    if words[1] != "study-folders":  # the one that extending.md adds
                        wrong.append(f"{name_of(path)}: cxrpt {said}")
                    continue
                seen += 1
                options = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
                wrong += [f"{name_of(path)}: cxrpt {name} {one}" for one in sorted(options - known.get(name, {"--help"}))]
    assert seen > 60 and not wrong, wrong


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as the site makes them."""
    found: Counter[str] = Counter()
    made = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
        made.add(f"{slug}_{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return made


@pytest.mark.parametrize("path", [*TEXTS, ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_links_resolve(path):
    text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text()))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        goal = (path.parent / place).resolve() if place else path
        assert goal.exists(), f"{name_of(path)}: {target}"
        # A site holds nothing but its own pages.
        assert path.parent == ROOT or goal.is_relative_to(DOCS), f"{name_of(path)}: {target} is not below docs/"
        assert not anchor or anchor in anchors(goal), f"{name_of(path)}: {target}: there is no such heading"


def test_every_page_is_in_the_navigation_once():
    def pages(entry):
        return [entry] if isinstance(entry, str) else [page for one in entry for value in one.values() for page in pages(value)]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in PAGES)


def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path):
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: `make docs` installs it and builds the site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", str(ROOT / "mkdocs.yml"), "--site-dir"]
    done = subprocess.run([*words, str(tmp_path / "site")], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        fetched = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)", page.read_text())
        assert not [url for url in fetched if "canonical" not in url], f"{page.name} fetches {fetched}"
