"""Examples made of random numbers, for tests of packing and of the model."""

import numpy as np

from cxrpt.data.example import Example
from cxrpt.data.masking import mask_regions, mask_words

VOCAB, PATCH, GRID, LONGEST = 60, 4, 6, 24
KINDS = {"image": (True, False, False), "text": (False, True, False), "fused": (True, True, False), "split": (True, True, True)}
"""Image, text, split."""


def make_example(rng, image=True, words=0, split=False, source=0, mlm_ratio=0.3, mvm_ratio=0.6):
    patches = rng.integers(0, 256, (GRID * GRID, PATCH * PATCH), dtype=np.uint8) if image else None
    hidden = mask_regions(GRID, (1, 2, 4), mvm_ratio, rng) if image else None
    starts = np.arange(VOCAB) % 3 == 0
    tokens = rng.integers(5, VOCAB, words, dtype=np.int32)
    text = mask_words(tokens, starts, (0, 1, 2, 3, 4), 3, mlm_ratio, rng) if words else None
    return Example(source, patches, hidden, text, split, int(rng.integers(1 << 60)), int(rng.integers(1 << 60)))


def example_of(rng, kind, words, **more):
    image, text, split = KINDS[kind]
    return make_example(rng, image, words if text else 0, split, **more)


def mixed_examples(seed=0):
    rng = np.random.default_rng(seed)
    make = [(True, 0, False), (False, 7, False), (True, 9, False), (True, 5, True), (False, 1, False), (True, 1, False),
            (False, 20, False), (True, 20, True), (True, 0, False), (False, 7, False)]  # fmt: skip
    return [make_example(rng, *shape, source=n % 3) for n, shape in enumerate(make)]
