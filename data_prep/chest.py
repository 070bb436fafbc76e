"""Is it a chest radiograph, and which view: by the header, and as a last resort by the picture.

What names a body part is asked from the most to the least specific, and the first that names one decides:
body part and anatomic region, series and protocol, study. Only where nothing in the header does, and the modality is that of a
radiograph, the picture is asked (`looks_like_chest`).
"""

import re
from dataclasses import dataclass

import cv2
import numpy as np
from pydicom.dataset import Dataset

from data_prep.ledger import Reason
from data_prep.elements import text

RADIOGRAPH_MODALITIES = frozenset({"CR", "DX", "RG"})
_RADIOGRAPH_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.1",  # computed radiography
    "1.2.840.10008.5.1.4.1.1.1.1",  # digital, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # digital, for processing
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_CHEST = re.compile(
    r"\b(CHEST|CXR|THORA[XC]\w*|T[OÓ]RA[XC]\w*|LUNGS?|LUNGE\w*|POUMONS?|PULM[OÓ]\w*|PECTUS|BRUSTKORB|PETTO|TORACE)\b"
    r"|T-D3000|51185008|T-28000|39607008"
)
_OTHER = re.compile(
    r"\b(HIPS?|PELVIS|PELVIC|KNEES?|ANKLES?|FOOT|FEET|TOES?|HANDS?|WRISTS?|FINGERS?|THUMBS?|ELBOWS?|SHOULDERS?|CLAVICLES?|"
    r"HUMERUS|FOREARM|FEMUR|FEMORAL|TIBIA\w*|FIBULA\w*|LEGS?|ARMS?|EXTREMIT\w*|CALCANEUS|HEEL|PATELLA|SCAPULA|"
    r"SKULL|HEAD|BRAIN|FACE|FACIAL|NASAL|SINUS\w*|MANDIBLE|ORBITS?|TEETH|DENTAL|NECK|JAW|"
    r"[CTLS][ -]?SPINE|SPINE|CERVICAL|LUMBAR|SACRUM|COCCYX|SCOLIOSIS|ABDOMEN|ABDOMINAL|ABD|KUB|BREASTS?|MAMMO\w*|"
    r"WHOLE ?BODY|UPPER LIMB|LOWER LIMB|HUFTE|HÜFTE|HANCHE|BECKEN|GENOU|MAIN|BACINO|CADERA|RODILLA|MANO|"
    r"PIED?|RIBS?|STERNUM|PHANTOM)\b"
)
_STUDY_LEVELS = (
    ("BodyPartExamined",),
    ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription", "PerformedProcedureStepDescription"),
    ("StudyDescription", "RequestedProcedureDescription"),
)

_FRONTAL_PA = re.compile(r"\b(PA|P\.A\.|POSTERO[ -]?ANTERIOR)\b")
_FRONTAL_AP = re.compile(r"\b(AP|A\.P\.|ANTERO[ -]?POSTERIOR|PORTABLE|SUPINE|BEDSIDE)\b")
_LATERAL = re.compile(r"\b(LAT|LATERAL|LL|RL|L-LAT|R-LAT|LATERO[ -]?LATERAL|PROFIL|PROFILE|SEITLICH)\b")
_NEITHER = re.compile(r"\b(DECUB\w*|LLD|RLD|OBL\w*|LAO|RAO|LPO|RPO|LLO|RLO|LORDOTIC)\b")


@dataclass(frozen=True)
class Verdict:
    """Keep (no reason), drop (a reason), or keep only if the picture looks like a chest."""

    reason: Reason | None = None
    by_content: bool = False


def judge_header(header: Dataset) -> Verdict:
    """What the header alone says about a file."""
    modality, sop_class = text(header, "Modality"), text(header, "SOPClassUID")
    if modality and modality not in RADIOGRAPH_MODALITIES:
        return Verdict(Reason.NOT_RADIOGRAPH)
    if not modality and sop_class not in _RADIOGRAPH_CLASSES:
        return Verdict(Reason.NOT_RADIOGRAPH)
    if sop_class and sop_class not in (*_RADIOGRAPH_CLASSES, _SECONDARY_CAPTURE):
        return Verdict(Reason.NOT_RADIOGRAPH)
    if text(header, "BurnedInAnnotation") == "YES":
        return Verdict(Reason.BURNED_IN_TEXT)
    for level in _named_levels(header):
        chest, other = bool(_CHEST.search(level)), bool(_OTHER.search(level))
        if chest and not other:
            return Verdict()
        if other and not chest:
            return Verdict(Reason.OTHER_BODY_PART)
        if chest and other:
            return Verdict(by_content=True)
    return Verdict(by_content=True)


def _named_levels(header: Dataset) -> list[str]:
    levels = [" ".join(text(header, keyword) for keyword in keywords).replace("_", " ") for keywords in _STUDY_LEVELS]
    codes = []
    for item in header.get("AnatomicRegionSequence") or ():
        codes += [text(item, "CodeValue"), text(item, "CodeMeaning")]
    levels[0] = " ".join([levels[0], *codes])
    return levels


def header_view(header: Dataset) -> str:
    """PA, AP, LATERAL or UNKNOWN from the view's own tags, else from the descriptions."""
    codes = [text(item, "CodeMeaning") for item in header.get("ViewCodeSequence") or ()]
    own = normalise_view(" ".join([text(header, "ViewPosition"), *codes]))
    if own != "UNKNOWN" or text(header, "ViewPosition"):
        return own
    return normalise_view(f"{text(header, 'SeriesDescription')} {text(header, 'ProtocolName')}")


def normalise_view(written: str) -> str:
    """PA, AP, LATERAL or UNKNOWN from what headers and tables write; two views in one text are UNKNOWN."""
    words = re.sub(r"[_/,;]+", " ", written.strip().upper())
    if words in ("L", "R"):
        return "LATERAL"
    if _NEITHER.search(words):
        return "UNKNOWN"
    views = [
        view for view, pattern in (("PA", _FRONTAL_PA), ("AP", _FRONTAL_AP), ("LATERAL", _LATERAL)) if pattern.search(words)
    ]
    return views[0] if len(views) == 1 else "UNKNOWN"


def looks_like_chest(pixels: np.ndarray) -> bool:
    """Whether an 8-bit picture (height, width), bright = dense, surely is a frontal chest; used only where no tag tells.

    Looks for two lungs: dark regions of like size left and right of the middle, each wholly enclosed by brighter body. The
    dark around a limb or beside a hip touches the edge of the picture, the holes of a pelvis are smaller. It is meant to miss
    rather than to err: on public samples it found 2 of 2 such DICOM files and 42 % of 237 frontal chests, and took none of 23
    lateral chests, none of 139 frontal chests turned by 90 degrees or inverted, and no hip or leg.
    """
    small = cv2.GaussianBlur(cv2.resize(pixels, (_GRID, _GRID), interpolation=cv2.INTER_AREA), (0, 0), 1.5)
    inner = small[_GRID // 8 : -_GRID // 8, _GRID // 8 : -_GRID // 8]
    levels = np.quantile(inner, _LUNG_QUANTILES)
    return sum(_shows_two_lungs(small < level) for level in levels) >= _LEVELS_NEEDED


_GRID = 96
_LUNG_QUANTILES = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5)
_LEVELS_NEEDED = 2


def _shows_two_lungs(dark: np.ndarray) -> bool:
    """Whether a bool picture holds exactly one lung-like enclosed region on either side of the middle."""
    _, _, stats, centres = cv2.connectedComponentsWithStats(dark.astype(np.uint8), connectivity=4)
    left: list[tuple[float, float, float]] = []
    right: list[tuple[float, float, float]] = []
    for (x, y, width, height, area), (centre_x, centre_y) in zip(stats[1:], centres[1:], strict=True):
        share = area / dark.size
        if x == 0 or y == 0 or x + width == _GRID or y + height == _GRID or share < 0.01:
            continue
        if not 0.035 <= share <= 0.25 or height < 0.25 * _GRID or width > 0.48 * _GRID or area < 0.4 * width * height:
            return False
        (left if centre_x < _GRID / 2 else right).append((share, centre_x / _GRID, centre_y / _GRID))
    if len(left) != 1 or len(right) != 1:
        return False
    (left_share, left_x, left_y), (right_share, right_x, right_y) = left[0], right[0]
    alike = max(left_share, right_share) < 2.5 * min(left_share, right_share) and abs(left_y - right_y) < 0.15
    return alike and 0.22 < right_x - left_x < 0.6 and abs((left_x + right_x) / 2 - 0.5) < 0.15
