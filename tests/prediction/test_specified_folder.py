"""Folder runs under a customer's specification."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.errors import ConfigError, PhotoError
from garmentcut.photo.spec import read_specification
from garmentcut.prediction import steps as steps_module
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.sources import find_sources

PAGE = "[canvas]\nwidth_px = 80\nheight_px = 100\nbackground = '#ffffff'\n[garment]\nheight = '40 %'\n[file]\n"
NAMED = PAGE + "name = '{garment}/{view}'\n"


@pytest.fixture
def cut(red_cutter, tmp_path):
    """cut(page): what a run over tmp_path/in gives: rows and plan."""

    def cut_folder(page=NAMED, *, overwrite=False):
        (tmp_path / "customer.toml").write_text(page)
        specification = read_specification(tmp_path / "customer.toml")
        out = tmp_path / "out"
        with FolderCutter(red_cutter, out, overwrite=overwrite, specification=specification) as folder:
            plan = folder.plan(find_sources([tmp_path / "in"], out))
            return list(folder.cut(plan)), plan

    return cut_folder


@pytest.fixture
def dress(tmp_path):
    """dress(name, height): a 64x96 photo of a red dress, 20 pixels wide, on a gray wall."""

    def draw_dress(name, height=80, cloth=(255, 0, 0)):
        pixels = np.full((96, 64, 3), 200, np.uint8)
        pixels[8 : 8 + height, 22:42] = cloth
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, lossless=True)
        return path

    return draw_dress


def box_of(path):
    with Image.open(path) as image:
        assert image.size == (80, 100)
        off = (np.asarray(image) != 255).any(-1)
    rows, columns = np.flatnonzero(off.any(1)), np.flatnonzero(off.any(0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1


def files_in(folder):
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.startswith(".") and path != "results.jsonl")


def test_the_views_of_a_garment_share_one_scale(cut, dress, tmp_path):
    dress("a_Back.png", 40)
    dress("b_Front.png", 60)
    dress("a_Front.png", 80)
    dress("a_FrontRight.png", 64)
    rows, plan = cut()
    assert [Path(row.input).stem for row in rows] == ["a_Front", "a_FrontRight", "a_Back", "b_Front"]
    assert [row.reason for row in rows] == [""] * 4
    assert [Path(path).stem for path in plan.todo] == [Path(row.input).stem for row in rows]
    out = tmp_path / "out"
    assert files_in(out) == ["a/Back.png", "a/Front.png", "a/FrontRight.png", "b/Front.png"]
    # The tallest, 80 pixels, becomes 40 of 100: half as large; b on its own, 60 to 40.
    assert box_of(out / "a/Front.png") == (35, 30, 45, 70)
    assert box_of(out / "a/FrontRight.png") == (35, 34, 45, 66)
    assert box_of(out / "a/Back.png") == (35, 40, 45, 60)
    assert box_of(out / "b/Front.png") == (33, 30, 46, 70)


def test_photos_of_no_known_view_stand_alone(cut, dress, tmp_path):
    dress("a_detail.png", 40)
    dress("a_Front.png", 80)
    rows, _ = cut()
    assert all(row.ok for row in rows)
    assert box_of(tmp_path / "out/a/detail.png") == (30, 30, 50, 70)


def test_done_garments_are_skipped_and_one_new_view_cuts_all_again(cut, dress, tmp_path):
    dress("a_Front.png", 40)
    dress("b_Front.png", 40)
    cut()
    rows, plan = cut()
    assert (rows, len(plan.done)) == ([], 2)
    dress("a_Back.png", 80)
    rows, plan = cut()
    assert [Path(row.input).stem for row in rows] == ["a_Front", "a_Back"]
    assert [Path(row.input).stem for row in plan.done] == ["b_Front"]
    assert box_of(tmp_path / "out/a/Front.png") == (35, 40, 45, 60)
    assert box_of(tmp_path / "out/a/Back.png") == (35, 30, 45, 70)


def test_a_killed_run_goes_on_with_whole_garments(cut, dress, tmp_path):
    for view in ("Front", "FrontRight", "Back"):
        dress(f"a_{view}.png")
    cut()
    (tmp_path / "out/a/Back.png").unlink()
    rows, plan = cut()
    assert (len(rows), len(plan.done)) == (3, 0)
    assert all(row.ok for row in rows)


def test_another_specification_replaces_its_own_files(cut, dress, tmp_path):
    dress("a_Front.png")
    cut()
    rows, _ = cut(NAMED.replace("40 %", "20 %"))
    assert rows[0].ok
    assert box_of(tmp_path / "out/a/Front.png")[3] == 60
    assert cut(NAMED.replace("40 %", "20 %") + "# a remark\n")[0] == []


def test_a_retouched_file_is_never_replaced(cut, dress, tmp_path):
    dress("a_Front.png")
    cut()
    (tmp_path / "out/a/Front.png").write_bytes(b"an hour of work")
    page = NAMED.replace("40 %", "20 %")
    assert "not as garmentcut wrote it" in cut(page)[0][0].reason
    assert (tmp_path / "out/a/Front.png").read_bytes() == b"an hour of work"
    assert cut(page, overwrite=True)[0][0].ok


def test_a_bad_view_stops_no_other(cut, dress, tmp_path):
    dress("a_Front.png", 40)
    dress("a_FrontRight.png", 80, cloth=(200, 200, 200))
    (tmp_path / "in/a_Back.png").write_bytes(b"junk")
    rows, _ = cut()
    assert [row.ok for row in rows] == [True, False, False]
    assert "no garment found" in rows[1].reason
    assert "not a PNG" in rows[2].reason
    assert box_of(tmp_path / "out/a/Front.png") == (30, 30, 50, 70)


def test_a_view_that_always_fails_has_no_other_cut_again(cut, dress, tmp_path):
    dress("a_Front.png", 40)
    dress("a_FrontRight.png", 80, cloth=(200, 200, 200))
    (tmp_path / "in/a_Back.png").write_bytes(b"junk")
    cut()
    rows, plan = cut()
    assert [Path(row.input).stem for row in rows] == ["a_FrontRight", "a_Back"]
    assert [Path(row.input).stem for row in plan.done] == ["a_Front"]
    assert "no garment found" in rows[0].reason and "not a PNG" in rows[1].reason
    dress("a_Back.png", 80)  # another photo
    rows, _ = cut()
    assert [row.ok for row in rows] == [True, False, True]
    assert box_of(tmp_path / "out/a/Front.png") == (35, 40, 45, 60), "all at one scale again"


def test_a_view_that_can_be_cut_after_all_is_not_cut_at_a_scale_of_its_own(cut, dress, monkeypatch):
    dress("a_Front.png", 80)
    dress("a_Back.png", 40)
    whole = steps_module.decode_photo
    calls = []

    def fails_first(data, **options):
        calls.append(1)
        if len(calls) == 2:
            raise PhotoError("damaged or unreadable (a bad cable); export it again")
        return whole(data, **options)

    monkeypatch.setattr(steps_module, "decode_photo", fails_first)
    assert [row.ok for row in cut()[0]] == [True, False]
    (row,), _ = cut()
    assert not row.ok and "run again to have all cut at one" in row.reason
    rows, _ = cut()
    assert [row.ok for row in rows] == [True, True]


def test_a_garment_that_does_not_fit_is_a_row_with_its_reason(cut, dress, tmp_path):
    dress("a_Front.png", 40)
    dress("b_Front.png", 80)
    page = "[canvas]\nwidth_px = 80\nheight_px = 60\n[garment]\nresize = false\n"
    page += "[[output]]\n[[output]]\nfile.name = 'x{stem}'\n"
    rows, _ = cut(page)
    assert [row.ok for row in rows] == [True, False]
    assert "the garment has 20x80 pixels, the canvas has room for 80x60" in rows[1].reason
    assert files_in(tmp_path / "out") == ["a_Front.png", "xa_Front.png"]


def test_a_view_that_never_fits_has_no_other_cut_again(cut, dress):
    dress("a_Front.png", 40)
    dress("a_Back.png", 80)
    page = "[canvas]\nwidth_px = 80\nheight_px = 60\n[garment]\nresize = false\n[[output]]\n"
    rows, _ = cut(page)
    assert [row.code for row in rows] == ["", "does_not_fit"]
    rows, plan = cut(page)
    assert [row.code for row in rows] == ["does_not_fit"]
    assert [Path(row.input).stem for row in plan.done] == ["a_Front"]


def test_names_that_would_overwrite_are_refused_before_the_first_photo(cut, dress, red_cutter, tmp_path):
    dress("a_Front.png")
    dress("a_Back.png")
    with pytest.raises(ConfigError, match=r"gives a.png to both .*a_Front.png and .*a_Back.png; add"):
        cut(PAGE + "name = '{garment}'\n")
    assert red_cutter.runtime.calls == []
    assert files_in(tmp_path / "out") == []


def test_counters_stay_with_their_photos(cut, dress):
    page = PAGE + "name = '{garment}_{counter}'\n"
    dress("a_Front.png", 40)
    dress("a_Back.png", 80)
    cut(page)
    dress("a_FrontRight.png", 60)
    rows, _ = cut(page)
    assert [row.reason for row in rows] == [""] * 3
    assert {Path(row.input).stem: row.outputs for row in rows} == {
        "a_Front": ("a_1.png",),
        "a_Back": ("a_2.png",),
        "a_FrontRight": ("a_3.png",),
    }
    assert cut(page)[0] == []


def test_notes_stand_in_the_row(cut, dress, tmp_path):
    dress("IMG_1.png", 20)
    (row,) = cut(NAMED + "[[output]]\n[[output]]\nfile.name = 'x{stem}'\n")[0]
    assert row.outputs == ("IMG_1/unknown.png", "xIMG_1.png")
    assert row.notes == (
        "no view in the photo's name: {view} became unknown",
        "garment smaller than specified: 2.00 times enlarged is over garment.max_enlargement",
    )
    assert json.loads((tmp_path / "out/results.jsonl").read_text())["notes"] == list(row.notes)


def test_a_photo_waits_without_its_pixels(cut, dress, monkeypatch):
    waiting = []
    real = steps_module.Steps.sight

    def watch(self, work):
        sighted = real(self, work)
        waiting.append((sighted.photo, sighted.sighting))
        return sighted

    monkeypatch.setattr(steps_module.Steps, "sight", watch)
    dress("a_Front.png", 40)
    dress("a_Back.png", 80)
    dress("b_Front.png", 80)
    assert all(row.ok for row in cut()[0])
    assert waiting == [(None, ("Front", (40, 20))), (None, ("Back", (80, 20)))], "b, alone, need not wait"


def test_a_photo_exchanged_while_it_waits(cut, dress, monkeypatch):
    real = steps_module.Steps.sight

    def exchange(self, work):
        if Path(work.row.input).stem == "a_Back":
            dress("a_Front.png", 20)
        return real(self, work)

    monkeypatch.setattr(steps_module.Steps, "sight", exchange)
    dress("a_Front.png", 40)
    dress("a_Back.png", 80)
    rows, _ = cut()
    assert [row.ok for row in rows] == [False, True]
    assert "changed while its garment's photos were cut; run again" in rows[0].reason
    monkeypatch.undo()
    assert [row.ok for row in cut()[0]] == [True, True]
