from collections import Counter

import numpy as np
import torch

from cxrpt.data.sample import Kind
from cxrpt.eval.features import Wanted, image_features, num_states, pair_vectors, run_model, states_side, untrained
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


def test_states_are_kept_or_their_means_over_squares_of_patches(shards, exported):
    folder = SplitFolder("north", tuple((shards / "north" / "test").glob("*.tar")))
    raws = [raw for _, raw in read(choose([folder], (Kind.PAIR,), 5), Counter())]
    images = [square_image(raw, exported) for raw in raws]
    control = untrained(exported)
    for side, squares in ((1, 16), (2, 4), (3, 4)):
        found = image_features(exported, [folder], 5, 3, Wanted(control, side, images=True)).features
        assert found["states"].shape == found["untrained_states"].shape == (5, 1 + squares, 32)
        for model, kept in ((exported, found["states"]), (control, found["untrained_states"])):
            states = states_of(model, image=images[2])
            grid = states[1:].reshape(4, 4, -1)
            np.testing.assert_allclose(kept[2][0], states[0], atol=2e-3)
            last = {1: 3, 2: 2, 3: 3}[side]
            np.testing.assert_allclose(kept[2][-1], grid[last:, last:].mean((0, 1)), atol=2e-3)
        np.testing.assert_array_equal(found["images"], np.stack(images))


def test_as_many_states_are_kept_as_memory_has_room_for(exported):
    # 4 x 4 patches of width 32 in two bytes, and a summary.
    assert [states_side(exported, 10, most) for most in (10 * 17 * 64, 10 * 17 * 64 - 1, 10 * 5 * 64 - 1, 1)] == [1, 2, 4, 4]
    assert num_states(exported, 4) == 2


def test_the_control_is_the_same_network_with_other_weights(exported):
    before = torch.get_rng_state()
    control, again = untrained(exported), untrained(exported)
    assert torch.equal(torch.get_rng_state(), before)
    assert control.model.shape == exported.model.shape
    own, fresh, same = (one.model.text.token.weight for one in (exported, control, again))
    assert torch.equal(fresh, same) and not torch.equal(fresh, own)
