import io
import json
import tarfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from cxrpt.data.manifest import Manifest, ShardEntry
from cxrpt.data.sample import Kind, SampleMeta
from cxrpt.data.shards import INDEX_DTYPE, index_path
from cxrpt.data.text import Tokenizer
from cxrpt.errors import InputError
from data_prep.train_tokenizer import train_tokenizer

SIDES, SIZES = ("left", "right"), ("small", "moderate", "large")


def report(number: int, extra: str = "") -> str:
    side, size = SIDES[number % 2], SIZES[number % 3]
    return (
        f"FINDINGS: There is a {size} {side} pleural effusion with adjacent atelectasis, {number % 17} mm.\n"
        f"The cardiomediastinal silhouette is {'enlarged' if number % 5 else 'normal'}. {extra}\n"
        f"IMPRESSION: {size.capitalize()} {side} effusion compared with ___."
    )


def write_split(folder: Path, texts: list[str], split: str = "train") -> Path:
    """A folder of one shard of text-only samples, one patient a text."""
    out = folder / split
    out.mkdir(parents=True)
    name = f"{folder.name}-{split}-000000.tar"
    index = np.zeros(len(texts), INDEX_DTYPE)
    with tarfile.open(out / name, "w") as tar:
        for number, text in enumerate(texts):
            key = f"{number:032x}"
            meta = SampleMeta(institution=folder.name, study=f"s{number}", patient=f"p{number}").to_json()
            record = index[number]
            record["key"], record["kind"] = key, Kind.TEXT
            for member, data, extension in (("text", text.encode(), "txt"), ("meta", meta, "json")):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = len(data)
                record[member] = (tar.offset + 512, len(data), zlib.crc32(data))
                tar.addfile(info, io.BytesIO(data))
    np.save(index_path(out / name), index)
    entry = ShardEntry(name, 0, 0, len(texts), (out / name).stat().st_size, "0" * 64)
    (out / "manifest.json").write_text(Manifest(folder.name, split, {}, (entry,)).to_json())
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "north"
    write_split(folder, [report(n, "Seen by Zqcanary QX771234." if n == 7 else "") for n in range(300)])
    write_split(folder, ["Validationonlyword in every text"] * 50, split="val")
    return folder


def test_training_gives_our_special_pieces_and_says_what_it_made(corpus, tmp_path):
    summary = train_tokenizer([corpus], tmp_path / "t.model", vocab_size=420)
    tokenizer = Tokenizer.load(tmp_path / "t.model")
    assert tokenizer.vocab_size == summary.vocab_size <= 420
    assert tokenizer.fingerprint == summary.fingerprint
    assert [tokenizer.piece(n) for n in range(5)] == ["<unk>", "<s>", "</s>", "<mask>", "___"]
    written = json.loads((tmp_path / "t.model.json").read_text())
    assert written["num_texts"] == 300 and written["institutions"] == ["north"]
    assert str(corpus) not in json.dumps(written)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.model", "t.model.json"]


def test_words_of_one_patient_and_of_other_splits_are_no_pieces(corpus, tmp_path):
    train_tokenizer([corpus], tmp_path / "t.model", vocab_size=8000)
    tokenizer = Tokenizer.load(tmp_path / "t.model")
    pieces = {tokenizer.piece(n).lstrip("\u2581") for n in range(tokenizer.vocab_size)}
    assert "effusion" in pieces
    for canary in ("Zqcanary", "QX771234", "Validationonlyword"):
        parts = {canary[i:j] for i in range(len(canary)) for j in range(i + 5, len(canary) + 1)}
        assert not pieces & parts
    data = (tmp_path / "t.model").read_bytes()
    assert b"Zqcanary" not in data and str(corpus).encode() not in data


def test_the_same_texts_give_the_same_bytes(corpus, tmp_path):
    for name in ("a", "b"):
        train_tokenizer([corpus], tmp_path / name, vocab_size=450)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_small_corpus_lowers_the_vocabulary(corpus, tmp_path):
    summary = train_tokenizer([corpus], tmp_path / "t.model", vocab_size=8000)
    assert 300 < summary.vocab_size < 8000
    assert summary.asked_vocab_size == 8000


def test_a_report_longer_than_the_default_limit_of_sentencepiece_is_learnt_from(tmp_path):
    long = " ".join(["pneumomediastinum"] + ["clear lungs without consolidation"] * 300)
    folder = write_split(tmp_path / "north", [long] * 20)
    train_tokenizer([folder], tmp_path / "t.model", vocab_size=400)
    tokenizer = Tokenizer.load(tmp_path / "t.model")
    assert len(tokenizer.encode("clear lungs without consolidation")) <= 8


def test_input_errors(corpus, tmp_path):
    empty = write_split(tmp_path / "south", [])
    with pytest.raises(InputError, match="no text"):
        train_tokenizer([empty], tmp_path / "t")
    with pytest.raises(InputError, match=r"no train split"):
        train_tokenizer([tmp_path / "nowhere"], tmp_path / "t")
    with pytest.raises(InputError, match="--vocab-size 100 is not at least"):
        train_tokenizer([corpus], tmp_path / "t", vocab_size=100)
    with pytest.raises(InputError, match="no folder"):
        train_tokenizer([], tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_tiny_corpora_train_or_are_refused_in_one_line(tmp_path):
    for number, texts in enumerate((["a"], ["No effusion."] * 2, ["\u00e9\u4e2d\U0001f600"] * 3)):
        folder = write_split(tmp_path / f"n{number}", texts)
        try:
            summary = train_tokenizer([folder], tmp_path / "t.model", vocab_size=400)
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert summary.vocab_size >= 261
            assert Tokenizer.load(tmp_path / "t.model").decode(Tokenizer.load(tmp_path / "t.model").encode("abc")) == "abc"
