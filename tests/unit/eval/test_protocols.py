from cxrpt.data.manifest import Manifest
from cxrpt.eval.protocols import groups_of, protocol_of, protocols
from cxrpt.eval.samples import SplitFolder


def folder(name, source="nih14", split_by="official lists", split=(0.8, 0.1, 0.1)):
    settings = {"source": source, "split": list(split)} | ({"split_by": split_by} if split_by else {})
    return SplitFolder(name, (), Manifest(name, "test", settings, ()))


OFFICIAL = folder("a", split=(0.7, 0.1, 0.2))
LISTS = folder("b", split_by="lists of --split-lists")
HASH = folder("c", "hospital", "hash of the patient")


def test_protocols_are_told_in_words():
    assert protocols([OFFICIAL, LISTS, HASH]) == {
        "a": "official lists, val by the hash of the patient (0.125 of train_val)",
        "b": "lists of --split-lists",
        "c": "hash of the patient 0.8/0.1/0.1",
    }
    assert protocol_of(folder("d", split_by=None).manifest) == protocol_of(None) == "not recorded"
    assert protocol_of(Manifest("d", "test", {}, ())) == "not recorded"
    assert protocol_of(folder("d", "mimic-cxr").manifest) == "official lists"


def test_one_data_set_under_two_splits_is_never_averaged():
    groups, why = groups_of([OFFICIAL, HASH, LISTS])
    assert groups == [["a"], ["c"], ["b"]] and "a: official lists" in why and "b: lists of --split-lists" in why
    assert "c" not in why.split("(")[1].split(":")[0] and "no common mean" in why
    # Other fractions of the hash are another split too.
    assert groups_of(
        [folder("a", "openi", "hash of the patient"), folder("b", "openi", "hash of the patient", (0.7, 0.1, 0.2))]
    )[1]


def test_other_sources_share_a_table():
    assert groups_of([OFFICIAL, HASH, folder("d", "hospital", "hash of the patient", (0.5, 0, 0.5))]) == ([["a", "c", "d"]], "")
    assert groups_of([OFFICIAL, OFFICIAL]) == ([["a"]], "")
    assert groups_of([SplitFolder("x", ()), SplitFolder("y", ())]) == ([["x", "y"]], "")
