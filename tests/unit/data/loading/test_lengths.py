"""Rows of a sample told from the index, beside those that it has."""

import numpy as np
import pytest

from cxrpt.config import load_config
from cxrpt.data.batch import pack
from cxrpt.data.loading.lengths import Lengths, measure_tokens_per_word
from cxrpt.data.order.plan import Places
from cxrpt.data.sample import Kind
from cxrpt.data.storage.open_shards import OpenShards
from cxrpt.preflight import prepare
from data_prep.train_tokenizer import train_tokenizer

from ....made_shards import make_shards


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("lengths")
    make_shards(root, "north", Kind.PAIR, 90, size=32)
    make_shards(root, "west", Kind.TEXT, 50, seed=1, size=32)
    train_tokenizer([root / "north", root / "west"], root / "tok.model", vocab_size=600)
    sources = {"all": ("north", "all"), "images": ("north", "images"), "texts": ("north", "texts"), "west": ("west", "all")}
    words = [f"data.sources.{name}={{path: {root / folder}, use: {use}}}" for name, (folder, use) in sources.items()]
    usual = ["data.image_size=32", "data.lanes=8", "train.global_batch=16", "model.patch_size=8", "data.max_text_tokens=24"]
    return prepare(load_config(None, ["name=t", f"data.tokenizer={root / 'tok.model'}", *words, *usual]), 0, 1)


def test_estimates_are_near_what_samples_have(prepared):
    rates = measure_tokens_per_word(prepared.sources, prepared.maker)
    assert rates[1] == 0.0 and all(rate > 0.5 for number, rate in enumerate(rates) if number != 1)
    shards = OpenShards(prepared.sources)
    lengths = Lengths(prepared.sources, prepared.maker, rates, shards.index)
    source = np.repeat(np.arange(4), 30)
    places = Places(source, source * 0, np.tile([0, 1, 0], 40), np.tile(np.arange(10), 12))
    estimates = lengths.rows(places)
    for number, estimate in enumerate(estimates.tolist()):
        at = int(source[number]), int(places.shard[number]), int(places.sample[number])
        example = prepared.maker.make(shards.read(*at), at[0], 0)
        rows = pack([example], 4, 8, (1,), 4).num_tokens
        assert abs(rows - estimate) <= 5, "image rows are exact, those of a text nearly"
        if at[0] == 1:
            assert rows == estimate == 17
    assert np.array_equal(lengths.rows(places), estimates)
