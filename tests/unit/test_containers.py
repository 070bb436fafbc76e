"""The recipes of docker/: pinned, unprivileged, what they copy is there, and both make the same image."""

import re
import shlex
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

import cxrpt
from cxrpt.config import load_config
from cxrpt.track.address import check_tracking_uri

ROOT = Path(__file__).parents[2]
INSTRUCTIONS = {"ARG", "CMD", "COPY", "ENV", "FROM", "LABEL", "RUN", "USER", "WORKDIR"}
SECTIONS = {"help", "labels", "files", "post", "environment", "runscript", "test"}
CONSTRAINT = "--constraint /src/docker/constraints.txt"


def instructions() -> list[tuple[str, str]]:
    """(word, what follows) of each of the Dockerfile's instructions, without comments and line ends."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "docker/Dockerfile").read_text(), flags=re.MULTILINE)
    lines = [" ".join(line.split()) for line in text.replace("\\\n", " ").splitlines()]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]


def of(word: str) -> list[str]:
    return [rest for found, rest in instructions() if found == word]


def commands(run: str) -> list[str]:
    """The commands of one RUN."""
    return [command.strip() for command in run.split("&&")]


def sections() -> dict[str, list[str]]:
    """Lines of each section of apptainer.def; those before the first are its head."""
    found: dict[str, list[str]] = {"head": []}
    name = "head"
    for line in (ROOT / "docker/apptainer.def").read_text().splitlines():
        if line.startswith("%"):
            name = line[1:]
            found[name] = []
        elif line.strip() and not line.startswith("#"):
            found[name].append(" ".join(line.split()))
    return found


def is_pinned(image: str) -> bool:
    name, _, tag = image.partition(":")
    return bool(name) and bool(re.fullmatch(r"\d+\.\d+\.\d+[\w.-]*", tag))


def let_through() -> list[str]:
    lines = (ROOT / "docker/Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "a build may see what is named, nothing else"
    return [rule[1:] for rule in rules if rule.startswith("!")]


def test_the_dockerfile_has_known_instructions_and_pinned_images():
    assert {word for word, _ in instructions()} <= INSTRUCTIONS
    stages: set[str] = set()
    for image in of("FROM"):
        name, _, stage = image.partition(" AS ")
        assert name in stages or is_pinned(name), f"FROM {name} is no version"
        stages.add(stage)


def test_nothing_runs_as_root_in_the_end():
    words = instructions()
    last = [rest for word, rest in words if word == "USER"][-1]
    for name, _, value in (rest.partition("=") for word, rest in words if word == "ARG"):
        last = last.replace(f"${name}", value)
    uid, _, gid = last.partition(":")
    assert int(uid) > 0 and int(gid) > 0


def test_what_is_copied_is_there_and_let_through():
    allowed = let_through()
    copied = [source for rest in of("COPY") if not rest.startswith("--from") for source in rest.split()[:-1]]
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    packages = [name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]]
    wanted = {*copied, *packages, *project["project"]["license-files"], project["project"]["readme"], "pyproject.toml"}
    for path in sorted(wanted):
        assert (ROOT / path).exists(), path
        assert path in allowed, f"{path} is kept out by Dockerfile.dockerignore"
    assert all((ROOT / path).exists() for path in allowed)


def test_packages_come_by_the_constraints():
    installs = [
        command for run in of("RUN") for command in commands(run) if re.search(r"\bpip3? (install|wheel|download)", command)
    ]
    assert len(installs) == 3
    for install in installs:
        assert CONSTRAINT in install or {"--no-index", "--no-deps"} <= set(install.split()), install
        assert not {"--editable", "-e"} & set(install.split()), install
    with (ROOT / "pyproject.toml").open("rb") as file:
        asked = tomllib.load(file)["project"]["dependencies"]
    pins = {line.partition("==")[0].lower() for line in (ROOT / "docker/constraints.txt").read_text().splitlines()}
    missing = {re.split(r"[=<>~!]", one)[0].lower() for one in asked} - pins
    assert not missing, f"not pinned: {missing}"


def test_apptainer_does_what_the_dockerfile_does():
    found, runs = sections(), of("RUN")
    assert set(found) == SECTIONS | {"head"}
    assert found["head"] == ["Bootstrap: docker", f"From: {of('FROM')[0].partition(' ')[0]}"]
    steps = [command for run in runs[:-1] for command in commands(run)]
    of_user = [step for step in steps if step.startswith(("groupadd", "useradd", "install -d"))]
    assert len(of_user) == 3
    assert found["post"] == [*(step for step in steps if step not in of_user), "rm -rf /src"]
    assert found["test"] == commands(runs[-1])
    files = {tuple(line.split()) for line in found["files"]}
    assert all((ROOT / source).exists() for source, _ in files)
    recipes = next(rest.split()[1] for rest in of("COPY") if rest.startswith("configs /usr"))
    assert files == {(name, f"/src/{name}") for name in let_through()} | {("configs", recipes)}
    assert "configs /src/configs" in of("COPY"), "launch/configs, a link to it, goes into the wheel"
    exports = {line.removeprefix("export ").replace('"', "") for line in found["environment"]}
    assert exports == {word for rest in of("ENV") for word in shlex.split(rest) if not word.startswith("NVIDIA")}


def test_labels_tell_the_version():
    assert f'org.opencontainers.image.version="{cxrpt.__version__}"' in of("LABEL")[0].split()
    assert f"org.opencontainers.image.version {cxrpt.__version__}" in sections()["labels"]


@pytest.fixture
def compose():
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", (ROOT / "docker/compose.yaml").read_text()))


def test_compose_runs_our_image_only(compose):
    assert set(compose["services"]) == {"mlflow", "trainer", "trainer-gpu"}
    for service in compose["services"].values():
        assert service["image"] == f"cxrpt:{cxrpt.__version__}" and is_pinned(service["image"])
        assert service["pull_policy"] == "never", "a registry may hold an image of this name"
        folder = ROOT / "docker" / service["build"]["context"]
        assert (folder / service["build"]["dockerfile"]).samefile(ROOT / "docker/Dockerfile")
        assert set(service["build"]["args"]) <= {rest.partition("=")[0] for rest in of("ARG")}


def test_compose_is_reached_from_this_machine_only(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert ports and all(port.startswith("127.0.0.1:") for port in ports)
    assert not any("network_mode" in service for service in compose["services"].values())


def test_volumes_are_declared_and_mounted_where_the_user_may_write(compose):
    made = next(command for run in of("RUN") for command in commands(run) if command.startswith("install -d -o cxrpt -g cxrpt"))
    used = set()
    for service in compose["services"].values():
        for name, _, place in (volume.partition(":") for volume in service["volumes"]):
            used.add(name)
            assert place in made.split(), f"the volume {name} on {place} would be root's"
    assert used == set(compose["volumes"])
    assert {"shards", "runs", "mlflow-database", "mlflow-artifacts"} <= used
    served = " ".join(compose["services"]["mlflow"]["command"])
    assert "sqlite:////mlflow/database/" in served and "--artifacts-destination=/mlflow/artifacts" in served


@pytest.mark.parametrize("name", ["trainer", "trainer-gpu"])
def test_a_trainer_waits_for_the_server_and_sends_there(compose, name):
    trainer, server = compose["services"][name], compose["services"]["mlflow"]
    assert trainer["depends_on"] == {"mlflow": {"condition": "service_healthy"}}
    port = next(word for word in server["command"] if word.startswith("--port=")).partition("=")[2]
    health = urlsplit(server["healthcheck"]["test"][-1])
    assert (health.path, str(health.port)) == ("/health", port)
    word = next(word for word in trainer["command"] if word.startswith("track."))
    uri = load_config(ROOT / "configs/demo.yaml", [word]).track.uri
    check_tracking_uri(uri, must_answer=False)
    assert uri == f"http://mlflow:{port}"
    hosts = next(word for word in server["command"] if word.startswith("--allowed-hosts=")).partition("=")[2].split(",")
    assert f"mlflow:{port}" in hosts and "*" not in hosts, "MLflow refuses names that it was not given"
    assert all(published.endswith(f":{port}") for published in server["ports"])


def test_gpus_are_asked_for_where_they_are_wanted(compose):
    asks = {name for name, service in compose["services"].items() if "deploy" in service}
    assert asks == {"trainer-gpu"}
    devices = compose["services"]["trainer-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert devices == [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
    assert all(compose["services"][name]["profiles"] for name in ("trainer", "trainer-gpu"))
