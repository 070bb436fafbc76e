"""From stored values to an upright picture, and what is refused."""

import warnings

import made_exports as made
import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from data_prep.ledger import Note, Reason
from data_prep.pictures.decode import MAX_SIDE
from data_prep.pictures.read_dicom import check_size, read_header, read_picture
from data_prep.pictures.refused import Refused
from data_prep.pictures.voi import to_display


def ramp(low: int = 0, high: int = 4095, dtype: type = np.uint16) -> np.ndarray:
    return np.linspace(low, high, 200 * 200).reshape(200, 200).astype(dtype)


def tags(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def is_rising(pixels: np.ndarray) -> bool:
    return int(pixels[-1, -1]) > int(pixels[0, 0])


@pytest.mark.parametrize(
    ("photometric", "shape", "rising"),
    [
        ("MONOCHROME2", None, True),
        ("MONOCHROME2", "IDENTITY", True),
        ("MONOCHROME1", None, False),
        ("MONOCHROME1", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", False),
        ("MONOCHROME2", "INVERSE", False),
    ],
)
def test_polarity_is_one_inversion(photometric, shape, rising):
    elements = {"PhotometricInterpretation": photometric, "WindowCenter": 2048, "WindowWidth": 4096}
    if shape:
        elements["PresentationLUTShape"] = shape
    pixels, _ = to_display(ramp(), tags(**elements))
    assert is_rising(pixels) == rising


def test_a_window_shows_what_it_says():
    pixels, notes = to_display(ramp(), tags(WindowCenter=[1000, 9], WindowWidth=[1001, 9]))
    stored = ramp()
    assert not notes
    assert pixels[stored <= 499].max() == 0 and pixels[stored >= 1500].min() == 255
    assert abs(int(pixels[stored == 1000][0]) - 128) <= 1


@pytest.mark.parametrize(
    "window",
    [
        {},
        {"WindowCenter": 60000, "WindowWidth": 100},
        {"WindowCenter": 2000, "WindowWidth": 0},
        {"WindowCenter": 5, "WindowWidth": 2},
    ],
)
def test_no_window_or_one_beside_the_data_falls_back_to_percentiles(window):
    pixels, notes = to_display(ramp(), tags(**window))
    assert notes == (Note.WINDOW_BY_PERCENTILES,)
    assert pixels.min() == 0 and pixels.max() == 255 and 120 < np.median(pixels) < 136


def test_rescale_comes_before_the_window():
    pixels, notes = to_display(ramp(), tags(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=3000, WindowWidth=4000))
    stored = ramp()
    assert not notes and abs(int(pixels[stored == 2000][0]) - 128) <= 1


def test_a_voi_table_is_used():
    item = tags(LUTDescriptor=[4096, 0, 8], LUTData=list(range(255, -1, -1)) * 16)
    item.LUTData = [255 - value // 16 for value in range(4096)]
    pixels, notes = to_display(ramp(), tags(VOILUTSequence=Sequence([item]), BitsStored=12, PixelRepresentation=0))
    assert not notes and not is_rising(pixels) and pixels[0, 0] == 255


def test_signed_values_and_big_endian_files(tmp_path):
    pixels, _ = to_display(ramp(-2000, 2000, np.int16), tags(WindowCenter=0, WindowWidth=4000))
    assert is_rising(pixels) and abs(int(pixels[100, 100]) - 128) <= 2
    made.dicom(tmp_path / "big", 1, big=True)
    made.dicom(tmp_path / "little", 1)
    assert np.array_equal(read_picture(tmp_path / "big").pixels, read_picture(tmp_path / "little").pixels)
    assert read_picture(tmp_path / "big").digest == read_picture(tmp_path / "little").digest


def test_eight_bits_without_a_window_stay_as_they_are():
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels, notes = to_display(stored, tags(PhotometricInterpretation="MONOCHROME2"))
    assert np.array_equal(pixels, stored) and not notes


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_modality_table_of_any_depth_is_used(bits):
    """pydicom's own function fails for tables of 10 and 12 bits."""
    item = tags(LUTDescriptor=[4096, 0, bits])
    item.LUTData = [(4095 - value) * (2**bits - 1) // 4095 for value in range(4096)]
    window = {"WindowCenter": 2 ** (bits - 1), "WindowWidth": 2**bits}
    pixels, notes = to_display(ramp(), tags(ModalityLUTSequence=Sequence([item]), **window))
    assert not notes and not is_rising(pixels) and pixels[0, 0] >= 254 and pixels[-1, -1] <= 1


def test_a_table_that_claims_more_bits_than_it_uses_is_not_shown_dark():
    item = tags(LUTDescriptor=[4096, 0, 16])
    item.LUTData = list(range(4096))
    pixels, _ = to_display(ramp(), tags(VOILUTSequence=Sequence([item])))
    assert pixels.max() == 255


def test_padding_does_not_draw_the_percentiles():
    stored = ramp(1000, 2000)
    stored[:, :80] = 0
    shown, _ = to_display(stored, tags(PixelPaddingValue=0))
    drawn, _ = to_display(stored, tags())
    assert shown[:, 80:].std() > 1.5 * drawn[:, 80:].std()


def test_floats_and_wide_integers_are_shown_without_a_table():
    for stored in (ramp(0, 4095, np.float32) / 7, ramp(0, 4095, np.uint32) * 100_000):
        pixels, notes = to_display(stored, tags())
        assert is_rising(pixels) and pixels.max() == 255 and notes == (Note.WINDOW_BY_PERCENTILES,)
    stored = ramp(0, 4095, np.float32)
    stored[0, 0], stored[1, 1] = np.nan, np.inf
    assert to_display(stored, tags())[0].max() == 255


def test_the_dense_is_bright_in_a_whole_file(tmp_path):
    made.dicom(tmp_path / "two", 1)
    made.dicom(tmp_path / "one", 1, pixels=4095 - made.phantom(1), PhotometricInterpretation="MONOCHROME1")
    for name in ("one", "two"):
        pixels = read_picture(tmp_path / name).pixels
        assert pixels[75, 72] > pixels[75, 40] + 80


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"Rows": 60000, "Columns": 60000}, Reason.ABSURD_SIZE),
        ({"Rows": MAX_SIDE + 1, "Columns": 200}, Reason.ABSURD_SIZE),
        ({"Rows": 16, "Columns": 900}, Reason.TOO_SMALL),
        ({"NumberOfFrames": 3}, Reason.MULTI_FRAME),
        ({"Rows": 0}, Reason.NO_PIXELS),
        ({"Rows": 9000, "Columns": 9000}, Reason.ABSURD_SIZE),
        ({"Rows": 7000, "Columns": 7000, "SamplesPerPixel": 3}, Reason.ABSURD_SIZE),
        ({"BitsAllocated": 1}, Reason.NOT_RADIOGRAPH),
        ({"BitsAllocated": 12}, Reason.CANNOT_DECODE),
    ],
)
def test_sizes_are_refused_before_decoding(elements, reason):
    with pytest.raises(Refused) as caught:
        check_size(tags(**{"Rows": 500, "Columns": 500, "BitsAllocated": 16, **elements}))
    assert caught.value.reason == reason


def test_files_that_are_none(tmp_path):
    (tmp_path / "text").write_text("hello " * 100)
    (tmp_path / "empty").write_bytes(b"")
    for name in ("text", "empty"):
        with pytest.raises(Refused) as caught:
            read_header(tmp_path / name)
        assert caught.value.reason == Reason.NOT_DICOM
    made.dicom(tmp_path / "cut", 1)
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-30000])
    with pytest.raises(Refused) as caught:
        read_picture(tmp_path / "cut")
    assert caught.value.reason == Reason.CANNOT_DECODE
    made.dicom(tmp_path / "flat", 1, pixels=np.full((200, 200), 7, np.uint16))
    with pytest.raises(Refused) as caught:
        read_picture(tmp_path / "flat")
    assert caught.value.reason == Reason.NO_CONTRAST


def test_no_warning_of_the_library_comes_through(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.dicom(tmp_path / "odd", 1, StudyDate=made.CANARY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_header(tmp_path / "odd")
        read_picture(tmp_path / "odd")


@pytest.mark.realdata
def test_public_radiographs_have_the_right_polarity(real_data):
    pixels = read_picture(next((real_data / "dicom").glob("000_*"))).pixels
    height, width = pixels.shape
    lung, spine = pixels[height // 3, width // 4], pixels[height // 2, width // 2]
    assert spine > lung
