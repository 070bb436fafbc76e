"""One shard against its manifest and its index: every header, every member, and what the members say of each other.

    header | data | header | data | ... | zeros      the tar, walked from the first byte to the last
    name     crc32                                   of the index record that should lie there

The walk names what is damaged; the sha256 of the manifest then says that nothing at all has changed.
"""

import hashlib
import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cxrpt.data.manifest import ShardEntry
from cxrpt.data.sample import Kind, SampleMeta
from cxrpt.data.shards import INDEX_DTYPE, member_name
from data_prep.checks.shard_members import (
    MEMBERS,
    DamageError,
    check_sample,
    decode_picture,
    eight_bits,
    parse_meta,
    parse_text,
    read_index,
    read_member,
    sample_key,
)
from data_prep.ledger import Reason
from data_prep.pictures.near_copies import NEAR_DISTANCE, perceptual_hash

SMALLEST_SAMPLE = 2 * tarfile.BLOCKSIZE
"""Bytes: a header and a block of metadata."""
_TAIL = 2 * tarfile.RECORDSIZE
_HASH_BYTES = INDEX_DTYPE["phash"].itemsize


@dataclass(frozen=True)
class ShardJob:
    """One line of a manifest, and where its shard should be."""

    institution: str
    split: str
    path: Path
    entry: ShardEntry


@dataclass(frozen=True)
class ShardFacts:
    """What a shard holds, a row a sample of its index, and what is wrong with it ("" if nothing is)."""

    problem: str
    keys: np.ndarray
    """uint64: digest of the sample key; 0 where it could not be read, here and below."""
    patients: np.ndarray
    """uint64: digest of the patient's pseudonym."""
    hashes: np.ndarray
    """uint8 (samples, 32): perceptual hash of the decoded picture."""


def check_chunk(number: int, jobs: Sequence[ShardJob], spoiled: Mapping[int, Reason]) -> ShardFacts:
    """The work of `workers.run_chunks` on a chunk of one shard."""
    (job,) = jobs
    if spoiled:
        return _nothing("ends the process that decodes it: a picture in it is broken, or memory is short")
    return check_shard(job)


def check_shard(job: ShardJob) -> ShardFacts:
    """Check all of one shard; nothing that is wrong with it raises."""
    try:
        num_bytes = job.path.stat().st_size
        if num_bytes < job.entry.num_bytes:
            return _nothing(f"is truncated: {num_bytes} of {job.entry.num_bytes} bytes")
        index = read_index(job.path)
        with job.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            facts, problems = _walk(file.fileno(), index, job)
    except FileNotFoundError:
        return _nothing("is missing")
    except DamageError as error:
        return _nothing(str(error))
    except OSError as error:
        return _nothing(f"cannot be read ({error.strerror})")
    if counts := _count_problem(index, job.entry):
        problems.append(counts)
    if num_bytes > job.entry.num_bytes:
        problems.append(f"is longer than its manifest says: {num_bytes} of {job.entry.num_bytes} bytes")
    if digest != job.entry.sha256:
        problems.append("does not have the sha256 of its manifest")
    more = f" (further findings: {len(problems) - 1})" if len(problems) > 1 else ""
    return ShardFacts(problems[0] + more if problems else "", *facts)


def digest_of(text: str) -> int:
    """64 bits that stand for a key or a pseudonym; never 0. Who finds equal ones compares the texts themselves."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little") or 1


def _nothing(problem: str) -> ShardFacts:
    none = np.zeros(0, np.uint64)
    return ShardFacts(problem, none, none, np.zeros((0, _HASH_BYTES), np.uint8))


def _count_problem(index: np.ndarray, entry: ShardEntry) -> str:
    counts = [int(np.sum(index["kind"] == kind)) for kind in (Kind.PAIR, Kind.IMAGE, Kind.TEXT)]
    if counts == [entry.num_pairs, entry.num_images, entry.num_texts]:
        return ""
    return "does not hold the numbers of samples that its manifest says"


def _walk(file: int, index: np.ndarray, job: ShardJob) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], list[str]]:
    keys, patients = np.zeros(len(index), np.uint64), np.zeros(len(index), np.uint64)
    hashes = np.zeros((len(index), _HASH_BYTES), np.uint8)
    problems, place = [], 0
    for row, record in enumerate(index):
        keys[row] = digest_of(sample_key(record))
        problem, place = _headers_problem(file, record, place)
        try:
            meta, hashes[row] = _check_sample(file, record, job.institution)
            patients[row] = digest_of(meta.patient)
        except DamageError as error:
            problem = problem or str(error)
        if problem:
            problems.append(problem)
    tail = os.pread(file, _TAIL, place)
    if len(tail) < 2 * tarfile.BLOCKSIZE or len(tail) == _TAIL or any(tail):
        problems.append("does not end where its index ends")
    return (keys, patients, hashes), problems


def _headers_problem(file: int, record: np.void, place: int) -> tuple[str, int]:
    """What is wrong with the tar headers of a sample whose first should lie at `place`; and where the next one should."""
    problem, key = "", sample_key(record)
    for member in MEMBERS:
        offset, size = int(record[member]["offset"]), int(record[member]["size"])
        if size == 0:
            continue
        if offset != place + tarfile.BLOCKSIZE:
            problem = problem or f"has member {member!r} of sample {key} at another place than in its index"
        else:
            problem = problem or _header_problem(os.pread(file, tarfile.BLOCKSIZE, place), record, member)
        place = offset + size + -size % tarfile.BLOCKSIZE
    return problem, place


def _header_problem(block: bytes, record: np.void, member: str) -> str:
    key = sample_key(record)
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return f"has a damaged tar header before member {member!r} of sample {key}"
    extension = record["image_extension"].decode("ascii", "backslashreplace")
    if not info.isreg() or (info.name, info.size) != (member_name(key, member, extension), int(record[member]["size"])):
        return f"holds another file where its index has member {member!r} of sample {key}"
    return ""


def _check_sample(file: int, record: np.void, institution: str) -> tuple[SampleMeta, np.ndarray]:
    """The metadata and the picture's hash (uint8, 32) of a sound sample; raises DamageError for any other."""
    key = sample_key(record)
    image, text, meta_bytes = (read_member(file, record, member) for member in MEMBERS)
    meta = parse_meta(meta_bytes, key)
    report = "" if text is None else parse_text(text, key)
    check_sample(record, meta, report, institution)
    if image is None:
        return meta, np.zeros(_HASH_BYTES, np.uint8)
    pixels = decode_picture(image, key)
    found = np.frombuffer(perceptual_hash(eight_bits(pixels)), np.uint8)
    written = record["phash"]
    # Another release of a codec may decode a value or two otherwise: near is enough.
    if written.any() and int(np.bitwise_count(found ^ written).sum()) > NEAR_DISTANCE:
        raise DamageError(f"sample {key} has a perceptual hash in the index that is not its picture's")
    return meta, found
