"""The model alone: weights and all that is needed to use them, without DeepSpeed.

weights.safetensors   every parameter by name, in the type in which it was exported
tokenizer.model       SentencePiece
model.json            what the other two mean:

    format      FORMAT; it changes when the same pixels or the same text would give the model other input
    step        optimizer steps that the weights were trained for
    shape       the fields of `cxrpt.model.pretrain.Shape`, on which the shapes of the weights depend; `image_size` is the
                side of the square that a picture is fitted to, `max_text_tokens` where a text is cut
    sections    titles of the report sections that were trained on, in this order, joined by a line break; a report that
                has none of them was used whole
    tokenizer   fingerprint of tokenizer.model: the first 16 hexadecimal digits of its sha256
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from cxrpt.config import DataConfig
from cxrpt.data.text import Tokenizer
from cxrpt.errors import InputError
from cxrpt.model.pretrain import PretrainModel, Shape

WEIGHTS, MODEL, TOKENIZER = "weights.safetensors", "model.json", "tokenizer.model"
FORMAT = 1
_NO_MODEL = (KeyError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError, ArithmeticError)
"""What comes of numbers that are no model's, anywhere below."""


@dataclass(frozen=True)
class Exported:
    """A trained model, ready to use in fp32 on the CPU."""

    model: PretrainModel
    tokenizer: Tokenizer
    sections: tuple[str, ...]
    """Report sections it was trained on."""
    step: int


def export_model(
    folder: Path, weights: dict[str, Tensor], shape: Shape, tokenizer: Tokenizer, data: DataConfig, step: int
) -> None:
    """Write the three files into a folder that exists."""
    save_file(weights, folder / WEIGHTS)
    about = {
        "format": FORMAT,
        "step": step,
        "shape": asdict(shape),
        "sections": list(data.sections),
        "tokenizer": tokenizer.fingerprint,
    }
    (folder / MODEL).write_text(json.dumps(about, indent=1) + "\n")
    (folder / TOKENIZER).write_bytes(tokenizer.model_bytes)
    # safetensors makes a file that only its owner reads.
    (folder / WEIGHTS).chmod((folder / MODEL).stat().st_mode)


def load_exported(folder: Path) -> Exported:
    """Read a folder that `export_model` wrote.

    Raises:
        InputError: a file is missing, damaged or of another version, or they do not belong together.
    """
    for name in (WEIGHTS, MODEL, TOKENIZER):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no {name}: name a folder with exported weights")
    model, about = _empty_model(folder)
    weights = {name: tensor.float() for name, tensor in read_weights(folder).items()}
    _check_weights(folder, {name: tensor.shape for name, tensor in weights.items()}, model)
    tokenizer = Tokenizer.load(folder / TOKENIZER)
    if tokenizer.fingerprint != about["tokenizer"]:
        raise InputError(
            f"{folder / TOKENIZER} has the fingerprint {tokenizer.fingerprint}, {MODEL} names {about['tokenizer']}: "
            "put back the tokenizer that the model was trained with"
        )
    model.load_state_dict(weights, assign=True)
    return Exported(model.eval(), tokenizer, tuple(about["sections"]), about["step"])


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder's weights file, as they are stored.

    Raises:
        InputError: the file is damaged.
    """
    try:
        return load_file(folder / WEIGHTS)
    except SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS} is damaged ({error}): copy or export it again") from None


def _empty_model(folder: Path) -> tuple[PretrainModel, dict[str, Any]]:
    """A model without storage as model.json describes it, and the content of that file."""
    shape, about = read_model_facts(folder)
    try:
        with torch.device("meta"):
            return PretrainModel(shape), about
    except _NO_MODEL as error:
        raise _no_model(folder, error) from None


def read_model_facts(folder: Path) -> tuple[Shape, dict[str, Any]]:
    """The shape of a folder's model and the content of its model.json.

    Raises:
        InputError: the file does not describe a model, or is of another format.
    """
    try:
        about = json.loads((folder / MODEL).read_text())
        if (written := about.get("format", FORMAT)) != FORMAT:
            raise InputError(
                f"{folder / MODEL} has format {written!r}, this version reads {FORMAT}: use the version that wrote it"
            )
        shape = Shape(**(about["shape"] | {"scales": tuple(about["shape"]["scales"])}))
        assert isinstance(about["step"], int) and isinstance(about["tokenizer"], str), "fields of another type"
        assert shape.heads > 0 and shape.width % shape.heads == 0, "heads do not divide the width"
        about["sections"] = [str(title) for title in about["sections"]]
        return shape, about
    except InputError:
        raise
    except _NO_MODEL as error:
        raise _no_model(folder, error) from None


def _no_model(folder: Path, error: Exception) -> InputError:
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return InputError(f"{folder / MODEL} does not describe a model ({what}): copy or export it again")


def _check_weights(folder: Path, given: dict[str, torch.Size], model: PretrainModel) -> None:
    """Raise InputError unless every tensor of the model is there, in its shape, and no other."""
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    problems = [f"lacks {name!r}" for name in wanted if name not in given]
    problems += [f"holds {name!r}, which the model has not" for name in given if name not in wanted]
    problems += [
        f"holds {name!r} of shape {tuple(given[name])} instead of {tuple(shape)}"
        for name, shape in wanted.items()
        if name in given and given[name] != shape
    ]
    if problems:
        more = f" (and {len(problems) - 1} more of its kind)" if len(problems) > 1 else ""
        raise InputError(f"{folder / WEIGHTS} {problems[0]}{more}: it does not belong to its {MODEL}; export it again")
