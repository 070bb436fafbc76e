"""What this machine, or the part of it that a job was given, has left: memory, processors, open files."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path("/")
_OPEN_FILES = 65_536
"""More is of no use, and where the limit is a billion, programs that close all they might have open take minutes."""


def free_memory_bytes(root: Path = _ROOT) -> int:
    """Memory that processes of this job can still take: the machine's, or what its control group (v1, v2) leaves.

    Memory that only caches files counts as free.

    Args:
        root: where `proc` and `sys` lie.
    """
    fields = dict(line.split(":") for line in (root / "proc/meminfo").read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    for folder in _groups(root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is not None and used is not None:
            free = min(free, limit - used + _cached_bytes(folder))
    return max(free, 0)


def num_cores(root: Path = _ROOT) -> int:
    """Processors that this process may use: its affinity, and what the control group grants, rounded up."""
    cores = len(os.sched_getaffinity(0))
    for folder in _groups(root, "cpu"):
        if (folder / "cpu.max").is_file():
            quota, period = (folder / "cpu.max").read_text().split()
            microseconds = None if quota == "max" else int(quota)
        else:
            microseconds, period = _number(folder / "cpu.cfs_quota_us"), str(_number(folder / "cpu.cfs_period_us") or 0)
        if microseconds is not None and microseconds > 0 and int(period):
            cores = min(cores, -(-microseconds // int(period)))
    return cores


def private_bytes(pid: int) -> int:
    """Memory of a process that it shares with no other and that no file holds."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))


def resident_bytes() -> int:
    """Memory that this process holds now; what it shares included."""
    return _status_bytes("VmRSS")


def peak_bytes() -> int:
    """The most memory that this process held at once since `forget_peak`, or ever; what it shares included."""
    return _status_bytes("VmHWM")


def forget_peak() -> None:
    """Begin the peak of this process anew, at what it holds now; where the kernel does not let it, nothing happens."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


@contextmanager
def at_most(more_bytes: int) -> Iterator[None]:
    """Let this process take so much more memory: beyond it, what would be killed for want of memory raises an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = _status_bytes("VmData") + more_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (limit if soft == resource.RLIM_INFINITY else min(soft, limit), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def raise_open_files() -> int:
    """Allow this process, and those it starts, as many open files as the system lets it, up to 65,536; returns how many."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(now, min(most, _OPEN_FILES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of the control groups of a controller that this process is in, the innermost first."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounts = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            mount = mounts / controllers if (mounts / controllers).is_dir() else mounts / controller
        elif not controllers:
            mount = mounts / "unified" if (mounts / "unified").is_dir() else mounts
        else:
            continue
        # In a container the path may be that of the machine, where the mount shows the container's own group.
        for place in (Path(path), *Path(path).parents):
            if (folder := mount / str(place).lstrip("/")).is_dir():
                yield folder


def _cached_bytes(folder: Path) -> int:
    """File pages, which the kernel gives up when memory is short."""
    try:
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return sum(int(fields.get(f"total_{name}", fields.get(name, 0))) for name in ("active_file", "inactive_file"))


def _number(path: Path) -> int | None:
    """The number in a file; None where there is none (`max`, or no such file)."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
