"""`cxrpt init` makes a configuration of the shards that are there, which a run takes as it is."""

import pytest

from cxrpt.config import RunConfig, load_config
from cxrpt.data.sample import Kind
from launch.cli import main
from tests.made_shards import make_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("shards of a hospital")  # a name that yaml and shells must have quoted
    make_shards(root, "north", Kind.PAIR, 24)
    make_shards(root, "on", Kind.IMAGE, 16)  # a word that yaml takes for true
    return root


def run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["init", *map(str, words)])
    told = capsys.readouterr()
    return end.value.code, told.out, told.err


def test_what_it_writes_is_a_configuration_of_these_sources(shards, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    code, out, _ = run(capsys, file, "--shards", shards, "--tokenizer", tmp_path / "tokenizer.model", "--size", "small")
    assert code == 0 and "2 sources, 40 training samples" in out
    assert f"next: cxrpt tokenizer '{shards}/north' --out" in out, "only of what has reports"
    config = load_config(file)
    assert {name: source.path for name, source in config.data.sources.items()} == {n: str(shards / n) for n in ("north", "on")}
    assert config.model.size == "small" and config.train.steps >= 1000 and config.name == "mine"
    assert config.objective == RunConfig().objective, "defaults where nothing of the user's is known"
    text = file.read_text()
    assert "# For training: 24 pairs, 0 images, 0 texts." in text and "# Samples of one optimizer step" in text
    assert max(map(len, text.splitlines())) <= 128


def test_what_is_there_is_never_written_over(shards, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("of the user\n")
    code, _, err = run(capsys, file, "--shards", shards)
    assert code == 2 and "is there already" in err and file.read_text() == "of the user\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--shards", "nowhere"], "there is no such folder"),
        (["--shards", "."], "no training samples: build shards"),
        (["--shards", "SHARDS", "--image-size", "100"], "data.image_size=100"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(words, told, shards, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "mine.yaml", *[str(shards) if word == "SHARDS" else word for word in words])
    assert code == 2 and told in err and err.count("\n") == 1
    assert not (tmp_path / "mine.yaml").exists()


def test_one_institution_in_two_places_is_not_taken_twice(shards, tmp_path, capsys):
    make_shards(tmp_path / "again", "north", Kind.PAIR, 8)
    code, _, err = run(capsys, tmp_path / "mine.yaml", "--shards", shards, "--shards", tmp_path / "again")
    assert code == 2 and "north lies in" in err
