"""Where DeepSpeed keeps this rank's share of the weights and of Adam's state, told as pieces by parameter name.

              weights in fp32                              a parameter's place in them
ZeRO 0        the parameters themselves, on every rank      whole
ZeRO 1, 2     one flat tensor a parameter group             `_hp_mapping` of the parameter
ZeRO 3        one flat tensor a sub-group                   `grad_position` of the optimizer; each parameter is cut into
                                                            equal parts, the last of them padded
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cxrpt.checkpoint.shards import Piece


def pieces_of_rank(model: nn.Module, optimizer: Any, adam: torch.optim.Optimizer, rank: int) -> list[Piece]:
    """What this rank keeps, as views; Adam's state is made where no step has made it yet.

    Args:
        model: as DeepSpeed left it.
        optimizer: DeepSpeed's; with ZeRO 0 `adam` itself.
        adam: torch's, which it drives.
        rank: of this process.
    """
    pieces = []
    for name, parameter in model.named_parameters():
        shape = tuple(getattr(parameter, "ds_shape", parameter.shape))
        for start, flat, offset, length in _places(parameter, optimizer, rank):
            state = adam_state(adam, flat)
            wholes = (flat.detach(), state["exp_avg"], state["exp_avg_sq"])
            weight, mean, square = (whole.view(-1)[offset : offset + length] for whole in wholes)
            pieces.append(Piece(name, shape, start, (weight, mean, square)))
    return pieces


def pieces_of_buffers(model: nn.Module) -> list[Piece]:
    """What the model remembers beside its weights (running means), which every rank has whole; what Adam would keep is zero."""
    pieces = []
    for name, buffer in model.named_buffers():
        flat = buffer.detach().view(-1)
        pieces.append(Piece(name, tuple(buffer.shape), 0, (flat, torch.zeros_like(flat), torch.zeros_like(flat))))
    return pieces


def adam_state(adam: torch.optim.Optimizer, flat: Tensor) -> dict[str, Tensor]:
    """Adam's state of a tensor; made as its first step makes it, if that is still to come."""
    state = adam.state[flat]
    if "step" not in state:
        state["step"] = torch.tensor(0.0, device=flat.device if adam.defaults.get("fused") else "cpu")
        state["exp_avg"] = torch.zeros_like(flat, memory_format=torch.preserve_format)
        state["exp_avg_sq"] = torch.zeros_like(flat, memory_format=torch.preserve_format)
    return state


def flat_tensors(model: nn.Module, optimizer: Any) -> list[Tensor]:
    """The tensors that Adam works on."""
    for name in ("single_partition_of_fp32_groups", "fp32_partitioned_groups_flat", "fp32_groups_flat_partition"):
        if hasattr(optimizer, name):
            return list(getattr(optimizer, name))
    return list(model.parameters())


def spread_weights(optimizer: Any) -> None:
    """Make the weights that the model computes with those that Adam works on, on all ranks. Every rank must call it."""
    if hasattr(optimizer, "update_lp_params"):
        optimizer.update_lp_params()
    elif hasattr(optimizer, "fp32_partitioned_groups_flat"):
        for number in range(len(optimizer.fp32_partitioned_groups_flat)):
            optimizer._reassign_or_swap_out_partitioned_parameters(number)
        if kept_whole := optimizer.persistent_parameters:
            kept_whole[0].all_gather(kept_whole)


def _places(parameter: Any, optimizer: Any, rank: int) -> Iterator[tuple[int, Tensor, int, int]]:
    """Of this rank's part of a parameter: where it starts, the flat tensor it lies in, where in that, and its length."""
    if hasattr(parameter, "ds_id"):
        group, offset, part = optimizer.grad_position[optimizer.get_param_id(parameter)]
        start = rank * part
        length = min(part, parameter.ds_numel - start)
        if length > 0:
            yield start, optimizer.fp32_partitioned_groups_flat[group], offset, length
    elif hasattr(parameter, "_hp_mapping"):
        if (mapping := parameter._hp_mapping) is not None:
            flat = flat_tensors(nn.Module(), optimizer)[mapping.param_group_index]
            there, here = mapping.lp_fragment_address, mapping.hp_fragment_address
            yield there.start, flat, here.start, here.numel
    else:
        yield 0, parameter, 0, parameter.numel()
