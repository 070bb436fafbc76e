"""The page of an evaluation: its numbers are those of the results, it stands alone, and what is missing is left out."""

import json
import random
import re
from pathlib import Path

import pytest

from cxrpt.errors import InputError
from cxrpt.eval.page.page import find_results, page_path, render_page, write_page
from cxrpt.eval.page.pictures import Pictures
from launch.cli import main
from tests.parsed_page import Parsed

from . import made_results as made

LINKS = ("https://doi.org/", "https://arxiv.org/")
SKIPPED = {"skipped": "no labels in train"}
ONE_CLASS = made.classify(("Effusion",), ("north",), ("linear", "pixels"))


def html_of(results: Path) -> str:
    return render_page(results.parents[2], results)


EARLIER = ((3_000, made.everything(grounding=None)), (6_000, made.everything(classify=SKIPPED)))
CASES = {
    "everything": {"details": made.everything(), "earlier": EARLIER},
    "one step": {"details": made.everything()},
    "one class": {"details": made.everything(classify=ONE_CLASS, grounding=None), "sources": ("north",)},
    "no zero-shot": {
        "details": made.everything(classify=made.classify(methods=("linear", "attention", "pixels", "untrained")))
    },
    "classify skipped": {"details": made.everything(classify=SKIPPED), "trained_on": False},
    "all skipped": {"details": dict.fromkeys(("classify", "retrieve", "regenerate", "grounding"), SKIPPED), "earlier": EARLIER},
    "no tasks": {"details": {}},
    "no figures": {"details": made.everything(), "figures": False},
    "one cell": {"details": {"regenerate": made.regenerate(("mixed",), ("50",))}},
    "no mean": {"details": {"classify": made.apart()}},
    "no examples": {"details": {"retrieve": made.retrieve((), False)}, "words": ("objective.itc_weight=0",)},
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, tuple[Path, str]]:
    root = tmp_path_factory.mktemp("pages")
    made_of = {}
    for name, case in CASES.items():
        results = made.make_evaluated_run(root / name.replace(" ", "-"), **case)
        made_of[name] = (results, html_of(results))
    return made_of


@pytest.mark.parametrize("name", CASES)
def test_every_page_is_sound_html_that_stands_alone(pages, name):
    results, html = pages[name]
    page = Parsed(html)
    for tag, attribute, value in page.attributes:
        if attribute in ("src", "srcset", "xlink:href", "action", "data", "poster"):
            assert value.startswith("data:image/jpeg;base64,"), (tag, attribute, value[:60])
        if attribute == "href":
            assert tag == "a" and value.startswith(("#", *LINKS)), (tag, value)
            assert value[0] != "#" or value[1:] in page.ids, f"{value} leads nowhere"
        assert not attribute.startswith("on"), (tag, attribute)
    bare = re.sub(r"base64,[A-Za-z0-9+/=]*", "", html)
    assert not re.search(r"<script|<link|<iframe|url\(|@import|None\b|nan\b|Undefined|<built-in", bare)
    assert len(html) < 5_000_000
    assert str(results.parents[2]) not in html and "/secret" not in html


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["details"]])
def test_a_part_for_each_task_with_results_and_a_reason_for_the_others(pages, name):
    _, html = pages[name]
    page = Parsed(html)
    for task, title in (("classify", "Classification"), ("retrieve", "Retrieval"), ("regenerate", "Regeneration")):
        details = CASES[name]["details"].get(task)
        assert (task in page.ids) == (details is not None and "skipped" not in details)
        assert (f"{title} : no labels in train" in page.text) == (details == SKIPPED)
    assert "form that this version reads" not in page.text


@pytest.mark.parametrize("name", ["everything", "one step", "one class", "no zero-shot", "no figures"])
def test_headline_numbers_are_those_of_the_results(pages, name):
    results, html = pages[name]
    fields = json.loads(results.read_text())
    metrics, text = fields["metrics"], Parsed(html).text
    for metric in ("classify/auroc", "classify/auroc_low", "classify/auroc_high", "classify/auprc"):
        assert f"{metrics[metric]:.3f}" in text, metric
    tile = (
        f"Mean AUROC {metrics['classify/auroc']:.3f} {metrics['classify/auroc_low']:.3f}–{metrics['classify/auroc_high']:.3f}"
    )
    assert tile in text
    low, high = (f"{metrics[f'classify/auroc_{end}']:.3f}" for end in ("low", "high"))
    assert f"Linear probe, 100 %: {metrics['classify/auroc']:.3f} [{low}, {high}]" in text, "the mark of the chart"
    rows = table_rows(html)
    for class_name, one in fields["details"]["classify"]["methods"]["linear"]["shares"]["100"]["classes"].items():
        row = next(row for row in rows if row[0] == class_name and len(row) == 7)
        assert row[1] == f"{one['auroc']:.3f} {one['auroc_low']:.3f}–{one['auroc_high']:.3f}"
        assert row[3].startswith(f"{one['auprc']:.3f} ") and row[5:] == [f"{one['positives']:,}", f"{one['negatives']:,}"]
    for words, direction in (("Image to report", "image_to_text"), ("Report to image", "text_to_image"), ("Chance", "chance")):
        row = next(row for row in rows if row[0] == words)
        for cell, key in zip(row[1:4], ("r1", "r5", "r10"), strict=True):
            value = 100 * metrics[f"retrieve/{direction}/{key}"]
            assert cell.split(" %")[0] == (f"{value:.2f}" if value < 0.995 else f"{value:.1f}")
        assert float(row[4].replace(",", "")) == metrics[f"retrieve/{direction}/median_rank"]
    cells = [row for row in rows if row[0].endswith("squares") and len(row) == 10][:12]
    assert len(cells) == 12
    for row in cells:
        masks, ratio = row[0].removesuffix(" squares").replace(" × ", "x"), row[1].split()[-2]
        head = f"regenerate/{masks}/{ratio}/psnr"
        expected = [head, f"{head}_telea", f"{head}_biharmonic", f"{head}_mean"]
        assert row[2:6] == [f"{metrics[metric]:.2f}" for metric in expected]


def table_rows(html: str) -> list[list[str]]:
    """Cells of all rows of tables, in words."""
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", html, re.S)
    cells = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.S) for row in rows]
    return [
        [" ".join(re.sub(r"<[^>]+>", " ", re.sub(r"<title>.*?</title>", "", cell)).split()) for cell in row] for row in cells
    ]


def test_what_is_said_in_short_follows_the_intervals(pages, tmp_path):
    def said(details: dict) -> dict[str, str]:
        results = made.make_evaluated_run(tmp_path / f"r{len(list(tmp_path.iterdir()))}", details, figures=False)
        items = re.findall(r'<li><span class="level \w+">([\w ]+)</span><span>(.*?)</span>', html_of(results))
        return {words: level for level, words in items}

    told = said(made.everything())
    assert told["Linear probe over linear probe on pixels, AUROC at 100 % of labels"] == "ahead"
    assert told["Fine-tuned over trained from scratch, AUROC at 1 % of labels"] == "open"
    assert told["Masked finding words: own image over another’s, points"] == "ahead"
    assert told["Masked side words: own image over another’s, points"] == "open"
    cells = "ahead in 8 and behind in 0 of 12 cells; not ahead at 15 % of mixed, 1 × 1, 2 × 2, 4 × 4. At 75 % of mixed:"
    assert told[f"Regeneration over Telea: {cells}"] == "mixed"
    worse = said({"regenerate": made.regenerate(better=-9.0), "retrieve": made.retrieve()})
    assert worse["Regeneration over Telea: ahead in 0 and behind in 12 of 12 cells. At 75 % of mixed:"] == "behind"
    assert worse["Image to report over chance: 14.2 % found among the first five, 0.54 % by chance"] == "ahead"
    assert worse["Report to image over chance: 13.1 % found among the first five, 0.54 % by chance"] == "no interval"
    unknown = made.regenerate()
    for by_ratio in unknown["cells"].values():
        for cell in by_ratio.values():
            cell["gain_db"] = {"telea": {"mean": 1.0, "low": None, "high": None}}
    assert said({"regenerate": unknown}) == {
        "Regeneration over Telea: ahead in 0 and behind in 0 of 12 cells. At 75 % of mixed:": "open",
    }, "a difference without an interval counts for nothing"


def test_where_one_data_set_has_two_splits_each_source_has_tables_of_its_own(pages):
    _, html = pages["no mean"]
    text = Parsed(html).text
    assert "Mean AUROC 0." not in text and "one data set under different splits" in text
    assert f"Not run: zero-shot {made.GONE}" in text
    rows = table_rows(html)
    assert sum(row[0] == "Linear probe" and len(row) == 9 for row in rows) == 2
    details = CASES["no mean"]["details"]["classify"]
    of_sources = details["methods"]["linear"]["shares"]["100"]["institutions"]
    told = [row[1].split()[0] for row in rows if row[0] == "Mass" and len(row) == 7]
    assert told == [f"{one['classes']['Mass']['auroc']:.3f}" for one in of_sources.values()] and len(told) == 2


def test_a_probe_that_could_not_run_gives_its_reason(tmp_path):
    details = made.grounding() | {"words": {"skipped": "too few patients"}}
    page = Parsed(html_of(made.make_evaluated_run(tmp_path / "r", {"grounding": details})))
    assert "not run Grounding, words : too few patients" in page.text and "Hidden regions: PSNR in dB" in page.text


def test_hostile_words_are_escaped(tmp_path):
    evil = "<script>alert('x')</script> & \"q\" </div> {{ 7 * 7 }} \x00\u202e\ud800"
    details = {
        "classify": made.classify((evil, "<b>"), (evil, "b"), ("linear", "pixels")),
        "retrieve": made.retrieve((evil,), text=evil),
        "regenerate": made.regenerate((evil,)) | {"masks": evil},
        "grounding": made.grounding() | {"about": evil},
    }
    details["classify"]["left_out"] = {evil: evil}
    details["odd"] = {"skipped": evil}
    results = made.make_evaluated_run(tmp_path / "r", details, sources=("north",), figures=False)
    fields = json.loads(results.read_text())
    fields["trained_on"] = [{"source": evil, "use": evil, "pairs": 1, "images": 2, "texts": 3}]
    results.write_text(json.dumps(fields))
    (tmp_path / "r" / "journal.jsonl").write_text(
        "".join(
            json.dumps({"attempt": 1, "step": step, "time": 0, "kind": "train",
                        "metrics": {"loss/mlm": 2.0 + step, f"loss/mlm/{evil}": 1.0 + step, "loss/mlm/b": 1.0}}) + "\n"
            for step in (1, 2)
        )
    )  # fmt: skip
    html = html_of(results)
    Parsed(html)
    assert "<script" not in html and "alert(&#39;x&#39;)" in html and "&lt;b&gt;" in html and "{{ 7 * 7 }}" in html
    assert not re.search("[\x00-\x08\ud800]", html), "no browser could read them"
    for task in ("classify", "retrieve", "regenerate", "grounding", "data", "curves"):
        assert f'id="{task}"' in html


def test_curves_take_every_evaluated_step_and_mark_this_one(pages):
    _, html = pages["everything"]
    text = Parsed(html).text
    assert "Scores over 3 evaluated steps" in text
    for metric, words in ((3_000, "Linear probe, step 3,000: "), (9_000, "Linear probe, step 9,000: ")):
        assert words in text, metric
    assert "Linear probe, step 6,000" not in text, "the task was skipped there"
    assert "Masked words (MLM)" in text and "Masked patches by scale" in text and "chexpert" in text
    one_step = Parsed(pages["one step"][1]).text
    assert "Scores over" not in one_step and "One step of this run has been evaluated so far" in one_step


def test_results_of_another_form_leave_their_part_out_and_say_so(tmp_path):
    old = {
        "classify": {"mean": {"auroc": 0.8}, "classes": {}},
        "regenerate": {"ratios": {"50": {}}},
        "retrieve": made.retrieve(),
    }
    for task in ("classify", "regenerate"):
        old[task]["split"] = "test"
    results = made.make_evaluated_run(tmp_path / "r", {"retrieve": made.retrieve()}, figures=False)
    fields = json.loads(results.read_text())
    fields["details"] = old | {"unheard_of": {"score": 1}}
    results.write_text(json.dumps(fields))
    page = Parsed(html_of(results))
    assert "classify" not in page.ids and "regenerate" not in page.ids and "retrieve" in page.ids
    assert page.text.count("form that this version reads") == 3


def _thin(tree, keep):
    """The tree without some of its leaves and branches, as seen fit by a pseudo-random choice."""
    if isinstance(tree, dict):
        return {key: _thin(value, keep) for key, value in tree.items() if keep()}
    return None if isinstance(tree, float) and not keep() else tree


def test_no_missing_piece_is_a_crash(tmp_path):
    results = made.make_evaluated_run(tmp_path / "r", {}, earlier=((10, {}),), figures=False)
    whole = made.everything(classify=made.classify(("A", "B"), ("north", "b")))
    parts = 0
    for seed in range(12):
        chance = random.Random(seed)
        details = _thin(whole, lambda chance=chance: chance.random() > 0.04)
        for path, step in ((results, 9_000), (results.parents[1] / "step-00000010" / "results.json", 10)):
            path.write_text(json.dumps({"step": step, "details": details, "metrics": None}))
        parts += len({"classify", "retrieve", "regenerate", "grounding"} & set(Parsed(html_of(results)).ids))
    assert parts > 20, "most parts can do without some of their pieces"


def test_pictures_get_smaller_until_all_fit(tmp_path):
    made.draw_figures(tmp_path / "figures", {"regenerate": made.regenerate()}, (1_400, 1_600))
    pictures = Pictures(tmp_path / "figures")
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert len(names) == 12
    assert sum(len(pictures.embedded(name)) for name in names) < 4_200_000
    (tmp_path / "figures" / "cut.png").write_bytes(b"\x89PNG")
    (tmp_path / "outside.png").write_bytes((tmp_path / "figures" / names[0]).read_bytes())
    again = Pictures(tmp_path / "figures")
    assert not any(again.embedded(name) for name in ("cut.png", "../outside.png", "missing.png", None, 3))
    assert not Pictures(tmp_path / "nowhere").embedded(names[0])


def test_the_command_writes_the_page_of_an_evaluated_step_anew(tmp_path, capsys):
    results = made.make_evaluated_run(
        tmp_path / "r", {"retrieve": made.retrieve()}, earlier=((10, {"retrieve": made.retrieve()}),)
    )
    run = tmp_path / "r"
    stamp = results.stat().st_mtime_ns
    for words, step in (((), 9_000), (("--step", "10"), 10)):
        with pytest.raises(SystemExit) as done:
            main(["evaluate", str(run), "--page", *words])
        page = run / "evals" / f"step-{step:08d}" / "report.html"
        assert not done.value.code and str(page) in capsys.readouterr().out.replace("\n", "")
        assert f"step {step:,}" in Parsed(page.read_text()).text
    assert results.stat().st_mtime_ns == stamp, "nothing was evaluated"
    for words, error in (
        (("--page", "--step", "11"), "evaluated are 10, 9000"),
        (("--page", "--split", "val"), "results-val.json"),
        (("--page", "--force"), "do not go together"),
    ):
        with pytest.raises(SystemExit) as done:
            main(["evaluate", str(run), *words])
        assert done.value.code == 2 and error in " ".join(capsys.readouterr().err.split())


def test_pages_of_splits_lie_beside_their_results_and_refusals_are_clear(tmp_path):
    results = made.make_evaluated_run(tmp_path / "r", {"retrieve": made.retrieve()}, figures=False)
    other = results.with_name("results-val.json")
    other.write_text(results.read_text().replace('"test"', '"val"'))
    run = tmp_path / "r"
    assert find_results(run, None, "val") == other and find_results(run, None, None) == results == find_results(
        run, 9_000, "test"
    )
    assert write_page(run, other) == results.with_name("report-val.html") == page_path(other)
    assert "Scored split val" in Parsed(page_path(other).read_text()).text
    assert not list(results.parent.glob(".*.tmp"))
    with pytest.raises(InputError, match="holds no config"):
        write_page(tmp_path, results)
    results.write_text("{")
    with pytest.raises(InputError, match="does not parse"):
        write_page(run, results)
    page_path(other).unlink()
    page_path(other).mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_page(run, other)
