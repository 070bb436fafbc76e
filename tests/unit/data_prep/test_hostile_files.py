"""Files that are broken or meant to harm end as refused, before anything large is allocated."""

import io
import struct
import zlib

import cv2
import made_exports as made
import made_pixels
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

from data_prep.ledger import Reason
from data_prep.pictures import dicom_file
from data_prep.pictures.chest import judge_header
from data_prep.pictures.dicom_file import MAX_FILE_BYTES, libraries_silenced
from data_prep.pictures.read_dicom import Picture, check_size, read_header, read_picture
from data_prep.pictures.read_image import read_image
from data_prep.pictures.refused import Refused
from data_prep.pictures.views import header_view

NUM_MUTATIONS = 40
UNDEFINED = b"\xff\xff\xff\xff"


def outcome(read, path) -> Reason | None:
    try:
        read(path)
    except Refused as refused:
        return refused.reason
    return None


def spliced(path, before: bytes, content: bytes):
    """A made file with bytes put in before an element."""
    made.dicom(path, 1)
    data = path.read_bytes()
    place = data.index(before)
    path.write_bytes(data[:place] + content + data[place:])
    return path


@pytest.mark.parametrize("depth", [300, 50_000])
def test_sequences_nested_without_end(tmp_path, depth):
    nested = (b"\x08\x00\x10\x11SQ\0\0" + UNDEFINED + b"\xfe\xff\x00\xe0" + UNDEFINED) * depth
    path = spliced(tmp_path / "nested", b"\x08\x00\x16\x00", nested)
    assert outcome(read_header, path) == outcome(read_picture, path) == Reason.BROKEN_HEADER


def test_lengths_beyond_the_file(tmp_path):
    made.dicom(tmp_path / "long", 1)
    data = bytearray((tmp_path / "long").read_bytes())
    place = data.index(b"\xe0\x7f\x10\x00OW") + 8
    data[place : place + 4] = b"\xf0\xff\xff\xff"
    (tmp_path / "long").write_bytes(data)
    assert outcome(read_picture, tmp_path / "long") is None
    (tmp_path / "cut").write_bytes(data[:-9000])
    assert outcome(read_picture, tmp_path / "cut") == Reason.CANNOT_DECODE
    made_pixels.write(tmp_path / "j2k", "j2k")
    (tmp_path / "j2k").write_bytes((tmp_path / "j2k").read_bytes()[:-9000])
    assert outcome(read_picture, tmp_path / "j2k") == Reason.CANNOT_DECODE


def test_headers_larger_than_any_header_and_files_larger_than_any_picture(tmp_path, monkeypatch):
    block = b"\x09\x00\x10\x10UN\0\0" + struct.pack("<L", 2**20) + bytes(2**20)
    path = spliced(tmp_path / "large", b"\x10\x00\x10\x00", block)
    assert outcome(read_header, path) is None
    monkeypatch.setattr(dicom_file, "MAX_HEADER_BYTES", 2**19)
    assert outcome(read_header, path) == Reason.ABSURD_SIZE
    monkeypatch.setattr(dicom_file, "MAX_FILE_BYTES", 2**20)
    assert outcome(read_picture, path) == Reason.ABSURD_SIZE


def test_elements_without_number(tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_file, "MAX_READS", 1000)
    (tmp_path / "zeros").write_bytes(bytes(128) + b"DICM" + bytes(2**16))
    assert outcome(read_header, tmp_path / "zeros") == Reason.BROKEN_HEADER


def test_a_file_that_inflates_beyond_any_picture(tmp_path):
    dataset = pydicom.dcmread(made_pixels.write(tmp_path / "bomb", "deflated"), stop_before_pixels=True)
    assert dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    head = (tmp_path / "bomb").read_bytes()
    start = 144 + dataset.file_meta.FileMetaInformationGroupLength
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    flat = b"".join(squeeze.compress(bytes(2**24)) for _ in range(MAX_FILE_BYTES // 2**24 + 1)) + squeeze.flush()
    (tmp_path / "bomb").write_bytes(head[:start] + flat)
    assert len(flat) < 2**19
    assert outcome(read_picture, tmp_path / "bomb") == outcome(read_header, tmp_path / "bomb") == Reason.ABSURD_SIZE


def test_a_run_length_frame_that_expands_beyond_its_picture(tmp_path):
    dataset = pydicom.dcmread(made_pixels.write(tmp_path / "rle", "rle"))
    runs = b"\x81\x00" * 200_000
    frame = struct.pack("<16L", 2, 64, 64 + len(runs) // 2, *[0] * 13) + runs
    made_pixels.encapsulated(dataset, tmp_path / "rle", [frame], RLELossless)
    assert outcome(read_picture, tmp_path / "rle") == Reason.CANNOT_DECODE


@pytest.fixture
def no_codec(monkeypatch):
    """Decoders that must not be reached."""

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was started")

    monkeypatch.setattr("data_prep.pictures.decode._run_decoder", reached)


def test_codestreams_that_contradict_their_header(tmp_path, no_codec):
    dataset = pydicom.dcmread(made_pixels.write(tmp_path / "jpeg", "jpeg"))
    frame = cv2.imencode(".jpg", np.zeros((2000, 3000), np.uint8))[1].tobytes()
    made_pixels.encapsulated(dataset, tmp_path / "jpeg", [frame], JPEGBaseline8Bit)
    assert outcome(read_picture, tmp_path / "jpeg") == Reason.CANNOT_DECODE
    for kind, marker, place, size in (
        ("j2k", b"\xff\x4f\xff\x51", 8, ">LL"),
        ("jls", b"\xff\xf7", 5, ">HH"),
        ("jpeg_lossless", b"\xff\xc3", 5, ">HH"),
    ):
        path = made_pixels.write(tmp_path / kind, kind)
        data = bytearray(path.read_bytes())
        struct.pack_into(size, data, data.rindex(marker) + place, 30_000, 30_000)
        path.write_bytes(data)
        assert outcome(read_picture, path) == Reason.CANNOT_DECODE


def test_tiles_without_number(tmp_path, no_codec):
    path = made_pixels.write(tmp_path / "j2k", "j2k", made.phantom(1, (600, 500)))
    data = bytearray(path.read_bytes())
    struct.pack_into(">LL", data, data.rindex(b"\xff\x4f\xff\x51") + 24, 1, 1)
    path.write_bytes(data)
    assert outcome(read_picture, path) == Reason.CANNOT_DECODE


def test_memory_that_does_not_suffice_is_named(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    made.dicom(tmp_path / "file", 1)
    monkeypatch.setattr("data_prep.pictures.read_dicom.to_display", fail)
    assert outcome(read_picture, tmp_path / "file") == Reason.TOO_MUCH_MEMORY


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))


def picture_bytes(form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((made_pixels.phantom() >> 4).astype(np.uint8)).save(buffer, form, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_png_chunks_that_inflate(tmp_path, kind):
    png = picture_bytes("PNG")
    flat = zlib.compress(bytes(2**28))
    content = b"k\0\x01\0\0\0" + flat if kind == b"iTXt" else b"k\0\0" + flat
    (tmp_path / "file").write_bytes(png[:33] + chunk(kind, content) + png[33:])
    assert outcome(read_image, tmp_path / "file") in (None, Reason.CANNOT_DECODE)


def test_pictures_that_claim_absurd_sizes(tmp_path):
    png, bmp = picture_bytes("PNG"), bytearray(picture_bytes("BMP"))
    head = struct.pack(">LLBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    (tmp_path / "png").write_bytes(png[:8] + chunk(b"IHDR", head) + png[33:])
    bmp[18:26] = struct.pack("<LL", 2**29, 2**29)
    (tmp_path / "bmp").write_bytes(bmp)
    for name in ("png", "bmp"):
        assert outcome(read_image, tmp_path / name) == Reason.ABSURD_SIZE


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_pictures_that_are_cut_off(tmp_path, form):
    whole = picture_bytes(form)
    (tmp_path / "file").write_bytes(whole)
    assert outcome(read_image, tmp_path / "file") is None
    for share in (0.98, 0.5, 0.01):
        (tmp_path / "file").write_bytes(whole[: int(share * len(whole))])
        assert outcome(read_image, tmp_path / "file") == Reason.CANNOT_DECODE


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """One of: cut off, bytes changed (anywhere, in the header), a length made absurd, a piece removed or repeated."""
    changed, kind = bytearray(data), int(generator.integers(6))
    size, head = len(data), min(len(data), 1500)
    place = int(generator.integers(130, size))
    if kind == 0:
        del changed[place:]
    elif kind in (1, 2):
        for _ in range(int(generator.integers(1, 12))):
            changed[int(generator.integers(130, size if kind == 1 else head))] = int(generator.integers(256))
    elif kind == 3:
        place = int(generator.integers(130, head - 4))
        changed[place : place + 4] = [UNDEFINED, b"\xf0\xff\xff\x7f", b"\0\0\0\0"][int(generator.integers(3))]
    elif kind == 4:
        del changed[place : place + int(generator.integers(1, 300))]
    else:
        changed[place:place] = changed[place : place + int(generator.integers(1, 300))]
    return bytes(changed)


@pytest.mark.parametrize("kind", (*made_pixels.LOSSLESS, *made_pixels.LOSSY, *made_pixels.COLOUR))
def test_mutated_files_end_as_pictures_or_refused(tmp_path, kind):
    data = made_pixels.write(tmp_path / "seed", kind).read_bytes()
    ended = []
    for number in range(NUM_MUTATIONS):
        (tmp_path / "file").write_bytes(mutated(data, np.random.default_rng([number, len(kind)])))
        try:
            header = read_header(tmp_path / "file")
            with libraries_silenced():
                judge_header(header), header_view(header), check_size(header)
        except Refused:
            pass
        try:
            picture = read_picture(tmp_path / "file")
            assert isinstance(picture, Picture) and picture.pixels.ndim == 2 and picture.pixels.dtype == np.uint8
            ended.append(True)
        except Refused:
            ended.append(False)
    assert any(ended) and not all(ended)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP", "BMP"])
def test_mutated_pictures_end_as_pictures_or_refused(tmp_path, form):
    data = picture_bytes(form)
    reasons = []
    for number in range(NUM_MUTATIONS):
        (tmp_path / "file").write_bytes(mutated(data, np.random.default_rng(number)))
        reasons.append(outcome(read_image, tmp_path / "file"))
    assert Reason.CANNOT_DECODE in reasons
