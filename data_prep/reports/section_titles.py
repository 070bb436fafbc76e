"""How reports title their sections, in six languages, and the one name that each goes by here.

    "Clinical History", "ANAMNESE"  -> HISTORY        "CONCLUSION", "BEURTEILUNG", "Impresión" -> IMPRESSION
    "PORTABLE AP CHEST RADIOGRAPH"  -> an examination, which stands before what was seen
    "LUNGS", "HEART AND MEDIASTINUM" -> a part of what was seen

Spellings are matched on text without accents (`without_accents`), which keeps offsets.
"""

import re
from functools import lru_cache

FINDINGS, IMPRESSION, ADDENDUM = "FINDINGS", "IMPRESSION", "ADDENDUM"

_SPELLINGS = {
    FINDINGS: (
        "findings?|radiographic findings|imaging findings|findings and impressions?|findings ?/ ?impressions?|observations?|"
        "narrative|report|results?|befunde?|befund und beurteilung|resultats?|constatations?|description|hallazgos?|"
        "descripcion|informe|repert[oi]|referto|descrizione|achados?|analise|relatorio"
    ),
    IMPRESSION: (
        "impressions?|impression\\(s\\)|conclusions?|opinion|interpretation|summary|assessment|diagnosis|final diagnosis|"
        "beurteilung|zusammenfassung|zusammenfassende beurteilung|synthese|au total|impresion|impresion diagnostica|"
        "conclusion(?:es)?|juicio diagnostico|impressione|conclusion[ei]|giudizio|impressao|impressao diagnostica|"
        "conclusao|conclusoes|opiniao"
    ),
    "INDICATION": (
        "indications?|clinical indications?|indication\\(s\\)|reason for (?:this |the )?(?:exam(?:ination)?|study)|reason|"
        "clinical (?:information|data|question|details)|question|underlying medical condition|fragestellung|indikation|"
        "rechtfertigende indikation|klinische (?:angaben|fragestellung|information)|klinik|klinik und fragestellung|motif|"
        "renseignements cliniques|contexte(?: clinique)?|indicacion(?:es)?|motivo(?: de consulta| del estudio)?|"
        "datos clinicos|informacion clinica|indicazion[ei]|quesito(?: clinico| diagnostico)?|motivo dell'esame|indicacao|"
        "informacao clinica|dados clinicos"
    ),
    "HISTORY": (
        "history|clinical history|patient history|medical history|history of present illness|anamnese|antecedents?|"
        "histoire(?: de la maladie)?|antecedentes|historia(?: clinica)?|anamnesi"
    ),
    "COMPARISON": (
        "comparisons?|comparison\\(s\\)|comparison (?:study|studies|exams?|films?)|priors?|prior (?:study|studies|exams?)|"
        "previous (?:study|studies)|vergleich|voraufnahmen?|voruntersuchung(?:en)?|comparaison|comparatifs?|"
        "examens? anterieurs?|comparacion|estudios? previos?|confronto|esami precedenti|comparacao|exames anteriores"
    ),
    "TECHNIQUE": (
        "techniques?|procedure and technique|technical (?:note|details|factors)|protocol|technik|aufnahmetechnik|"
        "untersuchungstechnik|methode|methodik|protocole|tecnica|metodo|metodica"
    ),
    "EXAMINATION": (
        "exam|examination|examinations|study|procedure|type of (?:exam|examination|study)|exam type|untersuchung|examen|"
        "type d'examen|estudio|exploracion|esame|tipo di esame|exame"
    ),
    "RECOMMENDATION": (
        "recommendations?|recommendation\\(s\\)|follow[- ]?up|plan|empfehlung(?:en)?|procedere|recommandations?|"
        "recomendacion(?:es)?|raccomandazion[ei]|recomendac(?:ao|oes)"
    ),
    "NOTIFICATION": "notifications?|critical results?|communication(?: of critical results?)?",
    "WET READ": "wet read|preliminary report|preliminary read|provisional findings impression(?: \\(pfi\\))?|pfi",
    ADDENDUM: (
        "addend(?:um|a)(?: ?#?\\d+)?|addendum to (?:the )?(?:original |final )?report|final addendum|amend(?:ment|ed report)|"
        "nachtrag|erganzung|addendo|adend[oua]m?|complement"
    ),
    "SIGNATURE": (
        "(?:electronically |digitally )?(?:signed|verified|approved|authenticated)(?: and verified)?(?: by| on)?|"
        "(?:dictated|transcribed|interpreted|reported|read|reviewed|finali[sz]ed)(?: and signed)? (?:by|on)|"
        "signature|attending(?: radiologist)?|radiologist|resident|transcriptionist|reading physician|unterschrift|"
        "signe par|firmado por|firma|firmato da|assinado por"
    ),
}
"""Patterns without accents, in small letters; of two names that share a spelling the first here counts."""

STRONG = frozenset(
    re.findall(
        r"\w+",
        "findings finding impression impressions conclusion conclusions indication comparison technique addendum befund "
        "beurteilung fragestellung hallazgos reperto conclusiones conclusioni achados",
    )
)
"""Spellings that are no words of a sentence where they open a line in small letters before a colon."""

KNOWN = "|".join(f"(?:{spellings})" for spellings in _SPELLINGS.values())
_EXACT = [(name, re.compile(spellings)) for name, spellings in _SPELLINGS.items()]
_BY_WORD = (
    ("NOTIFICATION", re.compile(r"\bnotif|\bcommunicat|\bcritical")),
    (ADDENDUM, re.compile(r"\baddend|\bnachtrag\b")),
    ("WET READ", re.compile(r"\bwet read|\bprovisional|\bpreliminary report")),
    ("SIGNATURE", re.compile(r"\bsigned\b|\bdictated\b|\btranscribed\b|\bverified by\b|\bapproved by\b|\bcc$|\bsignature\b")),
    ("COMPARISON", re.compile(r"\bcompar[ie]|\bprior (?:stud|exam|film|radiograph)")),
    ("INDICATION", re.compile(r"\bindication|\breason for\b|\bclinical info")),
    ("HISTORY", re.compile(r"\bhistory\b")),
    ("RECOMMENDATION", re.compile(r"\brecommend")),
    ("TECHNIQUE", re.compile(r"\btechnique|\btechnical\b")),
    (FINDINGS, re.compile(r"\bfindings?\b")),
    (IMPRESSION, re.compile(r"\bimpressions?\b|\bconclusions?\b")),
)
_EXAMINATION = re.compile(
    r"\bchest\b|\bradiograph|\bviews?\b|\bx-?rays?\b|\bfilms?\b|\bportable\b|\bthorax\b|\bcxr\b|\bimages?\b|\bupright\b|\bsupine\b|"
    r"\blateral\b"
)
_ANATOMY = re.compile(
    r"\b(?:lungs?|pleurae?|pleural|heart|cardi\w*|mediastin\w*|hil[ai]\w*|bones?|osseous|skelet\w*|soft tissues?|diaphragm\w*|"
    r"abdomen|airways?|trachea\w*|vascul\w*|aorta|lines?|tubes?|devices?|hardware|support|spine|ribs?|pulmonary|"
    r"lunge\w*|herz\w*|knoch\w*|poumons?|coeur|pulmon\w*|corazon|cuore|polmon\w*|ossa|huesos)\b"
)

_BASE = str.maketrans(
    "ÀÁÂÃÄÅàáâãäåÇçÈÉÊËèéêëÌÍÎÏìíîïÑñÒÓÔÕÖØòóôõöøÙÚÛÜùúûüÝýÿŠšŽžß",
    "AAAAAAaaaaaaCcEEEEeeeeIIIIiiiiNnOOOOOOooooooUUUUuuuuYyySsZzs",
)


def without_accents(text: str) -> str:
    """The text with plain letters in place of accented ones, character by character: offsets hold."""
    return text.translate(_BASE)


@lru_cache(maxsize=2**14)
def name_of(title: str) -> str | None:
    """The name of a title that is one of the known spellings; None for any other."""
    written = _plain(title)
    return next((name for name, spellings in _EXACT if spellings.fullmatch(written)), None)


@lru_cache(maxsize=2**14)
def name_by_words(title: str) -> str | None:
    """The name of a title in capitals by the words in it ("CHEST FINDINGS"); None where they tell nothing."""
    written = _plain(title)
    return name_of(title) or next((name for name, words in _BY_WORD if words.search(written)), None)


def is_examination(title: str) -> bool:
    """Whether a title says what was taken ("PORTABLE CHEST RADIOGRAPH"): findings follow it."""
    return bool(_EXAMINATION.search(_plain(title)))


def is_anatomy(title: str) -> bool:
    """Whether a title names a part of the body ("LUNGS AND PLEURA"): it opens a paragraph of the findings."""
    return bool(_ANATOMY.search(_plain(title)))


def _plain(title: str) -> str:
    return " ".join(without_accents(title).lower().split())
