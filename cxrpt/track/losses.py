"""Losses between two logged steps, by objective and source, as sums that ranks can add.

One float64 tensor holds everything, so that logging is one reduction and a checkpoint can keep it exactly.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from cxrpt.dist.collectives import sum_over_ranks
from cxrpt.model.pretrain import Losses


class LossWindow:
    """Sums of losses and counts since the last `means`: (objectives, sources + 1, 2)."""

    def __init__(self, scales: tuple[int, ...], sources: list[str], device: torch.device):
        self.names = ["mlm", *(f"mvm{scale}" for scale in scales), "itc"]
        self.sources = sources
        self._sums = torch.zeros(len(self.names), len(sources) + 1, 2, dtype=torch.float64, device=device)

    def add(self, losses: Losses) -> None:
        """Add one micro-batch; no host sync."""
        named = {"mlm": losses.mlm} | {f"mvm{scale}": part for scale, part in losses.mvm.items()}
        for name, part in named.items():
            row = self._sums[self.names.index(name)]
            row[:-1, 0] += part.by_source
            row[:-1, 1] += part.count_by_source
            row[-1, 0] += part.total.detach()
            row[-1, 1] += part.count
        if losses.itc is not None:
            total, count = losses.itc
            self._sums[-1, -1, 0] += total.detach()
            self._sums[-1, -1, 1] += count

    def means(self) -> dict[str, float]:
        """Mean losses over all ranks since the last call, by `loss/NAME` and `loss/NAME/SOURCE`; starts anew.

        `mvm` is the mean over its scales' means. A loss without a single count is left out.
        """
        sums = sum_over_ranks(self._sums.clone()).cpu()
        self._sums.zero_()
        means = {}
        for number, name in enumerate(self.names):
            for column, source in enumerate([*self.sources, ""]):
                total, count = sums[number, column].tolist()
                if count:
                    means[f"loss/{name}/{source}" if source else f"loss/{name}"] = total / count
        for source in [*self.sources, ""]:
            tail = f"/{source}" if source else ""
            parts = [means[key] for name in self.names if name.startswith("mvm") and (key := f"loss/{name}{tail}") in means]
            if parts:
                means[f"loss/mvm{tail}"] = sum(parts) / len(parts)
        return means

    def state(self) -> dict[str, list[float]]:
        """This rank's sums by `OBJECTIVE` and `OBJECTIVE/SOURCE`; those of nothing are left out."""
        rows = zip(self.names, self._sums.tolist(), strict=True)
        cells = {
            self._key(name, source): cell for name, row in rows for source, cell in zip([*self.sources, ""], row, strict=True)
        }
        return {key: cell for key, cell in cells.items() if cell != [0.0, 0.0]}

    def load(self, state: dict[str, list[float]]) -> None:
        """Take up sums that `state` gave; sources may have come and gone since."""
        for row, name in enumerate(self.names):
            for column, source in enumerate([*self.sources, ""]):
                self._sums[row, column] = torch.tensor(state.get(self._key(name, source), [0.0, 0.0]), dtype=torch.float64)

    def _key(self, name: str, source: str) -> str:
        return f"{name}/{source}" if source else name


def step_loss(losses: Losses, counts: Mapping[str, float], weights: dict[str, float]) -> Tensor:
    """What a micro-batch adds to the loss of its step.

    Args:
        losses: sums of this micro-batch.
        counts: of the whole step over all ranks, by objective.
        weights: by objective; those of the scales sum to the weight of MVM.
    """
    parts = {"mlm": losses.mlm.total} | {f"mvm{scale}": part.total for scale, part in losses.mvm.items()}
    if losses.itc is not None:
        parts["itc"] = losses.itc[0]
    return torch.stack([total * (weights[name] / max(1.0, counts[name])) for name, total in parts.items()]).sum()
