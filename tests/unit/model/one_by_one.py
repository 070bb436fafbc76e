"""What a pack is compared with: every sample alone, and attention written down without any packing."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cxrpt.data.batch import pack
from cxrpt.model.pretrain import PretrainModel, Shape

from .examples import GRID, LONGEST, PATCH, VOCAB

SCALES, SOURCES = (1, 2, 4), 3
SHAPE = Shape(32, 2, 4, 2.0, PATCH, GRID * PATCH, VOCAB, LONGEST, SCALES, False, True)


def make_model():
    torch.manual_seed(0)
    model = PretrainModel(SHAPE, num_sources=SOURCES)
    # Fresh weights write little to the residual path: attention that is wrong would hardly show.
    with torch.no_grad():
        for block in model.transformer.blocks:
            block.project.weight.mul_(2)
    return model


def packed(examples):
    return pack(examples, GRID, PATCH, SCALES, SOURCES)


def parts_of(losses):
    return [losses.mlm, *(losses.mvm[scale] for scale in SCALES)]


def losses_and_gradients(model, batches):
    """Sum of all MLM and MVM losses over the batches, (losses, sources, sum and count), and the fp32 gradient of that sum."""
    total, table = 0.0, np.zeros((1 + len(SCALES), SOURCES, 2))
    gradients = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in model.named_parameters()}
    for batch in batches:
        model.zero_grad()
        losses = model(batch)
        value = sum(part.total for part in parts_of(losses)) + losses.itc[0] * 0
        value.backward()
        total += value.item()
        table += np.array([torch.stack([part.by_source, part.count_by_source], 1).tolist() for part in parts_of(losses)])
        for name, p in model.named_parameters():
            gradients[name] += p.grad.float()
    return total, table, gradients


def states_by_sample(model, batch, examples):
    """For every example the states of its image (summary, patches) and of its text (summary, tokens); None where absent."""
    states = model.states(batch)
    images, texts = iter(batch.image_rows_I.tolist()), iter(batch.text_rows_X.tolist())
    found = []
    for example in examples:
        image = text = None
        if example.patches is not None:
            image = states.narrow(0, next(images), 1 + GRID * GRID)
        if example.text is not None:
            text = states.narrow(0, next(texts), 1 + len(example.text.tokens))
        found.append((image, text))
    return found


def all_states(model, batches, examples_of_batches):
    """(rows, D) fp32 without gradient, sample by sample."""
    with torch.no_grad():
        by_sample = [
            pair
            for batch, examples in zip(batches, examples_of_batches, strict=True)
            for pair in states_by_sample(model, batch, examples)
        ]
    return torch.cat([states.float() for pair in by_sample for states in pair if states is not None])


def distance(found, reference):
    """Of the whole, relative; 0 for two that are zero."""
    return float((found - reference).norm() / reference.norm().clamp(min=1e-30))


def assert_equals_one_by_one(model, examples):
    """States, losses by source and gradients within 1e-5 in fp32; of a gradient's largest entry where that is above 1."""
    whole, alone = packed(examples), [packed([example]) for example in examples]
    expected = all_states(model, alone, [[example] for example in examples])
    torch.testing.assert_close(all_states(model, [whole], [examples]), expected, atol=1e-5, rtol=1e-5)
    total, table, gradients = losses_and_gradients(model, [whole])
    total_alone, table_alone, gradients_alone = losses_and_gradients(model, alone)
    assert total == pytest.approx(total_alone, rel=1e-5, abs=1e-5)
    np.testing.assert_allclose(table, table_alone, rtol=1e-5)
    for name, gradient in gradients.items():
        bound = 1e-5 * max(1.0, float(gradients_alone[name].abs().max()))
        torch.testing.assert_close(
            gradient, gradients_alone[name], atol=bound, rtol=1e-5, msg=lambda text, name=name: f"{name}: {text}"
        )


def plain_attention(q_NHD, k_NHD, v_NHD, cu_seqlens):
    """Softmax attention in float64, one sequence and one head after the other."""
    bounds, out = cu_seqlens.tolist(), torch.empty_like(q_NHD, dtype=torch.float64)
    for first, last in itertools.pairwise(bounds):
        for head in range(q_NHD.shape[1]):
            q, k, v = (x[first:last, head].double() for x in (q_NHD, k_NHD, v_NHD))
            out[first:last, head] = F.softmax(q @ k.T / q.shape[1] ** 0.5, 1) @ v
    return out
