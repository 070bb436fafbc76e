"""What ranks say to each other."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def sum_over_ranks(values: Tensor) -> Tensor:
    """The elementwise sum over ranks; in place, and returned. Tensors on the CPU go by gloo, without a word to any GPU."""
    dist.all_reduce(values)
    return values


def max_over_ranks(values: Tensor) -> Tensor:
    """The elementwise largest over ranks; in place, and returned."""
    dist.all_reduce(values, op=dist.ReduceOp.MAX)
    return values


def wait_for_all() -> None:
    """Return when every rank has come here."""
    dist.barrier()


def from_first_rank(value: Any) -> Any:
    """Rank 0's value, on every rank; anything that pickles."""
    box = [value]
    dist.broadcast_object_list(box)
    return box[0]


def gather_objects(value: Any) -> list[Any]:
    """Every rank's value, in rank order, on every rank."""
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def lost_another_rank(error: BaseException) -> bool:
    """Whether an error says only that another rank no longer answers."""
    # gloo's own are plain RuntimeErrors. A rank that ends closes its connections, so they come at once, not after a time-out.
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


class _GatherRows(torch.autograd.Function):
    """Rows of all ranks; the gradient of each rank's rows is the sum over ranks of what reached them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, counts: list[int], first: int) -> Tensor:
        ctx.first, ctx.count = first, len(rows)
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        gradient = gradients[0].contiguous()
        dist.all_reduce(gradient)
        return gradient[ctx.first : ctx.first + ctx.count], None, None


def gather_rows_of_ranks(rows: Tensor) -> tuple[Tensor, int]:
    """Rows of all ranks in rank order, of any number a rank, and where this rank's begin; differentiable."""
    # Lengths are the host's to know: told by hosts, the GPU is not waited for.
    every = torch.zeros(dist.get_world_size(), dtype=torch.int64)
    every[dist.get_rank()] = len(rows)
    counts = sum_over_ranks(every).tolist()
    first = sum(counts[: dist.get_rank()])
    return _GatherRows.apply(rows, counts, first), first  # type: ignore[no-untyped-call]
