"""What only all shards together show: patients in two splits, keys that come twice, near copies of pictures elsewhere.

    shard 0 | shard 1 | ...     a row a sample: digests of key and patient, perceptual hash; 53 bytes

Equal digests are only a suspicion: the texts they stand for are read again and compared before anything is said.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cxrpt.data.sample import SPLITS
from cxrpt.data.shards import INDEX_DTYPE
from data_prep.checks.shard_members import DamageError, parse_meta, read_index, read_member, sample_key
from data_prep.checks.verify_shard import SMALLEST_SAMPLE, ShardFacts, ShardJob
from data_prep.pictures.near_copies import find_near

NAMED = 20
"""Patients, or keys, of an institution that are told one by one; the others are counted."""
NEAR_NAMED = 1000
"""Near copies that are told one by one, the nearest first."""


@dataclass(frozen=True)
class Finding:
    """Something wrong between samples; `institution` and `split` name both sides, joined by a plus sign, where they differ."""

    institution: str
    split: str
    words: str
    is_problem: bool
    """Or only worth a look."""


class SampleTable:
    """A row for each sample of all shards, filled shard by shard in any order."""

    def __init__(self, jobs: Sequence[ShardJob]):
        self._jobs = jobs
        sizes = [_capacity(job) for job in jobs]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        total = int(self._starts[-1])
        self._keys, self._patients = np.zeros(total, np.uint64), np.zeros(total, np.uint64)
        self._hashes = np.zeros((total, INDEX_DTYPE["phash"].itemsize), np.uint8)
        names = sorted({job.institution for job in jobs})
        self._institutions = np.repeat([names.index(job.institution) for job in jobs], sizes).astype(np.int32)
        self._splits = np.repeat([SPLITS.index(job.split) for job in jobs], sizes).astype(np.int8)

    def put(self, number: int, facts: ShardFacts) -> None:
        """Take the rows of shard `number`; what a manifest did not announce is left out (and is a problem of the shard)."""
        start = self._starts[number]
        end = start + min(len(facts.keys), self._starts[number + 1] - start)
        self._keys[start:end] = facts.keys[: end - start]
        self._patients[start:end] = facts.patients[: end - start]
        self._hashes[start:end] = facts.hashes[: end - start]

    def findings(self) -> Iterator[Finding]:
        """Everything found, in an order that depends on the shards alone."""
        yield from self._leaked_patients()
        yield from self._repeated_keys()
        yield from self._near_pictures()

    def _leaked_patients(self) -> Iterator[Finding]:
        for institution, rows in self._by_institution(self._patients):
            order = rows[np.lexsort((rows, self._splits[rows], self._patients[rows]))]
            patients, splits = self._patients[order], self._splits[order]
            # The first row of each patient in each split; a patient with several such rows is in several splits.
            first = np.ones(len(order), bool)
            first[1:] = (patients[1:] != patients[:-1]) | (splits[1:] != splits[:-1])
            order, patients = order[first], patients[first]
            edges = np.flatnonzero(np.concatenate([[True], patients[1:] != patients[:-1], [True]]))
            several = np.flatnonzero(np.diff(edges) > 1)
            groups = [order[edges[number] : edges[number + 1]] for number in several]
            for group in sorted(groups, key=lambda group: int(group[0]))[:NAMED]:
                samples = [self._read(row) for row in group]
                if len({patient for _, patient in samples}) > 1:
                    continue
                both = "+".join(SPLITS[self._splits[row]] for row in group)
                keys = ", ".join(key for key, _ in samples)
                yield Finding(institution, both, f"share patient {samples[0][1]} (samples {keys})", True)
            if len(groups) > NAMED:
                yield Finding(institution, "", f"further patients in several splits: {len(groups) - NAMED}", True)

    def _repeated_keys(self) -> Iterator[Finding]:
        for institution, rows in self._by_institution(self._keys):
            keys = self._keys[rows]
            order = np.argsort(keys, kind="stable")
            same = np.flatnonzero(keys[order][1:] == keys[order][:-1])
            pairs = np.sort(np.stack([rows[order[same]], rows[order[same + 1]]], axis=1), axis=1)
            pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
            for row, other in pairs[:NAMED]:
                (key, _), (again, _) = self._read(row), self._read(other)
                if key == again:
                    names = sorted({self._job(row).path.name, self._job(other).path.name})
                    yield Finding(institution, "", f"sample key {key} comes more than once (in {', '.join(names)})", True)
            if len(pairs) > NAMED:
                yield Finding(institution, "", f"further sample keys that come more than once: {len(pairs) - NAMED}", True)

    def _near_pictures(self) -> Iterator[Finding]:
        pairs = find_near(self._hashes)
        place = self._institutions.astype(np.int64) * len(SPLITS) + self._splits
        first, second = pairs[:, 0], pairs[:, 1]
        elsewhere = place[first] != place[second]
        # One patient on both sides is a leak that was told already.
        one_patient = (self._institutions[first] == self._institutions[second]) & (
            self._patients[first] == self._patients[second]
        )
        told = pairs[elsewhere & ~one_patient]
        for row, other, distance in told[np.lexsort((told[:, 1], told[:, 0], told[:, 2]))][:NEAR_NAMED]:
            one, two = self._job(row), self._job(other)
            (key, _), (copy, _) = self._read(row), self._read(other)
            words = f"the pictures of samples {key} and {copy} are near copies (distance {distance})"
            yield Finding(_both(one.institution, two.institution), _both(one.split, two.split), words, False)
        if len(told) > NEAR_NAMED:
            words = f"further pairs of near copies in different splits or institutions: {len(told) - NEAR_NAMED}"
            yield Finding("", "", words, False)
        others = int(np.sum(~elsewhere & (self._patients[first] != self._patients[second])))
        if others:
            words = f"pairs of near pictures of different patients within one split: {others}; `cxrpt inspect` shows them"
            yield Finding("", "", words, False)

    def _by_institution(self, digests: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
        """Each institution with its rows whose digest is known."""
        names = sorted({job.institution for job in self._jobs})
        for number, name in enumerate(names):
            rows = np.flatnonzero((self._institutions == number) & (digests != 0))
            if len(rows):
                yield name, rows

    def _job(self, row: int) -> ShardJob:
        return self._jobs[int(np.searchsorted(self._starts, row, side="right")) - 1]

    def _read(self, row: int) -> tuple[str, str]:
        """Sample key and patient of a row, from the shard; no patient where the metadata is damaged."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        path = self._jobs[number].path
        # A row is here because this index was read before.
        record = read_index(path)[int(row - self._starts[number])]
        key = sample_key(record)
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return key, parse_meta(read_member(file, record, "meta"), key).patient
        except DamageError:
            return key, ""
        finally:
            os.close(file)


def _capacity(job: ShardJob) -> int:
    """Rows to keep for a shard: as many as its manifest says, but never more than its file can hold."""
    try:
        return min(job.entry.num_samples, job.path.stat().st_size // SMALLEST_SAMPLE)
    except OSError:
        return 0


def _both(one: str, other: str) -> str:
    return one if one == other else f"{one}+{other}"
