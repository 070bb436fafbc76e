"""Any pack computes what its samples compute one at a time."""

import functools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from .examples import KINDS, LONGEST, example_of
from .one_by_one import assert_equals_one_by_one, make_model

SAMPLES = st.lists(
    st.tuples(st.sampled_from(sorted(KINDS)), st.integers(1, LONGEST), st.sampled_from([0.0, 0.3]), st.integers(0, 2)),
    min_size=1,
    max_size=12,
)
"""Kind, words, share of hidden words, source."""

model = functools.cache(make_model)


@settings(max_examples=40, deadline=None)
@given(SAMPLES, st.integers(0, 2**32))
def test_any_pack_equals_one_by_one(samples, seed):
    rng = np.random.default_rng(seed)
    examples = [example_of(rng, kind, words, mlm_ratio=ratio, source=source) for kind, words, ratio, source in samples]
    assert_equals_one_by_one(model(), examples)
