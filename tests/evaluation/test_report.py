import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from garmentcut.evaluation.intervals import Estimate
from garmentcut.evaluation.metrics import METRICS
from garmentcut.evaluation.pictures import Gallery
from garmentcut.evaluation.report import (
    Against,
    aligned,
    comparison_text,
    histogram,
    interval,
    new_axes,
    render_report,
    svg_of,
    threshold_chart,
    totals_text,
)
from garmentcut.evaluation.scores import compare_scores, total_scores
from garmentcut.photo.photo import Photo


def test_columns_are_aligned():
    assert aligned([["view", "mean"], ["FrontRight", "0.9"]]) == ["view        mean", "FrontRight   0.9"]


def test_intervals():
    assert interval(Estimate(0.5, 0.25, 0.75), 3) == "[0.250, 0.750]"
    assert interval(Estimate(0.5, 0.25, 0.75), 0, factor=100) == "[25, 75]"
    assert interval(Estimate(0.5), 3) == interval(Estimate(0.5), 0, factor=100) == ""


def test_everything_is_said(make_score, failed_score):
    scores = [make_score(f"g{n}_{view}", 0.98 + n / 1000) for n in range(8) for view in ("Front", "Back")]
    scores += [make_score("g9_Back", 0.0, status="refused", reason="no garment found"), failed_score]
    text = totals_text(total_scores(scores), scores)
    lines = text.splitlines()
    assert lines[0].startswith("18 photos: 17 measured, 1 of them refused by the model, 1 failed, 0.50 s each")
    assert "net@01234567" in lines[0]
    assert lines[1] == "0 of 17 photos were in the training data."
    assert [line.split()[0] for line in lines[4:8]] == ["view", "all", "Front", "Back"]
    assert lines[6].split()[1:4] == ["8", "8", "0.9835"]
    for metric in METRICS:
        assert metric.title in text
    assert "Threshold, alpha >= 128: best 0.60 with mean Dice" in text
    assert "Threshold, alpha > 0: best 0.60" in text
    assert "refused: g9_Back: no garment found" in lines
    assert "failed: broken_Back: no such file: <b>x</b>" in lines


def test_many_failures_are_counted_not_listed(failed_score):
    scores = [failed_score] * 25
    text = totals_text(total_scores(scores), scores)
    assert text.count("failed: broken_Back") == 20
    assert "... and 5 more" in text
    assert text.startswith("25 photos: 0 measured, 25 failed; model")


@pytest.mark.parametrize(("num", "has_intervals"), [(4, False), (5, True)])
def test_a_few_garments_have_no_intervals_and_it_is_said(make_score, num, has_intervals):
    scores = [make_score(f"g{n}_Front", 0.95 + n / 100) for n in range(num)]
    text = totals_text(total_scores(scores))
    assert ("[" in text) is has_intervals
    assert ("No 95 % intervals: they need photos of at least 5 garments." in text) is not has_intervals


def test_cutouts_marked_wrong_have_a_column_without_them(make_score):
    scores = [make_score(f"g{n}_Front", 0.95) for n in range(6)] + [make_score("g9_Front", 0.1, verdict="wrong")]
    text = totals_text(total_scores(scores), scores)
    assert "1 of 7 cutouts are marked wrong; they are in all figures but the last." in text
    assert "without wrong" in text
    assert "marked wrong" not in totals_text(total_scores(scores[:6]), scores[:6])


def marks_of(svg):
    """Title, x and height of each mark that has one, from left to right."""
    found = []
    for group in ElementTree.fromstring(svg).iter("g"):
        title = group.find("title")
        if title is not None:
            numbers = [float(number) for number in re.findall(r"-?[0-9.]+", group.find("path").attrib["d"])]
            found.append((title.text, min(numbers[::2]), max(numbers[1::2]) - min(numbers[1::2])))
    return sorted(found, key=lambda mark: mark[1])


def test_columns_stack_by_view_and_count_every_photo():
    values = {"Front": [0.90, 0.95, 0.99, 0.99], "Back": [0.99]}
    chart = histogram("Dice", values, higher_is_better=True, decimals=3)
    counted = {}
    for title, _, _ in marks_of(chart.svg):
        num, view = title.rpartition(": ")[2].split()
        counted[view] = counted.get(view, 0) + int(num)
    assert counted == {"Front": 4, "Back": 1}
    front, back = sorted(marks_of(chart.svg)[-2:], key=lambda mark: -mark[2])
    assert front[2] == pytest.approx(2 * back[2], rel=0.01)
    assert chart.columns == ("range", "Front", "Back")
    assert [sum(int(row[column]) for row in chart.rows) for column in (1, 2)] == [4, 1]
    assert chart.rows[-1][1:] == ("2", "1")


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_disaster_does_not_squeeze_the_others(higher_is_better):
    good = [0.990 + n / 10000 for n in range(99)]
    values = {"Front": [*good, 0.0 if higher_is_better else 400.0]}
    marks = marks_of(histogram("x", values, higher_is_better=higher_is_better, decimals=4).svg)
    assert len(marks) > 20
    assert ("0.0000 to" if higher_is_better else "to 400.0000") in marks[0 if higher_is_better else -1][0]


@pytest.mark.parametrize("values", [[1.0], [1.0, 1.0], [0.0]])
def test_one_photo_or_all_alike_is_one_column_that_can_be_seen(values):
    chart = histogram("x", {"Front": values}, higher_is_better=True, decimals=4)
    [(title, _, height)] = marks_of(chart.svg)
    assert title.endswith(f": {len(values)} Front")
    assert height > 50


def test_thresholds_are_cut_off_below_and_every_point_says_its_value():
    values = [0.2, *[0.9 + n / 1000 for n in range(18)]]
    chart = threshold_chart({"alpha >= 128": values, "alpha > 0": [0.9] * 19}, depth=0.05)
    root = ElementTree.fromstring(chart.svg)
    titles = [title.text for title in root.iter("title")]
    assert len(titles) == 2 * 19
    assert "alpha >= 128, threshold 0.50: 0.9080" in titles
    assert chart.rows[9] == ("0.50", "0.9080", "0.9000")
    assert "id" not in root.find("g").attrib


def test_an_svg_has_no_addresses_and_is_the_same_each_time():
    first, second = (histogram("x", {"a<b": [0.5, 0.7]}, higher_is_better=True, decimals=2).svg for _ in range(2))
    assert first == second
    assert "http" not in first
    assert "a&lt;b" in first


def test_names_that_are_no_formula_and_no_xml():
    chart = histogram("x", {"$\\frac{": [0.5], "bad\udcff\x07": [0.7]}, higher_is_better=True, decimals=2)
    titles = [title for title, _, _ in marks_of(chart.svg)]
    assert titles[0].endswith("1 $\\frac{")
    assert titles[1].endswith("1 bad\ufffd\ufffd")
    axes = new_axes()
    axes.plot([0, 1], [0, 1], label="$\\b$")
    axes.legend()
    assert ">$\\b$<" in svg_of(axes)


class Page(HTMLParser):
    """Checks that tags close as they opened, and gathers what the tests ask for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def rows_of(text):
    return json.loads(re.search(r'<script type="application/json" id="rows">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture
def scores(make_score, failed_score):
    rows = [make_score(f"g{n}_{view}", 0.98 + n / 1000) for n in range(6) for view in ("Front", "Back")]
    return [*rows, make_score("g9_Back", 0.0, status="refused", reason="no garment found"), failed_score]


@pytest.fixture
def worst_photos(scores):
    gallery = Gallery(2)
    alpha = np.zeros((40, 30), np.float32)
    alpha[10:20, 10:20] = 1
    for score in scores[-2:-6:-1]:
        gallery(replace(score, faults=("cut off & small",)), Photo(np.zeros((40, 30, 3), np.uint8)), alpha, alpha)
    return gallery.worst_photos


def test_the_page_is_whole_and_stands_alone(scores, worst_photos):
    text = render_report(total_scores(scores), scores, worst_photos, dataset="spring")
    page = Page(text)
    assert page.tags.count("img") == 2 * 5
    addresses = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert addresses
    assert all(address.startswith(("data:image/jpeg;base64,", "#")) for address in addresses)
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert page.tags.count("svg") == 7  # six distributions and the thresholds


@pytest.mark.usefixtures("no_charts")
def test_what_it_says(scores, worst_photos):
    totals = total_scores(scores)
    said = " ".join(Page(render_report(totals, scores, worst_photos, dataset="spring")).text)
    assert "net@01234567" in said
    assert "spring" in said
    assert "0 of 13 photos were in the training data." in said
    assert f"{totals.by_view[0].figures['dice']['mean'].value:.4f}" in said
    assert "no garment found" in said
    assert "cut off & small" in said
    assert said.index("Front") < said.index("Worst first") < said.index("Every photo")


def test_names_from_outside_cannot_become_markup(make_score, failed_score):
    evil = "</script><script>alert(1)</script>"
    scores = [
        make_score("g1_Front", faults=(evil,), split=evil, model=evil),
        replace(make_score("x_Front"), name=evil, view=evil, status="refused", reason=evil),
        replace(failed_score, name=evil, reason=evil),
    ]
    gallery = Gallery(2)
    for score in scores[:2]:
        gallery(score, Photo(np.zeros((9, 9, 3), np.uint8)), *np.zeros((2, 9, 9), np.float32))
    text = render_report(total_scores(scores), scores, gallery.worst_photos, dataset=evil)
    assert "alert(1)</script>" not in text
    assert Page(text).tags.count("script") == 2
    assert rows_of(text)[1][0] == evil


@pytest.fixture
def no_charts(monkeypatch):
    """The page without its charts, which take half a second to draw."""
    monkeypatch.setattr("garmentcut.evaluation.report._histograms", lambda _: [])
    monkeypatch.setattr("garmentcut.evaluation.report.threshold_chart", lambda _: None)


@pytest.mark.usefixtures("no_charts")
def test_photos_seen_in_training_are_warned_of(make_score):
    def badge(*seen):
        scores = [make_score(f"g{n}_Front", seen=value) for n, value in enumerate(seen)]
        return re.search(
            r'<p class="seen(.*?)">(.*?)</p>', render_report(total_scores(scores), scores, (), dataset="x")
        )

    assert badge(False, False).groups() == ("", "0 of 2 photos were in the training data.")
    assert badge(True, False).groups() == (" warn", "1 of 2 photos were in the training data.")
    assert badge(None)[1] == " warn"


def test_ten_thousand_photos_stay_a_light_page(make_score):
    scores = [make_score(f"0123abcd-0123-0123-0123-0123456789{n:04d}_Front", 0.9 + n / 1e5) for n in range(10_000)]
    text = render_report(total_scores(scores[:50]), scores, (), dataset="x")
    assert len(text) < 3e6
    assert len(rows_of(text)) == 10_000
    assert text.count("<tr") < 300  # rows are drawn in the browser, 200 at a time


def test_an_evaluation_in_which_everything_failed(failed_score):
    text = render_report(total_scores([failed_score]), [failed_score], (), dataset="x")
    assert "no such file: &lt;b&gt;x&lt;/b&gt;" in text
    Page(text)


def test_a_name_that_is_no_unicode(make_score):
    scores = [make_score("bad\udcff_Front")]
    assert "bad" in render_report(total_scores(scores), scores, (), dataset="x\udcff")


@pytest.mark.usefixtures("no_charts")
def test_a_comparison_is_reported_with_its_pictures(make_score, worst_photos):
    theirs = [make_score(f"g{n:02d}_Front", 0.95, model="old@1") for n in range(12)]
    ours = [make_score(one.name, 0.95 + n / 1000 - 0.002) for n, one in enumerate(theirs)]
    found = compare_scores(ours, theirs)
    text = comparison_text(found)
    assert "Against old@1: 12 photos of 12 garments" in text
    assert re.search(r"Dice, alpha >= 128 +\+0.0035 +\[0.00.*better", text)
    assert re.search(r"outline to retouch +-7 .*better", text)
    assert "rose in 9 photos and fell in 2" in text
    pictures = {ours[11].name: worst_photos[0].pictures}
    page = render_report(total_scores(ours), ours, (), dataset="x", against=Against(found, pictures))
    said = " ".join(Page(page).text)
    assert said.index("Against old@1") < said.index("Largest gains") < said.index("Largest losses")
    assert page.count("<img") == len(worst_photos[0].pictures)
    assert said.index("g11_Front", said.index("Largest gains")) < said.index("g10_Front", said.index("Largest gains"))
