import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from garmentcut.evaluation.audit import audit, draw_suspects
from garmentcut.evaluation.audit_page import render_page, write_page
from garmentcut.evaluation.trials import plan_trials


@pytest.fixture
def audited(tmp_path, red_model, red_dataset):
    trials = plan_trials(red_model(tmp_path / "red.onnx"), red_dataset)
    found = audit(trials, red_dataset)
    return found, draw_suspects(trials, red_dataset, found.suspects[:3])


def test_the_page_shows_suspects_worst_first(audited, tmp_path):
    found, pictures = audited
    page = write_page(tmp_path / "page", found, pictures, dataset=Path("/data/ours"), models="red@1").read_text()
    names = re.findall(r'<article id="s\d+" data-name="([^"]+)"', page)
    assert names == [suspect.name for suspect in found.suspects[:3]]
    assert page.count("data:image/jpeg;base64,") == 15
    assert "garmentcut audit /data/ours --verdicts verdicts.json" in page
    assert "Too few garments" in page
    assert "http://" not in page and "https://" not in page  # works offline


def test_verdicts_that_are_kept_are_shown(audited):
    found, pictures = audited
    first = found.suspects[0].name
    marked = replace(found, pairs={**found.pairs, first: replace(found.pairs[first], verdict="wrong")})
    page = render_page(marked, pictures, dataset=Path("d"), models="red")
    given = re.search(r'<script type="application/json" id="given">(.*?)</script>', page)
    assert json.loads(given.group(1)) == {first: "wrong"}
    assert len(re.findall(r'value="wrong" checked', page)) == 1


def test_names_cannot_break_out(audited):
    found, pictures = audited
    first, evil = found.suspects[0].name, "</script><b>x"
    suspects = (replace(found.suspects[0], name=evil), *found.suspects[1:])
    pairs = {**found.pairs, evil: replace(found.pairs[first], verdict="right")}
    page = render_page(
        replace(found, suspects=suspects, pairs=pairs),
        {**pictures, evil: pictures[first]},
        dataset=Path("d"),
        models="m",
    )
    assert "<b>x" not in page
