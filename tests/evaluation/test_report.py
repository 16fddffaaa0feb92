import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from garmentcut.evaluation.gallery import Gallery
from garmentcut.evaluation.report import render_report, write_report
from garmentcut.evaluation.totals import total_scores
from garmentcut.photo.photo import Photo


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
        if tag not in ("meta", "img", "input", "line", "circle", "polyline"):
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
def exhibits(scores):
    gallery = Gallery(2)
    alpha = np.zeros((40, 30), np.float32)
    alpha[10:20, 10:20] = 1
    for score in scores[-2:-6:-1]:
        gallery(replace(score, faults=("cut off & small",)), Photo(np.zeros((40, 30, 3), np.uint8)), alpha, alpha)
    return gallery.exhibits


def test_the_page_is_whole_and_stands_alone(scores, exhibits):
    text = render_report(total_scores(scores), scores, exhibits, dataset="spring")
    page = Page(text)
    assert page.tags.count("img") == 2 * 5
    addresses = [value for name, value in page.attributes if name in ("src", "href", "srcset", "action")]
    assert addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in addresses)
    assert "http" not in text.replace("http-equiv", "")
    assert "@import" not in text
    assert page.tags.count("svg") == 7  # six distributions and the thresholds


def test_what_it_says(scores, exhibits):
    totals = total_scores(scores)
    said = " ".join(Page(render_report(totals, scores, exhibits, dataset="spring")).text)
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
    text = render_report(total_scores(scores), scores, gallery.exhibits, dataset=evil)
    assert "alert(1)</script>" not in text
    assert Page(text).tags.count("script") == 2
    assert rows_of(text)[1][0] == evil


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
    assert text.count("<tr") < 50  # rows are drawn in the browser, 200 at a time


def test_an_evaluation_in_which_everything_failed(tmp_path, failed_score):
    write_report(tmp_path / "new/page.html", total_scores([failed_score]), [failed_score], (), dataset="x")
    text = (tmp_path / "new/page.html").read_text(encoding="utf-8")
    assert "no such file: &lt;b&gt;x&lt;/b&gt;" in text
    Page(text)


def test_a_name_that_is_no_unicode(tmp_path, make_score):
    scores = [make_score("bad\udcff_Front")]
    write_report(tmp_path / "page.html", total_scores(scores), scores, (), dataset="x\udcff")
    assert "bad" in (tmp_path / "page.html").read_text(encoding="utf-8")
