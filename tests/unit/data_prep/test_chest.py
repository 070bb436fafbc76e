"""Which files are chest radiographs, and their view."""

import cv2
import made_exports as made
import numpy as np
import pytest
from pydicom.dataset import Dataset

from data_prep.ledger import Reason
from data_prep.pictures.chest import Verdict, judge_header, looks_like_chest
from data_prep.pictures.read_dicom import read_header, read_picture
from data_prep.pictures.refused import Refused
from data_prep.pictures.views import header_view, normalise_view

DX = "1.2.840.10008.5.1.4.1.1.1.1"
KEEP, ASK, OTHER = Verdict(), Verdict(by_content=True), Verdict(Reason.OTHER_BODY_PART)


def header(**elements: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in {"Modality": "DX", "SOPClassUID": DX, **elements}.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("elements", "verdict"),
    [
        ({"BodyPartExamined": "CHEST"}, KEEP),
        ({"BodyPartExamined": "THORAX", "Modality": "CR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1"}, KEEP),
        ({"BodyPartExamined": "CHEST", "SOPClassUID": DX + ".1"}, KEEP),
        ({"BodyPartExamined": "HIP"}, OTHER),
        ({"BodyPartExamined": "EXTREMITY", "StudyDescription": "CHEST"}, OTHER),
        ({"StudyDescription": "XR Tórax PA y lateral"}, KEEP),
        ({"StudyDescription": "HAND"}, OTHER),
        ({"SeriesDescription": "CHEST_PA", "StudyDescription": "TRAUMA CHEST AND PELVIS"}, KEEP),
        ({"StudyDescription": "TRAUMA CHEST AND PELVIS"}, ASK),
        ({}, ASK),
        ({"BodyPartExamined": "CHEST", "Modality": "CT"}, Verdict(Reason.NOT_RADIOGRAPH)),
        ({"BodyPartExamined": "CHEST", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, Verdict(Reason.NOT_RADIOGRAPH)),
        ({"BodyPartExamined": "CHEST", "Modality": "", "SOPClassUID": ""}, Verdict(Reason.NOT_RADIOGRAPH)),
        ({"BodyPartExamined": "CHEST", "SeriesDescription": "RIBS LEFT"}, OTHER),
        ({"BodyPartExamined": "CHEST", "SeriesDescription": "CHEST PA ARMS UP"}, KEEP),
        ({"BodyPartExamined": "CHEST", "SeriesDescription": "Clavicula re."}, OTHER),
        ({"BodyPartExamined": "ABDOMEN", "SeriesDescription": "CHEST PA"}, ASK),
        ({"BodyPartExamined": "CHESTABDOMEN"}, ASK),
        ({"SeriesDescription": "RIBS WITH PA CHEST"}, ASK),
        ({"BodyPartExamined": "CHEST", "BurnedInAnnotation": "YES"}, Verdict(Reason.BURNED_IN_TEXT)),
    ],
)
def test_the_header_decides(elements, verdict):
    assert judge_header(header(**elements)) == verdict


@pytest.mark.parametrize("code", ["T-D3000", "51185008", "816094009"])
def test_an_anatomic_code_is_as_good_as_a_word(code):
    item = Dataset()
    item.CodeValue = code
    assert judge_header(header(AnatomicRegionSequence=[item])) == KEEP


@pytest.mark.parametrize(
    "written",
    [
        "XR CHEST 1 VIEW", "Chest main campus", "CXR", "CHEST_PA", "Röntgen-Thorax in 2 Ebenen", "Thoraxaufnahme liegend",
        "Lungenaufnahme", "Radiographie thoracique", "RADIO PULMONAIRE", "Rx pulmón", "RX TORAX AP Y LAT", "Raio-X de Tórax",
        "Rx torace 2P", "Polmoni", "X-thorax bed", "Longen", "Hjärta och lungor", "Røntgen thorax", "RTG klatki piersiowej",
        "klatka piersiowa", "Płuca", "Akciğer grafisi", "Göğüs röntgeni", "TORAX", "Bettthorax",
    ],
)  # fmt: skip
def test_chests_in_many_languages(written):
    assert judge_header(header(StudyDescription=written)) == KEEP


@pytest.mark.parametrize(
    "written",
    [
        "Ribs left", "Knöcherner Hemithorax re", "Rippen links", "Gril costal gauche", "Parrilla costal", "Arcos costais",
        "Emicostato sinistro", "Ribben li", "Revben", "Żebra", "Kosta grafisi", "Clavicle", "Schlüsselbein re", "Clavícula",
        "Thoracic spine", "TSPINE", "Columna torácica", "Brustwirbelsäule", "BWS in 2 Ebenen", "Rachide dorsale", "Sternum",
        "Kręgosłup piersiowy", "Torakal omurga", "Hüfte re", "Genou gauche", "Main droite", "Mano", "Brzuch", "Omuz", "Épaule",
        "Ombro", "Spalla", "Schouder", "El bileği", "Enkel rechts", "Handled", "Skuldra", "ABDOMEN AP SUPINE", "Hand",
    ],
)  # fmt: skip
def test_other_parts_in_many_languages(written):
    assert judge_header(header(StudyDescription=written)) == OTHER


@pytest.mark.parametrize(
    ("written", "view"),
    [
        ("PA", "PA"), ("ap", "AP"), ("AP Supine", "AP"), ("L", "LATERAL"), ("LL", "LATERAL"), ("LATERAL", "LATERAL"),
        ("?", "UNKNOWN"),
        ("", "UNKNOWN"), ("PA and lateral", "UNKNOWN"), ("LLD", "UNKNOWN"),
        ("postero-anterior", "PA"), ("PORTABLE", "AP"), ("LAO", "UNKNOWN"),
        ("Frontal", "UNKNOWN"), ("CHEST_PA", "PA"),
        ("antero-posterior", "AP"), ("left lateral", "LATERAL"), ("RL", "LATERAL"), ("R", "LATERAL"), ("Frontal AP", "AP"),
        ("AP SEMI UPRIGHT", "AP"), ("AP_horizontal", "AP"), ("COSTAL", "UNKNOWN"), ("EXCLUDE", "UNKNOWN"), ("P/A", "PA"),
        ("antero-posterior oblique", "UNKNOWN"), ("left lateral decubitus", "UNKNOWN"), ("PORTABLE LATERAL", "LATERAL"),
        ("PA PORTABLE", "PA"), ("DECÚBITO SUPINO", "AP"), ("Thorax a.p. liegend", "AP"), ("tórax perfil", "LATERAL"),
        ("seitlich", "LATERAL"), ("dwars", "LATERAL"), ("zdjęcie boczne", "LATERAL"), ("profil gauche", "LATERAL"),
        ("XTABLE LATERAL", "LATERAL"), ("Posteroanterior", "PA"), ("p.a.", "PA"), ("PA LAT", "UNKNOWN"), ("Thorax", "UNKNOWN"),
    ],
)  # fmt: skip
def test_views(written, view):
    assert normalise_view(written) == view


def test_the_series_tells_the_view_where_its_own_tag_is_silent():
    assert header_view(header(SeriesDescription="W034 Thorax LAT")) == "LATERAL"
    assert header_view(header(SeriesDescription="Thorax PA", ViewPosition="AP")) == "AP"
    assert header_view(header(SeriesDescription="Thorax PA", ViewPosition="LAO")) == "UNKNOWN"
    assert header_view(header(SeriesDescription="Thorax PA", ViewPosition="?")) == "PA"
    assert header_view(header(PatientOrientation=["A", "F"])) == "LATERAL"
    assert header_view(header(PatientOrientation=["L", "F"])) == "UNKNOWN"


@pytest.mark.parametrize(
    ("code", "view"),
    [
        ("R-10206", "AP"),
        ("399348003", "AP"),
        ("R-10214", "PA"),
        ("272479007", "PA"),
        ("R-10236", "LATERAL"),
        ("399198007", "LATERAL"),
    ],
)
def test_view_codes(code, view):
    item = Dataset()
    item.CodeValue = code
    assert header_view(header(ViewCodeSequence=[item])) == view


def test_two_enclosed_lungs_look_like_a_chest_and_other_shapes_do_not():
    chest = (made.phantom(1) // 16).astype(np.uint8)
    assert looks_like_chest(chest)
    limb = np.full((300, 200), 10, np.uint8)
    cv2.rectangle(limb, (70, 0), (130, 300), 200, -1)
    pelvis = np.full((200, 240), 180, np.uint8)
    for x in (95, 145):
        cv2.circle(pelvis, (x, 140), 12, 20, -1)
    one_lung = np.full((200, 200), 180, np.uint8)
    cv2.ellipse(one_lung, (90, 95), (40, 70), 0, 0, 360, 20, -1)
    for picture in (limb, pelvis, one_lung, 255 - chest, np.ascontiguousarray(np.rot90(chest))):
        assert not looks_like_chest(picture)


@pytest.mark.realdata
def test_of_the_public_dicom_files_the_two_human_chests_are_kept(real_data):
    kept = []
    for path in sorted((real_data / "dicom").glob("*.dcm")):
        try:
            verdict = judge_header(read_header(path))
            if verdict == KEEP or (verdict == ASK and looks_like_chest(read_picture(path).pixels)):
                kept.append(path.name[:3])
        except Refused:
            continue
    assert kept == ["000", "027"]


@pytest.mark.realdata
def test_the_picture_alone_is_believed_only_for_upright_chests(real_data):
    pictures = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted((real_data / "nih14" / "images").glob("*.png"))]
    found = np.mean([looks_like_chest(picture) for picture in pictures])
    turned = sum(
        looks_like_chest(np.ascontiguousarray(np.rot90(picture))) + looks_like_chest(255 - picture) for picture in pictures
    )
    assert found > 0.35 and turned == 0
