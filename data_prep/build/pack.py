"""The worker's part of writing: planned samples and the spool to one shard."""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cxrpt.data.manifest import ShardEntry
from data_prep.build.compose import Planned
from data_prep.build.convert import Done
from data_prep.build.write_shards import ShardSample, write_shard
from data_prep.ledger import Reason


@dataclass(frozen=True)
class PackJob:
    """One shard: its split, its path and its samples in order."""

    split: str
    path: Path
    samples: tuple[Planned, ...]


@dataclass(frozen=True)
class ShardPacker:
    """Writes shards from the spool; callable by `workers.run_chunks` with chunks of one job."""

    spool: Path
    image_format: str

    def __call__(self, number: int, jobs: Sequence[PackJob], spoiled: Mapping[int, Reason]) -> ShardEntry:
        if spoiled:
            raise RuntimeError(f"the process that writes shard {number} died: not enough memory?")
        (job,) = jobs
        return write_shard(job.path, self._samples(job))

    def _samples(self, job: PackJob) -> Iterator[ShardSample]:
        for planned in job.samples:
            yield ShardSample(
                key=planned.key,
                meta=planned.meta,
                image=self._read(planned.image),
                text=self._read(planned.text),
                image_format=self.image_format,
                phash=bytes.fromhex(planned.image.phash) if planned.image else b"",
                num_words=planned.text.num_words if planned.text else 0,
            )

    def _read(self, done: Done | None) -> bytes | None:
        if done is None:
            return None
        with (self.spool / f"part-{done.part:06d}.bin").open("rb") as file:
            file.seek(done.offset)
            content = file.read(done.size_bytes)
        if len(content) != done.size_bytes or zlib.crc32(content) != done.crc32:
            raise OSError(f"part {done.part} of the spool does not hold what was written to it: the disk fails")
        return content
