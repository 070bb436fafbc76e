"""The worker's part: inputs to encoded pictures and scrubbed texts, in a spool that survives a kill.

    .work/part-000012.bin    encoded pictures and texts, end to end
    .work/part-000012.json   what each input became; written last: a part without it does not exist

Nothing in a part identifies: inputs are named by their keyed hash, texts are scrubbed, and failures carry a reason,
never a message.
"""

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from data_prep.files.encodings import with_plain_breaks
from data_prep.inputs import Identifiers
from data_prep.ledger import Reason, outcome_of, place_of
from data_prep.pictures.judge_picture import judge_picture
from data_prep.pictures.near_copies import perceptual_hash
from data_prep.pictures.refused import Refused
from data_prep.pictures.read_dicom import read_picture
from data_prep.pictures.read_image import read_image
from data_prep.pictures.reduce import shrink
from data_prep.privacy.deidentify import scrub
from data_prep.processes.durable import write_file
from data_prep.processes.workers import item_limits
from data_prep.reports.report_kinds import reason_against
from data_prep.reports.sections import find_sections

JPEG_QUALITY = 95


@dataclass(frozen=True)
class ImageTask:
    """A picture to encode; `input` is its keyed hash."""

    input: str
    type: str
    path: Path
    by_content: bool = False
    inverted: bool = False
    """A table says that low values are white."""


@dataclass(frozen=True)
class ReportTask:
    """A report to scrub; `input` is its keyed hash."""

    input: str
    text: str
    identifiers: Identifiers


Task = ImageTask | ReportTask


@dataclass(frozen=True, slots=True)
class Done:
    """What became of one input: bytes in the spool, or a reason."""

    input: str
    reason: Reason | None = None
    where: str | None = None
    offset: int = 0
    size_bytes: int = 0
    crc32: int = 0
    digest: str = ""
    """Of the decoded values of a picture: equal ones are copies."""
    phash: str = ""
    """Perceptual hash of a picture, hexadecimal: near ones may be copies."""
    size: tuple[int, int] | None = None
    crop: tuple[int, int, int, int] | None = None
    sections: dict[str, tuple[int, int]] = field(default_factory=dict)
    num_words: int = 0
    notes: tuple[str, ...] = ()
    part: int = 0


@dataclass(frozen=True)
class Encoding:
    """How pictures are stored."""

    store_size: int
    image_format: str


@dataclass(frozen=True)
class Converter:
    """Converts chunks of tasks into parts of a spool folder; callable by `workers.run_chunks`."""

    spool: Path
    encoding: Encoding
    file_seconds: float
    """Processor time that one input may take."""
    timed_out: frozenset[str] = frozenset()
    """Inputs known to take more."""

    def __call__(self, number: int, tasks: Sequence[Task], spoiled: Mapping[int, Reason]) -> Counter[str]:
        """Write part `number`; returns how many inputs it holds, by outcome."""
        data = bytearray()
        done = []
        for place, task in enumerate(tasks):
            if place in spoiled or task.input in self.timed_out:
                done.append(Done(task.input, spoiled.get(place, Reason.TIMED_OUT)))
                continue
            with item_limits(self.file_seconds):
                result, content = convert(task, self.encoding)
            if content:
                result = replace(result, offset=len(data), size_bytes=len(content), crc32=zlib.crc32(content))
                data += content
            done.append(result)
        # Not forced to the disk: what a power cut spoils is found by its checksum, and made again.
        write_file(self.spool / f"part-{number:06d}.bin", bytes(data), durably=False)
        lines = json.dumps([asdict(one) for one in done]).encode()
        write_file(self.spool / f"part-{number:06d}.json", lines, durably=False)
        return Counter(outcome_of(one.reason) for one in done)


def read_part(spool: Path, number: int) -> list[Done] | None:
    """What part `number` holds; None where it was never finished, or is not whole."""
    try:
        lines = json.loads((spool / f"part-{number:06d}.json").read_text())
    except (FileNotFoundError, ValueError):
        return None
    done = []
    for line in lines:
        line["reason"] = Reason(line["reason"]) if line["reason"] else None
        line["notes"] = tuple(line["notes"])
        for pixels in ("size", "crop"):
            line[pixels] = None if line[pixels] is None else tuple(line[pixels])
        line["sections"] = {title: (start, end) for title, (start, end) in line["sections"].items()}
        done.append(Done(**{**line, "part": number}))
    return done


def is_whole(spool: Path, number: int, part: Sequence[Done]) -> bool:
    """Whether the bytes of a part are those that were written to it."""
    try:
        data = memoryview((spool / f"part-{number:06d}.bin").read_bytes())
    except FileNotFoundError:
        return False
    return all(zlib.crc32(data[one.offset : one.offset + one.size_bytes]) == one.crc32 for one in part)


def convert(task: Task, encoding: Encoding) -> tuple[Done, bytes]:
    """One input to what it became and its bytes; nothing of it raises but the machine's own failures."""
    try:
        return _convert_image(task, encoding) if isinstance(task, ImageTask) else _convert_report(task)
    except Refused as refused:
        return Done(task.input, refused.reason), b""
    except Exception as error:
        # A defect of ours or of a library on one input: it is ledgered with its place, as its message may quote the input.
        return Done(task.input, Reason.UNEXPECTED, where=place_of(error)), b""


def _convert_image(task: ImageTask, encoding: Encoding) -> tuple[Done, bytes]:
    picture = read_picture(task.path) if task.type == "dicom" else read_image(task.path)
    pixels = np.bitwise_not(picture.pixels) if task.inverted else picture.pixels
    judged = judge_picture(pixels, task.by_content, encoding.store_size)
    height, width = pixels.shape
    done = Done(
        task.input,
        digest=picture.digest,
        phash=perceptual_hash(judged.pixels).hex(),
        size=(width, height),
        crop=judged.crop,
        notes=tuple(str(note) for note in (*picture.notes, *judged.notes)),
    )
    return done, encode(shrink(judged.pixels, encoding.store_size), encoding.image_format)


def _convert_report(task: ReportTask) -> tuple[Done, bytes]:
    text = scrub(with_plain_breaks(task.text), task.identifiers).strip() + "\n"
    if (reason := reason_against(text)) is not None:
        raise Refused(reason)
    return Done(task.input, sections=find_sections(text), num_words=len(text.split())), text.encode()


def encode(pixels: np.ndarray, image_format: str) -> bytes:
    """8-bit grayscale JPEG (quality 95) or PNG."""
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if image_format == "jpg" else []
    worked, data = cv2.imencode(f".{image_format}", pixels, options)
    if not worked:
        raise Refused(Reason.CANNOT_DECODE)
    return data.tobytes()
