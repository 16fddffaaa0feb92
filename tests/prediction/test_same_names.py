"""Photos that come under a name that another photo had before; photos whose own name was changed."""

import shutil
import unicodedata

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import load_config
from garmentcut.photo.spec import read_specification
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Journal
from garmentcut.prediction.sources import find_sources


@pytest.fixture
def shoot(tmp_path):
    """shoot(name, shift, taken, camera): a photo in tmp_path/in, with EXIF of a camera."""

    def write(name, shift, taken="", camera="", fraction=""):
        pixels = np.full((96, 64, 3), 200, np.uint8)
        pixels[20:70, 10 + shift : 34 + shift] = (255, 0, 0)
        exif = Image.Exif()
        exif[0x0131] = "studio"  # Pillow writes nothing into a PNG without a tag of the main directory
        directory = exif.get_ifd(0x8769)
        for tag, value in ((0x9003, taken), (0xA431, camera), (0x9291, fraction)):
            if value:
                directory[tag] = value
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, exif=exif, quality=95)
        return path

    return write


@pytest.fixture
def cut(red_cutter, tmp_path):
    def run(**options):
        out = tmp_path / "out"
        with FolderCutter(red_cutter, out, **options) as folder:
            return list(folder.cut(folder.plan(find_sources([tmp_path / "in"], out))))

    return run


def left_of(path):
    with Image.open(path) as image:
        return int(np.flatnonzero((np.asarray(image)[..., 3] > 127).any(axis=0))[0])


MONDAY, TUESDAY = "2026:11:23 10:00:00", "2026:11:24 10:00:00"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((MONDAY, "1"), (TUESDAY, "1")),
        ((MONDAY, ""), (TUESDAY, "")),
        ((MONDAY, "1"), (MONDAY, "2")),
        (("", "1"), ("", "2")),
        ((MONDAY, "1", "10"), (MONDAY, "1", "20")),
    ],
)
def test_another_photo_of_the_same_name_gets_a_name_of_its_own(cut, shoot, tmp_path, suffix, before, after):
    path = shoot(f"day/IMG_0001.{suffix}", 0, *before)
    cut()
    shoot(f"day/IMG_0001.{suffix}", 7, *after)
    (row,) = cut()
    assert (row.input, row.outputs) == (str(path), ("day/IMG_0001_2.png",))
    assert row.flags == ("another_photo",)
    assert row.notes[-1] == "another photo of this name was cut before: this one is named IMG_0001_2"
    assert [left_of(tmp_path / f"out/day/IMG_0001{end}.png") for end in ("", "_2")] == [10, 17]
    assert cut() == []
    rows = Journal(tmp_path / "out").rows
    assert len(rows) == 2
    assert {row.place for row in rows.values()} == {"day/IMG_0001", "day/IMG_0001_2"}
    (again,) = cut(config=load_config(overrides={"output.trim": True}))  # other options: the names stay
    assert again.outputs == ("day/IMG_0001_2.png",)
    assert again.flags == ("another_photo",)
    shoot(f"day/IMG_0001.{suffix}", 14, "2026:11:25 10:00:00", "3")
    (third,) = cut()
    assert third.outputs == ("day/IMG_0001_3.png",)


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        (("", ""), ("", ""), ("replaced",)),
        ((MONDAY, "1"), ("", ""), ("replaced",)),
        (("", "1"), (MONDAY, ""), ("replaced",)),
        (("0000:00:00 00:00:00", "000"), (MONDAY, "1"), ("replaced",)),
        ((MONDAY, "1"), (MONDAY, "1"), ()),  # developed anew
        ((MONDAY, "1"), (MONDAY, ""), ()),
    ],
)
def test_where_exif_does_not_tell_new_content_is_cut_again(cut, shoot, tmp_path, before, after, flags):
    shoot("IMG_0001.jpg", 0, *before)
    cut()
    shoot("IMG_0001.jpg", 7, *after)
    (row,) = cut()
    assert (row.outputs, row.flags) == (("IMG_0001.png",), flags)
    assert left_of(tmp_path / "out/IMG_0001.png") == 17
    assert cut() == []


def test_a_name_that_is_taken_is_passed_over(cut, shoot):
    shoot("IMG_0001.jpg", 0, MONDAY)
    shoot("IMG_0001_2.jpg", 3, MONDAY)
    cut()
    shoot("IMG_0001.jpg", 7, TUESDAY)
    (row,) = cut()
    assert row.outputs == ("IMG_0001_3.png",)


def test_a_run_that_was_killed_before_the_new_photo_was_cut(cut, shoot, red_cutter, tmp_path):
    shoot("IMG_0001.jpg", 0, MONDAY)
    cut()
    shoot("IMG_0001.jpg", 7, TUESDAY)
    with FolderCutter(red_cutter, tmp_path / "out") as folder:
        folder.plan(find_sources([tmp_path / "in"], tmp_path / "out"))
    (row,) = cut()
    assert (row.outputs, row.flags) == (("IMG_0001_2.png",), ("another_photo",))


def test_one_that_is_damaged_at_first_keeps_its_name(cut, shoot):
    shoot("IMG_0001.jpg", 0, MONDAY)
    cut()
    path = shoot("IMG_0001.jpg", 7, TUESDAY)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (row,) = cut()
    assert (row.ok, row.flags) == (False, ("another_photo",))
    path.write_bytes(whole)
    (row,) = cut()
    assert (row.outputs, row.flags) == (("IMG_0001_2.png",), ("another_photo",))


def test_under_a_specification_too(cut, shoot, tmp_path):
    page = tmp_path / "page.toml"
    page.write_text("[canvas]\nwidth_px = 80\nheight_px = 100\n[garment]\nheight = '40 %'\n[file]\nname = '{stem}'\n")
    shoot("IMG_0001.jpg", 0, MONDAY)
    cut(specification=read_specification(page))
    shoot("IMG_0001.jpg", 7, TUESDAY)
    (row,) = cut(specification=read_specification(page))
    assert (row.outputs, row.ok) == (("IMG_0001_2.png",), True)
    assert cut(specification=read_specification(page)) == []


def test_a_watch_tells_them_apart_too(watch_for, script, shoot):
    shoot("IMG_0001.jpg", 0, MONDAY)
    script.at(60, lambda: shoot("IMG_0001.jpg", 7, TUESDAY))
    assert [row.outputs for row in watch_for(300)] == [("IMG_0001.png",), ("IMG_0001_2.png",)]
    assert watch_for(300) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Dress.JPG", "dress.jpg"),
        ("Sub/a.jpg", "sub/A.jpg"),
        (unicodedata.normalize("NFD", "Größe.jpg"), unicodedata.normalize("NFC", "Größe.jpg")),
        (unicodedata.normalize("NFC", "Größe.jpg"), unicodedata.normalize("NFD", "Größe.jpg")),
    ],
)
def test_a_photo_renamed_in_case_or_normalisation_keeps_its_row(cut, shoot, tmp_path, before, after):
    path = shoot(before, 0)
    (row,) = cut()
    (tmp_path / "in" / after).parent.mkdir(exist_ok=True)
    path.rename(tmp_path / "in" / after)
    assert cut() == []
    (kept,) = Journal(tmp_path / "out").rows.values()
    assert (kept.input, kept.outputs) == (str(tmp_path / "in" / after), row.outputs)


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        ("IMG_0001.jpg", "SKU1_Front.jpg", ("moved",)),
        ("IMG_0001.jpg", "day/IMG_0001.jpg", ("moved",)),
        ("a/IMG_0001.jpg", "b/IMG_0001.JPG", ("moved",)),
    ],
)
def test_a_photo_that_was_renamed_or_moved_keeps_its_row(cut, shoot, tmp_path, before, after, flags):
    path, moved = shoot(before, 0), tmp_path / "in" / after
    (row,) = cut()
    moved.parent.mkdir(exist_ok=True)
    path.rename(moved)
    assert cut() == []
    (kept,) = Journal(tmp_path / "out").rows.values()
    assert (kept.input, kept.place, kept.outputs, kept.flags) == (str(moved), row.place, row.outputs, flags)
    (again,) = cut(config=load_config(overrides={"output.trim": True}))  # other options: the names stay
    assert (again.outputs, again.flags) == (row.outputs, flags)
    moved.rename(path)
    assert cut(config=load_config(overrides={"output.trim": True})) == []
    (back,) = Journal(tmp_path / "out").rows.values()
    assert (back.input, back.flags) == (str(path), ())


def test_a_renamed_photo_gets_its_new_name_once_its_old_files_are_removed(cut, shoot, tmp_path):
    path = shoot("IMG_0001.jpg", 0)
    (row,) = cut()
    path.rename(tmp_path / "in/SKU1_Front.jpg")
    assert cut() == []
    (tmp_path / "out" / row.outputs[0]).unlink()
    (row,) = cut()
    assert (row.outputs, row.flags) == (("SKU1_Front.png",), ())


def test_a_new_photo_under_a_renamed_ones_old_name(cut, shoot, tmp_path):
    shoot("a.jpg", 0)
    cut()
    (tmp_path / "in/a.jpg").rename(tmp_path / "in/b.jpg")
    assert cut() == []
    shoot("a.jpg", 7)
    (row,) = cut()
    assert row.outputs == ("a_jpg.png",)
    assert [left_of(tmp_path / f"out/a{end}.png") for end in ("", "_jpg")] == [10, 17]


def test_a_copy_beside_the_photo_is_a_photo_of_its_own(cut, shoot, tmp_path):
    shutil.copy(shoot("a.jpg", 0), tmp_path / "kept.jpg")
    cut()
    shutil.copy(tmp_path / "kept.jpg", tmp_path / "in/b.jpg")
    assert [row.outputs for row in cut()] == [("b.png",)]


def test_under_a_specification_a_renamed_photo_keeps_its_row_too(cut, shoot, tmp_path):
    (tmp_path / "shop.toml").write_text("[canvas]\nwidth_px = 80\nheight_px = 100\n[file]\nname = '{stem}'\n")
    wanted = read_specification(tmp_path / "shop.toml")
    path = shoot("a.jpg", 0)
    (row,) = cut(specification=wanted)
    path.rename(tmp_path / "in/b.jpg")
    assert cut(specification=wanted) == []
    (kept,) = Journal(tmp_path / "out").rows.values()
    assert kept.outputs == row.outputs


def test_a_watch_knows_a_renamed_photo_again(watch_for, script, shoot, tmp_path):
    path = shoot("a.jpg", 0)
    assert [row.place for row in watch_for(60)] == ["a"]
    script.at(script.now + 20, lambda: path.rename(tmp_path / "in/b.jpg"))
    assert watch_for(300) == []
    (kept,) = Journal(tmp_path / "out").rows.values()
    assert (kept.input, kept.place) == (str(tmp_path / "in/b.jpg"), "a")


@pytest.mark.parametrize(
    "name", ["S:M/a.jpg", "C:colon.jpg", "a\\b.jpg", "a\x1b[31mb.jpg", "line\nend.jpg", "a\udcffb.jpg"]
)
def test_any_name_works_twice(cut, shoot, tmp_path, name):
    path = tmp_path / "in" / name
    path.parent.mkdir(parents=True)
    shoot("x.jpg", 0).rename(path)
    (row,) = cut()
    assert (row.ok, row.reason) == (True, "")
    assert cut() == []
    assert len(Journal(tmp_path / "out").rows) == 1


def test_folders_named_like_those_of_verdicts_are_folders_of_photos(cut, shoot):
    for number, name in enumerate(("Zed.jpg", "accepted/Zed.jpg", "review/Zed.jpg")):
        shoot(name, number)
    assert {row.outputs for row in cut()} == {("Zed.png",), ("accepted/Zed.png",), ("review/Zed.png",)}
    assert cut() == []
    again = cut(config=load_config(overrides={"output.trim": True}))
    assert {row.outputs for row in again} == {("Zed.png",), ("accepted/Zed.png",), ("review/Zed.png",)}


def test_a_photo_renamed_since_a_row_without_a_place_is_cut_as_a_new_one(cut, shoot, tmp_path):
    path = shoot("a.jpg", 0)
    cut()
    results = tmp_path / "out/results.jsonl"
    results.write_text(results.read_text().replace('"place": "a"', '"place": ""'))
    path.rename(path.with_name("b.jpg"))
    assert [row.outputs for row in cut()] == [("b.png",)]
