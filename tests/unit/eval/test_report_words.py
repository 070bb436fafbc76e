from types import SimpleNamespace

import numpy as np
import pytest

from cxrpt.data.text import Tokenizer
from cxrpt.eval.probed_pairs import read_report
from cxrpt.eval.report_words import mentions
from cxrpt.eval.word_probe import DENIED, hide_kind, probed_kind


def told(text, kind=None):
    return [(m.word, m.denied) for m in mentions(text) if kind in (None, m.kind)]


def test_whole_words_of_the_table_are_found_where_they_stand():
    text = "Small  left-sided effusion.\nThe lefty massif is\n upright; RUL  nodules."
    single = " ".join(text.split())
    found = mentions(text)
    assert [(m.kind, m.concept, m.word) for m in found] == [
        ("size", "small", "small"), ("side", "left", "left"), ("finding", "effusion", "effusion"),
        ("side", "right", "rul"), ("zone", "upper", "rul"), ("finding", "nodule", "nodules"),
    ]  # fmt: skip
    assert all(single[m.begin : m.end].lower() == m.word for m in found)
    assert [m.sentence for m in found] == [0, 0, 0, 2, 2, 2]


@pytest.mark.parametrize(
    ("text", "denied"),
    [
        ("No pleural effusion or\n pneumothorax. There is a nodule.", [True, True, False]),
        ("There is a right effusion without pneumothorax.", [False, True]),
        ("No effusion, but a small consolidation.", [True, False]),
        ("No significant change in the left effusion.", [False]),
        ("The heart is not enlarged.", [True]),
        ("The effusion has resolved; the nodule is larger.", [True, False]),
        ("A nodule is not seen.", [True]),
        ("Lungs are free of consolidation\nLeft effusion", [True, False]),
        ("There is no pneumothorax\n2. Effusion", [True, False]),
    ],
)
def test_denied_findings(text, denied):
    assert [is_denied for _, is_denied in told(text, "finding")] == denied


@pytest.fixture(scope="module")
def tokenizer(shards):
    return Tokenizer.load(shards / "tok.model")


def test_spans_are_the_characters_of_each_token(tokenizer):
    text = "Größe № two ___ of\n the  left-sided, pneumothoraces."
    tokens, spans = tokenizer.encode_with_spans(text)
    np.testing.assert_array_equal(tokens, tokenizer.encode(text))
    single = " ".join(text.split())
    assert len(tokens) > 15 and spans[0, 0] == 0 and spans[-1, 1] == len(single)
    for token, (begin, end) in zip(tokens, spans, strict=True):
        piece = tokenizer.piece(token).replace("\u2581", " ")
        if not piece.startswith("<0x") and piece.strip() not in ("N", "o"):
            assert piece.lstrip() == single[begin:end].lstrip()
    assert [part.tolist() for part in tokenizer.encode_with_spans("")] == [[], []]


@pytest.fixture(scope="module")
def reader(tokenizer):
    return SimpleNamespace(tokenizer=tokenizer, model=SimpleNamespace(shape=SimpleNamespace(max_text_tokens=200)))


def test_all_words_of_a_kind_are_hidden_whole_and_no_others(tokenizer, reader):
    text = "Left-sided opacity on the right side. RLL nodule, bilateral. ___ No left mass."
    report = read_report(text, reader)
    gap = hide_kind(report, "side", tokenizer.mask_id)
    hidden = np.isin(np.arange(len(report.tokens)), gap.text.positions)
    shown = tokenizer.decode(gap.text.tokens).lower()
    assert not any(word in shown for word in ("left", "right", "rll", "bilat", "sided"))
    assert all(word in shown for word in ("opacity", "on the", "nodule", "mass", "___"))
    # Pieces that the tokenizer cuts a word into are all hidden, and belong to one place.
    assert [place.word for place in gap.places] == ["left", "right", "rll", "bilateral"], (
        "of a denied mass the side is not asked"
    )
    pieces = []
    for number, word in enumerate(("Left", "right", "RLL", "bilateral")):
        own = gap.text.positions[gap.owner == number]
        assert tokenizer.decode(report.tokens[own]) == word
        pieces.append(len(own))
    assert min(pieces) == 1 and max(pieces) > 1
    np.testing.assert_array_equal(gap.text.targets, report.tokens[hidden])
    np.testing.assert_array_equal(gap.text.tokens[~hidden], report.tokens[~hidden])
    assert (gap.text.tokens[hidden] == tokenizer.mask_id).all()


def test_denied_findings_are_hidden_with_the_others_and_asked_apart(tokenizer, reader):
    report = read_report("A mass. No opacity or nodule.", reader)
    gap = hide_kind(report, "finding", tokenizer.mask_id)
    assert [(place.word, probed_kind(place)) for place in gap.places] == [
        ("mass", "finding"), ("opacity", DENIED), ("nodule", DENIED),
    ]  # fmt: skip
    assert not any(word in tokenizer.decode(gap.text.tokens) for word in ("mass", "opacity", "nodule"))
    assert hide_kind(report, "zone", tokenizer.mask_id) is None


def test_a_word_that_the_cut_went_through_is_hidden_but_not_asked(tokenizer, exported):
    words = "opacity left " * 40 + "bilaterally"
    length = exported.model.shape.max_text_tokens
    whole = tokenizer.encode(words)
    report = read_report(words, exported)
    assert len(report.tokens) == length < len(whole)
    gap = hide_kind(report, "side", tokenizer.mask_id)
    assert "left" not in tokenizer.decode(gap.text.tokens)
    for cut in range(1, len(tokenizer.encode("bilaterally"))):
        part = read_report("a " * (length - cut) + "bilaterally", exported)
        assert hide_kind(part, "side", tokenizer.mask_id) is None
