"""What a pack says of itself: rows, places and groups, held against the examples that went into it."""

from itertools import pairwise

import numpy as np
import pytest

from cxrpt.data.batch import pack
from cxrpt.data.masking import hidden_groups

from ..model.examples import GRID, PATCH, make_example

MIXES = {
    "pairs": [(True, 5), (True, 9), (True, 5)],
    "all": [(True, 7), (True, 0), (False, 12), (True, 3), (False, 1), (True, 0)],
    "images": [(True, 0), (True, 0)],
    "texts": [(False, 4), (False, 9)],
}


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("mix", MIXES)
def test_every_row_of_a_pack_is_what_the_examples_say(mix, split):
    rng = np.random.default_rng(0)
    shapes = [(image, words, split and image and words > 0) for image, words in MIXES[mix]]
    examples = [make_example(rng, *shape, source=n % 3) for n, shape in enumerate(shapes)]
    batch = pack(examples, GRID, PATCH, (1, 2, 4), 3)
    images = [e for e in examples if e.patches is not None]
    texts = [e for e in examples if e.text is not None]
    # What each row of [image summaries; patches; text summaries; tokens] is, written out.
    rows = [("image", n) for n in range(len(images))]
    rows += [("patch", n, place) for n in range(len(images)) for place in range(GRID * GRID)]
    rows += [("text", n) for n in range(len(texts))]
    rows += [("token", n, place) for n, e in enumerate(texts) for place in range(len(e.text.tokens))]
    order = batch.order_N.tolist()
    assert sorted(order) == list(range(len(rows)))
    packed = [rows[row] for row in order]

    expected = []
    for example in examples:
        picture = words = []
        if example.patches is not None:
            n = next(n for n, e in enumerate(images) if e is example)
            picture = [("image", n), *(("patch", n, place) for place in range(GRID * GRID))]
        if example.text is not None:
            n = next(n for n, e in enumerate(texts) if e is example)
            words = [("text", n), *(("token", n, place) for place in range(len(example.text.tokens)))]
        expected += [picture, words] if example.split else [picture + words]
    ends = batch.cu_seqlens.tolist()
    assert sorted(packed[a:b] for a, b in pairwise(ends)) == sorted(expected)
    lengths = np.diff(ends)
    assert (np.diff(lengths) >= 0).all() and batch.max_seqlen == lengths.max()

    assert [packed[row] for row in batch.image_rows_I] == [("image", n) for n in range(len(images))]
    assert [packed[row] for row in batch.text_rows_X] == [("text", n) for n in range(len(texts))]
    hidden_words = [("token", n, place) for n, e in enumerate(texts) for place in e.text.positions.tolist()]
    assert [packed[row] for row in batch.mlm_rows_M] == hidden_words
    assert batch.mlm_source_M.tolist() == [texts[n].source for _, n, _ in hidden_words]
    for scale in (1, 2, 4):
        groups = [(n, group.tolist()) for n, e in enumerate(images) for group in hidden_groups(e.hidden, scale)]
        mvm = batch.mvm[scale]
        assert [[packed[row] for row in group] for group in mvm.rows_GS.tolist()] == [
            [("patch", n, place) for place in group] for n, group in groups
        ]
        assert mvm.patches_GS.tolist() == [[n * GRID * GRID + place for place in group] for n, group in groups]
        assert mvm.source_G.tolist() == [images[n].source for n, _ in groups]
    assert batch.hidden_P.tolist() == [bool(one) for e in images for one in e.hidden.ravel()]
