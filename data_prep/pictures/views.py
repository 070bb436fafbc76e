"""The view of a radiograph, PA, AP, LATERAL or UNKNOWN, from what headers, tables and descriptions write."""

import re

from pydicom.dataset import Dataset

from data_prep.pictures.anatomy_words import plain
from data_prep.pictures.elements import items, text, texts

_PA = re.compile(r"\b(P[. -]?A\.?|POSTERO?(IOR)?[ -]*ANTERIOR\w*|DORSO[ -]?VENTRAL\w*)(?![\w.])")
_AP = re.compile(r"\b(A[. -]?P\.?|ANTERO?(IOR)?[ -]*POSTERIOR\w*|VENTRO[ -]?DORSAL\w*)(?![\w.])")
_LATERAL = re.compile(
    r"\b(LAT|LATERAL\w*|LL|RL|L-?LAT|R-?LAT|LATERO[ -]?LATERAL\w*|PROFIL[EO]?|PERFIL|SEITLICH\w*|SEITE|SEITENAUFNAHME|"
    r"DWARS\w*|ZIJDELINGS\w*|SIDO?BILD\w*|SIDEBILLED\w*|SIDE|BOCZN\w*|YAN)\b"
)
_LYING = re.compile(
    r"\b(PORTABLE|BEDSIDE|SUPINE|SUPIN[OA]|LIEGEND\w*|BETTAUFNAHME|BETTLUNGE|BETTTHORAX|ALLONGE|COUCHE|LIGGEND\w*|LEZAC\w*|"
    r"DECUBITO (SUPINO|DORSAL)|DECUBITUS DORSAL|PORTATIL|A LETTO|AU LIT)\b"
)
"""How only AP pictures are taken; a word of the view itself goes before."""
_NEITHER = re.compile(
    r"\b(DECUB\w*|LLD|RLD|OBL\w*|SCHRAG\w*|SCHRAEG\w*|SKOSN\w*|LAO|RAO|LPO|RPO|LLO|RLO|LORDO\w*|APICOLORDO\w*|COSTAL|EXCLUDE)\b"
)
_DORSAL_DECUBITUS = re.compile(r"\b(DECUBITO (SUPINO|DORSAL)|DECUBITUS DORSAL)\b")
_CODES = {
    "R-10206": "AP",
    "399348003": "AP",
    "R-10214": "PA",
    "272479007": "PA",
    "R-10236": "LATERAL",
    "399173006": "LATERAL",
    "R-10232": "LATERAL",
    "399198007": "LATERAL",
    "R-10241": "LATERAL",
    "399067008": "LATERAL",
}
"""DICOM PS3.16 CID 4010 (DX View), SRT and SNOMED CT."""


def header_view(header: Dataset) -> str:
    """From the view's own tags, else from the descriptions, else from the direction of the rows.

    A view of its own tags that is none of the three (oblique, decubitus, an unknown word) is UNKNOWN, whatever the
    descriptions say.
    """
    position = text(header, "ViewPosition")
    own = [position, *(f"{text(item, 'CodeValue')} {text(item, 'CodeMeaning')}" for item in items(header, "ViewCodeSequence"))]
    descriptions = [
        f"{text(header, 'SeriesDescription')} {text(header, 'ProtocolName')}",
        text(header, "AcquisitionDeviceProcessingDescription"),
    ]
    for written in own if any(letter.isalpha() for letter in position) else [*own, *descriptions]:
        words = plain(written)
        view = next((view for code, view in _CODES.items() if code in words.split()), "") or _view_of(words)
        if view:
            return view
    across = "" if position else "".join(value.strip().upper()[:1] for value in texts(header, "PatientOrientation"))
    return "LATERAL" if across in ("AF", "PF") else "UNKNOWN"


def normalise_view(written: str) -> str:
    """PA, AP, LATERAL or UNKNOWN; two views in one text are UNKNOWN."""
    return _view_of(plain(written)) or "UNKNOWN"


def _view_of(words: str) -> str:
    """As `normalise_view`, but empty where the text names no view at all."""
    if words in ("L", "R"):
        return "LATERAL"
    if _NEITHER.search(_DORSAL_DECUBITUS.sub(" SUPINE ", words)):
        return "UNKNOWN"
    views = [view for view, pattern in (("PA", _PA), ("AP", _AP), ("LATERAL", _LATERAL)) if pattern.search(words)]
    if not views:
        return "AP" if _LYING.search(words) else ""
    return views[0] if len(views) == 1 else "UNKNOWN"
