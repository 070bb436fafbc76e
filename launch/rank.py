"""One rank: what the local launcher starts as `python -m launch.rank RUN_DIR`, and a task of a SLURM job calls."""

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cxrpt.attempts import LOST_ANOTHER
from cxrpt.config import RunConfig, load_config
from cxrpt.errors import InputError
from cxrpt.preempt import StopFlag, signals

ORPHANED = 70
_AFTER_FIRST_S = 1.0
"""What all ranks find wrong rank 0 says, and the launcher ends the others before they say it too."""
_LAST_WORD_S = 3.0
"""A rank that fails because another is gone has nothing to say of the reason: the launcher ends it before this is over."""


def main() -> int:
    """Train as one rank; the exit code is that of the run."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--rank", type=int, required=True, help="for the log's name")
    parser.add_argument("--lifeline", type=int, help="pipe that ends with the launcher")
    parser.add_argument("--accept-data-change", action="store_true")
    parser.add_argument("--last-good", action="store_true")
    arguments = parser.parse_args()
    if arguments.lifeline is not None:
        threading.Thread(target=_end_with_launcher, args=(arguments.lifeline,), daemon=True).start()
    return run_rank(arguments.run_dir, arguments.rank, arguments.accept_data_change, arguments.last_good)


def run_rank(
    run_dir: Path,
    rank: int,
    accept_data_change: bool = False,
    last_good: bool = False,
    before: Callable[[RunConfig], None] | None = None,
) -> int:
    """Train as one rank of a run, with its signals, its log, and one line on stderr for what goes wrong.

    Args:
        run_dir: holds the configuration.
        rank: its number.
        accept_data_change: as of `train`.
        last_good: as of `train`.
        before: what is to be looked at first; may raise InputError.

    Returns:
        The run's exit code; 1 or LOST_ANOTHER for a rank that fails.
    """
    config = load_config(run_dir / "config.yaml")
    # A run directory that was moved, or that nodes see elsewhere, is where it was found.
    config.runs, config.name = str(run_dir.parent), run_dir.name
    stop = StopFlag()
    stop.install(signals(config.train.stop_signals))
    logging.basicConfig(
        filename=config.run_dir / "logs" / f"rank-{rank}.log",
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    logging.getLogger("cxrpt").setLevel(logging.INFO)
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a log on a full disk is no reason to print a traceback at every line
    # A run that waits for a file system would look as if it hung; one whose journal waits must be told of too.
    waits = logging.StreamHandler()
    waits.setFormatter(logging.Formatter("cxrpt: %(message)s"))
    waits.setLevel(logging.WARNING)
    for name in ("data.storage.open_shards", "track.journal", "checkpoint.lease", "checkpoint.resume"):
        logging.getLogger(f"cxrpt.{name}").addHandler(waits)
    from cxrpt.books import DivergedError
    from cxrpt.checkpoint.saver import SaveError
    from cxrpt.dist.collectives import lost_another_rank
    from cxrpt.train import train

    try:
        if before is not None:
            before(config)
        return train(config, stop, accept_data_change, last_good)
    except (InputError, SaveError, DivergedError) as error:
        logging.error("%s", error)
        if rank:
            time.sleep(_AFTER_FIRST_S)
        sys.stderr.write(f"cxrpt: {error}\n")
        return 2 if isinstance(error, InputError) else 1
    except BaseException as error:
        logging.exception("rank %s ends", rank)
        said, code = f"{type(error).__name__}: {error}", 1
        if lost_another_rank(error):
            time.sleep(_LAST_WORD_S)
            code = LOST_ANOTHER
            said = "ends, as another rank has ended or is out of reach: the same command resumes from the last checkpoint"
        sys.stderr.write(f"cxrpt: rank {rank}: {said} (log: {config.run_dir}/logs/rank-{rank}.log)\n")
        return code


def _end_with_launcher(lifeline: int) -> None:
    os.read(lifeline, 1)
    # The launcher is gone, killed perhaps: a rank left behind would hold the run's lease.
    os._exit(ORPHANED)


if __name__ == "__main__":
    # Ending without the interpreter's own clean-up: after a failure other ranks may never answer a collective again.
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
