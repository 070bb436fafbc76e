"""The table of attributes against pydicom's dictionary and our code, and builds of an export in which every one is a canary."""

import io
import json
import logging

import canary_export as canaries
import made_exports as made
import pytest
from pydicom.datadict import dictionary_keyword, dictionary_VR
from rich.console import Console

from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.checks.verify import verify_shards
from data_prep.inspect.page import inspect_page
from data_prep.pictures.read_dicom import read_header
from data_prep.privacy.identifiers import header_identifiers, kind_of
from data_prep.train_tokenizer import train_tokenizer

ATTRIBUTES = canaries.read_annex_e()


def test_the_table_agrees_with_the_dictionary_of_the_standard():
    assert len(ATTRIBUTES) == 621 and len({one.tag for one in ATTRIBUTES}) == 621
    for one in ATTRIBUTES:
        if "x" in one.tag:
            continue
        tag = int(one.tag, 16)
        assert (dictionary_keyword(tag), dictionary_VR(tag)) == (one.keyword, one.vr), one
        assert one.basic_profile in {"D", "Z", "X", "U", "Z/D", "X/Z", "X/D", "X/Z/D", "X/Z/U*"}, one


def test_the_table_says_what_the_code_does():
    """Only the attributes that the table says feed the scrub do, and the few that leave something are named here."""
    by_outcome = {}
    for one in ATTRIBUTES:
        by_outcome.setdefault(one.cxrpt, set()).add(one.keyword)
        if one.cxrpt in ("scrub", "gone") and "x" not in one.tag:
            assert (kind_of(one.keyword, one.vr) is not None) == (one.cxrpt == "scrub"), one
    assert set(by_outcome) == {"gone", "scrub", "pseudonym", "derived", "routes", "report"}
    # Those that `read_sr` reads: the texts of a document leave as a report does.
    assert by_outcome["report"] == {"ContentSequence", "EncapsulatedDocument"}
    assert by_outcome["pseudonym"] == {"PatientID", "StudyInstanceUID", "SOPInstanceUID", "AccessionNumber"}
    assert by_outcome["derived"] == {"PatientAge", "PatientBirthDate", "StudyDate", "PatientSex"}


@pytest.fixture(scope="module", params=[(False, "csv"), (True, "files")], ids=["top-level", "two-deep"])
def built(request, tmp_path_factory):
    nested, reports = request.param
    root = tmp_path_factory.mktemp("canaries")
    export = canaries.make_canary_export(root, nested, reports)
    key = root / "given.key"
    key.write_text("cd" * 32 + "\n")
    key.chmod(0o600)
    settings = made.settings(export.src, root / "out", key_file=key, max_failed=0.9)
    said, console = io.StringIO(), None
    console = Console(file=said, force_terminal=True, width=200)
    records = io.StringIO()
    handler = logging.StreamHandler(records)
    logging.getLogger().addHandler(handler)
    try:
        summary = build(settings, console)
    finally:
        logging.getLogger().removeHandler(handler)
    return export, settings, summary, said.getvalue() + records.getvalue()


def test_no_canary_leaves_the_export(built, capfd):
    export, settings, summary, said = built
    assert summary.splits["train"]["pairs"] + summary.splits["val"]["pairs"] + summary.splits["test"]["pairs"] >= 12
    assert canaries.leaks_below(settings.out, export.needles) == {}
    assert canaries.leaks((said + repr(summary) + "".join(capfd.readouterr())).encode(), export.needles) == []


def test_the_canaries_were_there_and_the_reports_held_them(built):
    """The export itself is full of them: otherwise the test above would pass on nothing."""
    export, settings, _, _ = built
    there = {needle for hits in canaries.leaks_below(export.src, export.needles).values() for needle in hits}
    missing = set(export.needles) - there
    # Dates stand in one of their shapes, as digits in the header or dashed in the report.
    assert not [needle for needle in missing if "/" not in needle and "-" not in needle]
    texts = [line for path in settings.out.rglob("*.tar") for line in path.read_bytes().split(b"\n") if b"Clear lungs" in line]
    assert len(texts) >= 12 and all(b"___" in text for text in texts)


def test_failures_are_ledgered_without_a_canary(built):
    _, settings, _, _ = built
    lines = [json.loads(line) for line in (settings.folder / "ledger.jsonl").read_text().splitlines()]
    reasons = {line["reason"] for line in lines}
    assert {"cannot_decode", "other_body_part", "not_dicom"} <= reasons, reasons


def test_a_tokenizer_of_these_shards_holds_no_canary(built, tmp_path):
    export, settings, _, _ = built
    train_tokenizer([settings.folder], tmp_path / "tokenizer.model", vocab_size=400, min_patients=1)
    assert canaries.leaks_below(tmp_path, export.needles) == {}
    assert canaries.leaks((tmp_path / "tokenizer.model").read_bytes(), ("qxcanary", "canary")) == []


def test_neither_the_page_nor_the_findings_about_the_shards_hold_a_canary(built):
    export, settings, _, _ = built
    page = inspect_page(settings.out, samples=48, members=1000, seed=0)
    assert page.count("___") >= 12 and canaries.leaks(page.encode(), export.needles) == []
    assert canaries.leaks(repr(list(verify_shards(settings.out))).encode(), export.needles) == []


def test_a_build_with_too_many_failures_names_no_canary(tmp_path, capfd):
    export = canaries.make_canary_export(tmp_path)
    with pytest.raises(InputError) as caught:
        build(made.settings(export.src, tmp_path / "out", max_failed=0.0))
    assert (
        canaries.leaks((str(caught.value).replace(str(tmp_path), "") + "".join(capfd.readouterr())).encode(), export.needles)
        == []
    )
    assert canaries.leaks_below(tmp_path / "out", export.needles) == {}


def test_the_whole_header_is_learnt_from(tmp_path):
    """Names, numbers and dates of sequences and private elements come out; descriptions do not."""
    made.dicom(
        tmp_path / "a.dcm", 1, SeriesDescription="CHEST PA", InstitutionName="Nordstadt Klinikum", StationName="PORTABLE"
    )
    known = header_identifiers(read_header(tmp_path / "a.dcm"))
    assert known.names == ("Person1^Given",) and "CHEST PA" not in (*known.ids, *known.phrases) and "PORTABLE" not in known.ids
    assert known.phrases == ("Nordstadt Klinikum", "Nordstadt")


def test_a_header_of_ten_thousand_elements_and_bottomless_sequences_ends():
    from pydicom.dataset import Dataset
    from pydicom.sequence import Sequence

    level = bottom = Dataset()
    for _ in range(60):
        inner = Dataset()
        level.RequestAttributesSequence = Sequence([inner])
        level = inner
    level.PatientName = "Deep^Down"
    wide = Dataset()
    wide.OtherPatientIDsSequence = Sequence([Dataset() for _ in range(10_000)])
    for number, item in enumerate(wide.OtherPatientIDsSequence):
        item.PatientID = f"ID{number:06d}"
    assert header_identifiers(bottom).names == ()
    assert 1_000 < len(header_identifiers(wide).ids) <= 5_000
