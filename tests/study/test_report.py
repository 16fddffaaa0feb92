import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from garmentcut.study.plan import Choice, Chosen
from garmentcut.study.report import chosen_words, curves_chart, differences_chart, facts_of, write_report

TEXT = """
title = "A <b>title</b>"
question = "Which?"
recipe = "base.toml"
reference = "one"
seeds = [0, 1]
folds = [0, 1]
notes = ["Said | last."]
[tune]
seeds = [5]
folds = [2]
[variants.one]
[variants."two | <i>"]
tune.loss.dice = [1.0, 2.0, 3.0]
[variants.three]
optimizer.lr = 0.5
[[published]]
who = "Others"
dice = 0.9832
convention = "not stated"
data = "other photos"
num_photos = 2644
"""
COMMAND = "garmentcut study a.toml --data d --out o"


@pytest.fixture
def results(make_study, results_of):
    study, rng = make_study(TEXT), np.random.default_rng(0)

    def dice(key, _):
        if key.variant.name == "three" and key.seed == 1:
            return None
        return 0.9 + 0.03 * (key.variant.name != "one") + rng.normal(0, 0.001)

    chosen = {"two | <i>": Chosen({"loss.dice": 3.0}, 0.95, 3, 1)}
    return results_of(study, dice, chosen=chosen)


def test_what_is_written(results):
    page = write_report(results, COMMAND)
    folder = page.parent
    assert {path.name for path in folder.iterdir()} >= {"report.html", "report.md", "results.json", "plots"}
    told = json.loads((folder / "results.json").read_text())
    assert told["headline"] == "Better than one: two | <i>. No verdict, runs are missing: three."
    assert [variant["variant"] for variant in told["variants"]] == ["one", "two | <i>", "three"]
    assert told["variants"][1]["paired"]["dice"]["value"] == pytest.approx(0.03, abs=0.003)
    assert told["variants"][1]["chosen"] == {"loss.dice": 3.0}
    assert len(told["runs"]) == 12
    assert told["facts"]["command"] == COMMAND


def test_the_html_page_has_it_all_and_escapes_names(results):
    text = write_report(results, COMMAND).read_text()
    assert "A &lt;b&gt;title&lt;/b&gt;" in text
    assert "<i>" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL).replace("&lt;i&gt;", "")
    for shown in (
        COMMAND,
        "two | &lt;i&gt;: better than one",
        "2,644",
        "the loss is no number",
        "1 core",
        "Said | last.",
    ):
        assert shown in text, shown
    assert results.study.manifest.sha256[:12] in text
    assert text.count("<svg") == 2
    assert not re.findall(r'(?:src|href)="http', text)


def test_the_markdown_page_has_a_cell_for_each_column(results):
    write_report(results, COMMAND)
    text = (results.study.folder / "report.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("| ")]
    columns = [len(re.findall(r"(?<!\\)\|", line)) for line in table[:5]]
    assert len(set(columns)) == 1
    assert "two \\| <i>" in text
    assert "![Differences](plots/differences.svg)" in text
    assert "optimizer" not in text.partition("| command |")[2]


def test_plots_are_well_formed(results):
    for chart in (differences_chart(results.rows), curves_chart(results)):
        root = ElementTree.fromstring(chart.svg)
        assert root.tag == "svg"
        assert len(list(root.iter("title"))) == len(chart.rows)
        assert not any("nan" in str(value) for node in root.iter() for value in node.attrib.values())


def test_nothing_has_run_yet(make_study, results_of, tmp_path):
    results = results_of(make_study(TEXT), lambda *_: None)
    text = write_report(results, COMMAND).read_text()
    assert "No verdict, runs are missing: two | &lt;i&gt;, three." in text
    assert "<svg" not in text
    assert not (tmp_path / "out/plots").exists()


def test_a_choice_at_the_edge_is_said(results):
    variant = results.study.variants[1]
    assert chosen_words(variant, results) == (
        "dice 3, of 3 tried, 1 of them failed; loss.dice is at the edge of what was tried: a better value may lie"
        " beyond"
    )


def test_sizes_that_differ_are_kept_apart(make_study, results_of):
    text = TEXT.replace("optimizer.lr = 0.5", "data.size_hw = [48, 32]")
    facts = facts_of(results_of(make_study(text, Choice(folds=(0,))), lambda *_: 0.9), COMMAND)
    assert facts["trained at"] == ("64x96, 4 steps of 2 photos (one, two | <i>); 32x48, 4 steps of 2 photos (three)")


def test_a_curve_is_drawn_where_there_is_one(make_study, results_of):
    text = TEXT.partition("[tune]")[0] + "[curve]\nat = [1084]\n[variants.one]\n"
    text += "".join(f"[variants.n{number}]\ngarments = {number}\n" for number in (1, 2, 4))
    study = make_study(text)
    results = results_of(study, lambda key, _: 1 - 0.3 * (key.variant.table.garments or 6) ** -0.5)
    page = write_report(results, COMMAND).read_text()
    assert "1,084 garments, Dice <b>" in page
    assert "garments learned from" in page
    assert "* 1,084 garments: Dice 0.9" in (study.folder / "report.md").read_text()
    svg = (study.folder / "plots/growth.svg").read_text()
    ElementTree.fromstring(svg)
    assert "mathdefault" not in svg
    assert ">1,000<" in svg
