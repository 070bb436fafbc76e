"""A model that begins with the weights of another."""

from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from cxrpt.checkpoint.export import MODEL, WEIGHTS
from cxrpt.checkpoint.init_from import check_init, init_model
from cxrpt.errors import InputError
from cxrpt.model.pretrain import PretrainModel, Shape

SHAPE = (32, 1, 4, 2.0, 4, 24, 60, 24, (1, 2), False)


def test_what_the_other_lacks_starts_anew_but_not_the_positions_of_words(tmp_path):
    other, model = PretrainModel(Shape(*SHAPE, False)), PretrainModel(Shape(*SHAPE, True))
    weights = {name: tensor.contiguous().clone() for name, tensor in other.state_dict().items()}
    save_file(weights, tmp_path / WEIGHTS)
    fresh = init_model(model, tmp_path)
    assert {name.split(".")[0] for name in fresh} == {"image_projection", "text_projection", "sharpness"}
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in weights.items())
    weights["text.position.weight"] = weights.pop("text.position")
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(InputError, match="of an earlier version"):
        init_model(model, tmp_path)


def test_weights_that_cannot_be_read_are_told(tmp_path):
    tokenizer = SimpleNamespace(fingerprint="x")
    with pytest.raises(InputError, match=r"holds no weights\.safetensors"):
        check_init(str(tmp_path), Shape(*SHAPE, False), tokenizer)
    (tmp_path / WEIGHTS).write_bytes(b"\1" * 100)
    for told in ("{", "{}", '{"format": 1, "shape": {}, "step": 1, "tokenizer": "x", "sections": []}'):
        (tmp_path / MODEL).write_text(told)
        with pytest.raises(InputError, match="does not describe a model"):
            check_init(str(tmp_path), Shape(*SHAPE, False), tokenizer)
    with pytest.raises(InputError, match="is damaged"):
        init_model(PretrainModel(Shape(*SHAPE, False)), tmp_path)
