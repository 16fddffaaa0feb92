"""A watch under a specification: the views of a garment trickle in and share one scale all the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.spec import read_specification

PAGE = "[canvas]\nwidth_px = 80\nheight_px = 100\nbackground = '#ffffff'\n[garment]\nheight = '40 %'\n[file]\n"
NAMED = PAGE + "name = '{garment}/{view}'\n"


@pytest.fixture
def specified(watch_for, tmp_path):
    """specified(seconds, page): the rows that a watch under this specification yields until then."""

    def run(seconds, page=NAMED):
        (tmp_path / "customer.toml").write_text(page)
        rows = watch_for(seconds, specification=read_specification(tmp_path / "customer.toml"))
        return [(Path(row.input).stem, row.status) for row in rows]

    return run


@pytest.fixture
def dress(tmp_path):
    """dress(name, height): a 64x96 photo of a red dress, 20 pixels wide, on a gray wall."""

    def draw_dress(name, height):
        pixels = np.full((96, 64, 3), 200, np.uint8)
        pixels[8 : 8 + height, 22:42] = (255, 0, 0)
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return draw_dress


def height_of(path):
    with Image.open(path) as image:
        return int((np.asarray(image) != 255).any(-1).any(1).sum())


def test_a_garment_is_cut_when_its_last_view_has_come(specified, script, dress, tmp_path):
    for second, view, height in ((0, "Back", 40), (30, "Front", 80), (50, "FrontRight", 64)):
        script.at(second, lambda view=view, height=height: dress(f"a_{view}.png", height))
    assert specified(100) == [("a_Front", "ok"), ("a_FrontRight", "ok"), ("a_Back", "ok")]
    # The tallest, 80 pixels, becomes 40 of 100: half as large.
    assert [height_of(tmp_path / f"out/a/{view}.png") for view in ("Front", "FrontRight", "Back")] == [40, 32, 20]


def test_a_garment_without_all_views_is_cut_after_a_while_and_again_with_a_later_view(
    specified, script, dress, tmp_path
):
    dress("a_Back.png", 40)
    seen = []
    script.at(50, lambda: seen.append((tmp_path / "out/a").exists()))
    script.at(100, lambda: seen.append(height_of(tmp_path / "out/a/Back.png")))
    script.at(120, lambda: dress("a_Front.png", 80))
    assert specified(300) == [("a_Back", "ok"), ("a_Front", "ok"), ("a_Back", "ok")]
    assert seen == [False, 40]
    assert height_of(tmp_path / "out/a/Back.png") == 20
    assert specified(300) == []


def test_a_photo_without_a_view_waits_for_nobody(specified, dress):
    dress("flat-lay.png", 40)
    assert specified(10) == [("flat-lay", "ok")]


def test_a_broken_view_delays_its_garment_but_does_not_have_it_cut_again_and_again(specified, dress, red_cutter):
    dress("a_Front.png", 80)
    broken = dress("a_Back.png", 40)
    content = broken.read_bytes()
    broken.write_bytes(content[:-20])
    assert specified(600) == [("a_Front", "ok"), ("a_Back", "failed")]
    assert len(red_cutter.runtime.calls) == 1
    broken.write_bytes(content)
    assert specified(600) == [("a_Front", "ok"), ("a_Back", "ok")]


def test_two_photos_of_one_name_fail_and_stop_no_other_garment(specified, dress, tmp_path):
    dress("one/a_Front.png", 80)
    dress("b_Front.png", 80)
    dress("b_Front.jpg", 80)
    rows = specified(300)
    assert sorted(rows) == [("a_Front", "ok"), ("b_Front", "failed"), ("b_Front", "failed")]
    reasons = [json.loads(line)["reason"] for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert sum("file.name gives" in reason for reason in reasons) == 2
    rows = specified(300, PAGE + "name = '{garment}/{view}{counter:02}'\n")
    assert [status for _, status in rows] == ["ok"] * 3
