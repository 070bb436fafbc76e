"""The model alone: weights and all that is needed to use them, without DeepSpeed.

weights.safetensors   every parameter by name
model.json            the numbers of the model's shape, and how pixels and text are prepared
tokenizer.model       SentencePiece
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cxrpt.config import DataConfig
from cxrpt.data.text import Tokenizer
from cxrpt.errors import InputError
from cxrpt.model.pretrain import PretrainModel, Shape

WEIGHTS, MODEL, TOKENIZER = "weights.safetensors", "model.json", "tokenizer.model"


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
    about = {"step": step, "shape": asdict(shape), "sections": list(data.sections), "tokenizer": tokenizer.fingerprint}
    (folder / MODEL).write_text(json.dumps(about, indent=1) + "\n")
    (folder / TOKENIZER).write_bytes(tokenizer.model_bytes)


def load_exported(folder: Path) -> Exported:
    """Read a folder that `export_model` wrote.

    Raises:
        InputError: a file is missing.
    """
    for name in (WEIGHTS, MODEL, TOKENIZER):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no {name}: name a checkpoint with exported weights")
    about = json.loads((folder / MODEL).read_text())
    shape = Shape(**(about["shape"] | {"scales": tuple(about["shape"]["scales"])}))
    with torch.device("meta"):
        model = PretrainModel(shape)
    weights = {name: tensor.float() for name, tensor in load_file(folder / WEIGHTS).items()}
    model.load_state_dict(weights, assign=True)
    return Exported(model.eval(), Tokenizer.load(folder / TOKENIZER), tuple(about["sections"]), about["step"])
