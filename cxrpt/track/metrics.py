"""How fast a run is: throughput, model FLOP utilisation, memory."""

import resource
import time

import torch
from torch import Tensor

from cxrpt.data.batch import Batch
from cxrpt.dist.collectives import max_over_ranks, sum_over_ranks
from cxrpt.model.flops import training_flops
from cxrpt.model.pretrain import Shape

_GIB = 2**30


def matmul_flops(device: torch.device, dtype: torch.dtype) -> float:
    """The rate of a large matrix product on this rank's device, in FLOP/s: what utilisation is measured against."""
    size = 1024 if device.type == "cpu" else 8192
    a = torch.randn(size, size, device=device, dtype=dtype)

    def timed(repeats: int) -> float:
        begin = time.perf_counter()
        for _ in range(repeats):
            a @ a
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begin

    timed(2)
    repeats = max(3, int(0.3 / max(1e-6, timed(1))))
    return repeats * 2 * size**3 / timed(repeats)


class SpeedMeter:
    """Counts between two logged steps."""

    def __init__(self, device: torch.device, peak_flops: float):
        """`peak_flops` is this rank's; the largest over ranks of time and memory is what is told."""
        self._device, self._peak = device, peak_flops
        self._restart()

    def _restart(self) -> None:
        self._begin = time.perf_counter()
        self._steps = self._samples = self._tokens = 0
        self._flops = 0.0
        self._imbalances: list[float] = []

    def add(self, batches: list[Batch], shape: Shape, imbalance: float) -> None:
        """One step of this rank; `imbalance` is how far the fullest rank is above the mean of tokens, as a share."""
        self._imbalances.append(imbalance)
        self._steps += 1
        self._samples += sum(batch.num_samples for batch in batches)
        self._tokens += sum(batch.num_tokens for batch in batches)
        self._flops += sum(training_flops(batch, shape) for batch in batches)

    def rates(self) -> dict[str, float]:
        """Rates over all ranks since the last call; starts anew."""
        seconds = time.perf_counter() - self._begin
        sums = sum_over_ranks(self._vector(self._samples, self._tokens, self._flops, self._peak)).tolist()
        worst = max_over_ranks(self._vector(seconds, self._memory())).tolist()
        steps, imbalances = max(1, self._steps), self._imbalances or [0.0]
        self._restart()
        return {
            "speed/samples_per_s": sums[0] / worst[0],
            "speed/tokens_per_s": sums[1] / worst[0],
            "speed/mfu": sums[2] / worst[0] / sums[3],
            "speed/step_s": worst[0] / steps,
            "speed/token_imbalance": sum(imbalances) / len(imbalances),
            "speed/token_imbalance_max": max(imbalances),
            "memory/peak_gib": worst[1],
        }

    def _vector(self, *values: float) -> Tensor:
        return torch.tensor(values, dtype=torch.float64)

    def _memory(self) -> float:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) / _GIB
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB
