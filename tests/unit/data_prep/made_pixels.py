"""Made DICOM files in every way in which archives keep pixels."""

from pathlib import Path

import cv2
import gdcm
import made_exports as made
import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
_COMPRESSED = {"jls": JPEGLSLossless, "jls_near": JPEGLSNearLossless, "j2k": JPEG2000Lossless, "rle": RLELossless}
_GDCM = {
    "jpeg_lossless": gdcm.TransferSyntax.JPEGLosslessProcess14,
    "jpeg_lossless_sv1": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
}
LOSSLESS = ("explicit", "implicit", "big", "deflated", "jls", "j2k", "rle", *_GDCM)
LOSSY = ("jls_near", "jpeg")
COLOUR = ("rgb", "rgb_planar", "ybr_full", "ybr_jpeg", "palette")


def phantom(seed: int = 1) -> np.ndarray:
    """12 bits, (180, 160)."""
    return made.phantom(seed, (180, 160))


def write(path: Path, kind: str, pixels: np.ndarray | None = None, **tags: object) -> Path:
    """A chest radiograph stored in one of LOSSLESS, LOSSY or COLOUR."""
    pixels = phantom() if pixels is None else pixels
    if kind in COLOUR:
        return _write_colour(path, kind, (pixels >> 4).astype(np.uint8))
    if kind == "jpeg":
        eight = (pixels >> 4).astype(np.uint8)
        dataset = made.dicom(path, 1, pixels=eight, BitsStored=8, **tags)
        return encapsulated(dataset, path, [cv2.imencode(".jpg", eight)[1].tobytes()], JPEGBaseline8Bit)
    dataset = made.dicom(path, 1, pixels=pixels, big=kind == "big", **{**WINDOW, **tags})
    if kind in _COMPRESSED:
        options = {"jls_error": 2} if kind == "jls_near" else {}
        dataset = pydicom.dcmread(path)
        dataset.compress(_COMPRESSED[kind], generate_instance_uid=False, **options)
        dataset.save_as(path)
    elif kind in ("implicit", "deflated"):
        dataset = pydicom.dcmread(path)
        is_implicit = kind == "implicit"
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else DeflatedExplicitVRLittleEndian
        dataset.save_as(path, implicit_vr=is_implicit)
    elif kind in _GDCM:
        _write_with_gdcm(path, _GDCM[kind])
    return path


def encapsulated(dataset: FileDataset, path: Path, frames: list[bytes], syntax: str, **options: object) -> Path:
    """Save with compressed frames."""
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(frames, **options)  # type: ignore[arg-type]
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    dataset.save_as(path, enforce_file_format=True)
    return path


def _write_with_gdcm(path: Path, syntax: int) -> None:
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(path))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()


def _write_colour(path: Path, kind: str, grey: np.ndarray) -> Path:
    dataset = made.dicom(path, 1, pixels=grey, BitsStored=8)
    dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "RGB", 3, 0
    three = np.dstack([grey] * 3)
    if kind == "palette":
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel = "PALETTE COLOR", 1
        for colour in ("Red", "Green", "Blue"):
            element = f"{colour}PaletteColorLookupTableDescriptor"
            setattr(dataset, element, [256, 0, 16])
            dataset[element].VR = "US"
            setattr(dataset, f"{colour}PaletteColorLookupTableData", (np.arange(256, dtype="<u2") * 257).tobytes())
    elif kind == "ybr_jpeg":
        dataset.PhotometricInterpretation = "YBR_FULL_422"
        return encapsulated(dataset, path, [cv2.imencode(".jpg", three)[1].tobytes()], JPEGBaseline8Bit)
    elif kind == "rgb_planar":
        dataset.PlanarConfiguration, dataset.PixelData = 1, np.moveaxis(three, -1, 0).tobytes()
    elif kind == "ybr_full":
        neutral = np.full_like(grey, 128)
        dataset.PhotometricInterpretation, dataset.PixelData = "YBR_FULL", np.dstack([grey, neutral, neutral]).tobytes()
    else:
        dataset.PixelData = three.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path
