"""The parts of a step: how long each takes, and where a rank stands.

    step 12   | data | agree | forward | backward | optimizer | forward | backward | optimizer | log | save |
                                                                  ▲ place: step 12, the 6th part begun

Where a GPU computes, a part of its work is timed by events on the GPU, which are read at log steps only: no part waits for it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch

from cxrpt.dist.collectives import max_over_ranks

PARTS = ("data", "agree", "forward", "backward", "optimizer", "log", "save")
_ON_DEVICE = {"forward", "backward", "optimizer"}
BETWEEN = "between parts"
START = "start"


class Place(NamedTuple):
    """Where a rank stands; later places compare as greater, over ranks too."""

    step: int
    """The step it works on, counted from 1."""
    notch: int
    """Parts begun or ended since the step began."""
    part: str
    since: float
    """When it came here, by `time.monotonic` of its node."""


class Spans:
    """Times the parts of steps, as `with spans("forward"):`."""

    def __init__(self, device: torch.device):
        self._on_gpu = device.type == "cuda"
        self.tracing = False
        """Whether parts are to stand in a trace that is being recorded."""
        self.place = Place(0, 0, START, time.monotonic())
        self.boundary = time.monotonic()
        """When the last step ended."""
        self.steps_ended = 0
        """Since the process started."""
        self._restart()

    def _restart(self) -> None:
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._events: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self._steps = 0

    def begin(self, step: int) -> None:
        """The process is set up, and goes on with this step."""
        self.boundary = time.monotonic()
        self.place = Place(step, 0, BETWEEN, self.boundary)

    def end_step(self) -> None:
        """All of a step is done, its saving included."""
        self._steps += 1
        self.steps_ended += 1
        self.begin(self.place.step + 1)

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time what is done within; a part that fails stays the place."""
        before = self.place
        self.place = Place(before.step, before.notch + 1, part, time.monotonic())
        events = None
        if self._on_gpu and part in _ON_DEVICE:
            events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            events[0].record()
        began = time.perf_counter()
        if self.tracing:
            with torch.profiler.record_function(part):
                yield
        else:
            yield
        if events is not None:
            events[1].record()
            self._events.append((part, *events))
        else:
            self._seconds[part] += time.perf_counter() - began
        self.place = Place(before.step, before.notch + 2, BETWEEN, time.monotonic())

    def rates(self) -> dict[str, float]:
        """Seconds a step of each part since the last call, the largest over ranks; starts anew. Waits for the GPU.

        A part that holds the call itself (logging, and the save after it) counts for the next one.
        """
        for part, begin, end in self._events:
            end.synchronize()
            self._seconds[part] += begin.elapsed_time(end) / 1000
        worst = max_over_ranks(torch.tensor([self._seconds[part] for part in PARTS], dtype=torch.float64)).tolist()
        steps = max(1, self._steps)
        self._restart()
        return {f"speed/span_{part}_s": seconds / steps for part, seconds in zip(PARTS, worst, strict=True)}
