"""Words that reports use in their plain sense: a known name that is one of them ("Long", "Ng") needs more than its letters.

Uses: a known name that is also such a word goes only where it stands as a name; a weak trigger ("Patient: Rotated",
"transferred from ICU") followed by nothing but such words removes nothing (`_NAMES_TOO` counts less: "Patient: Hope" goes);
and an identifier of the header that is made of nothing else ("Radiology", "PORTABLE CHEST") is none.
"""

_NAMES_TOO = """
    long small short large little young old hill wood woods field fields rice stone waters white black brown gray grey
    green may will mark marks grant drew frank chase hope faith grace joy dawn rose stead day days night king price bell
    ball case cross bond banks fall falls ford park parks pool post power powers reed rush sharp shaw strong swift sweet
    wise best good head hand foot leg arm bone neck chin cheek back low high lightfoot light moon north south east west
    winter summer march april june august cook baker page pages ring bar bars rod wire clip block close check early late
    new past rule save see top turn wedge walls wells york angle art bright burn burns cage chamber church coin cold
    dome edge fine free gap glass ground hard hazel hide hood hook ivory jewel love mean moody moss nail noble pale pane
    peak pearl pink place plain plate point pole quick ray rich rim rivers root round sands seal shade shadow sky slack
    snow spear spring star steel storm street strain stream sun tree trunk ward warm wash water web weeks cash lord
    bishop pope knight hunter fisher mason carter cooper miller taylor potter gardner farmer shepherd duke earl pace
    dose berry cherry lamb fox wolf crane drake finch martin robin swan bird fish buck bull hardy bliss fair gold golden
    silver sterling diamond garland forest hall house lane bridge gates dean bush branch flowers fern ivy lily daisy
    violet olive ginger amber iris dale glen heath marsh lake brook brooks beach cliff rock rocks dodge rodeo barber
    singer dancer player prior abbot read rand gross lean hale meek savage stout stern patten tripp dewey dry rains rain
    storms frost blood bloom boil coffin graves grave monday tuesday wednesday thursday friday saturday sunday christmas
    easter july september october november december january february england france german french english jordan
"""
_SMALL = """
    in an no as is it at so to by on or of he she we my me us do go be am and but for not with from has had are was his
    her its can mm cm ml cc mg kg pa ap ct mr mri lat the this that than there what when who how why all any one two ten
    both each few more most same if into onto over under above below between within without through during before after
    since until against along around across behind beyond near off out up upon about also although because been being
    could did does done either else even ever every first second third fourth fifth sixth half four five six seven eight
    nine eleven twelve here however i ii iii iv just last least less like made make many might much must neither never
    next none nor now often once only other others our own per perhaps please quite rather really several shall should
    some such take taken their them then these they those thus too very via well were where which while whom whose would
    yes yet you your un una der die das den dem ein eine und mit von zu im le la les des du de et avec pour dans el los
    las del con por il lo al da dos na em o os het een van met bij
"""
_RADIOLOGY = """
    apex area base center change chest clear clips coil down dye ending female fever finding findings frontal full gas
    heart image interval lateral left level line lines lobe lower lung major male marrow mass mid middle mild minor node
    nodes noon normal pain patch patient port right said search show sign single skin soft sore sores space spine stable
    stack state stent sternum still strand study swell tall thick thin tip trace tracer tube upper valve vein vessel
    view views wall year years zone ng og et ett ra la lv rv lt rt ij ivc svc tb hx fx sx dx tx pt pts ed er or icu ccu
    nicu picu micu sicu pacu ca bp hr co lul lll rul rml rll cxr chf copd ards cabg picc ekg ecg pfa kub ivp aicd bmt
    mva mvc hiv htn etoh sob cp pneumo npo ho lo he ma do an ham kidney abc lad lcx pda asd vsd tof dish ladd cf cad ms
    ln lns ge gi gu ent ob gyn iv po prn bid tid abdomen abdominal abnormal abnormality abnormalities absent accident
    acute additional adenopathy adequate adjacent admission admitted adult age aged aging air airspace airway airways
    alveolar alignment anatomy aneurysm angiography anterior aorta aortic apical apices apparent appear appearance
    appearing appears approximately arch artery arteries arthritis artifact ascending aspect aspiration assess
    assessment asthma asymmetric atelectasis atelectatic atherosclerosis atherosclerotic atrial atrium available axilla
    axillary azygos background band bands basal bases basilar bedside bilateral bilaterally biopsy blunting body bony
    borderline bowel breast breath breathing bronchial bronchiectasis bronchitis bronchovascular bullous calcification
    calcifications calcified cancer carcinoma cardiac cardiomediastinal cardiomegaly cardiopulmonary carina cath
    catheter cava cavity central cervical changes chronic chemotherapy child children cirrhosis clavicle clavicles
    clearing clinic clinical closed collapse comment comments compare compared comparison comparisons compatible
    complete complication compression computed concern concerning conclusion condition configuration confluent
    congestion congestive consider consistent consolidation contact continued contour contours contrast contusion
    coronary correlate correlation costophrenic cough course crowding current cyst cystic decreased decubitus defect
    definite deformity degenerative demonstrate demonstrates dense density department device diaphragm diagnosis
    diameter diffuse dilated dilatation discharge disc disease displaced distal dorsal drain drainage dual dyspnea edema
    effusion effusions elderly elevated elevation embolism emergency emphysema emphysematous endotracheal enlarged
    enlargement enteric erect esophagus esophageal evaluate evaluation evidence exam examination examinations exams
    except exclude expanded exposure extends extensive external failure fat feeding femoral fiber fibrosis fibrotic film
    films final fissure flat fluid focal focus follow following followup foreign fracture fractures function gastric
    general generalized given granuloma granulomas granulomatous gross healed health healing heavy hematoma
    hemidiaphragm hemidiaphragms hemithorax hemorrhage hepatic hernia hiatal hila hilar hilum history home horizontal
    hospital hours humerus hyperexpanded hyperinflated hyperinflation hypertension hypoxia identified images imaging
    implant impression improved improvement improving inches incidental includes including increase increased increasing
    indication indications indicated indwelling infant infarct infection inferior infiltrate infiltrates inflammation
    information informed injury inpatient inspiration inspiratory intact internal interpretation interstitial intubated
    intubation invasive irregular joint joints jugular junction kerley kyphosis laboratory lead leads lesion lesions
    levels limited limits linear lingula lingular liver lobar lobes located location lobectomy loculated loss lucency
    lumbar lungs lymph lymphadenopathy lymphoma main maintained malignancy malignant man margin margins markings marked
    markedly masses material maximum measures medial median mediastinal mediastinum medical medicine men metastases
    metastasis metastatic midline mildly minimal minute mitral moderate moderately month months monitor morning multiple
    name narrowing nasal nasogastric negative neonatal neoplasm nipple nodular nodule nodules notable note noted notes
    nurse number numerous obese obesity oblique obscured observed obstruction occasional office onset opacification
    opacities opacity operating operation operative order ordered osseous osteopenia osteophytes other outpatient
    outside overall overload overlying overlap oxygen pacemaker pacer pacing palpable parenchyma parenchymal partial
    partially patchy patients pattern pectus pelvis penetration pericardial perihilar peripheral persistent phone
    physician physical picture placed placement plan pleura pleural pneumonia pneumothorax portable position positive
    possible possibly posterior postoperative prelim preliminary preop preoperative present presents presence pressure
    previous previously primary private probable probably procedure process progress progression prominence prominent
    prone prosthesis proximal pulmonary quadrant quality question radiation radiograph radiographs radiographic
    radiological radiologist radiology radiolucent range reason recent recently recommend recommendation recommendations
    recommended reduced reduction region regular related remain remains removal removed renal repair repeat report
    reported reports representing represent represents request requested residual resolution resolved respiratory result
    results retrocardiac reveal reveals review reviewed rib ribs rotated rotation routine sacrum sarcoidosis scan scar
    scarring scattered sclerosis scoliosis secondary section segment segmental septal sequela series serial severe
    sepsis shift shortness shoulder shoulders shows side sided significant significantly silhouette sinus site size
    sized slight slightly smoke smoker smoking source spaces specific spinal spondylosis stage standard standing status
    stenosis sternotomy stomach strands structures subclavian subcutaneous subsegmental subtle sudden suggest suggestive
    suggests superimposed superior supine support surgery surgical suspected suspicious suture sutures symmetric
    symptoms syndrome system technique technologist telephone tenderness terminates test therapy thickening thoracic
    thoracotomy thorax throughout time times tissue tissues today tomography tomorrow tortuous total trachea tracheal
    tracheostomy transfer transplant trauma treated treatment tubes tuberculosis tumor two type ulcer unchanged
    underlying unit unknown unremarkable upright use vague valves vascular vascularity vasculature vena venous
    ventilation ventricle ventricular verify vertebra vertebrae vertebral vessels visible visualized volume volumes week
    weight weakness wet wheezing widened woman women work worse worsening x xray xr yesterday accession account address
    addendum attending author called care caregiver cell centre chart clinician consult consultant copy dated date
    demographics dictated dictation electronically encounter fax fellow institution intensive interpreter letter mail
    mobile mother father son daughter wife husband brother sister parent parents family friend pager provider record
    referral referred referring referrer register resident room service signed signature staff surgeon team tech title
    transcribed university visit witness acknowledges agreed agrees asked asks aware came comes complains complained
    confirmed contacted denies describes discussed died feels felt found had has notified presented received relates
    says seen sent states stated took understood wants units score grade class category hounsfield birads lungrads rads
    brain skull sinuses orbits society association college group trial protocol guideline guidelines lunge lungen herz
    befund beurteilung indikation vergleich patientin rechts links beidseits klinik krankenhaus klinikum radiologie
    station ambulanz hopital hospitalier poumon poumons coeur droite gauche bilan clinica clinico torace polmone polmoni
    cuore destra sinistra reparto pulmon pulmones corazon derecha izquierda urgencias servicio medico pulmao pulmoes
    coracao direita esquerda longen hart ziekenhuis afdeling academic community regional memorial national county city
    veterans affairs rehabilitation nursing pediatric ambulatory day bed oncology cardiology neurology pulmonology
    orthopedic orthopedics urgent tertiary local specialty infectious psychiatry dialysis infusion sleep wound outreach
    satellite walk
"""

REPORT_WORDS = frozenset(f"{_NAMES_TOO} {_SMALL} {_RADIOLOGY}".split())
"""All of them, in small letters without accents."""

SENTENCE_WORDS = frozenset(_SMALL.split())
"""Those that may begin any sentence with a capital."""

_NEVER_NAMES = REPORT_WORDS - frozenset(_NAMES_TOO.split())


def says_nothing(words: str) -> bool:
    """Whether a phrase is made of report words and single letters alone, and so identifies nobody by itself."""
    return _all_in(words, REPORT_WORDS)


def names_nobody(words: str) -> bool:
    """Whether a phrase behind a label of persons is made of words alone that are hardly ever somebody's name."""
    return _all_in(words, _NEVER_NAMES)


def _all_in(words: str, vocabulary: frozenset[str]) -> bool:
    letters = "".join(char if char.isalpha() or char == "'" else " " for char in words.lower().replace("’", "'"))
    return all(len(word) == 1 or word in vocabulary or word.removesuffix("'s") in vocabulary for word in letters.split())
