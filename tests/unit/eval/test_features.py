from collections import Counter

import numpy as np
import torch

from cxrpt.data.sample import Kind
from cxrpt.eval.features import image_features, pair_vectors, run_model, untrained
from cxrpt.eval.samples import SplitFolder, choose, plain_example, read, square_image, text_tokens


def states_of(exported, image=None, tokens=None):
    """The states of one sample alone: the summary's row, then the others."""
    with torch.inference_mode():
        return run_model(exported, [plain_example(image, tokens, exported.model.shape.patch_size)])[0].numpy()


def test_features_are_those_of_one_sample_at_a_time(shards, exported):
    folder = SplitFolder("north", tuple((shards / "north" / "test").glob("*.tar")))
    raws = [raw for _, raw in read(choose([folder], (Kind.PAIR,), 100), Counter())]
    images = [states_of(exported, image=square_image(raw, exported)) for raw in raws]
    texts = [states_of(exported, tokens=text_tokens(raw, exported)) for raw in raws]

    found = image_features(exported, [folder], 100, 7)
    expected = np.stack([np.concatenate([states[1:].mean(0), states[0]]) for states in images])
    np.testing.assert_allclose(found.features["model"], expected, atol=1e-5)
    assert found.patients == [raw.meta.patient for raw in raws]

    pairs = pair_vectors(exported, [folder], 100, 7)
    for vectors, states in ((pairs.image_ID, images), (pairs.text_ID, texts)):
        means = np.stack([one[1:].mean(0) for one in states])
        centred = means - means.mean(0)
        np.testing.assert_allclose(vectors, centred / np.linalg.norm(centred, axis=1, keepdims=True), atol=1e-4)
    assert pairs.studies == [raw.meta.study for raw in raws]


def test_the_control_is_the_same_network_with_other_weights(exported):
    before = torch.get_rng_state()
    control, again = untrained(exported), untrained(exported)
    assert torch.equal(torch.get_rng_state(), before)
    assert control.model.shape == exported.model.shape
    own, fresh, same = (one.model.text.token.weight for one in (exported, control, again))
    assert torch.equal(fresh, same) and not torch.equal(fresh, own)
