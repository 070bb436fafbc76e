import numpy as np
import pytest

from cxrpt.eval import zero_shot as module
from cxrpt.eval.zero_shot import ABSENT, PRESENT, prompts_of, zero_shot


def test_class_names_become_words():
    present, absent = prompts_of("Pleural_Thickening")
    assert "There is pleural thickening." in present and "No pleural thickening." in absent
    assert len(present) == len(PRESENT) and len(absent) == len(ABSENT)
    assert prompts_of("PleuralThickening") == prompts_of("pleural thickening") == (present, absent)
    assert prompts_of("No Finding") == prompts_of("finding")[::-1]


def test_scores_are_nearness_to_presence_over_absence(monkeypatch):
    # Edema lies along the first axis, effusion along the second; absence is the other way.
    axis = {"edema": np.array([1.0, 0, 0]), "effusion": np.array([0, 1.0, 0])}

    def encode(exported, texts):
        rows = []
        for text in texts:
            word = next(word for word in axis if word in text.lower())
            rows.append(axis[word] * (-1 if text.lower().startswith("no ") or "no " in text or "absent" in text else 1))
        return np.array(rows)

    monkeypatch.setattr(module, "_encode", encode)
    images = np.array([[1, 0, 0], [0, 1, 0], [-0.6, 0.8, 0], [0, 0, 1.0]])
    np.testing.assert_allclose(zero_shot(None, ["Edema", "effusion"], images), [[2, 0], [0, 2], [-1.2, 1.6], [0, 0]])


def test_templates_are_averaged_as_unit_vectors(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = {}

    def encode(exported, texts):
        for text in texts:
            vectors[text] = rng.normal(size=5)
            vectors[text] /= np.linalg.norm(vectors[text])
        return np.array([vectors[text] for text in texts])

    monkeypatch.setattr(module, "_encode", encode)
    images = rng.normal(size=(7, 5))
    found = zero_shot(None, ["nodule"], images)
    present, absent = (np.mean([vectors[text] for text in texts], 0) for texts in prompts_of("nodule"))
    expected = images @ (present / np.linalg.norm(present)) - images @ (absent / np.linalg.norm(absent))
    assert found[:, 0] == pytest.approx(expected)
