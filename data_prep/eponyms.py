"""Words of radiology that are also names of persons: which phrases the scrub of known names leaves alone.

Only names that a study's header knows are looked up here; no other eponym is ever at risk. A patient called Hodgkin is
still removed from "Hodgkin was seen": the eponym counts only as a compound ("Swan-Ganz") or together with what it names
("Hodgkin lymphoma").
"""

import re

_COMPOUNDS = (
    r"Swan[ -]?Ganz|Hill[ -]Sachs|Cheyne[ -]Stokes|Hamman[ -]Rich|Churg[ -]Strauss|Mallory[ -]Weiss|Blalock[ -]Taussig|"
    r"Ehlers[ -]Danlos|"
    r"Birt[ -]Hogg[ -]Dub[eé]|Osler[ -]Weber[ -]Rendu|Klippel[ -]Feil|Carpentier[ -]Edwards|Starr[ -]Edwards|"
    r"Bj[oö]rk[ -]Shiley|"
    r"St\.?[ ]Jude|Sengstaken[ -]Blakemore|Salter[ -]Harris|Erdheim[ -]Chester|Sister[ ]Mary[ ]Joseph|Lady[ ]Windermere|"
    r"Mounier[ -]Kuhn|Williams[ -]Campbell|Swyer[ -]James|Stevens[ -]Johnson|Graham[ ]Steell|Austin[ ]Flint|Howell[ -]Jolly|"
    r"Pott'?s[ ]disease|Mach[ ]bands?|Bird'?s[ ]nest|Van[ ]Praagh|Kerley[ -]?[ABC]|Golden[ ]S|Stanford[ ](?:type[ ])?[AB]|"
    r"Hounsfield[ ]units?|Gleason[ ]\d|Marie[ -]Str[uü]mpell|Charcot[ -]Leyden|Ross[ ]procedure|Garland[ ]triad|"
    r"Pancoast[ -]Tobias"
)
_NAMES = (
    r"Kerley|Hodgkin|Dob{1,2}hoff|Hickman|Broviac|Groshong|Bankart|Ghon|Ranke|Pancoast|Westermark|Hampton|Chilaiditi|Morgagni|Bochdalek|"
    r"Kartagener|Wegener|Goodpasture|Marfan|Ewing|Kaposi|Paget|Schmorl|Cushing|Crohn|Parkinson|Alzheimer|Castleman|Hamman|Mendelson|"
    r"Caplan|Sj[oö]gren|Beh[cç]et|Takayasu|L(?:oe|ö)ffler|Boerhaave|Zenker|Barrett|Nissen|Whipple|Cobb|Scheuermann|Eisenmenger|Ebstein|"
    r"Fallot|Fontan|Rastelli|Norwood|Bentall|Rasmussen|Rigler|Hirschsprung|Recklinghausen|Foley|Trendelenburg|Valsalva|Langerhans|Pott|"
    r"Hashimoto|Addison|Gorham|Sprengel|Monteggia|Galeazzi|Colles|Mach|Luschka|Greenfield|Harrington|Lisfranc|Schatzki|Virchow|Tietze|"
    r"Mondor|Macklin|Naclerio|Clara|Kulchitsky|Kohn|Lambert|Heimlich|Down|Turner|Ross|Glenn|Still|Graves|Bennett|Golden|Poland|Mustard|"
    r"Fowler|Hamilton|Carney|Jones|Smith|Potter|Noonan|Edwards|Patau|Gaucher|Legionnaires?|Lyme|Hughes|Shiley|Tesio|Salem|Hunter|Hurler|"
    r"Wilson|Gorlin|Moore|Monod|Simon|Williams|Fleischner|Cooper|Starling|Macleod"
)
_NOUN = (
    r"(?:disease|syndrome|sign|triad|lines?|lymphoma|sarcoma|hump|nodes?|tubes?|tubing|catheters?|fracture|lesion|hernia|procedure|"
    r"operation|shunt|valves?|rods?|filter|angle|tumou?r|granulomatosis|granuloma|complex|cells?|histiocytosis|anomaly|position|criteria|"
    r"classification|contracture|deformity|palsy|phenomenon|effect|bands?|sump|murmur|pouch|cyst|o?esophagus|diverticulum|"
    r"fundoplication|manoeuvre|maneuver|aneurysm|pneumonia|ring|thyroiditis|nodules?|guidelines?|tetralogy)"
)

EPONYM = re.compile(
    rf"\b(?:(?:{_COMPOUNDS})|(?:non[ -])?(?:{_NAMES})(?:['’]?s)?[ -](?:[ABC][ -])?{_NOUN}|"
    r"(?:tetralogy|foramen|hernia|pores|canals|triad|tetrad|sign) of (?:"
    rf"{_NAMES}))\b(?:['’]s\b)?",
    re.IGNORECASE,
)
"""Matches a phrase that is medicine whoever the patient is."""

PLAIN_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    in an no as is it at so to by on or of he she we my me us do go be am and but for not with from has had are was his her its
    can mm cm ml pa ap ct mr lat the this that than there what when who how all any one two ten both each few more most same see
    long small short large little young old hill wood woods field fields rice stone waters white black brown gray
    grey green may will mark marks grant drew frank chase hope faith grace joy dawn rose stead day days night king
    price bell ball case cross bond banks fall falls ford park parks pool post power powers reed rush sharp shaw
    strong swift sweet wise best good head hand foot leg arm heart bone neck chin cheek back left right upper
    lower middle mid center base lobe major minor low high lightfoot light moon north south east west winter
    summer march april june august cook baker page pages chest lung normal clear patient view views line tube port
    ring bar bars coil rod wire stent valve clip clips area mass node nodes block close change check early late
    new past rule save search see show sign state stable still study tip top turn wedge wall walls wells york
    angle apex art black bright burn burns cage chamber church coin cold dome down dye edge ending finding
    findings fine free full gap gas glass ground hard hazel hide hood hook image interval ivory jewel lateral
    frontal level lines love male female marrow may mean moody moss nail noble page pain pale pane peak pearl pink
    place plain plate point pole quick ray rich rim rivers root round sands seal shade shadow single skin sky
    slack small snow soft space spear spine spring star steel storm street strain stream sun swell tall thin thick
    tree trunk vein vessel ward warm wash water web weeks year years young zone
    """,
    )
)
"""Words that reports use in their plain sense and that are also names."""
