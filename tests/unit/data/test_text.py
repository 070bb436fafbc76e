import io
import pickle

import numpy as np
import pytest
import sentencepiece

from cxrpt.data.text import Tokenizer, select_text
from cxrpt.errors import InputError

TEXTS = [
    f"FINDINGS: {size} {side} pleural effusion, {n} cm. Heart size is {heart}. Compared with ___ there is no change."
    for n, size in enumerate(("Small", "Moderate", "Large", "Trace"))
    for side in ("left", "right", "bilateral")
    for heart in ("normal", "enlarged")
]


def train(**options) -> bytes:
    model = io.BytesIO()
    settings = {
        "vocab_size": 400, "hard_vocab_limit": False, "byte_fallback": True, "pad_id": -1, "control_symbols": ["<mask>"],
        "user_defined_symbols": ["___"], "minloglevel": 2, "num_threads": 1,
    }  # fmt: skip
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(TEXTS), model_writer=model, **settings | options)
    return model.getvalue()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(train())


def test_ids_are_int32_and_decode_to_the_text(tokenizer):
    text = "Small  left\n pleural\teffusion."
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32 and ids.ndim == 1
    assert tokenizer.decode(ids) == "Small left pleural effusion."
    assert tokenizer.encode("").shape == (0,)


def test_no_text_has_an_unknown_token(tokenizer):
    ids = tokenizer.encode("\u4e2d\u6587 \U0001f600 \u00e9\u00df")
    assert tokenizer.unk_id not in ids
    assert tokenizer.decode(ids) == "\u4e2d\u6587 \U0001f600 \u00e9\u00df"


def test_only_the_deid_token_becomes_a_special_id(tokenizer):
    ids = tokenizer.encode("seen by ___, <mask> <s> </s>")
    assert list(ids).count(tokenizer.deid_id) == 1
    assert not set(ids.tolist()) & {tokenizer.mask_id, tokenizer.bos_id, tokenizer.eos_id}
    assert tokenizer.decode(ids) == "seen by ___, <mask> <s> </s>"


def test_word_starts_count_the_words(tokenizer):
    ids = tokenizer.encode("Large right pneumothoracicum, 37 cm")
    assert tokenizer.word_start.shape == (tokenizer.vocab_size,) and tokenizer.word_start.dtype == bool
    assert tokenizer.word_start[ids].sum() == 5
    assert tokenizer.word_start[ids][0]
    assert tokenizer.word_start[tokenizer.deid_id] and tokenizer.word_start[tokenizer.mask_id]


def test_pickles_small_and_equal(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.fingerprint == tokenizer.fingerprint and copy.vocab_size == tokenizer.vocab_size
    assert np.array_equal(copy.encode(TEXTS[0]), tokenizer.encode(TEXTS[0]))
    assert len(pickle.dumps(tokenizer)) < len(tokenizer.model_bytes) + 300


def test_load_names_what_is_wrong(tokenizer, tmp_path):
    (tmp_path / "good").write_bytes(tokenizer.model_bytes)
    assert Tokenizer.load(tmp_path / "good").fingerprint == tokenizer.fingerprint
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "torn").write_bytes(tokenizer.model_bytes[: len(tokenizer.model_bytes) // 2])
    (tmp_path / "foreign").write_bytes(train(control_symbols=[], user_defined_symbols=[]))
    for name, message in (
        ("missing", "cxrpt tokenizer"),
        ("text", "not a SentencePiece model"),
        ("empty", "not a SentencePiece model"),
        ("torn", "SentencePiece model"),
        ("foreign", "does not begin with"),
        (".", "no tokenizer file"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            Tokenizer.load(tmp_path / name)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


def test_sections_are_joined_in_the_chosen_order():
    text = "EXAM: chest\nFINDINGS: Clear lungs.\nIMPRESSION: Normal.\n"
    sections = {"EXAM": (5, 12), "FINDINGS": (22, 35), "IMPRESSION": (47, 55), "NOTE": (55, 56)}
    assert select_text(text, sections, ("FINDINGS", "IMPRESSION")) == "Clear lungs.\nNormal."
    assert select_text(text, sections, ("IMPRESSION", "FINDINGS")) == "Normal.\nClear lungs."
    assert select_text(text, sections, ("IMPRESSION", "HISTORY")) == "Normal."
    for choice in (("HISTORY",), ("NOTE",), ()):
        assert select_text(text, sections, choice) == text
