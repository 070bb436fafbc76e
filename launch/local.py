"""Start a run's ranks on this machine, end them together, and follow the run's metrics."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cxrpt import machine
from cxrpt.config import RunConfig
from cxrpt.preempt import signals

_POLL_S = 0.1
_STACKS_S = 0.5
_WHY = ": killed by hand, or by the kernel for want of memory; the same command resumes from the last checkpoint"


def run_ranks(config: RunConfig, ranks: int, accept_data_change: bool = False, last_good: bool = False) -> int:
    """Train on `ranks` processes of this machine; started again, the run resumes from its last committed checkpoint.

    Returns:
        The run's exit code: 0 done, 75 stopped after a save.

    Raises:
        InputError: what `check_launch` finds, before any process starts.
    """
    from cxrpt.dist.world import local_environment
    from cxrpt.preflight import check_launch
    from cxrpt.rundir import changed_settings, write_run_files
    from cxrpt.track.sink import end_sink, start_sink
    from cxrpt.watchdog import STACKS_SIGNAL

    prepared = check_launch(config, ranks, accept_data_change, last_good)
    if changed := changed_settings(config):
        sys.stderr.write(f"cxrpt: {config.run_dir} was last started with other settings: {', '.join(changed)}\n")
    write_run_files(config, prepared.plan.fingerprint(), prepared.sources)
    threads = threads_a_rank(ranks)
    sink = start_sink(config.run_dir) if config.track.uri != "none" else None
    received: list[int] = []
    stop_signals = signals(config.train.stop_signals)
    before = {number: signal.signal(number, lambda number, frame: received.append(number)) for number in stop_signals}
    # A stop signal waits until the ranks can take it: they inherit the mask and lift it when their handlers stand.
    signal.pthread_sigmask(signal.SIG_BLOCK, [*stop_signals, STACKS_SIGNAL])
    with tempfile.TemporaryDirectory(prefix="cxrpt-") as meeting:
        lifeline, ours = os.pipe()
        command = [sys.executable, "-P", "-m", "launch.rank", str(config.run_dir), "--lifeline", str(lifeline)]
        command += ["--accept-data-change"] if accept_data_change else []
        command += ["--last-good"] if last_good else []
        processes = []
        for rank in range(ranks):
            environment = os.environ | local_environment(rank, ranks, f"file://{meeting}/ranks", threads)
            words = [*command, "--rank", str(rank)]
            processes.append(subprocess.Popen(words, env=environment, pass_fds=[lifeline], start_new_session=True))
        os.close(lifeline)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [*stop_signals, STACKS_SIGNAL])
        try:
            code = _wait(processes, config.run_dir, received)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(ours)
            for process in processes:
                process.wait()
    if sink is not None:
        end_sink(sink, config.run_dir)
    return code


def threads_a_rank(ranks: int) -> int:
    """Threads of each of the ranks of this machine: what OMP_NUM_THREADS says, or the rank's share of the cores."""
    # It may say more than one number, for parallel regions within others, as 4,2.
    said = re.match(r"\s*(\d+)", os.environ.get("OMP_NUM_THREADS", ""))
    return int(said[1] if said else 0) or max(1, machine.num_cores() // ranks)


def _wait(processes: list[subprocess.Popen[bytes]], run_dir: Path, received: list[int]) -> int:
    """The first code that is not 0 (of a rank that failed by itself), else 0; signals, as they come in, are passed on to all
    ranks.

    When a rank fails, those that still run write their stacks, and are killed, which also ends one that is stopped.
    """
    from cxrpt.watchdog import STACKS_SIGNAL, stuck_in_native_code

    sent = 0
    while True:
        for number in received[sent:]:
            sent += 1
            for process in processes:
                if process.poll() is None:
                    process.send_signal(number)
        codes = [process.poll() for process in processes]
        failed = [code for code in codes if code not in (None, 0, 75)]
        if failed:
            time.sleep(_POLL_S)  # what ended one may have ended others
            for rank, process in enumerate(processes):
                if (process.poll() or 0) < 0:
                    sys.stderr.write(f"cxrpt: rank {rank} was ended by {signal.Signals(-process.returncode).name}{_WHY}\n")
                if process.returncode == 1 and stuck_in_native_code(run_dir, rank):
                    sys.stderr.write(f"cxrpt: rank {rank} hung in native code: its stacks are in {run_dir}/logs\n")
            alive = [process for process in processes if process.poll() is None]
            for process in alive:
                process.send_signal(STACKS_SIGNAL)
            time.sleep(_STACKS_S if alive else 0.0)
            for process in alive:
                process.kill()
            return 2 if 2 in failed else 1
        if None not in codes:
            return max(code or 0 for code in codes)
        time.sleep(_POLL_S)
