"""A few steps as a Chrome trace, for chrome://tracing or https://ui.perfetto.dev."""

import logging
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from cxrpt.config import TrainConfig
from cxrpt.track.spans import Spans

TRACED_RANKS = 8
"""Ranks that write a trace; a thousand files of the same would tell no more."""

log = logging.getLogger(__name__)


class Trace:
    """Records `train.trace_steps` steps from `train.trace_from_step` on, with the step's parts as ranges."""

    def __init__(self, config: TrainConfig, run_dir: Path, rank: int, device: torch.device, spans: Spans):
        self._path = run_dir / "traces" / f"rank-{rank}-step-{config.trace_from_step}.json"
        is_on = config.trace_steps > 0 and rank < TRACED_RANKS
        self._first, self._steps = config.trace_from_step, config.trace_steps if is_on else 0
        self._activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
        self._spans = spans
        self._profile: profile | None = None

    def before_step(self, step: int) -> None:
        """Begin or end the recording; to be called before each step."""
        if self._profile is None and self._steps and step == self._first:
            self._profile = profile(activities=self._activities)
            self._profile.start()
            self._spans.tracing = True
        if self._profile is not None and step >= self._first + self._steps:
            self.end()

    def end(self) -> None:
        """Write what was recorded, if anything was; a disk that does not take it does not stop the run."""
        if self._profile is None:
            return
        recorded, self._profile, self._spans.tracing = self._profile, None, False
        recorded.stop()
        try:
            self._path.parent.mkdir(exist_ok=True)
            recorded.export_chrome_trace(str(self._path))
            log.info("wrote %s", self._path)
        except (OSError, RuntimeError) as error:
            log.warning("the trace could not be written: %s", error)
