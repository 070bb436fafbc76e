"""Where a person's name is announced: by a title, a label, a verb or a degree, in seven languages.

Strings for `patterns`, to be matched without case but for the name itself, which must begin with a capital. In the groups
`weak` and `person` stands a name whose trigger has other uses too: it goes unless it is made of report words ("MR Brain")
or, for `person`, of words that hardly ever name anybody ("Patient: Rotated"; but "Patient: Hope" goes).
"""

from data_prep.privacy.pattern_places import UPPER

_NOT_A_NAME = (
    r"(?!(?:was|were|is|has|had|at|on|by|of|the|and|with|in|to|for|from|who|via|as|if|[ai](?!\.)|no|not|this|that|an|am|pm|"
    r"notified|informed|stated|states|reports|read|reviewed|agrees|denies|presents|complains|findings|impression|indication|"
    r"history|comparison|technique|conclusion|examination|exam|chest|radiology|recommendation|addendum|und|mit|hat|wurde|ist|"
    r"befund|beurteilung|electronically|date|time|phone|fax|dob|mrn|age|sex|acc|accession|md|reading|ordering|attending|"
    r"referring|dictating|initials|signed|dictated|transcribed)\b)"
)
_NAME = (
    rf"(?-i:(?:[{UPPER}]\.(?:[ ]?[{UPPER}]\.)?|(?:St|Mc|Mac)\.?[ ]?[{UPPER}][\w'’]{{1,30}}|"
    rf"[{UPPER}][\w'’]{{0,30}})(?:-[{UPPER}][\w'’]{{0,30}}){{0,2}})"
)
_PARTICLES = r"(?:(?:de|van|von|den|der|da|dos|del|della|di|la|le|el|al|bin|ter|ten|zu|y|e)[ \t]+){0,3}"
NAMES = rf"{_PARTICLES}{_NOT_A_NAME}{_NAME}(?:,?[ \t]+{_PARTICLES}{_NOT_A_NAME}{_NAME}){{0,3}}"
_TITLES = (
    r"(?:(?:dr|drs|prof|mr|mrs|mister|doctor|professor|miss|nurse|monsieur|madame|mme|mlle|docteur|herrn?|frau|dott|"
    r"dott\.ssa|dra|sra|"
    r"se[ñn]or|se[ñn]ora|signora?|sig\.ra|dhr|mevr|dokter)\b\.?|(?:ms|sr|sig|hr|fr|mw|pd|priv|rev)\.|(?-i:Ms|M\.)(?=[ \t]))"
)
_SURE_TITLES = (
    r"(?-i:(?:Drs?|Prof|Mrs?|Mister|Doctor|Professor|Monsieur|Madame|Mme|Mlle|Docteur|Herrn?|Frau|Dott|Dra|Señora?|"
    r"Signora?|Dhr|Mevr)\b\.?|"
    r"(?:DRS?|PROF|MRS?|MS|Ms)\.|MRS\b)"
)
_DEGREES = r"(?:[ \t]*(?:prof|dr|med|h\.[ ]?c|rer|nat|phil|dent|univ|priv|doz|dipl|ing|md)\b[.-]*){0,5}"
_CREDENTIALS = (
    r"(?-i:M\.?D\b\.?|D\.O\.|DO\b|MBBS|MBChB|FRCR|FRCP|FRCS|FACR|MRCP|R\.N\.|RN\b|PA-C\b|NP\b|ARNP|CRNP|APRN|DNP|Ph\.?D\b\.?|"
    r"R\.?T\.?[ ]?\(R\)|RRA\b|Facharzt|Fachärztin|Oberarzt|Oberärztin|Chefarzt|Chefärztin|Assistenzarzt|Assistenzärztin)"
)
_DID = (
    r"(?:signed|dictated|transcribed|approved|verified|interpreted|reported|read|finalized|finalised|reviewed|"
    r"authenticated|called|"
    r"communicated|relayed|discussed|conveyed|telephoned|paged|typed|attested|validated|released|edited|entered|performed|"
    r"ordered|"
    r"requested|referred|seen|notified|acknowledged|confirmed|spoken|spoke|talked|accompanied)"
)
_DID_ELSEWHERE = (
    r"(?:befundet von|diktiert von|geschrieben von|freigegeben von|validiert von|zugewiesen von|überwiesen von|"
    r"besprochen mit|"
    r"r[ée]dig[ée] par|valid[ée] par|sign[ée] par|dict[ée] par|prescrit par|adress[ée] par|firmado por|informado por|"
    r"dictado por|"
    r"validado por|solicitado por|refertato da|firmato da|validato da|richiesto da|laudado por|assinado por|beoordeeld door|"
    r"gedicteerd door|verslagen door|aangevraagd door)"
)
_ROLES = (
    r"(?:attending(?: physician| radiologist)?|(?:staff |reading |interpreting )?radiologist|resident|fellow|technologist|"
    r"tech|radiographer|sonographer|"
    r"(?:referring|ordering|requesting|primary care|consulting|family)[ \t]+(?:physician|doctor|provider|md|clinician)|"
    r"physician|clinician|"
    r"requested by|ordered by|referrer|referral|patient name|name of patient|patient|pt name|pt|name|first name|last name|"
    r"full name|surname|maiden name|"
    r"family name|given name|attn|attention|initials|(?:reading|ordering|attending|referring|dictating)(?: md| provider)?|"
    r"signed|dictated by|author|provider|surgeon|consultant|gp|pcp|nurse|next of kin|emergency contact|contact|guardian|"
    r"patientin|patientenname|nachname|vorname|familienname|geburtsname|überweiser|ueberweiser|zuweiser|einweiser|"
    r"zuweisender arzt|"
    r"anfordernder arzt|arzt|ärztin|oberarzt|chefarzt|befunder|radiologe|radiologin|mtra|hausarzt|"
    r"nom|pr[ée]nom|nom de naissance|nom du patient|patiente|m[ée]decin(?: prescripteur| traitant| demandeur)?|radiologue|"
    r"prescripteur|"
    r"nombre|apellidos?|nombre y apellidos|paciente|m[ée]dico(?: solicitante| richiedente| curante| solicitante)?|"
    r"radi[óo]log[oa]|"
    r"nome|cognome|nome e cognome|paziente|medico|nome do paciente|naam|voornaam|achternaam|pati[ëe]nt|verwijzer|huisarts|"
    r"radioloog|"
    r"aanvrager|namn|förnamn|efternamn|navn|etternavn|läkare)"
)
_KIN = (
    r"(?:son|daughter|wife|husband|mother|father|brother|sister|mom|dad|partner|spouse|fianc[ée]e?|girlfriend|boyfriend|"
    r"aunt|uncle|cousin|"
    r"niece|nephew|nurse|friend|neighbou?r|caregiver|carer|guardian|grandson|granddaughter|grandmother|grandfather|roommate|"
    r"sohn|tochter|ehefrau|ehemann|mutter|vater|bruder|schwester|enkel|enkelin|fils|fille|[ée]pouse|mari|m[èe]re|p[èe]re|"
    r"fr[èe]re|s[œo]eur|"
    r"hijo|hija|espos[oa]|madre|padre|herman[oa]|moglie|marito|figli[oa]|fratello|sorella|filh[oa]|marido|mãe|pai|"
    r"zoon|dochter|echtgenote|echtgenoot|moeder|vader)"
)
_AGE_FOLLOWS = (
    r"(?=,?[ \t]+(?:is[ \t]+|was[ \t]+)?(?:an?[ \t]+)?(?:___|\d{1,3})[ -]?(?:year|yr|y/?o\b|y\.o|month|day|"
    r"jähr|ans\b|años|anni|anos|jaar))"
)
_SIGNING = (
    r"(?:(?:electronically[ \t]+|digitally[ \t]+|e-?)?(?:signed|dictated|transcribed|typed|verified|approved|"
    r"authenticated|finali[sz]ed|released|attested|reported|"
    r"interpreted|read|reviewed)"
    r"(?:[ \t]+electronically)?(?:[ \t]+(?:and|&|/)[ \t]+\w{4,14}){0,2}[ \t]+by|dictating[ \t]+physician|dictator|"
    r"transcriptionist|transcriber|"
    r"signature|unterschrift|gez\.|vidit|visum)"
)
_SIGNED_WORD = r"(?:dr\.|prof\.|mrs?\.|ms\.|[^\W\d_]\.(?:[^\W\d_]\.)?|[^\W\d_][\w'’-]{0,30})"
_TO_PHYSICIANS = (
    r"(?:c\.?c|copy(?:[ \t]+sent)?[ \t]+to|copies[ \t]+to|kopie(?:[ \t]+an)?|copie(?:[ \t]+[àa])?|copia(?:[ \t]+a)?)"
)

PERSONS = (
    rf"\b{_SURE_TITLES}{_DEGREES}[ \t]+{NAMES}",
    rf"\b{_TITLES}{_DEGREES}[ \t]+(?P<weak>{NAMES})",
    rf"\b(?:drs\b\.?|dr['’]s|doctors)[ \t]+{NAMES}(?:,?[ \t]+(?:and|und|et|y|e|&)[ \t]+{NAMES})?",
    r"\b(?P<keep>by[ \t]+)(?P<person>(?-i:[A-Z]{2,3}))(?=[ \t]*(?:[.\n]|$)|[ \t]+(?:at|on)[ \t]+\d)",
    rf"\b{_TITLES}\n(?P<weak>{NAMES})(?=\n|[ \t]*,)",
    r"\b(?:dr|drs|mr|mrs|ms)\.[ \t]*" + _NOT_A_NAME + r"[a-z][\w'’-]{1,30}",
    rf"\b{NAMES}(?:,[ \t]*|[ \t]+){_CREDENTIALS}(?:,?[ \t]*{_CREDENTIALS}){{0,3}}",
    rf"\b(?P<keep>{_DID}[ \t]+(?:by|to|with)[ \t]*:?[ \t]+)(?P<person>{NAMES})",
    rf"\b(?P<keep>{_DID_ELSEWHERE}[ \t]*:?[ \t]+)(?P<person>{NAMES})",
    rf"\b(?P<keep>{_ROLES}[ \t]*[:=][ \t]*)(?P<person>{NAMES})",
    # A person by place in the sentence: "Patient Jane Roe, DOB ..."
    rf"\b(?P<keep>(?-i:[Pp]atient(?:in)?|PATIENT|Pt\.?|[Pp]aciente|"
    rf"[Pp]aziente)[ \t]+)(?P<person>{NAMES})(?=[ \t]*[,(;][ \t]*(?:dob|d\.o\.b\.|date of birth|born|"
    r"geb|n[ée]e?[ \t]+le|mrn|patient id|id\b|\d{1,3}[ -]?(?:y/?o|years?|yr|j\b|ans|años|anni)|aged?)\b)",
    rf"(?:^|(?<=[.:\n])[ \t]*)(?P<person>{NAMES}){_AGE_FOLLOWS}",
    rf"\b(?P<keep>(?-i:{_KIN})(?:-in-law)?(?:'s name is|[ \t]+(?:is|named|called|name is)|,|:)?[ \t]+\(?)(?P<person>{NAMES})",
    rf"\b(?P<keep>(?-i:named|goes by|a\.?k\.?a\.?|alias|n[ée]e|geborene|geb\.|known as|"
    rf"under the name(?: of)?)[ \t:]+)(?P<person>{NAMES})",
    # Under a signature whatever follows on the line is a name or initials, in capitals or not.
    rf"\b(?P<keep>{_SIGNING}[ \t]*(?::|-|–)[ \t]*){_SIGNED_WORD}(?:(?:[ \t]*[,/][ \t]*|[ \t]+)(?!(?:on|at|am|um|le|date|"
    rf"time)\b){_SIGNED_WORD}){{0,5}}",
    rf"(?:^|(?<=\n))(?P<keep>[ \t]*{_TO_PHYSICIANS}[ \t]*:[ \t]*)[^\n]{{2,300}}",
    # Initials of who dictated and who typed: "JS/kl", "D: JS T: kl".
    r"(?:^|(?<=\n))[ \t]*(?-i:[A-Z]{2,4}[/:](?!lat|obl)[a-z]{2,4}|[a-z]{2,3}/[a-z]{2,3}|[A-Z]{2,3}/[A-Z]{2,3})[ \t]*(?=\n|$)",
    r"(?<=[ \t])(?-i:[A-Z]{2,3}/(?!lat|obl)[a-z]{2,3})[ \t]*(?=\n|$)",
    # The same with a whole name, as the last line: "Wimmer/kalt".
    r"(?:^|(?<=\n))[ \t]*(?-i:(?!\d)[^\W\d_a-z][\w'’-]{2,30}/(?!lat\b|obl\b|abd\b)[^\W\d_A-Z]{2,5})(?=\s*\Z)",
    r"\b(?P<keep>(?-i:[DT])[ \t]*:[ \t]*)(?-i:[A-Z]{2,3}|[a-z]{2,3})(?=[ \t]*(?:\n|$|(?-i:[DT])[ \t]*:|\d))",
)

ANNOUNCED = (
    rf"\b{_ROLES}[ \t]*[:=][ \t]*(?:{_TITLES}{_DEGREES}[ \t]+)?(?P<name>{NAMES})",
    rf"\b(?:{_DID}[ \t]+(?:by|with|to)|{_DID_ELSEWHERE})[ \t]*:?[ \t]+(?:{_TITLES}{_DEGREES}[ \t]+)?(?P<name>{NAMES})",
    rf"\b{_TITLES}{_DEGREES}[ \t]+(?P<name>{NAMES})",
    rf"\b(?P<name>{NAMES})(?:,[ \t]*|[ \t]+){_CREDENTIALS}",
    rf"\b(?-i:{_KIN})(?:-in-law)?(?:[ \t]+(?:is|named|called)|,|:)?[ \t]+\(?(?P<name>{NAMES})",
)
"""Where a report itself says who somebody is: the group `name` may stand anywhere else in it without a trigger."""
