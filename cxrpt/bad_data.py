"""What a run says of samples whose content is bad: every rank to its log, rank 0 to the terminal, and when it is too much."""

import logging
from collections import Counter
from dataclasses import dataclass, field

from cxrpt.data.bad_samples import BadSample
from cxrpt.data.batch import Batch

_WORST_SHARDS = 3
_FEW = 10
"""So many bad samples of a source never stop a run: a share says nothing of the first few."""

log = logging.getLogger(__name__)


@dataclass
class BadData:
    """What one rank has seen of bad samples since it started, by number of the source."""

    names: list[str]
    """Of the sources."""
    by_shard: dict[int, Counter[str]] = field(default_factory=dict)
    last: dict[int, BadSample] = field(default_factory=dict)

    def see(self, batches: list[Batch]) -> None:
        """Take the reports of micro-batches in, and log them."""
        for bad in (bad for batch in batches for bad in batch.bad):
            log.warning("bad sample of source %s: %s", self.names[bad.source], bad)
            self.by_shard.setdefault(bad.source, Counter())[bad.shard] += 1
            self.last[bad.source] = bad


def worth_a_line(before: int, now: int) -> bool:
    """Whether the count passed 1, 2, 4, 8 and so on: one line each, however many there will be."""
    return now.bit_length() > before.bit_length()


def too_many(bad: int, seen: int, max_fraction: float) -> bool:
    """Whether a run should stop at `bad` of `seen` samples of a source."""
    return bad > max(_FEW, max_fraction * seen)


def replaced_line(ranks: list[BadData], number: int, name: str, folder: str, bad: int, seen: int) -> str:
    """One line on the bad samples of a source, from what the ranks saw."""
    last = _last(ranks, number)
    return (
        f"source {name}: {bad:,} of {seen:,} samples are bad and were replaced{f' (last: {last})' if last else ''}; "
        f"run `cxrpt verify {folder}`"
    )


def stop_line(
    ranks: list[BadData], number: int, name: str, folder: str, bad: int, seen: int, max_fraction: float, step: int
) -> str:
    """Why a run stops for a source's bad samples after the step that it saved."""
    shards = sum((rank.by_shard.get(number, Counter()) for rank in ranks), Counter[str]())
    worst = ", ".join(f"{count} in {shard}" for shard, count in shards.most_common(_WORST_SHARDS))
    last = _last(ranks, number)
    return (
        f"source {name}: {bad:,} of {seen:,} samples are bad, more than data.max_bad_fraction={max_fraction:g} "
        f"(of those described: {worst}; last: {last}): run `cxrpt verify {folder}` and copy or build the broken shards again; "
        f"all up to step {step} is saved and the same command resumes"
    )


def _last(ranks: list[BadData], number: int) -> BadSample | None:
    return next((rank.last[number] for rank in ranks if number in rank.last), None)
