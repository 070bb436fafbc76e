"""Streets, towns with their codes, and hospitals, in seven languages; strings for `patterns`, matched without case.

Hospitals are found by their kind ("North Clinic", "Klinikum Nord", "CHU de Lille") or by the verb before them ("transferred
from Riverside"). In the group `weak` stands what removes nothing where it is made of report words ("Pulmonary Clinic").
"""

UPPER = "A-ZÀ-ÖØ-ÞĀĂĄĆČĎĐĒĖĘĚĞĢĪĮİĶĹĻĽŁŃŅŇŌŐŒŔŘŚŞŠŢŤŪŮŰŲŹŻŽΑ-ΩА-Я"
WORD = rf"(?-i:[{UPPER}][\w'’]{{0,40}}(?:-[\w'’]{{1,40}}){{0,3}})"
_CONNECT = (
    r"(?:(?:de[ \t]+la|de[ \t]+los|de[ \t]+las|de[ \t]+l['’]|de|du|des|d['’]|del|della|dello|di|da|do|dos|la|le|"
    r"les|el|los|of|of[ \t]+the|the|van|von|am|im|an[ \t]der|in)(?:[ \t]+|(?<=['’])))?"
)
_STREET = (
    r"(?-i:Street|STREET|St|Road|ROAD|Rd|RD|Avenue|AVENUE|Ave|AVE|Lane|LANE|Ln|Drive|DRIVE|Boulevard|Blvd|Court|Way|Place|"
    r"Terrace|"
    r"Crescent|Square|Parkway|Pkwy|Highway|Hwy|Gardens|Mews)"
)
_STATES = (
    r"(?-i:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]|"
    r"ON|QC|BC|AB|NSW|VIC|QLD)"
)
_HOUSE = (
    r"(?-i:Hospitals?|HOSPITAL|Medical (?:Center|Centre)|MEDICAL (?:CENTER|CENTRE)|(?:Cancer|Health|Heart|Trauma|"
    r"Children's|Surgery|Imaging|"
    r"Rehabilitation) (?:Center|Centre)|Clinic|CLINIC|Infirmary|INFIRMARY|Health System|Healthcare|Nursing Home|Hospice|"
    r"NHS Trust|"
    r"Radiology Associates|Sanatorium)"
)
_KIND = (
    r"(?-i:Klinikum|Klinik|Kliniken|Universitätsklinik(?:um)?|Universitaetsklinik(?:um)?|Uniklinik|Krankenhaus|Spital|"
    r"Kantonsspital|"
    r"Inselspital|Charité|CHU|CHR|CHRU|CH|Centre [Hh]ospitalier(?: [Uu]niversitaire)?|Hôpital|Hôpitaux|Clinique|"
    r"Polyclinique|Ospedale|Policlinico|"
    r"AOU|Clínica|Clinica|Hospital(?: [Uu]niversitario| [Gg]eneral| [Cc]línico| [Uu]niversitário| [Gg]eral)|Santa Casa|"
    r"Ziekenhuis|UMC|"
    r"Sjukhus(?:et)?|Sykehus(?:et)?|Szpital|MVZ|Praxis|Radiologie)"
)
_MOVED = (
    r"(?:transfer(?:red)?[ \t]+(?:from|to)|transferred[ \t]+(?:here[ \t]+)?from|referred[ \t]+(?:from|to)|"
    r"admitted[ \t]+to|discharged[ \t]+to|"
    r"(?:performed|obtained|taken|seen|done|imaged|treated|acquired)[ \t]+at|outside[ \t]+(?:films?|images|study|ct|"
    r"hospital)[ \t]+from|"
    r"lives[ \t]+in|living[ \t]+in|resident[ \t]+of|native[ \t]+of|from[ \t]+the[ \t]+(?:city|town|village)[ \t]+of|"
    r"wohnhaft[ \t]+in|"
    r"habite[ \t]+[àa]|verlegt[ \t]+(?:aus|von|nach)|zugewiesen[ \t]+von|trasferito[ \t]+da|trasladad[oa][ \t]+(?:de|desde))"
)

PLACES = (
    rf"\b\d{{1,5}}[A-Z]?,?[ \t]+(?:(?:{WORD}|(?-i:[NSEW]\.?)|\d{{1,3}}(?:st|nd|rd|th))[ \t]+){{1,3}}{_STREET}\b\.?"
    rf"(?:,?[ \t]*(?:apt|suite|unit|floor|\#)\.?[ \t]*\w{{1,6}})?"
    rf"(?:,[ \t]*{WORD}(?:[ \t]{WORD})?)?(?:,?[ \t]+{_STATES})?(?:[ \t]+\d{{5}}(?:-\d{{4}})?)?",
    r"\bp\.?[ ]?o\.?[ ]?box[ \t]+\d{1,6}\b",
    rf"\b{WORD}(?:[ \t]{WORD})?,?[ \t]+{_STATES}[ \t]+\d{{5}}(?:-\d{{4}})?\b",
    # German, Dutch and Nordic streets end in their kind; the number stands behind.
    rf"\b(?:{WORD}[ \t-]){{0,2}}(?-i:[{UPPER}][\wäöüß-]{{1,30}}(?:straße|strasse|str\.|gasse|allee|platz|damm|ufer|"
    rf"chaussee|weg|straat|laan|"
    r"plein|gracht|singel|dijk|gatan|vägen|gade|vej))[ \t]?\d{1,4}[ ]?[a-z]?\b",
    rf"\b(?:{WORD}[ \t-]){{1,3}}(?-i:Straße|Strasse|Str\.|Platz|Allee|Weg|Gasse)[ \t]?\d{{1,4}}[ ]?[a-z]?\b",
    r"\b\d{1,4}(?:[ ]?(?:bis|ter))?,?[ \t]+(?:rue|avenue|av\.|boulevard|bd|place|chemin|all[ée]e|impasse|quai|route|"
    r"cours)[ \t]+"
    rf"{_CONNECT}{WORD}(?:[ \t-]{WORD}){{0,3}}",
    rf"\b(?-i:Calle|C/|Avda?\.?|Avenida|Plaza|Paseo|Carrera|Camino|Rua|Travessa|Praça|Via|Viale|Piazza|Corso|Vicolo|"
    rf"Largo)[ \t]+"
    rf"{_CONNECT}{WORD}(?:[ \t]{_CONNECT}{WORD}){{0,3}},?[ \t]*(?:n[º°.][ \t]*)?\d{{1,4}}\b",
    rf"\b(?:D-|CH-|A-|F-|I-)?\d{{4,5}}[ \t]+(?P<weak>{WORD}(?:[ \t-]{WORD}){{0,2}})(?=[ \t]*(?:[,.;)\n]|$))",
    r"\b\d{4}[ ](?-i:[A-Z]{2})\b(?![ \t]*\d)(?:[ \t]+"
    + WORD
    + ")?(?<! CM)(?<! MM)(?<! ML)(?<! CC)(?<! MG)(?<! HU)(?<! AM)(?<! PM)(?<! PA)(?<! AP)",
    r"\b(?-i:(?:[A-Z]{2}\d[A-Z\d]?|[A-Z]\d[A-Z\d])[ ]\d(?!ST|ND|RD|TH|MM|CM|ML|CC|MG)[A-Z]{2})\b",
    rf"\b(?P<weak>(?:(?:(?:St|Mt|Ft)\.?|{WORD})[ \t]+){{1,4}}){_HOUSE}\b(?:[ \t]+of[ \t]+{WORD}(?:[ \t]{WORD})?)?",
    rf"\b(?-i:University[ \t]Hospitals?|Hospital|Medical[ \t]Center|Clinic)[ \t]+(?:of|"
    rf"for)[ \t]+(?:the[ \t]+)?(?P<weak>{WORD}(?:[ \t]{WORD}){{0,3}})",
    rf"\b{_KIND}[ \t-]+{_CONNECT}(?P<weak>(?:St\.[ -]?)?{WORD}(?:[ \t]{_CONNECT}{WORD}){{0,2}})",
    rf"\b(?-i:[{UPPER}][\w.]{{0,30}}(?:-[\w.]{{1,30}}){{0,3}})-?(?-i:-Krankenhaus|-Klinik(?:um)?|-Hospital|-Spital|-Stift|"
    rf"ziekenhuis|"
    r"sjukhuset?|sykehus|klinikum|krankenhaus|spital)\b",
    rf"\b(?P<keep>{_MOVED}[ \t]+(?:the[ \t]+)?)(?P<weak>(?:(?:St|Mt|Ft)\.?[ \t]+)?{WORD}(?:[ \t]+{WORD}){{0,3}})",
)
