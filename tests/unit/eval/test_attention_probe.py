import numpy as np
import pytest
import torch

from cxrpt.eval import attention_probe as module
from cxrpt.eval.attention_probe import AttentionPool, attention_probe
from cxrpt.eval.labelled import Labelled
from cxrpt.eval.linear_probe import linear_probe
from cxrpt.eval.scores import mean_auroc

CPU = torch.device("cpu")


def spotted(count, seed):
    """One of 16 patches is marked, and only that one tells the label: all others tell one at random."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    states = rng.normal(size=(count, 16, 8))
    states[:, :, 0] = 3 * rng.choice([-1, 1], (count, 16))
    spot, rows = rng.integers(16, size=count), np.arange(count)
    states[rows, spot, 0] = 3 * (2 * labels - 1)
    states[rows, spot, 1] = 6
    return Labelled(states.astype(np.float16), labels[:, None].astype(np.int8), [str(n) for n in range(count)])


def test_learns_what_one_patch_reveals_and_a_mean_does_not(monkeypatch):
    monkeypatch.setattr(module, "EPOCHS", 40)
    train, val, test = spotted(400, 0), spotted(100, 1), spotted(200, 2)
    found = attention_probe(train, val, test.features, 2, 0, CPU)
    assert mean_auroc(test.labels_NC, found.scores_NC) > 0.95 and found.chosen["on"] == "val"
    means = [Labelled(one.features.mean(1), one.labels_NC, one.patients) for one in (train, val, test)]
    assert mean_auroc(test.labels_NC, linear_probe(means[0], means[1], means[2].features).scores_NC) < 0.75
    monkeypatch.setattr(module, "EPOCHS", 1)
    found, again = (attention_probe(train, val, test.features, 2, 0, CPU) for _ in range(2))
    np.testing.assert_array_equal(found.scores_NC, again.scores_NC)


def test_it_is_multi_head_attention_with_one_query():
    torch.manual_seed(0)
    width, heads, images, patches = 8, 2, 3, 5
    pool = AttentionPool(torch.zeros(width), torch.ones(width), heads, 4).eval()
    reference = torch.nn.MultiheadAttention(width, heads, bias=False, batch_first=True)
    query, states = torch.randn(1, 1, width), torch.randn(images, patches, width)
    to_query, to_key, to_value = reference.in_proj_weight.detach().chunk(3)
    with torch.no_grad():
        reference.out_proj.weight.copy_(torch.eye(width))
        each = (to_query @ query[0, 0]).unflatten(0, (heads, -1))
        folded = torch.einsum("he,hed->hd", each, to_key.unflatten(0, (heads, -1)))
        # The scale is that of a head's width there, of the whole width here.
        pool.query_HD.copy_(folded * heads**0.5)
        pool.value_HDE.copy_(to_value.unflatten(0, (heads, -1)).transpose(1, 2))
        pool.head.weight.normal_()
        seen = reference(query.expand(images, -1, -1), states, states)[0][:, 0]
        assert torch.allclose(pool(states), pool.head(pool.norm(seen)), atol=1e-5)


@pytest.mark.parametrize("labels", [[1], [1, 1], [1, 0]])
def test_what_few_labels_cannot_fit_has_no_scores(labels):
    train, test = spotted(10, 0), spotted(5, 1)
    few = Labelled(
        train.features[: len(labels)], np.array([[one, 1] for one in labels], np.int8), train.patients[: len(labels)]
    )
    found = attention_probe(few, None, test.features, 2, 0, CPU)
    assert np.isnan(found.scores_NC[:, 1]).all() and np.isnan(found.scores_NC[:, 0]).all() == (0 not in labels)
    assert found.chosen["on"].startswith("nothing")
