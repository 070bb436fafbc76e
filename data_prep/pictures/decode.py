"""The pixels of a dataset as one grey array of stored values, (height, width).

    header ─► PixelLayout (refused where absurd) ─┬ native ──────────────────────────────┬─► pydicom's decoder ─► grey
                                                  └ encapsulated ─ frame ─ Codestream ───┘

The header's word and the codestream's are compared before a codec runs. Colour becomes grey where it is a toned or captured
radiograph; where it is true colour, the picture is none. At the bounds below, 64 million pixels, the hungriest of the decoders
took the process to 0.6 GiB.
"""

import re
from dataclasses import dataclass
from typing import Any

import gdcm
import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.pixels import apply_color_lut, get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)  # fmt: skip

from data_prep.ledger import Note, Reason
from data_prep.pictures.codestream import Codestream, parse_codestream, single_frame
from data_prep.pictures.colour import grey_of_channels, is_true_colour
from data_prep.pictures.elements import text, whole
from data_prep.pictures.lookup import apply_table, thinned
from data_prep.pictures.refused import Refused

MIN_SIDE = 128
"""Pixels; thumbnails and logos are smaller, radiographs never are."""
MAX_SIDE = 20_000
MAX_PIXELS = 64_000_000
"""The largest radiographs (whole spine) have about 50 million; more is a broken or hostile header."""
MAX_STORED_BYTES = 128_000_000
MAX_FRAME_BYTES = 80_000_000
"""Of a compressed picture: decoders hold it three times over."""
_PIXEL_KEYWORDS = {"PixelData": 0, "FloatPixelData": 32, "DoubleFloatPixelData": 64}
_FASTEST = {
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    RLELossless: "pylibjpeg",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
}
"""Decoder by syntax where it is not the first of pydicom's: on one core by 1.6 (JPEG-LS), 7 (RLE) and 1.2 times (JPEG 2000) the
faster one. GDCM takes a thread a core for JPEG 2000, which workers on every core must not."""
_OUT_OF_MEMORY = re.compile(r"bad_alloc|[Uu]nable to allocate|[Oo]ut of memory|MemoryError")

for _switch_off in (gdcm.Trace.DebugOff, gdcm.Trace.WarningOff, gdcm.Trace.ErrorOff):
    _switch_off()


@dataclass(frozen=True)
class PixelLayout:
    """What the header says of the pixels."""

    rows: int
    columns: int
    samples: int
    photometric: str
    allocated: int
    """Bits a sample takes."""
    stored: int
    """Bits that count, up to and with `high`; those above hold garbage or overlays."""
    high: int
    """The highest bit that counts."""
    is_signed: bool
    is_planar: bool
    keyword: str = "PixelData"

    @property
    def num_bytes(self) -> int:
        return self.rows * self.columns * self.samples * self.allocated // 8


def pixel_layout(header: Dataset) -> PixelLayout:
    """Read and judge the header's word on its pixels; pixels themselves may be absent.

    Raises:
        Refused: no pixels, several frames, one bit a pixel, too small, or absurdly large.
    """
    rows, columns, allocated = (whole(header, keyword) for keyword in ("Rows", "Columns", "BitsAllocated"))
    keyword = next((one for one in _PIXEL_KEYWORDS if one in header), "PixelData")
    allocated = _PIXEL_KEYWORDS[keyword] or allocated
    if not rows or not columns or not allocated:
        raise Refused(Reason.NO_PIXELS)
    if (whole(header, "NumberOfFrames") or 1) > 1:
        raise Refused(Reason.MULTI_FRAME)
    if allocated == 1 or whole(header, "BitsStored") == 1:
        # Masks and overlays.
        raise Refused(Reason.NOT_RADIOGRAPH)
    samples = whole(header, "SamplesPerPixel") or 1
    stored = whole(header, "BitsStored") or allocated
    high = whole(header, "HighBit")
    if keyword != "PixelData" or not 0 < stored <= allocated:
        stored = allocated
    layout = PixelLayout(
        rows=rows,
        columns=columns,
        samples=samples,
        photometric=text(header, "PhotometricInterpretation") or ("MONOCHROME2" if samples == 1 else "RGB"),
        allocated=allocated,
        stored=stored,
        high=stored - 1 if high is None or not stored <= high < allocated else high,
        is_signed=whole(header, "PixelRepresentation") == 1,
        is_planar=whole(header, "PlanarConfiguration") == 1,
        keyword=keyword,
    )
    _check_bounds(layout)
    return layout


def _check_bounds(layout: PixelLayout) -> None:
    rows, columns = layout.rows, layout.columns
    if min(rows, columns) < 0 or max(rows, columns) > MAX_SIDE or rows * columns > MAX_PIXELS:
        raise Refused(Reason.ABSURD_SIZE)
    if layout.allocated not in (8, 16, 32, 64) or layout.samples not in (1, 3):
        raise Refused(Reason.CANNOT_DECODE)
    if layout.num_bytes > MAX_STORED_BYTES:
        raise Refused(Reason.ABSURD_SIZE)
    if min(rows, columns) < MIN_SIDE:
        raise Refused(Reason.TOO_SMALL)


def decode(dataset: FileDataset) -> tuple[np.ndarray, tuple[Note, ...]]:
    """Stored values (height, width) of a dataset, native byte order; takes PixelData out of the dataset.

    Raises:
        Refused: the pixels are refused by their header, contradict it, do not decode, or are in true colour.
    """
    layout = pixel_layout(dataset)
    if layout.keyword not in dataset:
        raise Refused(Reason.NO_PIXELS)
    syntax = UID(str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") or _guessed_syntax(dataset)))
    try:
        element = dataset[layout.keyword]
        data, pixel_vr = element.value, element.VR
        del element, dataset[layout.keyword]
        encapsulated = syntax.is_encapsulated
    except Exception:
        # No transfer syntax, or no value representation.
        raise Refused(Reason.CANNOT_DECODE) from None
    if not isinstance(data, bytes):
        raise Refused(Reason.CANNOT_DECODE)
    if encapsulated:
        data = single_frame(data, syntax)
        values, photometric = _decode_encapsulated(data, syntax, layout)
    else:
        values, photometric = _decode_native(data, syntax, layout, pixel_vr)
    del data
    if layout.high >= layout.stored:
        values = values >> (layout.high + 1 - layout.stored)
    return _to_grey(values, photometric, dataset)


def _guessed_syntax(dataset: FileDataset) -> str:
    """Of a file without meta information: what pydicom found to parse."""
    is_implicit, is_little = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _decode_native(data: bytes, syntax: UID, layout: PixelLayout, pixel_vr: str) -> tuple[np.ndarray, str]:
    size = layout.num_bytes // 3 * 2 if layout.photometric == "YBR_FULL_422" else layout.num_bytes
    if len(data) < size:
        raise Refused(Reason.CANNOT_DECODE)
    if len(data) >= 2 * size and len(data) % size <= 1:
        raise Refused(Reason.MULTI_FRAME)
    if (values := _as_they_lie(data, syntax, layout)) is not None:
        return values, layout.photometric
    return _run_decoder(data, syntax, layout, pixel_keyword=layout.keyword, pixel_vr=pixel_vr)


def _as_they_lie(data: bytes, syntax: UID, layout: PixelLayout) -> np.ndarray | None:
    """Sixteen little-endian bits a pixel without garbage above those that count: most radiographs, and nothing to be done.

    pydicom would copy them and mask every value, which takes a tenth of the time of such a picture.
    """
    if (layout.allocated, layout.samples, layout.keyword) != (16, 1, "PixelData") or not syntax.is_little_endian:
        return None
    values = np.frombuffer(data, "<i2" if layout.is_signed else "<u2", layout.rows * layout.columns)
    bits = layout.high if layout.is_signed else layout.high + 1
    if values.max() >= 2**bits or (layout.is_signed and values.min() < -(2**bits)):
        return None
    return values.reshape(layout.rows, layout.columns)


def _decode_encapsulated(frame: bytes, syntax: UID, layout: PixelLayout) -> tuple[np.ndarray, str]:
    if len(frame) > MAX_FRAME_BYTES:
        raise Refused(Reason.ABSURD_SIZE)
    own = parse_codestream(frame, syntax)
    if own is not None:
        layout = _as_encoded(layout, own)
    return _run_decoder(_encapsulated(frame), syntax, layout, without_gdcm=own is not None and not own.is_clean)


def _as_encoded(layout: PixelLayout, own: Codestream) -> PixelLayout:
    """The layout with the codestream's container; width, height and components must agree."""
    if (own.width, own.height, own.components) != (layout.columns, layout.rows, layout.samples):
        raise Refused(Reason.CANNOT_DECODE)
    if not 2 <= own.precision <= layout.allocated:
        raise Refused(Reason.CANNOT_DECODE)
    allocated = 8 if own.precision <= 8 else 16 if own.precision <= 16 else 32
    stored = min(layout.stored, own.precision)
    return PixelLayout(**{**layout.__dict__, "allocated": allocated, "stored": stored, "high": stored - 1})


def _encapsulated(frame: bytes) -> bytes:
    """One fragment behind an empty offset table: what every decoder reads."""
    odd = b"\0" if len(frame) % 2 else b""
    item = b"\xfe\xff\x00\xe0"
    return b"".join((item, b"\0\0\0\0", item, (len(frame) + len(odd)).to_bytes(4, "little"), frame, odd))


def _run_decoder(
    data: bytes, syntax: UID, layout: PixelLayout, without_gdcm: bool = False, **options: str
) -> tuple[np.ndarray, str]:
    """The array of the fastest decoder that takes it, (height, width) or (height, width, 3), and its colour space."""
    known: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "photometric_interpretation": layout.photometric,
        "bits_allocated": layout.allocated,
        "bits_stored": layout.high + 1,
        "pixel_representation": int(layout.is_signed),
        "number_of_frames": 1,
        "planar_configuration": int(layout.is_planar),
        **options,
    }
    reason = Reason.CANNOT_DECODE
    for plugin in _plugins(syntax, without_gdcm):
        try:
            values, properties = get_decoder(syntax).as_array(data, index=0, raw=True, decoding_plugin=plugin, **known)
            return values, str(properties["photometric_interpretation"])
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            # pylibjpeg-rle panics, which is no Exception; pydicom wraps a codec's MemoryError into an error of its own.
            if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)) is not None:
                reason = Reason.TOO_MUCH_MEMORY
    raise Refused(reason)


def _plugins(syntax: UID, without_gdcm: bool) -> list[str]:
    """pydicom's decoders of a syntax, the fastest first; native syntaxes have one without a name."""
    try:
        if not syntax.is_encapsulated:
            return [""]
        names = [name for name in get_decoder(syntax).available_plugins if name != "gdcm" or not without_gdcm]
        if syntax == RLELossless:
            # pydicom's own decoder expands a frame without a bound.
            names = [name for name in names if name == "pylibjpeg"]
    except NotImplementedError:
        # So pydicom says that it has no decoder for a transfer syntax.
        raise Refused(Reason.CANNOT_DECODE) from None
    return sorted(names, key=lambda name: name != _FASTEST.get(syntax))


def _to_grey(values: np.ndarray, photometric: str, dataset: Dataset) -> tuple[np.ndarray, tuple[Note, ...]]:
    if not values.dtype.isnative:
        values = values.byteswap(inplace=values.flags.writeable).view(values.dtype.newbyteorder("="))
    if values.ndim == 3:
        is_ybr = photometric.startswith("YBR")
        if is_true_colour(thinned(values), is_ybr):
            raise Refused(Reason.NOT_RADIOGRAPH)
        return grey_of_channels(values, is_ybr), (Note.FROM_COLOUR,)
    if values.ndim != 2:
        raise Refused(Reason.CANNOT_DECODE)
    if photometric == "PALETTE COLOR":
        return _from_palette(values, dataset), (Note.FROM_COLOUR,)
    return values, ()


def _from_palette(values: np.ndarray, dataset: Dataset) -> np.ndarray:
    if values.dtype.itemsize > 2 or "RedPaletteColorLookupTableData" not in dataset:
        # Segmented palettes can expand without bound, and no radiograph has one.
        raise Refused(Reason.CANNOT_DECODE)
    domain = np.arange(np.iinfo(values.dtype).min, np.iinfo(values.dtype).max + 1)
    try:
        palette = apply_color_lut(domain[np.newaxis], dataset)[..., :3]
    except Exception:
        # Lookup tables that are short, missing or of another kind; the message may quote them.
        raise Refused(Reason.BROKEN_HEADER) from None
    few = thinned(values).astype(np.int64) - int(domain[0])
    if is_true_colour(palette[0][few], is_ybr=False):
        raise Refused(Reason.NOT_RADIOGRAPH)
    return apply_table(values, grey_of_channels(np.ascontiguousarray(palette), is_ybr=False)[0])
