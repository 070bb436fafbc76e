"""The contract between shard building and training: what one sample of a shard holds.

A sample is a group of tar members that share a key::

    3f9a0c...e1.jpg    8-bit grayscale radiograph (or .png, lossless, 8 or 16 bit)
    3f9a0c...e1.txt    the report after scrubbing, UTF-8
    3f9a0c...e1.json   SampleMeta

A sample with image and text is *paired*; with one of them it is *image-only* or *text-only*.
"""

import json
from dataclasses import asdict, dataclass, field
from enum import IntEnum

SCHEMA_VERSION = 1

IMAGE_EXTENSIONS = ("jpg", "png")
TEXT_EXTENSION = "txt"
META_EXTENSION = "json"

SPLITS = ("train", "val", "test")
VIEWS = ("PA", "AP", "LATERAL", "UNKNOWN")

DEID_TOKEN = "___"
"""Stands in report text for whatever was removed; never a masking target."""


class Kind(IntEnum):
    """What a sample holds; the value is stored in shard indexes."""

    PAIR = 0
    IMAGE = 1
    TEXT = 2


KINDS_OF_USE = {
    "all": (Kind.PAIR, Kind.IMAGE, Kind.TEXT),
    "pairs": (Kind.PAIR,),
    "images": (Kind.PAIR, Kind.IMAGE),
    "texts": (Kind.PAIR, Kind.TEXT),
}
"""The kinds that a source's `use` admits; `images` takes pairs without their text, `texts` without their image."""


@dataclass(frozen=True)
class SampleMeta:
    """The `.json` member: everything that may leave a hospital beside pixels and scrubbed text."""

    institution: str
    study: str
    """Pseudonym of the study; the images of one study share it."""
    patient: str
    """Pseudonym of the patient; never in two splits."""
    view: str = "UNKNOWN"
    """One of VIEWS; UNKNOWN for a text-only sample."""
    sections: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Upper-case section title -> (start, end) character offsets of its body in the `.txt` member."""
    labels: dict[str, int] = field(default_factory=dict)
    """Finding -> 1 present, 0 absent, -1 uncertain; a finding that is not known is left out."""
    age: int | str | None = None
    """Years; the string "90+" from 90 on; None where unknown."""
    sex: str | None = None
    """M, F, O or None."""
    days: int | None = None
    """Days since the patient's first study in the export; None where unknown."""
    size: tuple[int, int] | None = None
    """Width and height, pixels, of the upright picture before it was cropped and reduced; None without a picture."""
    crop: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom, pixels of `size`, of what was kept of the picture; None where all of it was."""
    schema: int = SCHEMA_VERSION

    def to_json(self) -> bytes:
        """UTF-8 JSON with sorted keys, so that equal content gives equal bytes."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "SampleMeta":
        """Parse a `.json` member.

        Raises:
            ValueError: not JSON, an unknown field, or a schema that this version does not read.
        """
        fields = json.loads(data)
        if not isinstance(fields, dict) or fields.get("schema") != SCHEMA_VERSION:
            raise ValueError(f"sample metadata is not of schema {SCHEMA_VERSION}")
        try:
            fields["sections"] = {title: (start, end) for title, (start, end) in fields["sections"].items()}
            for pixels in ("size", "crop"):
                fields[pixels] = tuple(fields[pixels]) if fields.get(pixels) else None
            return cls(**fields)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"sample metadata has a wrong set of fields: {error}") from None
