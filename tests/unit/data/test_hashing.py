"""Generators that are pure functions of integers."""

import struct
from itertools import product

import numpy as np
import pytest

from cxrpt.data.hashing import generator


def test_equal_integers_give_equal_streams_and_others_do_not():
    parts = [(7, 11, 2**63 - 1, 0), (7, 11, 2**63 - 1, 1), (7, 12, 2**63 - 1, 0), (8, 11, 2**63 - 1, 0), (11, 7, 2**63 - 1, 0)]
    parts += [(7, 11, 2**63 - 2, 0), (7, 11), (7, 11, 0), (7, 11, 0, 0), ()]
    streams = [generator(*one).random(4).tolist() for one in parts]
    assert streams == [generator(*one).random(4).tolist() for one in parts]
    assert len({tuple(stream) for stream in streams}) == len(parts)
    # Raw numbers of a bit generator stay the same in every version of numpy: a resumed run draws what it would have drawn.
    assert generator(1, 2, 3).bit_generator.random_raw(2).tolist() == [11894281967823736635, 6859831857659803595]


def test_streams_of_neighbours_are_independent():
    """Over purposes, samples and epochs: what one draws tells nothing of what the next does."""
    draws = np.array([generator(0, *key).random(3) for key in product(range(11, 15), range(40), range(25))]).reshape(
        4, 40, 25, 3
    )
    assert np.abs(draws.mean() - 0.5) < 0.02
    for axis in range(4):
        ahead, behind = np.moveaxis(draws, axis, 0)[1:], np.moveaxis(draws, axis, 0)[:-1]
        assert abs(np.corrcoef(ahead.ravel(), behind.ravel())[0, 1]) < 0.04
    counts = np.bincount((draws * 16).astype(int).ravel(), minlength=16)
    assert ((counts - 750) ** 2 / 750).sum() < 40  # chi-square of 15 degrees: above it once in 2,000


def test_one_stream_is_not_the_rest_of_another():
    seen = {}
    for sample in range(200):
        for number in generator(3, 13, sample, 0).integers(0, 2**63, 50).tolist():
            assert seen.setdefault(number, sample) == sample


@pytest.mark.parametrize("bad", [-1, 2**64, 1.5])
def test_what_is_no_64_bit_integer_is_refused(bad):
    with pytest.raises(struct.error):
        generator(1, bad)
