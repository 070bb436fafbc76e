"""Dates, times of day and years as reports write them, in seven languages; strings for `patterns`, to be matched without case.

3/4/21 · 2021-03-04T10:22 · 04.03.2021 · March 4th · 3. März 2021 · le 3 mars · 3 de marzo de 2021 · in 2019 · at 14:35
"""

_ENGLISH = (
    r"jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    r"sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_OTHERS = (
    r"januar|jänner|februar|feber|märz|maerz|mrz|mai|juni|juli|oktober|okt|dezember|dez|"
    r"janvier|janv|f[ée]vrier|f[ée]vr?|mars|avril|avr|juin|juillet|juil|ao[uû]t|septembre|octobre|novembre|d[ée]cembre|"
    r"enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|setiembre|octubre|noviembre|diciembre|"
    r"gennaio|febbraio|aprile|maggio|giugno|luglio|settembre|ottobre|dicembre|"
    r"janeiro|fevereiro|março|marco|maio|junho|julho|setembro|outubro|novembro|dezembro|"
    r"januari|februari|maart|mei|augustus|augusti|maj|desember"
)
_MONTHS = rf"(?:{_ENGLISH}|{_OTHERS})"
_FULL = (
    r"(?-i:January|February|March|April|May|June|July|August|September|October|November|December|Januar|Februar|März|Juni|"
    r"Juli|"
    r"Oktober|Dezember)"
)
YEAR = r"(?:19|20)\d\d"
_RECENT = r"(?:19[3-9]\d|20[0-4]\d)"
_DAY = r"\d{1,2}(?:st|nd|rd|th|er|º|ª)?"
NO_SIZE = (
    r"(?![ \t]*-?[ \t]*(?:cm|mm|ml|cc|mg|g|kg|l|m|hu|pg|ng|ug|mcg|µg|iu|units?|cells|copies|cal|kcal|kvp?|ma|mas|ms|msec|"
    r"bpm|mmhg|"
    r"hours?|days?|weeks?|months?|years?|times|patients|cases|x|by|%)\b|[ \t]*%|[./]\d)"
)
_OF = r"(?:of|de[ \t]l['’]|de|del|di|d['’]|van)?"
_CLOCK = r"(?:[01]?\d|2[0-3])[:.h][0-5]\d(?:[:.][0-5]\d)?"
_COMPARED = (
    r"(?:compar(?:ed|ison)s?|prior|previous|stud(?:y|ies)|exam(?:ination)?s?|films?|radiographs?|cxr|x-?rays?|ct|mri?|"
    r"images?|scans?|"
    r"portable|performed|obtained|taken|last|vorbefund|voraufnahme|vergleich|vergleichsaufnahme)"
)

DATES = (
    rf"\b{YEAR}[-./](?:0?[1-9]|1[0-2])[-./](?:0?[1-9]|[12]\d|3[01])"
    r"(?:[T \t]{1,2}\d\d:?\d\d(?::?\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b",
    rf"\b\d{{1,2}}/\d{{1,2}}/(?:{YEAR}|\d\d)\b{NO_SIZE}",
    rf"\b\d{{1,2}}[ ]/[ ]\d{{1,2}}[ ]/[ ]{YEAR}\b",
    rf"\b\d{{1,2}}[-.][ ]?\d{{1,2}}[-.][ ]?{YEAR}\b",
    # With points or hyphens and two digits of year, only what can be a date: "3.5.10" may be a list or sizes.
    r"(?<![\d.-])(?:0[1-9]|[12]\d|3[01])[-.](?:0[1-9]|1[0-2])[-.]\d\d(?![\d.-])" + NO_SIZE,
    r"(?<![\d.-])(?:0[1-9]|1[0-2])[-.](?:0[1-9]|[12]\d|3[01])[-.]\d\d(?![\d.-])" + NO_SIZE,
    r"\b(?P<keep>(?:vom|am|zum|seit|bis|du|le|del|el|dal|van|op|den)[ \t]+)(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\."
    r"(?:\d\d\b)?(?!\d)",
    rf"\b{_DAY}[ \t]*[-.,/]?[ \t]*(?:{_OF}[ \t]*)(?!(?:may|mar|mars|set|dec|mai|mei|nov|juin|maj|"
    rf"marco)[ \t]+[a-z]){_MONTHS}\.?\b"
    rf"(?:[ \t]*[-.,/]?[ \t]*{_OF}[ \t]*(?:{YEAR}|['’]?\d\d\b){NO_SIZE})?",
    rf"\b{_DAY}[ \t]+of[ \t]+{_MONTHS}\b(?:,?[ \t]+{YEAR}{NO_SIZE})?",
    rf"\b{_DAY}[ \t]*(?:mars|mai|mei|dec|nov)\b",
    rf"\b{_MONTHS}\.?[ \t]+{_DAY}(?:[ \t]*,?[ \t]+{YEAR})?\b{NO_SIZE}",
    rf"\b{_MONTHS}\.?[ \t,/-]*{_OF}[ \t]*(?:{YEAR}|['’]\d\d)\b",
    rf"\b(?:0?[1-9]|1[0-2])/{YEAR}\b",
    # A day and a month alone: "10/10 pain", "from 8/10 to 5/10", "grade 2/6" are none.
    r"\b(?P<keep>(?:on|dated|since|datum|date|vom)[ \t:]+)(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12]\d|3[01])\b(?![/\d]|"
    r"[ \t]*(?:pain|scale))",
    r"\b(?P<keep>(?:on|dated|since|datum|date|vom)[ \t:]+)(?:[12]\d|3[01])/(?:0?[1-9]|1[0-2])\b(?![/\d]|[ \t]*(?:pain|"
    r"scale))",
    r"\b(?P<keep>(?:admitted|discharged|admission|discharge)[ \t:]+)(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|[12]\d|"
    r"3[01])\b(?![/\d])",
    r"\b(?P<keep>(?:signed|dictated|dated|gez\.)[^\n\d]{0,60}[ \t])\d{1,2}\.\d{1,2}\.\d\d\b(?!\.?\d)",
    rf"\b(?P<keep>(?:yob|year of birth|jahrgang)[ \t:]+){YEAR}\b",
    rf"\b(?P<keep>{_COMPARED}\b[^.\n\d]{{0,30}}[ \t:]+)(?:0?[1-9]|[12]\d|3[01])/(?:0?[1-9]|[12]\d|3[01])\b(?![/\d]|"
    rf"[ \t]*(?:pain|scale))",
    rf"\b(?P<keep>(?:in|since|from|of|circa|year|year[ \t]of|seit|im[ \t]jahr|jahr|en|nel|dal|desde|depuis|sinds|anno|"
    rf"until|till|before|"
    rf"after|early|late|mid|dated|{_COMPARED})[ \t]+){_RECENT}\b{NO_SIZE}"
    rf"(?:[ \t]*(?:-|to|and|or|through|bis)[ \t]*{_RECENT}\b{NO_SIZE})?",
    rf"\b(?:spring|summer|fall|autumn|winter|sommer|herbst|q[1-4])(?:[ \t]+of)?[ \t]+{YEAR}\b",
    rf"\({_RECENT}\)",
    rf"\b{_RECENT}(?=[ \t]+(?:ct|cxr|mri|study|exam|examination|radiograph|film|x-?ray|scan)\b)",
    rf"(?:(?<=\bin )|(?<=\bsince )|(?<=\bfrom )|(?<=\blast )|(?<=\buntil )|(?<=\bearly )|"
    rf"(?<=\blate )){_FULL}\b(?![ \t]+(?:fracture|have|be\b))",
    rf"\b{YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[0-2]\d[0-5]\d(?:[0-5]\d)?(?:\.\d+)?)?\b",
)

TIMES = (
    r"\b\d{1,2}:\d\d(?::\d\d)?[ \t]*(?:[ap]\.?[ \t]?m\b\.?|hours\b|hrs?\b|h\b|uhr\b|est\b|edt\b|cst\b|pst\b|utc\b|gmt\b)",
    r"\b\d{1,2}[ \t]*(?:[ap]\.m\.|(?-i:AM|PM)\b|(?<=\d)[ap]m\b|o['’]clock\b)",
    rf"\b(?P<keep>(?:at|@|um|[àa]s|ore|alle|om|kl\.?|time|uhrzeit)[ \t:]+){_CLOCK}\b(?![ \t]*(?:cm|mm|ml))(?:[ \t]*(?:h|"
    rf"hrs?|uhr)\b)?",
    rf"\b{_CLOCK}[ \t]*(?:uhr|hours|hrs|horas|heures)\b",
    r"\b(?:[01]?\d|2[0-3])h[0-5]\d\b",
    r"\b(?:[01]\d|2[0-3])[0-5]\d[ \t]*(?:hrs\b|hours\b|h\b)",
    r"\b(?P<keep>at[ \t]+)(?:[01]\d|2[0-3])[0-5]\d\b" + NO_SIZE,
    r"(?<![\d:./])(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?![\d:/])",
)
