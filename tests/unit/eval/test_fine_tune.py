import numpy as np
import pytest
import torch

from cxrpt.checkpoint.export import Exported
from cxrpt.eval.fine_tune import Tuning, _groups, fine_tune, layer_of
from cxrpt.eval.labelled import Labelled
from cxrpt.eval.scores import mean_auroc
from cxrpt.model.pretrain import PretrainModel, Shape

SHAPE = Shape(24, 2, 2, 2.0, 16, 64, 300, 16, (1,), False, False)
HOW = Tuning(80, 16, 2e-3, 0.75, 0)


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    return Exported(PretrainModel(SHAPE).eval(), None, (), 0)  # no text goes through it


def spotted(count, seed):
    """A bright patch in one of 16 places; those of the upper half are positive."""
    rng = np.random.default_rng(seed)
    images = rng.integers(90, 120, (count, 64, 64), dtype=np.uint8)
    spot = rng.integers(16, size=count)
    for image, place in zip(images, spot, strict=True):
        image[place // 4 * 16 :, place % 4 * 16 :][:16, :16] = 230
    return Labelled(images, (spot < 8)[:, None].astype(np.int8), [str(n) for n in range(count)])


def test_learns_what_the_place_of_one_patch_reveals_and_leaves_the_model_alone(small):
    before = {name: value.clone() for name, value in small.model.state_dict().items()}
    train, val, test = spotted(96, 0), spotted(32, 1), spotted(48, 2)
    found = fine_tune(small, train, val, test.features, HOW)
    assert mean_auroc(test.labels_NC, found.scores_NC) > 0.95 and found.chosen["on"] == "val"
    assert all(torch.equal(value, before[name]) for name, value in small.model.state_dict().items())


def test_the_same_seed_gives_the_same_scores_and_val_chooses_the_step(small):
    train, val, test = spotted(24, 0), spotted(24, 1), spotted(8, 2)
    few = Tuning(10, 12, 2e-3, 0.75, 0)
    one, two = (fine_tune(small, train, val, test.features, few) for _ in range(2))
    np.testing.assert_array_equal(one.scores_NC, two.scores_NC)
    # By a val whose labels are turned round, the best step is another.
    turned = Labelled(val.features, 1 - val.labels_NC, val.patients)
    assert fine_tune(small, train, turned, test.features, few).chosen["step"] != one.chosen["step"]
    last = fine_tune(small, train, None, test.features, few).chosen
    assert last == {"step": 10, "of": 10, "on": "nothing: the last step"}


def test_layers_further_from_the_head_learn_more_slowly(small):
    names = (
        "image.patch.weight",
        "transformer.blocks.0.qkv.weight",
        "transformer.blocks.1.qkv.bias",
        "transformer.norm.weight",
    )
    assert [layer_of(name, 2) for name in names] == [0, 1, 2, 3] and layer_of("text.token.weight", 2) is None
    groups = _groups(small, torch.nn.Linear(48, 1), HOW)
    rates = {id(weight): group["highest"] for group in groups for weight in group["params"]}
    weights = dict(small.model.named_parameters())
    found = [rates[id(weights[name])] for name in names]
    assert found == pytest.approx([HOW.rate * 0.75**distance for distance in (3, 2, 1, 0)])
    trained = {id(weight) for group in groups for weight in group["params"]}
    unseen = {name.split(".")[0] for name, weight in small.model.named_parameters() if id(weight) not in trained}
    assert unseen == {"text", "mlm_head", "mlm_bias", "mvm_heads"}


def test_what_few_labels_cannot_fit_has_no_scores(small):
    train, test = spotted(4, 0), spotted(5, 1)
    train.labels_NC[:] = 1
    assert np.isnan(fine_tune(small, train, None, test.features, HOW).scores_NC).all()
