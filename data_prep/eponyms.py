"""Phrases of medicine that hold names of persons: what the scrub leaves alone whoever the patient is.

A patient called Hodgkin is still removed from "Hodgkin was seen": the eponym counts only as a compound ("Swan-Ganz") or
together with what it names ("Hodgkin lymphoma", "sign of Westermark"). After a title ("Mr. Hodgkin lymphoma") it is a person.
"""

import re

_COMPOUNDS = (
    r"Swan[ -]?Ganz|Hill[ -]Sachs|Cheyne[ -]Stokes|Hamman[ -]Rich|Churg[ -]Strauss|Mallory[ -]Weiss|Blalock[ -](?:Taussig|Hanlon)|"
    r"Ehlers[ -]Danlos|Birt[ -]Hogg[ -]Dub[eé]|(?:Osler|Rendu)[ -](?:Weber[ -](?:Rendu|Osler)|Osler[ -]Weber)|Klippel[ -](?:Feil|"
    r"Trenaunay)|Carpentier[ -]Edwards|Starr[ -]Edwards|Bj[oö]rk[ -]Shiley|Medtronic[ -]Hall|Ross[ -]Konno|Waterston[ -]Cooley|"
    r"St\.?[ ]Jude(?:[ ]Medical)?|Sengstaken[ -]Blakemore|Salter[ -]Harris|Erdheim[ -]Chester|Sister[ ]Mary[ ]Joseph|"
    r"Lady[ ]Windermere|Mounier[ -]Kuhn|Williams[ -](?:Campbell|Beuren)|Swyer[ -]James|Stevens[ -]Johnson|Graham[ ]Steell|"
    r"Austin[ ]Flint|Howell[ -]Jolly|Mach[ ]bands?|Bird'?s[ ]nest|Van[ ]Praagh|Kerley['’]?s?[ -]?[ABC]|Golden[ ]S|"
    r"Stanford[ ](?:type[ ])?[AB]|De[ ]?Bakey[ ](?:type[ ])?I{1,3}[ab]?|Gleason[ ](?:score[ ])?\d|Marie[ -](?:Str[uü]mpell|"
    r"Bamberger)|Charcot[ -](?:Leyden|Marie[ -]Tooth)|Garland[ ]triad|Pancoast[ -]Tobias|May[ -]Thurner|Budd[ -]Chiari|Wolff[ -]"
    r"Parkinson[ -]White|Eaton[ -]Lambert|Lambert[ -]Eaton|Guillain[ -]Barr[eé]|Epstein[ -]Barr|Zollinger[ -]Ellison|Plummer[ -]"
    r"Vinson|Peutz[ -]Jeghers|Von[ ](?:Hippel[ -]Lindau|Willebrand|Recklinghausen)|Chester[ -]Erdheim|Rosai[ -]Dorfman|Hand[ -]"
    r"Sch[uü]ller[ -]Christian|Letterer[ -]Siwe|L[oö]fgren|Loeys[ -]Dietz|Shone'?s?[ ]complex|Henoch[ -]Sch[oö]nlein|"
    r"Chediak[ -]Higashi|Hermansky[ -]Pudlak|Wiskott[ -]Aldrich|Di[ ]?George[ ]syndrome|Ellis[ -]van[ ]Creveld|Holt[ -]Oram|Prader[ -]Willi|"
    r"Rubinstein[ -]Taybi|Cornelia[ ]de[ ]Lange|Poland[ ]sequence|Pierre[ ]Robin|Niemann[ -]Pick|Bland[ -]White[ -]Garland|Riley[ -]Day|Bernard[ -]Horner|Port[ -]?A[ -]?Cath|Ivor[ -]Lewis|"
    r"Jackson[ -]Pratt|Roux[ -]en[ -]Y|Billroth[ ]I{1,2}|Schuller[ -]Christian|"
    r"Salem[ ]sump|Miller[ -]Abbott|Passy[ -]Muir|Ross[ ]"
    r"procedure|Damus[ -]Kaye[ -]Stansel|Cotrel[ -]Dubousset|Denis[ -]Drash|"
    r"Child[ -](?:Pugh|Turcotte[ -]Pugh)|Glasgow[ ]coma|Apgar|Wells['’]?[ ](?:score|criteria)|Will[ ]Rogers|Brock[ ](?:model|"
    r"score)|Ann[ ]Arbor|Mayo[ ]score|Murray[ ]"
    r"score|Light['’]?s[ ]criteria|March[ ]fractures?|Chance[ ]fractures?|Jefferson[ ]fractures?|"
    r"Jones[ ]fractures?|Smith['’]?s?[ ]fractures?|Le[ ]?Fort|Hangman'?s?|"
    r"Reid['’]?s?[ ]index|Hoover['’]?s?[ ]sign|Allen[ ]test|Gram[ -](?:positive|negative|stain)|Ziehl[ -]Neelsen|"
    r"Pap[ ]smear|Potter[ -]Bucky|"
    r"Kayser[ -]Fleischer|Murphy['’]?s?[ ]sign|Beck['’]?s?[ ]triad|Levine['’]?s?[ ]sign|Grey[ -]Turner|"
    r"Christmas[ ]disease|Crazy[ -]paving|Adams[ -]Stokes|Stokes[ -]Adams|Brown[ -]S[eé]quard|Legg[ -]Calv[eé](?:[ -]Perthes)?|"
    r"Osgood[ -]Schlatter|Baker['’]?s?[ ]cyst|Sever['’]?s[ ]disease"
)
_NAMES = (
    r"Clagett|Eloesser|Hickman|Broviac|Groshong|Quinton|Tesio|Cantor|Foley|Shiley|Bivona|Heimlich|Jatene|Glenn|"
    r"Harrington|Luque|Kirschner|Steinmann|Ranson|Karnofsky|Bosniak|Haller|Cobb|Fleischner|Brasfield|Framingham|"
    r"Agatston|Boyden|Lister|Todd|Barton|Bennett|Rolando|Segond|Maisonneuve|Tillaux|Bankart|Mantoux|Bouin|Coombs|"
    r"Doppler|Bragg|Compton|Bucky|Lysholm|Judkins|Amplatz|Seldinger|Virchow|Homans|Cullen|Horner|Madelung|Heberden|"
    r"Bouchard|Freiberg|Langerhans|Hounsfield|Lugano|Roux|R[oö]ntgen|Kienb[oö]ck|K[oö]hler|Kerley|Allen|Murray|"
    r"Dob{1,2}[ -]?hoff|"
    r"Hodgkin|Hickman|Ghon|Ranke|Pancoast|Westermark|Hampton|Chilaiditi|Morgagni|Bochdalek|Larrey|"
    r"Kartagener|Wegener|Goodpasture|Marfan|Ewing|Kaposi|Paget|Schmorl|Cushing|Crohn|Parkinson|Alzheimer|Castleman|Hamman|Mendelson|"
    r"Caplan|Sj[oö]gren|Beh[cç]et|Takayasu|L(?:oe|ö)ffler|Boerhaave|Zenker|Barrett|Nissen|Whipple|Cobb|Scheuermann|Eisenmenger|Ebstein|"
    r"Fallot|Fontan|Rastelli|Norwood|Bentall|Rasmussen|Rigler|Hirschsprung|Recklinghausen|Trendelenburg|Valsalva|Pott|"
    r"Hashimoto|Addison|Gorham|Sprengel|Monteggia|Galeazzi|Colles|Luschka|Greenfield|Lisfranc|Schatzki|Tietze|"
    r"Mondor|Scimitar|Luftsichel|Mach|Gleason|Young|Macklin|Naclerio|Clara|Kulchitsky|Kohn|Lambert|Down|Turner|Ross|Still|Graves?|Bennett|Golden|Poland|Mustard|Senning|"
    r"Fowler|Hamilton|Carney|Jones|Smith|Potter|Noonan|Edwards|Patau|Gaucher|Niemann|Legionnaires?|Lyme|Hughes|Hunter|Hurler|"
    r"Wilson|Gorlin|Moore|Monod|Simon|Williams|Cooper|Starling|MacLeod|Felson|Fleming|Freundlich|Raynaud|Dressler|Chagas|Kawasaki|"
    r"Kikuchi|Kimura|Burkitt|Waldenstr[oö]m|Askin|Wilms|Kawashima|Brugada|Lown|Buerger|Moersch|Meigs|Lemierre|Ludwig|Libman|Osler|"
    r"Janeway|Austrian|Roth|Ortner|Kussmaul|Bainbridge|Gibbon|Blake|Kehr|Bull|Lazarus|Monaldi|Abrams|Cope|"
    r"Bird|Twining|Sabiston|Sibson|Louis|Traube|Gerhardt|Skoda|Zahn|Aschoff|Masson|Michaelis|Gottron|Heerfordt|Mikulicz|"
    r"Darier|Sweet|Good|Riley|Ross|Garland|Kommerell|Uhl|Roger|Lutembacher|Taussig|Bing|"
    r"Kugel|Vieussens|Thebesius|Chiari|Arantius|Botallo|Todaro|Koch|Luetscher|Lasegue|Erb|Klumpke|Duchenne|Becker|Steinert|"
    r"Pompe|Fabry|Hers|McArdle|Bruton|Letterer|Niemann|Pick|Tay|Morquio|Sly|Scheie|Jeune|Jarcho|Levin|Lewis|Nuss|Ravitch|Clerf|"
    r"Huntington|Friedreich|Bell|Tourette|M[eé]ni[eè]re|Perthes|Dupuytren|Volkmann|Charcot|Baker|Forestier|Reiter|Felty|Jaccoud|"
    r"Gardner|Lynch|Turcot|Cowden|Li|Bloom|Fanconi|Diamond|Werner|Conn|Sheehan|Schmidt|Riedel|Plummer|De Quervain|Quervain|Cori|"
    r"Saldino|Currarino|Silver|Cantrell|Sinding|Blount|Caffey|Ollier|Maffucci|McCune|Albright|Jaffe|Lichtenstein|Erlenmeyer|"
    r"Looser|Milkman|Brodie|Codman|Hawkins|Kager|Boehler|Bigelow|Spigel|Petit|Richter|Littre|Amyand|Maydl|Hesselbach"
)
_NOUN = (
    r"(?:diseases?|syndromes?|sign|triad|tetrad|pentad|lines?|lymphomas?|sarcoma|hump|nodes?|tubes?|tubing|catheters?|fractures?|lesions?|"
    r"hernias?|procedure|operation|shunt|valves?|rods?|filters?|angle|tumou?rs?|granulomatosis|granuloma|complex|cells?|histiocytosis|"
    r"anomaly|position|criteria|classification|contracture|deformity|palsy|phenomenon|effect|bands?|sump|murmur|pouch|cysts?|"
    r"o?esophagus|diverticulum|fundoplication|manoeuvre|maneuver|aneurysm|pneumonia|pneumonitis|ring|thyroiditis|nodules?|guidelines?|"
    r"tetralogy|score|index|stage|drain|bag|test|stain|repair|lymphadenopathy|arteritis|vasculitis|canal|foramen|space|area|point|"
    r"method|law|curve|body|bodies|membrane|duct|ligament|fascia|gland|artery|vein|sinus|septum|dystrophy|ataxia|chorea|"
    r"myocarditis|endocarditis|arthritis|arthropathy|carcinoma|adenopathy|macroglobulinemia|port|line|clip|button|stent|graft|pump|"
    r"cannula|trocar|electrode|switch|anastomosis|esophagectomy|gastrectomy|thoracoplasty|thyroid|foot|sulcus|notch|knobs?|nest|"
    r"units?|study|studies|ultrasound|respirations?|breathing|pulse|disorder|anemia|purpura|phlebitis|asthma|lung|heart|fluid|technique|step|view|stroke|window|flap|virus|angina|trichrome|attack|tear|scale|syndromes|society)"
)

EPONYM = re.compile(
    rf"\b(?:(?:{_COMPOUNDS})|(?:non[ -])?(?:{_NAMES})(?:['’]?s)?[ -](?:[ABC][ -]|type[ ](?:[ABC]|I{{1,3}}|\d)[ ]|cell[ ])?{_NOUN}|"
    r"(?:tetralogy|foramen|hernia|pores|canals?|triad|tetrad|sign|disease|syndrome|ligament|angle|sinus|valves?|space|maladie|line|"
    r"ampulla|circle|islands?|law|node|antrum|diverticulum) (?:of|de) (?:"
    rf"{_NAMES}|Louis|Virchow|Vater|Willis|Oddi|Treitz|Winslow|Monro|Kerckring|Kohn|Lambert|Hering|Retzius|Botallo|Leriche|Troisier))"
    r"\b(?:['’]s\b)?",
    re.IGNORECASE,
)
"""Matches a phrase that is medicine whoever the patient is."""
