"""OpenI: reports as XML or archive, pictures as PNG or DICOM, views from table and header."""

import random
import tarfile
from collections import Counter
from pathlib import Path

import made_exports as made
import pytest
from made_pictures import lines, picture, samples

from cxrpt.data.sample import Kind
from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.inputs import Export
from data_prep.ledger import Reason
from data_prep.processes.scan import Reading
from data_prep.sources.openi import open_source

XML = """<?xml version="1.0" encoding="utf-8"?><eCitation><uId id="CXR{n}"/><MedlineCitation><Article><Abstract>
<AbstractText Label="COMPARISON"></AbstractText><AbstractText Label="INDICATION">XXXX-year-old &amp;amp; cough</AbstractText>
<AbstractText Label="FINDINGS">{findings}</AbstractText><AbstractText Label="IMPRESSION"/></Abstract>
</Article></MedlineCitation>
<MeSH><major>{major}</major></MeSH>{images}</eCitation>"""


def export_folder(root: Path, pictures: bool = True) -> Path:
    images = '<parentImage id="CXR1_1_IM-0001-3001"/><parentImage id="CXR1_1_IM-0001-4001"/>'
    documents = {
        "1": XML.format(n=1, findings="Clear x-XXXX.", major="normal", images=images),
        "2": XML.format(n=2, findings="", major="Opacity", images="").replace("XXXX-year-old &amp;amp; cough", ""),
        "3": XML.format(n=3, findings="Mass.", major="Mass", images='<parentImage id="CXR3_IM-0009-1001"/>'),
        "4": "<eCitation><broken",
        "5": '<!DOCTYPE a [<!ENTITY b "c">]><eCitation><uId id="CXR5"/>&b;</eCitation>',
        "6": XML.format(n=6, findings="Rotated.", major="no indexing", images=""),
    }
    for name, document in documents.items():
        lines(root / "ecgen-radiology" / f"{name}.xml", document)
    if pictures:
        picture(root / "png" / "CXR1_1_IM-0001-3001.png", 1)
        picture(root / "png" / "CXR1_1_IM-0001-4001.png", 2)
        rows = [f"1,1_IM-0001-{number}001.dcm.png,{view}" for number, view in ((3, "Lateral"), (4, "Frontal"))]
        lines(root / "indiana_projections.csv", "uid,filename,projection", *rows)
    return root


def archive(src: Path, path: Path) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        tar.add(src / "ecgen-radiology", "ecgen-radiology")
    return path


def read(src: Path) -> Export:
    return open_source(src).collect(Reading())


def test_openi(tmp_path):
    summary = build(made.settings(export_folder(tmp_path / "src"), tmp_path / "out", "openi"))
    found = samples(tmp_path / "out")
    assert sorted(sample.kind for sample in found) == [Kind.PAIR, Kind.PAIR, Kind.TEXT, Kind.TEXT]
    pair = found[[sample.kind for sample in found].index(Kind.PAIR)]
    assert pair.text == "INDICATION: ___-year-old & cough\n\nFINDINGS: Clear x-___.\n" and pair.meta.labels == {"normal": 1}
    assert sorted(pair.meta.sections) == ["FINDINGS", "INDICATION"]
    assert sorted(sample.meta.view for sample in found) == ["LATERAL", "UNKNOWN", "UNKNOWN", "UNKNOWN"]
    assert summary.reasons == {"broken_report": 2, "empty_report": 1}
    assert sorted(str(sample.meta.labels) for sample in found if sample.kind == Kind.TEXT) == ["{'normal': 0}", "{}"]
    assert "1 pictures that reports name are not there; they are no inputs" in summary.remarks


def test_openi_from_its_archive(tmp_path):
    packed = archive(export_folder(tmp_path / "src"), tmp_path / "NLMCXR_reports.tgz")
    summary = build(made.settings(packed, tmp_path / "out", "openi"))
    assert {sample.kind for sample in samples(tmp_path / "out")} == {Kind.TEXT} and summary.kept == 3
    packed.write_bytes(packed.read_bytes()[:300])
    with pytest.raises(InputError, match="no whole tar"):
        build(made.settings(packed, tmp_path / "out2", "openi"))


def test_dicom_pictures_are_found_by_number_and_tell_their_view(tmp_path):
    src = export_folder(tmp_path / "src", pictures=False)
    made.dicom(src / "NLMCXR_dcm" / "1" / "1_IM-0001-3001.dcm", 1, ViewPosition="PA")
    made.dicom(src / "NLMCXR_dcm" / "1" / "1_IM-0001-4001.dcm", 2, ViewPosition="LL", PatientAge="044Y", PatientSex="M")
    made.dicom(src / "NLMCXR_dcm" / "3" / "3_IM-0009-1001.dcm", 3, BodyPartExamined="KNEE")
    picture(src / "png" / "CXR1_1_IM-0001-3001.png", 1)
    made.dicom(src / "NLMCXR_dcm" / "9" / "9_IM-0009-1001.dcm", 4)
    export = read(src)
    (one,) = [study for study in export.studies if study.images]
    assert [(image.type, image.view, image.by_content) for image in one.images] == [
        ("dicom", "PA", False),
        ("dicom", "LATERAL", False),
    ]
    assert (one.patient, one.sex) == ("CXR1", None) and one.age == 70 and "Person1^Given" in one.identifiers.names
    assert sorted((one.input_id, one.reason) for one in export.set_aside if one.type != "report") == [
        ("NLMCXR_dcm/3/3_IM-0009-1001.dcm", Reason.OTHER_BODY_PART),
        ("NLMCXR_dcm/9/9_IM-0009-1001.dcm", Reason.NOT_IN_TABLE),
        ("png/CXR1_1_IM-0001-3001.png", Reason.DUPLICATE),
    ]
    assert export.remarks[0].startswith("0 pictures that reports name")


@pytest.mark.parametrize(
    ("told", "header", "view"),
    [("Frontal", "AP", "AP"), ("Lateral", "PA", "LATERAL"), ("Frontal", "LL", "UNKNOWN"), ("Frontal", None, "UNKNOWN")],
)
def test_table_and_header_tell_the_view_together(tmp_path, told, header, view):
    src = export_folder(tmp_path / "src", pictures=False)
    made.dicom(src / "1" / "1_IM-0001-3001.dcm", 1, ViewPosition=header)
    lines(src / "indiana_projections.csv", "uid,filename,projection", f"1,1_IM-0001-3001.dcm.png,{told}")
    (image,) = [image for study in read(src).studies for image in study.images]
    assert image.view == view


def test_folders_that_cannot_be_meant_are_one_line(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match=r"neither NLMCXR_reports.tgz nor XML"):
        read(tmp_path / "none")
    src = export_folder(tmp_path / "src", pictures=False)
    (src / "NLMCXR_png.tgz").touch()
    with pytest.raises(InputError, match=r"NLMCXR_png.tgz, still packed: unpack it \(tar xzf\)"):
        read(src)
    picture(src / "CXR1_1_IM-0001-3001.png", 1)
    assert read(src).studies[0].images
    lines(src / "indiana_projections.csv", "uid,file", "1,x")
    with pytest.raises(InputError, match="no column 'filename'"):
        read(src)


def test_a_report_that_cannot_be_read_is_ledgered(tmp_path):
    src = export_folder(tmp_path / "src")
    (src / "ecgen-radiology" / "7.xml").symlink_to(tmp_path / "nowhere.xml")
    assert ("report ecgen-radiology/7.xml", Reason.CANNOT_READ) in {(one.input_id, one.reason) for one in read(src).set_aside}


@pytest.mark.realdata
def test_the_public_reports_come_through(real_data, tmp_path):
    src = real_data / "openi" / "NLMCXR_reports.tgz"
    export = read(src)
    assert len(export.studies) == 2608 and export.set_aside == ()
    assert Counter(study.labels.get("normal") for study in export.studies) == {0: 1628, 1: 919, None: 61}
    assert export.remarks == ("4949 pictures that reports name are not there; they are no inputs",)
    assert read(real_data / "openi").studies == export.studies
    summary = build(made.settings(src, tmp_path / "out", "openi"))
    assert summary.kept == 2588 and summary.reasons["empty_report"] == 20 and summary.failed == 0


def test_a_report_in_an_encoding_that_there_is_not(tmp_path):
    (tmp_path / "1.xml").write_text('<?xml version="1.0" encoding="utfm8"?><eCitation/>')
    export = open_source(tmp_path).collect(Reading())
    assert [(one.type, one.reason) for one in export.set_aside] == [("report", Reason.BROKEN_REPORT)]


def test_an_archive_with_damaged_bytes_is_one_line(tmp_path):
    src = export_folder(tmp_path / "src", pictures=False)
    # Long enough that the damage lies within a report rather than in the archive's own lines.
    lines(src / "ecgen-radiology" / "0.xml", f"<eCitation><!-- {random.Random(0).randbytes(100_000).hex()} --></eCitation>")
    path = archive(src, tmp_path / "NLMCXR_reports.tgz")
    content = path.read_bytes()
    refused = 0
    for place in range(10_000, 90_000, 2_000):
        path.write_bytes(content[:place] + b"\xff" * 400 + content[place + 400 :])
        try:
            read(path)
        except InputError as error:
            refused += "no whole tar archive" in str(error)
    assert refused, "no damage was seen by the decompression"


def test_a_picture_takes_the_place_of_a_dicom_file_that_cannot_be_read(tmp_path):
    src = export_folder(tmp_path / "src")
    lines(src / "dcm" / "1_IM-0001-3001.dcm", "no DICOM at all")
    made.dicom(src / "dcm" / "1_IM-0001-4001.dcm", 2, BodyPartExamined="KNEE")
    export = read(src)
    (one,) = [study for study in export.studies if study.images]
    assert [image.input_id for image in one.images] == ["png/CXR1_1_IM-0001-3001.png"]
    assert sorted((one.input_id, one.reason) for one in export.set_aside if one.type != "report") == [
        ("dcm/1_IM-0001-3001.dcm", Reason.NOT_DICOM),
        ("dcm/1_IM-0001-4001.dcm", Reason.OTHER_BODY_PART),
        ("png/CXR1_1_IM-0001-4001.png", Reason.DUPLICATE),
    ]
