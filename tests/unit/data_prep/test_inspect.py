"""The page of `cxrpt inspect`: its numbers are those of the shards, it stands alone, and nothing gets onto it unescaped."""

import json
import re
import shutil
from pathlib import Path

import made_exports as made
import numpy as np
import pytest
import typer
from made_splits import sample, sound, write_split
from markupsafe import escape
from typer.testing import CliRunner

from cxrpt.data.manifest import read_manifest
from cxrpt.data.shards import index_path
from cxrpt.errors import InputError
from data_prep.build.run import build
from data_prep.inspect import opened as opened_module
from data_prep.inspect.builds import read_build
from data_prep.inspect.cards import choose_cards, marked_text
from data_prep.inspect.census import take_census
from data_prep.inspect.charts import Bins, bars, choose_bins, histogram
from data_prep.inspect.near import near_pictures
from data_prep.inspect.opened import open_split
from data_prep.inspect.page import inspect_page
from data_prep.inspect.repeats import common_texts, repeats_of
from data_prep.ledger import LedgerLine, Reason, ledger_text
from data_prep.reports.sections import find_sections
from launch.inspect import inspect
from tests.parsed_page import Parsed


def page(root: Path, samples: int = 48, members: int = 20_000, seed: int = 0) -> str:
    return inspect_page(root, samples, members, seed)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    return sound(tmp_path_factory.mktemp("inspect") / "out")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = tmp_path_factory.mktemp("inspect-built")
    settings = made.settings(made.hospital(root / "src", 4), root / "out", split=(0.5, 0.0, 0.5))
    build(settings)
    return settings


def rows_of(html: str) -> list[list[str]]:
    """Cells of all table rows."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.S)
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.S)] for row in rows]


def test_the_page_is_sound_html_and_names_nothing_outside_itself(out, built):
    for root in (out, built.out):
        html = page(root)
        parsed = Parsed(html)
        for tag, name, value in parsed.attributes:
            if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
                assert value.startswith(("#", "data:image/jpeg;base64,")), (tag, name, value[:80])
        assert not re.search(r"https?:|//[a-z]|url\(|@import|<script|<link|<iframe", html.split("</style>")[0])
        assert "://" not in re.sub(r"base64,[^\"]*", "", html)


def test_its_counts_are_those_of_the_manifests(built):
    html = page(built.out)
    table = {(row[1]): row[2:] for row in rows_of(html) if len(row) == 9}
    for split in ("train", "val", "test"):
        shards = read_manifest(built.folder / split).shards
        kinds = [sum(getattr(one, f"num_{kind}") for one in shards) for kind in ("pairs", "images", "texts")]
        patients = json.loads((built.folder / "build.json").read_text())["splits"][split]["patients"]
        assert table[split][:6] == [str(number) for number in (sum(kinds), *kinds, patients, len(shards))]
    build_json = json.loads((built.folder / "build.json").read_text())
    kept, failed = build_json["kept"], build_json["failed"]
    assert f"{kept / build_json['found']:.1%} kept" in Parsed(html).text
    assert [f"all {build_json['found']}", str(kept), str(build_json["excluded"]), str(failed)] in rows_of(html)
    for reason, number in build_json["reasons"].items():
        told = [int(row[2]) for row in rows_of(html) if len(row) == 3 and row[0].startswith(reason.replace("_", " "))]
        assert sum(told) == number


def test_nothing_of_the_export_nor_a_hash_of_the_ledger_is_on_the_page(built):
    html = page(built.out)
    assert made.CANARY not in html.upper()
    lines = [json.loads(line) for line in built.path_map.read_text().splitlines()]
    assert len(lines) > 5
    for line in lines:
        assert line["hash"] not in html
        assert line["input"] not in html
    assert str(built.out) not in html and str(built.src) not in html


def test_what_stands_in_reports_labels_and_ledgers_is_escaped_or_not_told(tmp_path):
    evil = "FINDINGS: <script>alert('x')</script> & ___ <b>bold</b>\n"
    for split in ("train", "test"):
        keys = [f"{split}{n}" for n in range(2)]
        write_split(tmp_path, "north", split, [sample(key, None, evil, labels={'<img src=x onerror="y">': 1}) for key in keys])
    folder = tmp_path / "north"
    (folder / "ledger.jsonl").write_text(
        '{"input":"aa","type":"<i>type</i>","outcome":"excluded","reason":"Hill^Ann","notes":["QXNOTE"]}\n'
        '{"input":"ab","type":"report","outcome":"excluded","reason":"empty_report"}\nQXJUNK\n'
    )
    splits = {split: {"patients": 2} for split in ("train", "test")}
    (folder / "build.json").write_text(json.dumps({"splits": splits, "found": 3, "remarks": ["<u>remark</u>"]}))
    html = page(tmp_path)
    parsed = Parsed(html)
    assert not {tag for tag, *_ in parsed.attributes} & {"script", "u"}
    assert "onerror" not in {name for _, name, _ in parsed.attributes}
    assert str(escape("<script>alert('x')</script> & ")) in html and "<u>" not in html
    assert "Hill" not in html and "QX" not in html and "<i>type" not in html
    assert ["other other", "excluded", "1"] in rows_of(html) and ["empty report report", "excluded", "1"] in rows_of(html)
    assert "1 lines of ledger.jsonl cannot be read" in parsed.text


def test_it_is_a_function_of_shards_and_seed(out):
    assert page(out, samples=3) == page(out, samples=3)
    keys = {tuple(re.findall(r"sample (\w+)<br>", page(out, samples=3, seed=seed))) for seed in range(6)}
    assert len(keys) > 1 and all(len(key) >= 3 for key in keys)


def test_a_sample_of_members_is_said_and_drawn_over_all_shards(tmp_path):
    shards = [[sample(f"{n}x{k:02}", None, "FINDINGS: Clear.\n", age=50) for k in range(20)] for n in range(3)]
    write_split(tmp_path, "north", "train", *shards)
    text = Parsed(page(tmp_path, members=30)).text
    assert "come from a sample of 30 of 60" in text and "? studies, not all opened" in text
    (split,) = take_census(tmp_path).splits
    opened = open_split(split, 30, seed=0)
    rows = opened.strata[next(iter(opened.strata))]
    assert opened.num_opened == 30 and not opened.is_whole and len(set(rows)) == 30
    assert {row // 20 for row in rows} == {0, 1, 2}
    assert open_split(split, 60, seed=0).is_whole


def test_sums_over_the_opened_members(out):
    census = take_census(out)
    train = open_split(census.splits[0], 100, 0)
    assert train.census.name == "north/train" and train.num_opened == 4 and train.num_decoded == 3
    assert train.views == {"PA": 3} and train.ages == {(64, "F"): 1, ("90+", "M"): 1, (None, "unknown"): 2}
    assert train.labels == {("effusion", 1): 1, ("nodule", 0): 1} and train.sections == {"FINDINGS": 3}
    assert (train.num_texts, train.num_with_token, train.num_tokens, train.num_scrub_again) == (3, 2, 2, 0)
    assert train.sizes == [(288, 320)] * 3 and train.stored_sizes == [(144, 160)] * 3 and train.days == {"p-a1": (0, 0)}
    assert all(0 <= low <= middle <= high <= 255 for low, middle, high in train.greys)


def test_text_that_scrubbing_would_still_change_is_a_problem(tmp_path):
    write_split(tmp_path, "north", "train", [sample("a1", None, "Seen by Dr. Miller on 03/04/2021.\n")])
    text = Parsed(page(tmp_path)).text
    assert "problem north/train 1 of 1 texts still hold what de-identification removes" in text


def test_cards_are_dealt_over_institutions_splits_kinds_and_views(out):
    opened = [open_split(split, 100, 0) for split in take_census(out).splits]
    assert {(card.institution, card.split) for card in choose_cards(opened, 4, seed=3)} == {
        ("north", "train"), ("south", "train"), ("north", "val"),
    }  # fmt: skip
    everything = choose_cards(opened, 100, seed=3)
    assert len(everything) == 10 and len({card.key for card in everything}) == 10
    assert {bool(card.picture) for card in everything} == {True, False}


def test_section_titles_and_tokens_are_marked():
    text = "___ <header>\nFINDINGS: Heart ___ normal.\nImpression: Clear & well.\nSigned ___\n"
    marked = marked_text(text, find_sections(text))
    assert marked == (
        "<i>___</i> &lt;header&gt;\n<b>FINDINGS:</b> Heart <i>___</i> normal.\n<b>Impression:</b> Clear &amp; well.\n"
        "Signed <i>___</i>"
    )
    assert marked_text("plain", {"FINDINGS": (0, 3), "ODD": (1, 5)}) == "plain"


def test_near_copies_are_counted_by_place_and_patient(tmp_path):
    out = sound(tmp_path / "out")
    write_split(
        out,
        "north",
        "test",
        [sample("x1", 2, quality=40), sample("x2", 8, patient="p"), sample("x3", 8, quality=50, patient="p")],
    )
    write_split(out, "south", "train", [sample("y1", 3, quality=60)])
    near = near_pictures(take_census(out).splits, 2, seed=0)
    assert near.num_hashes == near.num_pictures == 8
    assert near.places == {"within a split": 1, "across splits": 1, "across institutions": 1}
    assert near.whose == {
        ("within a split", "same patient"): 1, ("across splits", "other patient"): 1, ("across institutions", "not known"): 1,
    }  # fmt: skip
    assert [pair.place for pair in near.shown] == ["across institutions", "across splits"]
    assert [(pair.one[1].key, pair.other[1].key) for pair in near.shown] == [("a3", "y1"), ("a2", "x1")]
    html = page(out)
    assert ["across splits", "1", "0", "1", "0"] in rows_of(html) and "pairs of near-copy pictures across splits: 1" in html


def test_equal_texts_are_counted_over_splits(out):
    splits = take_census(out).splits
    facts = repeats_of("north", [split for split in splits if split.institution == "north"])
    assert (facts.num_samples, facts.num_distinct, facts.num_repeated) == (5, 3, 3)
    assert facts.seen_in_train == {"val": (1, 1), "test": (0, 1)}
    (common,) = common_texts(splits, 5)
    assert common.num_samples == 3 and common.splits == {"north/train": 2, "north/val": 1}


def test_a_patient_in_two_splits_and_other_findings_are_told(tmp_path):
    out = sound(tmp_path / "out")
    write_split(out, "north", "test", [sample("x1", 8, patient="p-a2")])
    text = Parsed(page(out)).text
    assert "problem north patients in more than one split: 1" in text
    assert "warning north no reports in test, but in train and val" in text
    assert "warning north no labels in test" in text and "north/val never positive: effusion, nodule" in text
    assert "note south no reports at all" in text and "note south one view only: PA" in text
    assert "note south no manifest of val and test" in text and "warning south no build.json" in text


def test_broken_shards_are_named_and_the_others_shown(tmp_path):
    out = sound(tmp_path / "out")
    shard = out / "north" / "train" / "north-train-000000.tar"
    record = np.load(index_path(shard))[0]
    content = bytearray(shard.read_bytes())
    content[int(record["text"]["offset"]) + 1] ^= 1
    shard.write_bytes(content)
    index_path(shard.with_name("north-train-000001.tar")).unlink()
    (out / "south" / "train" / "manifest.json").write_text("{}")
    html = page(out)
    text = Parsed(html).text
    assert "problem north/train/north-train-000001.tar has no index beside it" in text
    assert "problem north/train/north-train-000000.tar member 'text' of sample a1 does not match its checksum" in text
    assert "problem south/train/manifest.json" in text and str(out) not in html
    assert "sample a2" in text and "sample a1 patient" not in text and "1 broken" in text
    shard.write_bytes(shard.read_bytes()[:-4000])
    assert "its manifest says" in Parsed(page(out)).text


def test_folders_without_shards_and_pages_that_cannot_be_written(out, tmp_path):
    app = typer.Typer()
    app.command()(inspect)

    def run(*words) -> object:
        return CliRunner().invoke(app, [*map(str, words)])

    assert "manifest.json" in str(run(tmp_path, "--html", tmp_path / "a.html").exception)
    for words in ((tmp_path / "no", "--html", tmp_path / "a.html"), (out, "--html", tmp_path)):
        assert isinstance(run(*words).exception, InputError)
    (tmp_path / "file").write_text("")
    assert isinstance(run(out, "--html", tmp_path / "file" / "a.html").exception, InputError)
    target = tmp_path / "new" / "a.html"
    for _ in range(2):
        done = run(out, "--html", target, "--samples", "2")
        assert done.exit_code == 0, done.output
    assert Parsed(target.read_text()) and sorted(path.name for path in target.parent.iterdir()) == ["a.html"]
    broken = tmp_path / "broken" / "north" / "train"
    broken.mkdir(parents=True)
    (broken / "manifest.json").write_text("[]")
    assert "can be read" in str(run(tmp_path / "broken", "--html", target).exception)


def test_an_empty_split_and_pictures_without_hashes(tmp_path, monkeypatch):
    monkeypatch.setattr(opened_module, "LOOKED_AT", 1)
    write_split(tmp_path, "north", "val")
    assert "no samples in val" in Parsed(page(tmp_path)).text
    shutil.rmtree(tmp_path / "north")
    folder = write_split(tmp_path, "north", "train", [sample("a1", 1), sample("a2", 2)])
    index = np.load(index_path(folder / "north-train-000000.tar"))
    index["phash"] = 0
    np.save(index_path(folder / "north-train-000000.tar"), index)
    assert "not searched for copies: 2" in Parsed(page(tmp_path)).text


@pytest.mark.parametrize("values", [[5.0], [0, 1, 2, 3], list(range(1000)), [0.95, 1.02, 1.3], [3, 3, 3, 9_000_000]])
def test_bins_hold_every_value_once(values):
    for whole in (True, False):
        bins = choose_bins(np.array(values, float), whole)
        assert 1 <= bins.num <= 26 and bins.counts(np.array(values, float)).sum() == len(values)


def test_charts_count_and_escape():
    svg = histogram({"<north>": np.array([3, 0, 1]), "b": np.array([1, 0, 0])}, Bins(0, 5, 3, False, True), "words & more")
    assert "&lt;north&gt; 3, b 1" in svg and "words &amp; more" in svg and "10 and more" in svg and svg.count("<rect") == 3
    rows = bars([("<b>", [3, 1])], 8)
    assert "&lt;b&gt;" in rows and "4 · 50.0%" in rows


def test_a_row_of_a_table_is_counted_as_one_and_an_unknown_word_is_not_shown(tmp_path):
    lines = [LedgerLine("ab", "row", Reason.BROKEN_ROW), LedgerLine("cd", "Ann Hill", Reason.BROKEN_ROW)]
    (tmp_path / "ledger.jsonl").write_text(ledger_text(lines))
    assert dict(read_build(tmp_path).outcomes) == {("row", "failed"): 1, ("other", "failed"): 1}
