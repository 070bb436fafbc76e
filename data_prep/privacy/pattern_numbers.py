"""Numbers that lead to a person: labelled ids, national ids, telephones, addresses of the net, serial numbers, rooms.

Strings for `patterns`, to be matched without case. A label stays (group `keep`), its value goes.
"""

from data_prep.privacy.pattern_dates import NO_SIZE

_STRONG = (
    r"(?:mrn|m\.r\.n\.|med(?:ical)?\.?[ \t]*rec(?:ord)?\.?|patient[ \t]*(?:id|no|number|nr)|pat\.?[ \t-]*(?:id|nr|no)|"
    r"patid|patnr|pid|"
    r"patienten[ -]?(?:nr|nummer|id)|patientnr|fall[ -]?(?:nr|nummer|id|zahl)|aufnahme[ -]?(?:nr|nummer)|"
    r"auftrags?[ -]?(?:nr|nummer)|"
    r"befund[ -]?(?:nr|nummer)|untersuchungs[ -]?(?:nr|nummer)|versicherten[ -]?(?:nr|nummer)|kv[ -]?nr|"
    r"acc(?:ession)?(?:[ \t]*(?:no|number|nr|\#))?|study[ \t]*(?:id|uid|no|number)|exam[ \t]*(?:id|no|number)|ssn|"
    r"social[ \t]*security|nhs|"
    r"hospital[ \t]*(?:no|number|id)|unit[ \t]*(?:no|number)|encounter[ \t]*(?:no|number|id)?|visit[ \t]*(?:no|number|id)|"
    r"case[ \t]*(?:no|number|id)|order[ \t]*(?:no|number|id)|account[ \t]*(?:no|number)|csn|har|fin|ipp|nip|nda|nir|"
    r"n[°º][ \t]*(?:de[ \t]*)?(?:dossier|s[ée]cu)|num[ée]ro[ \t]*(?:de[ \t]*)?(?:dossier|patient|"
    r"s[ée]curit[ée][ \t]*sociale)|dni|nie|nif|nuhsa|nhc|"
    r"historia(?:[ \t]*cl[ií]nica)?[ \t]*(?:n[°º.o]*)?|codice[ \t]*fiscale|cod\.?[ \t]*fisc\.?|nosologico|cartella|"
    r"tessera[ \t]*sanitaria|"
    r"bsn|burgerservicenummer|pati[eë]nt(?:en)?nummer|personnummer|persnr|pnr|cpr|cpr[ -]?nr|f[øo]dselsnummer|"
    r"henkil[öo]tunnus|"
    r"cpf|rg|cart[ãa]o[ \t]*sus|sus|prontu[áa]rio|utente|pesel|ahv|chi[ \t]*(?:no|number)|ihi|medicare(?:[ \t]*(?:no|"
    r"number))?|"
    r"health[ \t]*card(?:[ \t]*(?:no|number))?|insurance[ \t]*(?:no|number|id)|member[ \t]*id|policy[ \t]*(?:no|number)|"
    r"licen[cs]e[ \t]*(?:no|number)|"
    r"passport(?:[ \t]*(?:no|number))?|ausweis(?:nummer|nr)?|npi|dea[ \t]*(?:no|number))"
)
_WEAK = (
    r"(?:medical record|acc|order|account|case|hospital|study|exam|patient|ref|reference|report|requisition|specimen|"
    r"invoice|file|chart)"
)
_NUMBER_WORD = r"(?:[ \t]*(?:no\b\.?|number\b|num\b\.?|nr\b\.?|n[°º.]|id\b|\#))?"
_VALUE = r"(?=[\w/.-]*\d)[A-Z]{0,5}[\w/-]{0,40}(?:\.\d{2,4}(?!\d*[ \t]*(?:cm|mm)))*"
_GROUPS = rf"(?:[A-Z]{{1,4}}[ \t])?{_VALUE}(?:[ \t](?=\d{{2,4}}\b{NO_SIZE}(?![/:-]\d))\d{{2,4}}){{0,6}}(?:-\d{{1,2}}\b)?"

IDS = (
    rf"\b(?P<keep>{_STRONG}\b{_NUMBER_WORD}[ \t]*\.?(?:(?:[:#=(]|is\b|->)[ \t]*#?|[ \t](?=[\w/-]*\d{{2}}))){_GROUPS}",
    rf"\b(?P<keep>{_WEAK}(?:[ \t]*(?:no\.?|number|num\.?|nr\.?|id|\#)[ \t]*[:#]?[ \t]*|[ \t]*[:#][ \t]*(?=[\w/-]*\d{{3}})|"
    rf"[ \t](?=[\w/-]{{0,20}}\d{{3}})))(?=[\w/-]*\d)[\w/-]{{1,40}}",
    r"\b(?P<keep>(?:serial|s/n|sn|lot|batch|device|implant)(?:[ \t]*(?:no\b\.?|number\b|nr\b\.?|id\b|\#)[ \t]*[:#]?|"
    r"[ \t]*[:#])[ \t]*)"
    r"(?=[\w/-]{0,30}\d)[\w/-]{2,40}",
    r"\b(?P<keep>(?:dob|d\.o\.b\.?|date of birth|birth ?date|born(?:[ \t]+on)?|geb(?:oren)?\.?(?:[ \t]+am)?|geburtsdatum|"
    r"geb\.?-?datum|"
    r"n[ée]e?(?:\(e\))?[ \t]+le|date de naissance|ddn|fecha de nacimiento|f\.?[ ]?nac\.?|nacid[oa](?:[ \t]+el)?|"
    r"data di nascita|nat[oa][ \t]+il|"
    r"data de nascimento|nascid[oa](?:[ \t]+em)?|geboortedatum|geboren[ \t]+op|f[øo]dt|"
    r"f[öo]dd)\b[ \t:.]*)\d[\d/. -]{1,10}\d\b",
    r"\b\d{3}-\d{2}-\d{4}\b",
    r"\b(?:19|20)?\d{6}[-+]\d{4}\b",
    r"\b\d{6}[-+A]\d{3}[0-9A-Z]\b",
    r"\b(?-i:[XYZ])?-?\d{7,8}-?(?-i:[A-Z])\b",
    r"\b[12][ ]\d\d[ ]\d\d[ ]\d[\dAB][ ]\d{3}[ ]\d{3}(?:[ ]\d\d)?\b",
    r"\b(?-i:[A-Z]{6}\d\d[A-Z]\d\d[A-Z]\d{3}[A-Z])\b",
    r"\b\d{3}\.\d{3}\.\d{3}-\d\d\b",
    r"\b\d{3}\.\d{4}\.\d{4}\.\d\d\b",
    r"\b\d{3}[ ]\d{3}[ ]\d{3,4}\b",
    r"\b\d{4}[ -]\d{3,4}[ -]\d{3,4}(?:[ -]\d{4})?\b",
    r"\b\d{4}[ ]\d{5}[ ]\d\b",
    r"\b(?:[A-Z]{1,4}-?)?\d{6,}\b(?!\.\d)",
    r"\b[A-Z]{1,3}-?\d{5,}\b",
    r"\b\d+(?:\.\d+){5,80}\b",
)

REACH = (
    r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,6}",
    r"\b(?:https?://|ftp://|www\.)[^\s<>]{1,2000}[^\s.,;)<>]",
    r"(?<![\w.-])(?:[a-z0-9-]{1,63}\.){1,5}(?:org|com|net|edu|gov|mil)\b(?:/[^\s<>,;)]{0,500})?",
    r"(?<![\w.-])(?:[a-z0-9-]{1,63}\.){2,5}(?-i:uk|de|fr|es|it|nl|ch|at|be|se|no|dk|fi|pt|br|ca|au|us|local|lan)\b",
    r"(?:\b[A-Z]:\\|\\\\)[^\s]{1,500}",
    r"(?<![\w.-])[\w-]{1,80}(?:\.[\w-]{1,20}){0,4}\.(?:dcm|dicom|jpe?g|png|pdf|docx?|txt|rtf|tiff?|bmp|xml|hl7)\b",
    r"\b\d{1,3}(?:\.\d{1,3}){3}\b",
    r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b",
    r"(?:\+\d{1,3}[ .-]?)?(?:\(\d{3}\)[ .-]?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b(?:[ \t]*(?:x|ext\.?)[ \t]*\d{1,6})?",
    r"\+\d[\d ().-]{7,20}\d\b",
    r"\b\d{3}-\d{4}\b" + NO_SIZE,
    r"\b0\d{2,5}[ ]?[/-][ ]?\d{2,8}(?:[ ]\d{2,4}){0,3}(?:-\d{1,5})?\b",
    r"\b0\d{2,4}[ ]\d{3,4}[ ]\d{3,4}\b",
    r"\b0\d(?:[ .-]\d\d){4}\b",
    r"\b(?P<keep>(?:phone|tel(?:ephone|efon|éfono|efono|efone)?|t[ée]l(?:[ée]phone)?|fon|fax|telefax|pager|beeper|bleep|"
    r"ext(?:ension)?|cell|"
    r"mobile?|handy|durchwahl|dw|dect|call[ -]?back|contact number|whatsapp)\b(?:[ \t]*(?:no|nr|number))?[ \t#:.]*)"
    r"\(?\+?\(?\d[\d .()/-]{1,20}\d",
    r"(?<![\w.])x[ ]?\d-?\d{4}\b",
    r"(?<![\w.])x\d{4,6}\b",
)

ROOMS = (
    r"\b(?P<keep>(?:room|rm|bed|bay|ward|zimmer|zi|bett|chambre|habitaci[óo]n|cama|stanza|letto|kamer|sala|quarto|"
    r"leito)\b\.?[ \t]*"
    r"(?:no\b\.?|nr\b\.?|n[°º]|\#|:)?[ \t]*)(?-i:[A-Z]{0,2})-?\d{1,4}(?-i:[A-Z])?(?:-\d{1,3}|[ \t]*/[ \t]*\d{1,3})?\b"
    + NO_SIZE,
    r"\b(?P<keep>(?-i:Station)[ \t]+)(?-i:[A-Z]{0,2}\d{1,3}[A-Z]?)\b(?![ \t,]*(?:lymph|node|lk\b|and|or|,|/))",
)
