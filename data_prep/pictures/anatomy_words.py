"""What body part a description names, in the languages of radiology departments, accents or none.

    "Rx tórax PA"  ─ plain upper-case ASCII words ─►  Named(chest=True, other=False)

English, German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Norwegian, Polish, Turkish. Words that are
harmless in one language and a body part in another (English `main`, French `main` = hand) count only beside no chest.
"""

import re
import unicodedata
from dataclasses import dataclass

_LETTERS = str.maketrans({"Ø": "O", "Æ": "AE", "Ł": "L", "Đ": "D", "ß": "SS", "ı": "I", "Œ": "OE"})

_CHEST = re.compile(
    r"\b(CHEST|CHST|CXR|PECTUS|BRUSTKORB|PECHO|PETTO|BORSTKAS|BORST ?KAST|BRYSTKASSE|AKCIGER\w*|GOGUS|KLP|COR ET PULM\w*|"
    r"\w*THORAX\w*|TORAX\w*|TORACE|TORAKS\w*|KLATK\w+ PIERSIOW\w+|KL PIERS\w*|"
    r"LUNGS?|LUNGEN?\w*|LUNGOR|LUNGER|LUNGA|LONGEN|POUMONS?|PULMON\w*|PULMAO|PULMOES|POLMON[EI]|PLUC\w*|PULM)\b"
)
_THORACIC = re.compile(r"\b(THORAC\w+|TORAC\w+|TORAKAL\w*|THORAKAL\w*|PIERSIOW\w+)\b")
"""Of the chest, or of the spine behind it."""
_TORSO = re.compile(
    # Ribs, breastbone, collarbone, shoulder: on the chest, and a study of their own.
    r"\b(RIBS?|RIPPEN?\w*|\w*RIPPEN\w*|COTES|GRILL? COSTAL|COSTAL\w*|COSTAIS|COSTILLAS?|COSTELAS?|COSTE|COSTAE|EMICOSTATO|"
    r"RIBBEN|REVBEN|REBEN|ZEBR\w*|ZEBER|KABURGA\w*|KOSTA\w*|KNOCHERN\w* (HEMI)?THORAX|KNOECHERN\w* (HEMI)?THORAX|"
    r"STERN(UM|AL)|BRUSTBEIN|ESTERNON?|STERNO|BORSTBEEN|BROSTBEN|MOSTEK|SCAPULA\w*|SKAPULA\w*|SCHULTERBLATT|OMOPLATE|"
    r"CLAVIC\w*|KLAVIK\w*|SCHLUESSELBEIN\w*|SCHLUSSELBEIN\w*|SLEUTELBEEN|NYCKELBEN|KRAGEBEIN|KRAVEBEN|OBOJCZYK\w*|"
    r"SHOULDERS?|SCHULTER\w*|EPAULES?|HOMBROS?|OMBROS?|SPALL[AE]|SCHOUDER\w*|SKULDER\w*|SKULDR\w*|AXELLED|BARKU?|OMUZ|"
    # Spine.
    r"[CTLS]-? ?SPINE|\w*SPINE|SPINAL|COLUMNA|COLUNA|COLONNA|RACHIS|RACHIDE|\w*WIRBEL\w*|[BHL]WS|\w*WERVEL\w*|RYGG\w*|"
    r"\w*RYGSOJLE|RYGSOYLE|KOTPELARE|KREGOSLUP\w*|OMURGA\w*|VERTEBRA\w*|CERVICAL\w*|LUMB\w*|DORSOLUMB\w*|SACR\w*|COCCYX|"
    r"S[CK]OLIOS\w*|"
    # Abdomen and pelvis.
    r"ABDOM\w*|ABDP\w*|ABD|KUB|BAUCH\w*|ADDOME|BUIK\w*|BUK|BUKOVERSIKT|BRZUCH\w*|BRZUSZN\w*|BATIN|KARIN|"
    r"PELVI\w*|BECKEN\w*|BASSIN|BACIA|BACINO|BEKKEN\w*|BACKEN|MIEDNIC\w*|BREASTS?|MAMM\w*|WHOLE ?BODY|BABYGRAM|PHANTOM)\b"
)
_LIMBS = re.compile(
    r"\b(HIPS?|\w*HUFT\w*|\w*HUEFT\w*|HANCHES?|CADERAS?|QUADRIL|ANCHE?|HEUP\w*|HOFT\w*|BIODR\w*|KALCA|"
    r"KNEES?|KNIEE?N?|KNIEGELENK\w*|GENOUX?|RODILLAS?|JOELHOS?|GINOCCHI\w*|KNALED|KNAE|KOLAN\w*|DIZ|PATELLA\w*|"
    r"ANKLES?|SPRUNGGELENK\w*|OSG|CHEVILLES?|TOBILLOS?|TORNOZELOS?|CAVIGLI[AE]|ENKELS?|FOTLED|ANKELS?|SKOKOW\w*|"
    r"FOOT|FEET|FUSS\w*|VORFUSS\w*|PIEDS?|PIES|PIEDE|VOET\w*|FOTTER|STOP[AY]|AYAK\w*|TOES?|ZEHEN?|ORTEILS?|HANDS?|"
    r"CALCAN\w*|FERSE\w*|HANDGELENK\w*|WRISTS?|POIGNETS?|MUNECAS?|PUNHOS?|POLS[IO]?|HANDLED\w*|NADGARST\w*|DLON\w*|"
    r"MANOS|MANI|MAOS|FINGERS?|DOIGTS?|DEDOS?|DIT[OA]|VINGERS?|PAL(EC|C\w+)|PARMAK\w*|THUMBS?|DAUMEN|DUIM|POUCE|PULGAR|"
    r"ELBOWS?|ELLENBOGEN\w*|COUDES?|CODOS?|COTOVELOS?|GOMIT[OI]|ELLEBOOG|ARMBAGE|ALBUE|LOKC\w*|LOKIEC\w*|DIRSEK|"
    r"HUMER\w*|OBERARM\w*|UMERO|OMERO|BOVENARM|OVERARM|FOREARMS?|UNTERARM\w*|AVANT[- ]BRAS|ANTEBRA\w*|AVAMBRACCI\w*|"
    r"ONDERARM|UNDERARM|PRZEDRAMI\w*|FEMUR\w*|FEMORAL|OBERSCHENKEL\w*|BOVENBEEN|TIBI\w*|FIBUL\w*|UNTERSCHENKEL\w*|"
    r"JAMBES?|PIERNAS?|PERNAS?|GAMB[AE]|ONDERBEEN|BACAK|LEGS?|EXTREMIT\w*|EXTREMID\w*|LIMBS?|"
    r"SKULL|SCHADEL\w*|SCHAEDEL\w*|CRANE|CRANEO|CRANIO|SCHEDEL|SKALLE|CZASZK\w*|KAFA|BRAIN|FACIAL|NASAL|SINUS\w*|NNH|"
    r"ZATOK\w*|MANDIB\w*|ORBIT\w*|TEETH|DENTAL|JAW)\b"
)
_AMBIGUOUS = re.compile(r"\b(MAIN|MANO|MAO|HEAD|FACE|NECK|HALS|ARMS?|PIE|PE|FOT|KNE|KNA|HEEL|TOE|POLS|BODY|EL BILEGI)\b")
"""Body parts, but also positions (`arms up`) and other words; they count where no chest is named."""


@dataclass(frozen=True)
class Named:
    """What a description names."""

    chest: bool
    other: bool
    torso: bool = False
    """Whether the other part lies on or beside the chest, where descriptions of a chest do not mention it by chance."""


def plain(written: str) -> str:
    """Upper-case words without accents; everything that joins words is a blank."""
    letters = unicodedata.normalize("NFKD", written.translate(_LETTERS).upper().translate(_LETTERS))
    letters = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[\s_/,;:()\[\]^+&\\]+", " ", letters).strip()


def body_parts(written: str) -> Named:
    """Which parts a text names; see the module."""
    words = plain(written).replace("CHESTABD", "CHEST ABD")
    torso = _TORSO.search(words) is not None
    limbs = _LIMBS.search(words) is not None
    # `Thoracic spine` is no chest; `thoracic` alone is one.
    chest = _CHEST.search(_TORSO.sub(" ", words)) is not None or (_THORACIC.search(words) is not None and not torso)
    other = torso or limbs or (not chest and _AMBIGUOUS.search(words) is not None)
    return Named(chest, other, torso)
