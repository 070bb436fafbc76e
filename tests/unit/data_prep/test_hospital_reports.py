"""Reports in every form, and an export that mixes them all."""

import json
from pathlib import Path

import made_exports as exports
import made_reports as made
import pytest
from made_exports import CANARY

from cxrpt.data.sample import Kind
from cxrpt.data.shards import ShardReader
from cxrpt.errors import InputError
from data_prep.build.path_map import explain
from data_prep.build.run import build
from data_prep.inputs import SetAside
from data_prep.ledger import Reason
from data_prep.loose import LooseReport, ReportStatus
from data_prep.privacy.deidentify import scrub
from data_prep.processes.scan import Reading
from data_prep.reports.hospital_reports import ReportColumns, read_reports
from data_prep.sources.hospital import HospitalOptions


def read(place: Path, **columns) -> tuple[dict[str, LooseReport], dict[str, Reason]]:
    reports, set_aside = read_reports(place, ReportColumns(**columns), Reading())
    return {one.report.input_id: one for one in reports}, {one.input_id: one.reason for one in set_aside}


def test_a_folder_of_files_of_all_kinds(tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "A1.txt").write_bytes("FINDINGS: Réduit.\vIMPRESSION: Normal.".encode("cp1252"))
    (folder / "A2.any").write_bytes(made.pdf(["FINDINGS: Clear."]))
    (folder / "A3").write_text(made.cda("A30", "1.9"))
    (folder / "wide.txt").write_bytes("IMPRESSION: Łódź.".encode("utf-16"))
    (folder / "batch").write_text(made.message("B1") + made.message("B2", kind="ADT^A01") + made.message("B3"))
    (folder / "single.txt").write_text(made.message("B4"))
    (folder / "t.csv").write_text("accession;report;status\nC1;Clear.;prelim\nC2;Too;many;x\nC3;Told.;Addendum\n")
    (folder / "n.txt").write_text("study_id,report\nD1,Normal.\n")
    (folder / "j.json").write_text(json.dumps([{"accession": "E1", "report": {"text": "Normal."}}, 5]))
    (folder / "index.csv").write_text("file,size\na,1\n")
    (folder / "letter.rtf").write_text("{\\rtf1 x}")
    (folder / "x.zip").write_bytes(b"PK\x03\x04\0\0")
    (folder / "long.txt").write_text("FINDINGS: " + "clear " * 200_000)
    (folder / "sentence.txt").write_text("Heart normal, lungs clear, no effusion.\nIMPRESSION: Normal.")
    (folder / "gone").symlink_to("nothing")
    (folder / "deeper").mkdir()
    made.document(folder / "deeper" / "sr", content=made.FINDINGS_AND_IMPRESSION)
    made.document(folder / "dose", made.DOSE_SR)
    exports.dicom(folder / "image", 1)
    reports, set_aside = read(folder)
    numbers = {name.removeprefix("report//"): (one.study_number, *one.other_numbers) for name, one in reports.items()}
    assert numbers == {
        "A1.txt": ("A1",),
        "A2.any": ("A2",),
        "A3": ("1.9", "A30", "A3"),
        "wide.txt": ("wide",),
        "batch//1": ("B1", "FILLER9"),
        "batch//3": ("B3", "FILLER9"),
        "single.txt": ("B4", "FILLER9"),
        "t.csv//1": ("C1",),
        "t.csv//3": ("C3",),
        "n.txt//1": ("D1",),
        "j.json//1": ("E1",),
        "sentence.txt": ("sentence",),
        "deeper/sr": ("1.2.3", "A1"),
    }
    assert reports["report//A1.txt"].report.text == "FINDINGS: Réduit.\nIMPRESSION: Normal."
    assert reports["report//wide.txt"].report.text == "IMPRESSION: Łódź."
    assert reports["report//t.csv//1"].status == ReportStatus.PRELIMINARY and reports["report//t.csv//3"].is_addendum
    assert {name.removeprefix("report//"): reason for name, reason in set_aside.items()} == {
        "batch//2": Reason.NOT_A_REPORT,
        "t.csv//2": Reason.BROKEN_REPORT,
        "j.json//2": Reason.BROKEN_REPORT,
        "index.csv": Reason.BROKEN_REPORT,
        "letter.rtf": Reason.BROKEN_REPORT,
        "x.zip": Reason.BROKEN_REPORT,
        "long.txt": Reason.BROKEN_REPORT,
        "gone": Reason.MISSING_FILE,
        "dose": Reason.NOT_A_REPORT,
        "image": Reason.NOT_A_REPORT,
    }


def test_sections_in_columns_of_their_own(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("uid,findings,impression,accession\n1,Clear.,Normal.,A1\n2,,Mass.,A2\n")
    reports, _ = read(path)
    assert [one.report.text for one in reports.values()] == ["FINDINGS: Clear.\n\nIMPRESSION: Normal.", "IMPRESSION: Mass."]
    swapped, _ = read(path, body="impression,findings")
    assert swapped["report//row 1"].report.text == "IMPRESSION: Normal.\n\nFINDINGS: Clear."


def test_a_table_with_uid_and_accession_number_tries_both(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("accession_number,StudyInstanceUID,report\nA1,1.2.3,Clear.\n")
    ((report,), _) = read_reports(path, ReportColumns(), Reading())
    assert (report.study_number, report.other_numbers) == ("A1", ("1.2.3",)) and "1.2.3" in report.identifiers.ids


def test_a_table_without_the_columns_is_refused_without_a_word_of_it(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("A1,SECRET\nA2,SECRET\n")
    with pytest.raises(InputError, match="--number-column") as caught:
        read_reports(path, ReportColumns(), Reading())
    path.write_text("accession,words\nA1,SECRET\n")
    with pytest.raises(InputError, match="--report-column") as other:
        read_reports(path, ReportColumns(), Reading())
    assert "SECRET" not in str(caught.value) + str(other.value)


def test_a_crash_costs_its_own_file(tmp_path):
    from data_prep.reports.hospital_reports import read_files

    (tmp_path / "A1.txt").write_text("IMPRESSION: Clear.")
    found = read_files(["A0.txt", "A1.txt"], {0: Reason.CRASHED}, tmp_path, ReportColumns(), 60.0)
    assert found[0] == SetAside("report//A0.txt", "report", Reason.CRASHED) and found[1].study_number == "A1"


# ---- all of it together

NAMES = [f"{CANARY}{letter}NAME" for letter in "ABCDEFGHIJ"]
WORDS = "Patient {name} ({number}). FINDINGS: Lungs of study {n} are clear. IMPRESSION: Normal."


def mixed_export(root: Path) -> Path:
    """Seven studies with a report in a form each, and one of everything that is set aside."""
    src = root / "src"
    for n in range(1, 10):
        tags = {"PatientID": f"PAT{n}", "PatientName": f"{NAMES[n]}^Given", "StudyInstanceUID": f"1.2.{n}"}
        exports.dicom(src / f"images/{n}", n, AccessionNumber=f"ACC{n}", **tags)
    exports.dicom(src / "images/knee", 50, BodyPartExamined="KNEE")
    words = [WORDS.format(name=NAMES[n], number=f"PAT{n}", n=n) for n in range(10)]
    reports = src / "reports"
    reports.mkdir()
    (reports / "ACC1.txt").write_text(words[1])
    (reports / "2.hl7").write_text(
        made.message(
            "ACC2",
            (f"{words[2]} Seen by {CANARY}DOC.",),
            "PAT2",
            f"{NAMES[2]}^G",
            more=(made.fields("PV1", f17=f"9^{CANARY}DOC"),),
        )
        + made.message("ACC2", ("Preliminary words, many more of them than the final report has. " * 9,), "PAT2", status="P")
        + made.message("ACC9", ("IMPRESSION: Of another.",), "PAT1")
        + made.message(kind="ADT^A08")
    )
    (reports / "ACC3.pdf").write_bytes(
        made.pdf([f"Patient: {CANARY}PDF", words[3], f"{CANARY}PDF came late."], author=f"{CANARY}AUTHOR")
    )
    (reports / "four.xml").write_text(
        made.cda("ACC4", "1.2.4", "PAT4", f"{CANARY}CDA").replace("Heart normal.", f"Jane {CANARY}CDA: {words[4]}")
    )
    rows = [
        {"accession_number": "ACC5", "report": words[5], "mrn": "PAT5"},
        {"accession_number": "ACC5", "report": "ADDENDUM: Told.", "mrn": ""},
    ]
    (reports / "more.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\nnot json\n")
    (reports / "more.csv").write_text(
        "accession_number,report\n0ACC8,x\n"
        + f'ACC8,"{words[8]}"\nACC8,"{words[8]}"\nACC8,a,b\nACC7,Report to follow\nACC77,IMPRESSION: Text only.\n'
    )
    (reports / "ACC6.txt").write_text(" \n")
    content = (
        made.item("PNAME", "Observer", relation="HAS OBS CONTEXT", PersonName=f"{CANARY}OBS^X"),
        made.item("CONTAINER", "Findings", (made.item("TEXT", "Finding", TextValue=f"{words[6]} {CANARY}OBS agrees."),)),
    )
    made.document(src / "images/sr", content=content, StudyInstanceUID="1.2.6", PatientID="PAT6", PatientName=NAMES[6])
    made.document(
        src / "images/pdf", made.PDF_OBJECT, StudyInstanceUID="1.2.7", PatientID="PAT7", PatientName=f"{CANARY}SEVEN^X",
        EncapsulatedDocument=made.pdf([f"{CANARY}SEVEN: FINDINGS: Lungs of study 7 are clear."]),
    )  # fmt: skip
    made.document(src / "images/dose", made.DOSE_SR)
    made.document(
        src / "images/scan", made.PDF_OBJECT, StudyInstanceUID="1.2.9", PatientID="PAT9", EncapsulatedDocument=made.pdf([])
    )
    (src / "images/archive").write_bytes(b"PK\x03\x04" + b"x" * 200)
    (src / "images/gone").symlink_to("nothing")
    (src / "images/out").symlink_to(root)
    (src / "again").symlink_to("images")
    return src


def test_an_export_with_all_forms_of_reports(tmp_path, capfd):
    settings = exports.settings(mixed_export(tmp_path), tmp_path / "out", shard_samples=100)
    summary = build(settings)
    lines = [json.loads(line) for line in (settings.folder / "ledger.jsonl").read_text().splitlines()]
    named = {explain(line["input"], settings.out)[0]: (line["reason"], *line.get("notes", ())) for line in lines}
    rows = ("ACC1.txt", "2.hl7//1", "ACC3.pdf", "four.xml", "more.jsonl//1", "more.csv//2", "more.csv//6")
    kept = {f"images/{n}" for n in range(1, 10)} | {"images/sr", "images/pdf"} | {f"report//{name}" for name in rows}
    assert {name for name, (reason, *_) in named.items() if reason is None} == kept
    assert named["report//more.jsonl//1"] == (None, "addendum_joined") and named["report//more.csv//6"] == (
        None,
        "no_patient_id",
    )
    assert {name: told for name, told in named.items() if told[0] is not None} == {
        "images/knee": ("other_body_part",),
        "images/dose": ("not_a_report",),
        "images/scan": ("empty_report",),
        "images/archive": ("not_dicom",),
        "images/gone": ("missing_file",),
        "images/out": ("outside_source",),
        "report//2.hl7//2": ("superseded_report",),
        "report//2.hl7//3": ("contradictory_report",),
        "report//2.hl7//4": ("not_a_report",),
        "report//more.jsonl//2": ("addendum_only_report", "addendum_joined"),
        "report//more.jsonl//3": ("broken_report",),
        "report//more.csv//1": ("empty_report",),
        "report//more.csv//3": ("duplicate_report",),
        "report//more.csv//4": ("broken_report",),
        "report//more.csv//5": ("template_only_report",),
        "report//ACC6.txt": ("empty_report",),
    }
    assert summary.found == len(lines) == len(named) and summary.kept == len(kept)
    readers = [ShardReader(path) for path in sorted(settings.folder.rglob("*.tar"))]
    samples = [reader.read(number) for reader in readers for number in range(len(reader))]
    texts = [sample.text for sample in samples if sample.kind == Kind.PAIR]
    assert sorted(n for n in range(10) for text in texts if f"study {n} are clear" in text) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [sample.kind for sample in samples].count(Kind.IMAGE) == 1
    assert next(text for text in texts if "study 5" in text).endswith("ADDENDUM: Told.\n")
    assert not [text for text in texts if CANARY in text]
    for name, content in exports.tree(settings.out).items():
        assert CANARY.lower().encode() not in content.lower(), name
    assert CANARY not in "".join(capfd.readouterr())


def test_the_mixed_export_gives_the_same_bytes_with_more_processes(tmp_path):
    src = mixed_export(tmp_path)
    one = exports.settings(src, tmp_path / "one")
    build(one)
    two = exports.settings(src, tmp_path / "two", key_file=one.key_path, processes=2)
    build(two)
    assert exports.tree(one.folder) == exports.tree(two.folder)


def test_the_field_of_the_accession_number_can_be_named(tmp_path):
    (tmp_path / "m.hl7").write_text(made.message("A1", ("IMPRESSION: Clear. Order FILLER9.",)))
    from data_prep.sources.hospital import _read_reports

    ((report,), _) = _read_reports(HospitalOptions(reports=tmp_path, accession_fields=("OBR-3",)), Reading())
    assert report.study_number == "FILLER9" and not report.other_numbers
    assert scrub(report.report.text, report.identifiers) == "IMPRESSION: Clear. Order ___."


def test_a_table_without_rows_is_an_empty_report(tmp_path):
    (tmp_path / "a.csv").write_text("accession_number,report\n")
    _, ((one),) = read_reports(tmp_path, ReportColumns(), Reading())
    assert (one.input_id, one.reason) == ("report//a.csv", Reason.EMPTY_REPORT)


def test_tables_whose_columns_are_not_found_are_told(tmp_path):
    exports.dicom(tmp_path / "src" / "a.dcm", 1)
    exports.table(tmp_path / "src" / "reports.csv", [{"accession_number": "ACC00001", "report": "Clear lungs."}])
    for option in ("patient_column", "date_column"):
        with pytest.raises(InputError, match=option.replace("_", "-")):
            build(exports.settings(tmp_path / "src", tmp_path / "o", hospital=HospitalOptions(**{option: "Quatsch"})))
    (tmp_path / "src" / "reports").mkdir()
    with pytest.raises(InputError, match="move the tables into"):
        build(exports.settings(tmp_path / "src", tmp_path / "o"))
    (tmp_path / "src" / "reports.csv").unlink()
    exports.table(tmp_path / "src" / "reports" / "befunde.csv", [{"Auftrag": "ACC00001", "Befundtext": "Clear lungs."}])
    summary = build(exports.settings(tmp_path / "src", tmp_path / "o"))
    assert summary.reasons == {"broken_report": 1} and summary.notes["columns_missing"] == 1
    assert any("--number-column" in remark for remark in summary.remarks)
    with pytest.raises(InputError, match="does not exist"):
        build(exports.settings(tmp_path / "src", tmp_path / "p", hospital=HospitalOptions(reports=tmp_path / "nix.csv")))
