"""What the image-text contrast adds to the model: two projections without a mean, and a temperature.

states (N, D) ─► mean over each sequence (S, D) ─► those of split pairs (C, D) ─► less their mean ─► projection ─► unit vectors
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cxrpt.data.batch import Batch
from cxrpt.model.objectives import Gather

_FOLLOWS = 0.02
"""How far a running mean goes towards that of a step; the first steps count evenly."""


def sequence_means(states_ND: Tensor, batch: Batch, rows_C: Tensor) -> Tensor:
    """(C, D) fp32: the mean state of the sequence that each row stands in.

    Summary rows instead, which nothing else trains, fitted the training pairs as well but less those of other patients.
    """
    runs = [states_ND[row : row + count * length].unflatten(0, (count, length)) for row, count, length in batch.runs]
    means = [run.mean(1, dtype=torch.float32) for run in runs]
    means_SD = torch.cat(means) if means else states_ND.float()
    return means_SD.index_select(0, torch.searchsorted(batch.cu_seqlens, rows_C.to(batch.cu_seqlens.dtype), right=True) - 1)


class CentredProjection(nn.Module):
    """Mean states to unit vectors of the common space, after the mean state of all pairs is taken away.

    In training the mean is that of the step's pairs over all ranks, as in a batch norm before the contrast (Chen et al., 2020),
    afterwards a running mean. They begin all but equal, where the contrast has hardly a gradient: with 64 pairs a step
    and nothing else to learn, `tiny` with 4 blocks was at 3.85 nats after 80 steps without this, at 3.17 with it.

    The mean is taken before the projection, whose weights move too fast for a running mean behind it. What goes back to the
    states is multiplied by how far they spread: unit vectors divide by it, so that rows that are alike gave the contrast two to
    three times the gradient of all else together, and it drowned the other objectives.
    """

    centre: Tensor
    """(D,) fp32, running mean of the states."""
    num_steps: Tensor
    """fp32 scalar: steps that `centre` has seen."""

    def __init__(self, width: int):
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("num_steps", torch.zeros(()))
        self._seen: Tensor | None = None

    def forward(self, states_CD: Tensor, gather: Gather | None = None) -> Tensor:
        """(C, D) fp32 unit vectors.

        Args:
            states_CD: fp32, of this rank.
            gather: in training, joins rows over ranks; without it the running mean is used.
        """
        if gather is None:
            centred = states_CD - self.centre
        else:
            everyone, _ = gather(states_CD)
            num_rows = max(1, len(everyone))
            centre = everyone.sum(0) / num_rows
            self._seen = centre.detach() if len(everyone) else None
            centred = states_CD - centre
            spread = ((everyone - centre).detach().square().mean(1).sum() / num_rows).sqrt()
            centred = spread * centred + ((1 - spread) * centred).detach()
        return F.normalize(self.linear(centred.to(self.linear.weight.dtype)).float(), dim=-1)

    def follow(self) -> None:
        """Let the running mean take in that of the last step, if it had pairs."""
        if self._seen is not None:
            self.num_steps += 1
            self.centre += torch.clamp(1 / self.num_steps, min=_FOLLOWS) * (self._seen - self.centre)
            self._seen = None


class Sharpness(nn.Module):
    """The inverse temperature of the contrast, learned, at most 100 (Radford et al., 2021).

    A module of its own: ZeRO 3 takes weights away after the forward pass, and brings back for the backward pass those of
    modules that return tensors. That of the model itself lost its gradient, without a word.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor([2.6592]))  # ln(1 / 0.07)

    def forward(self) -> Tensor:
        """A scalar."""
        return self.log_scale.float().clamp(max=4.6052).exp()[0]
