"""Is it a chest radiograph, and which view: by the header, and as a last resort by the picture.

What names a body part is asked in turn, and the first that names one decides: body part and anatomic region, series and
protocol, study. A series of ribs overrules a body part of CHEST, as that is how sites file them. Where the header names chest
and another part, contradicts itself or names nothing, the picture is asked (`looks_like_chest`).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from pydicom.dataset import Dataset

from data_prep.ledger import Reason
from data_prep.pictures.anatomy_words import Named, body_parts
from data_prep.pictures.elements import items, text

RADIOGRAPH_MODALITIES = frozenset({"CR", "DX", "RG", "XR"})
_RADIOGRAPH_CLASSES = (
    "1.2.840.10008.5.1.4.1.1.1",  # computed radiography
    "1.2.840.10008.5.1.4.1.1.1.1",  # digital, for presentation
    "1.2.840.10008.5.1.4.1.1.1.1.1",  # digital, for processing
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

_CHEST_CODES = frozenset(
    {"T-D3000", "51185008", "816094009", "302551006", "43799004", "T-28000", "39607008"}  # chest, thoracic cavity, lung
)
_SERIES = ("SeriesDescription", "ProtocolName", "AcquisitionDeviceProcessingDescription", "PerformedProcedureStepDescription")
_STUDY = ("StudyDescription", "RequestedProcedureDescription")


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
    return _judge_body_part(header)


def _judge_body_part(header: Dataset) -> Verdict:
    body, series, study = _named_by_region(header), _named_by(header, _SERIES), _named_by(header, _STUDY)
    if body.chest and series.torso and not series.chest:
        # Sites file ribs, clavicles and spines under CHEST; the series says what was taken.
        return Verdict(Reason.OTHER_BODY_PART)
    if body.other and not body.chest and series.chest and not series.other:
        return Verdict(by_content=True)
    for named in (body, series, study):
        if named.chest and named.other:
            return Verdict(by_content=True)
        if named.chest or named.other:
            return Verdict(None if named.chest else Reason.OTHER_BODY_PART)
    return Verdict(by_content=True)


def _named_by(header: Dataset, keywords: tuple[str, ...]) -> Named:
    return body_parts(" ; ".join(text(header, keyword) for keyword in keywords))


def _named_by_region(header: Dataset) -> Named:
    """Body part and anatomic region; a code of the chest is as good as its word."""
    regions = items(header, "AnatomicRegionSequence")
    meanings = " ; ".join(text(item, "CodeMeaning") for item in regions)
    named = body_parts(f"{text(header, 'BodyPartExamined')} ; {meanings}")
    coded = any(text(item, "CodeValue") in _CHEST_CODES for item in regions)
    return Named(named.chest or coded, named.other, named.torso)


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
