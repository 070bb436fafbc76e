"""The machine under test, and a row of what was found on it."""

import gc
import platform
from dataclasses import dataclass, field
from pathlib import Path

import torch

from cxrpt.rundir import code_version

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    state: str
    """ok, failed, skipped, measured."""
    text: str
    goal: str = ""
    values: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.state:9} {self.name}: {self.text}"


def check(name: str, value: float, bound: float, what: str) -> Row:
    """A row that fails where a value is above its bound, or is none."""
    return Row(name, "ok" if value <= bound else "failed", f"{what} {value:.2g}", f"at most {bound:.2g}", {"value": value})


@dataclass(frozen=True)
class Machine:
    """What is measured on."""

    device: torch.device
    small: bool
    """Tiny sizes: the script is tried, not the machine."""
    folder: Path
    shards: list[Path]

    def wait(self) -> None:
        """Until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def clear(self) -> None:
        """Give memory back between items."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gib(self) -> float:
        """Most memory that was allocated on the GPU since `clear`; 0 on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) / 2**30 if self.device.type == "cuda" else 0.0


def find_machine(small: bool, folder: Path, shards: list[Path]) -> Machine:
    """The first GPU, or the CPU for a trial.

    Raises:
        SystemExit: no GPU, and no trial.
    """
    if torch.cuda.is_available():
        torch.backends.cuda.matmul.allow_tf32 = False  # a reference in fp32 is one
        return Machine(torch.device("cuda", 0), small, folder, shards)
    if not small:
        raise SystemExit("no CUDA device is seen by torch: nothing was measured (--small tries the script on the CPU)")
    return Machine(torch.device("cpu"), small, folder, shards)


def describe(machine: Machine) -> dict[str, str]:
    """Hardware and versions."""
    gpu = torch.cuda.get_device_name(machine.device) if machine.device.type == "cuda" else "CPU, a trial: figures mean nothing"
    return {"device": gpu, "CUDA": str(torch.version.cuda), "python": platform.python_version(), **code_version()}
