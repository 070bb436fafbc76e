"""One local rank: what the local launcher starts, as `python -m launch.rank RUN_DIR`."""

import argparse
import logging
import os
import sys
import threading
import time
from pathlib import Path

from cxrpt.config import load_config
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
    rank = arguments.rank
    config = load_config(arguments.run_dir / "config.yaml")
    stop = StopFlag()
    stop.install(signals(config.train.stop_signals))
    logging.basicConfig(
        filename=config.run_dir / "logs" / f"rank-{rank}.log",
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
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
        return train(config, stop, arguments.accept_data_change, arguments.last_good)
    except (InputError, SaveError, DivergedError) as error:
        logging.error("%s", error)
        if rank:
            time.sleep(_AFTER_FIRST_S)
        sys.stderr.write(f"cxrpt: {error}\n")
        return 2 if isinstance(error, InputError) else 1
    except BaseException as error:
        logging.exception("rank %s ends", rank)
        said = f"{type(error).__name__}: {error}"
        if lost_another_rank(error):
            time.sleep(_LAST_WORD_S)
            said = "ends, as another rank has ended or is out of reach: the same command resumes from the last checkpoint"
        sys.stderr.write(f"cxrpt: rank {rank}: {said} (log: {config.run_dir}/logs/rank-{rank}.log)\n")
        return 1


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
