"""Which compressions of DICOM pictures this installation can decode."""

from pydicom.pixels import get_decoder
from pydicom.uid import UID

COMPRESSIONS = {
    "JPEG": "1.2.840.10008.1.2.4.50",
    "JPEG 12 bit": "1.2.840.10008.1.2.4.51",
    "JPEG lossless": "1.2.840.10008.1.2.4.70",
    "JPEG-LS": "1.2.840.10008.1.2.4.80",
    "JPEG 2000": "1.2.840.10008.1.2.4.90",
    "RLE": "1.2.840.10008.1.2.5",
}
"""Transfer syntaxes that chest radiographs come in, beside those that compress nothing."""


def missing_decoders() -> list[str]:
    """Names of COMPRESSIONS for which no decoder is installed."""
    return [name for name, uid in COMPRESSIONS.items() if not get_decoder(UID(uid)).is_available]
