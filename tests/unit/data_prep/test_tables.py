"""Tables in every separator, encoding and state, and the rows that cannot be read."""

import json

import pytest

from cxrpt.errors import InputError
from data_prep.files.encodings import decode_text, with_plain_breaks
from data_prep.files.tables import find_column, parse_table, read_labels, read_table, read_whole_table


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32"])
def test_encodings(encoding):
    assert decode_text("Réduit – 5 µm\n".encode(encoding)) == "Réduit – 5 µm\n"


def test_lines_of_two_encodings_and_mojibake():
    mixed = "a,é\n".encode() + "b,è\r\n".encode("latin-1") + "c,ü".encode()
    assert decode_text(mixed) == "a,é\nb,è\r\nc,ü"
    assert decode_text("Ã©".encode()) == "Ã©"
    assert with_plain_breaks("a\r\nb\rc\vd\fe\u2028f\n") == "a\nb\nc\nd\ne\nf\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_ends_and_line_breaks_within_quotes(separator, end):
    lines = ["number{s}report", 'A1{s}"FINDINGS: a, b; c{e}IMPRESSION: ""d""."', "A2{s}two"]
    table = parse_table(end.join(lines).format(s=separator, e=end))
    assert table.rows == (
        (1, {"number": "A1", "report": f'FINDINGS: a, b; c{end}IMPRESSION: "d".'}),
        (2, {"number": "A2", "report": "two"}),
    )
    assert table.broken == ()


def test_rows_that_cannot_be_read_are_counted_and_shift_nothing():
    content = (
        "number,report,patient\n"
        'A1,"unclosed text,P1\n'  # 1
        'A2,"good, two",P2\n'
        "A3,not quoted\n"  # 3
        "lungs clear, heart normal, P3\n"  # 4
        "A4,good,P4,,\n"
        "A5,too,many,P5\n"  # 6
        'A6,"He said "hi" there.\n'  # 7
        "The lungs are clear, as before, yes.\n"  # 8
        'Normal.",P6\n'  # 9
        "\n"
        "A7,good,P7\n"
    )
    table = parse_table(content)
    assert [row["number"] for _, row in table.rows] == ["A2", "A4", "A7"]
    assert [row["patient"] for _, row in table.rows] == ["P2", "P4", "P7"]
    assert table.broken == (1, 3, 4, 6, 7, 8, 9) and [number for number, _ in table.rows] == [2, 5, 10]


def test_a_quote_that_never_ends_costs_its_own_row_only():
    rows = "".join(f"A{n},text {n}\n" for n in range(300))
    table = parse_table('number,report\nX,"open\n' + rows)
    assert table.broken == (1,) and len(table.rows) == 300


def test_columns_that_share_a_name_and_unnamed_ones_at_the_end():
    assert parse_table("a,a,\n1,2,\n").rows == ((1, {"a": "1", "a 2": "2"}),)
    assert parse_table("sep=;\na;b\n1;2\n").names == ("a", "b")
    assert parse_table("") is None and parse_table(",,\n1,2,3\n") is None


def test_json_in_lines_arrays_envelopes_and_nested_objects():
    one = {"accession": "A1", "patient": {"id": "P1", "names": ["x", "y"]}, "text": "a\u2028b"}
    flat = {"accession": "A1", "patient_id": "P1", "patient_names": "x\ny", "text": "a\u2028b"}
    lines = json.dumps(one, ensure_ascii=False) + '\n{"accession": "A2"\n[1]\n' + '{"other": 5}\n'
    table = parse_table(lines)
    assert table.rows[0][1] == {**flat, "other": ""} and table.rows[1] == (4, {**dict.fromkeys(flat, ""), "other": "5"})
    assert table.broken == (2, 3)
    for content in (json.dumps([one, None]), json.dumps({"reports": [one]}), json.dumps(one, indent=1)):
        assert parse_table(content).rows[0] == (1, flat)
    assert parse_table("[1, 2") is None and parse_table("{" * 10_000) is None
    assert find_column([flat], ("patient.id",)) == "patient_id"


def test_columns_of_labels_go_by_the_names_of_the_reports(tmp_path):
    path = tmp_path / "codes.csv"
    path.write_text("Auftragsnr;PatNr;Untersuchung;Erguss\nA1;17;01.02.2020;1\nA2;18;02.02.2020;\n")
    with pytest.raises(InputError, match="name yours with --number-column"):
        read_labels(path)
    assert read_labels(path, "Auftragsnr", ["PatNr", "Untersuchung"]) == {"A1": {"Erguss": 1}, "A2": {}}
    usual = tmp_path / "labels.csv"
    usual.write_text("accession_number,effusion\nA1,0\n")
    assert read_labels(usual, "Auftragsnr") == {"A1": {"effusion": 0}}, "a name for the reports is no must for the labels"


def test_read_table_refuses_what_it_cannot_read_without_a_word_of_it(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("number,report\nA1,SECRET,SECRET\nA2,b\n")
    with pytest.raises(InputError, match="row 1 below the header") as caught:
        read_table(path, "--labels")
    assert "SECRET" not in str(caught.value)
    assert read_whole_table(path, "--reports").broken == (1,)
    with pytest.raises(InputError, match="--reports"):
        read_whole_table(tmp_path / "none.csv", "--reports")
