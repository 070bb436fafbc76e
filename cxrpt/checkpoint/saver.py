"""Saves while training goes on.

    train ── copy into a kept buffer ──► train ── step ── step ── step ──►
                        │                          ▲ all ranks sealed: rank 0 commits (also beside training)
                        └─► a thread of each rank writes, flushes and hashes its file

Training waits for the copy, and for an earlier save that is still under way. What the threads have come to travels with the
step's own reduction, so that nobody has to watch the file system. A save that has failed on one rank is dropped once all
threads are done with it: nobody waits for a slow disk, and no folder is removed in which another rank still writes.
"""

import logging
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from cxrpt.checkpoint.shards import SHARDS, Piece, ShardBuffer, layout_of, shard_name, write_index
from cxrpt.checkpoint.store import begin_save, commit, committed_steps, drop, seal_files, step_folder
from cxrpt.dist.collectives import from_first_rank, gather_objects, sum_over_ranks

_POLL_S = 0.05

log = logging.getLogger(__name__)


class SaveError(RuntimeError):
    """Checkpoints cannot be written; those that were committed are intact."""


class Saver:
    """One rank's part in saving; every rank calls every public method, in the same order."""

    def __init__(
        self,
        run_dir: Path,
        rank: int,
        max_failed: int,
        finish: Callable[[Path], None],
        after: Callable[[], Any],
        say: Callable[[str], None],
    ):
        """Start this rank's thread.

        Args:
            run_dir: of the run.
            rank: of this process.
            max_failed: saves in a row that may fail before `SaveError`.
            finish: adds to a folder that holds all shards what else belongs into it; on rank 0, beside training.
            after: is called when a checkpoint has been committed; on rank 0, beside training.
            say: tells the user a line.
        """
        self._run_dir, self._rank, self._max_failed = run_dir, rank, max_failed
        self._finish, self._after, self._say = finish, after, say
        self._thread = ThreadPoolExecutor(1, "save")
        self._buffer: ShardBuffer | None = None
        self._layouts: list[Any] | None = None
        self._step: int | None = None
        """Of the save that is under way."""
        self._job: Future[Any] | None = None
        self._commits = False
        self._needed = 0.0
        self.failed_in_row = 0
        self.failed_total = 0
        self.stall_s = 0.0
        """What the last save cost training."""

    def reserve(self, pieces: list[Piece]) -> None:
        """Take the memory of the copy, and say who keeps what: a host that is too small for it fails at the start of a run."""
        self._buffer = ShardBuffer(pieces)
        self._layouts = gather_objects(layout_of(pieces))
        # The weights alone, for evaluation, are at most another third of the shards.
        self._needed = sum(gather_objects(self._buffer.num_bytes)) * 4 / 3

    def save(self, step: int, pieces: list[Piece], files: dict[str, str]) -> None:
        """Begin to save the state after a step, unless it is there already.

        Args:
            step: steps done.
            pieces: what this rank keeps of weights and optimizer.
            files: small ones that rank 0 adds, text by name.

        Raises:
            SaveError: too many saves in a row have failed.
        """
        began = time.perf_counter()
        self.settle()
        if self._buffer is None:
            self.reserve(pieces)
        assert self._buffer is not None
        answer = from_first_rank(self._begin(step) if self._rank == 0 else None)
        if answer == "there":
            return
        self._step = step
        if answer is not None:
            self._fail([answer])
            return
        self._buffer.copy(pieces)
        self._job, self._commits = self._thread.submit(self._write, step_folder(self._run_dir, step), files), False
        self.stall_s = time.perf_counter() - began

    def flags(self) -> tuple[bool, bool]:
        """Whether this rank's part of the save under way is done, and whether it has failed: to be summed over ranks."""
        if self._job is None or not self._job.done():
            return False, False
        return self._job.exception() is None, self._job.exception() is not None

    def advance(self, done: int, failed: int, ranks: int) -> None:
        """Go on with the save under way once every rank is at the end of its part, given the sums of `flags`.

        Raises:
            SaveError: too many saves in a row have failed.
        """
        if done + failed < ranks:
            return
        assert self._step is not None and self._job is not None
        if failed:
            self._fail([problem for problem in gather_objects(self._problem(self._job)) if problem])
        elif not self._commits:
            entries = gather_objects(self._job.result())
            self._commits = True
            folder = step_folder(self._run_dir, self._step)
            self._job = self._thread.submit(self._commit if self._rank == 0 else _nothing, folder, entries)
        else:
            if trouble := self._job.result():
                self._say(f"step {self._step} is saved, but {trouble}")
            if self.failed_in_row and self._rank == 0:
                self._say(f"step {self._step} is saved: saving works again")
            self._step = self._job = None
            self.failed_in_row = 0

    def settle(self) -> None:
        """Wait until nothing is under way.

        Raises:
            SaveError: too many saves in a row have failed.
        """
        import torch

        while self._step is not None:
            flags = torch.tensor([*map(float, self.flags()), 1.0])
            done, failed, ranks = (int(value) for value in sum_over_ranks(flags).tolist())
            self.advance(done, failed, ranks)
            if self._job is not None:
                wait([self._job], _POLL_S)

    def finish(self, step: int) -> None:
        """Wait until the last save is done.

        Raises:
            SaveError: the state after `step` steps could not be saved.
        """
        self.settle()
        if self.failed_in_row:
            raise SaveError(f"the state after step {step} could not be saved: make room; the same command resumes from before")

    def metrics(self) -> dict[str, float]:
        """What saving has cost, for the journal."""
        return {"save/stall_s": self.stall_s, "save/failed": float(self.failed_total)}

    def close(self) -> None:
        """End the thread, after what it is at."""
        self._thread.shutdown()

    def _begin(self, step: int) -> str | None:
        """None if the save may begin, "there" if there is nothing to do, else what is wrong. Rank 0 only."""
        if step in committed_steps(self._run_dir):
            return "there"
        try:
            folder = begin_save(self._run_dir, step)
            (folder / SHARDS).mkdir()
            free = shutil.disk_usage(folder).free
        except OSError as error:
            return f"{error.strerror} where its folder is made"
        return None if free > self._needed else f"{_size(free)} are free"

    def _write(self, folder: Path, files: dict[str, str]) -> list[dict[str, Any]]:
        assert self._buffer is not None and self._layouts is not None
        if self._rank == 0:
            write_index(folder, self._layouts)
            for name, text in files.items():
                (folder / name).write_text(text)
        name = shard_name(self._rank)
        return [{"name": name} | self._buffer.write(folder / name)]

    def _commit(self, folder: Path, entries: list[list[dict[str, Any]]]) -> str | None:
        """What could not be done once the checkpoint was there."""
        shards = [entry for part in entries for entry in part]
        self._finish(folder)
        commit(folder, shards + seal_files(folder, but={entry["name"] for entry in shards}))
        log.info("committed %s", folder.name)
        try:
            self._after()
        except OSError as error:
            log.warning("older checkpoints could not be removed", exc_info=error)
            return f"older checkpoints could not be removed ({error.strerror}): mend {folder.parent} before its disk is full"
        return None

    def _problem(self, job: Future[Any]) -> str | None:
        """Why this rank's part has failed; None if it has not."""
        error = job.exception()
        if error is None:
            return None
        log.error("a save failed", exc_info=error)
        what = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        return f"rank {self._rank}: {what}"

    def _fail(self, problems: list[str]) -> None:
        """Drop the save under way."""
        step, self._step, self._job = self._step, None, None
        self.failed_in_row += 1
        self.failed_total += 1
        last = None
        if self._rank == 0:
            assert step is not None
            drop(self._run_dir, step)
            last = next(reversed(committed_steps(self._run_dir)), None)
        last = from_first_rank(last)
        good = f"step {last} is the last that is saved" if last else "nothing is saved yet"
        folder = self._run_dir / "checkpoints"
        more = f" and on {len(problems) - 1} more ranks" if len(problems) > 1 else ""
        what = f"the save of step {step} in {folder}, which needs {_size(self._needed)}, failed"
        line = f"{what} ({problems[0]}{more}); {good}: make room or mend the folder"
        if self.failed_in_row > self._max_failed:
            raise SaveError(f"{line}; the same command resumes")
        if self._rank == 0:
            self._say(f"{line}; failure {self.failed_in_row} of {self._max_failed} in a row that train.max_failed_saves allows")


def _size(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.1f} MB"


def _nothing(folder: Path, entries: list[list[dict[str, Any]]]) -> None:
    """What ranks other than the first do while it commits."""
