import json
import os
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.sheet_file import encode_sheet
from garmentcut.prediction.results import Row
from garmentcut.prediction.sheet_entries import SheetError, find_entries


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"picture")


def write_rows(folder, *rows, end=""):
    lines = [json.dumps({**asdict(row), **more}) + "\n" for row, more in rows]
    (folder / "results.jsonl").write_text("".join(lines) + end)


def find(folder, doubt_over=0.05):
    return find_entries(folder, doubt_over=doubt_over)


def places(folder):
    return [entry.place for entry in find(folder)]


def test_garments_by_name_and_views_as_they_are_photographed(tmp_path):
    views = ["Back", "FrontRight", "Front"]
    names = [f"{garment}_{view}.png" for garment in ("dress-10", "dress-2") for view in views]
    touch(tmp_path, *names, "IMG_0002.png", "shop/dress-2_front.tif")
    assert places(tmp_path) == [
        "dress-2_Front",
        "dress-2_FrontRight",
        "dress-2_Back",
        "dress-10_Front",
        "dress-10_FrontRight",
        "dress-10_Back",
        "IMG_0002",
        "shop/dress-2_front",
    ]
    garments = [entry.garment for entry in find(tmp_path)]
    assert garments == ["dress-2"] * 3 + ["dress-10"] * 3 + ["IMG_0002", "shop/dress-2"]


def test_ids_are_no_numbers(tmp_path):
    touch(tmp_path, "0a93d055_Front.png", "00f6fb5d_Front.png", "9_Front.png", "10_Front.png", "a.b_Front.png")
    assert places(tmp_path) == ["9_Front", "10_Front", "00f6fb5d_Front", "0a93d055_Front", "a.b_Front"]


def test_masks_and_jpegs_stand_aside_where_there_is_a_cutout(tmp_path):
    touch(tmp_path, "a.png", "a_mask.png", "a.jpg", "b_Front_mask.png", "c.jpg", "d.png", "d.psd")
    assert [entry.file.name for entry in find(tmp_path)] == ["a.png", "b_Front_mask.png", "c.jpg", "d.png", "d.psd"]
    assert find(tmp_path)[1].garment == "b"


def test_what_is_no_cutout_is_passed_over(tmp_path):
    touch(tmp_path, "a.png", ".hidden.png", ".folder/b.png", "notes.txt")
    (tmp_path / "sheet.jpg").write_bytes(encode_sheet(np.zeros((8, 8, 3), np.uint8), ".jpg"))
    Image.new("RGB", (8, 8)).save(tmp_path / "look.jpg")
    assert places(tmp_path) == ["a", "look"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "b/c.png")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert [(entry.place, entry.mark, entry.reason) for entry in find(tmp_path)] == [
        ("a", "", ""),
        ("b", "failed", "the folder cannot be read: Permission denied"),
    ]


def test_a_run_says_itself_what_is_there(tmp_path):
    touch(tmp_path, "x/a_Front.png", "x/a_Front_mask.png", "stranger.png", "b.webp")
    rows = [
        Row("/in/b.jpg", "b", ("b_mask.png", "b.webp", "b.jpg"), notes=("CMYK converted to sRGB",)),
        Row("/in/a_Front.jpg", "x/a_Front", ("x/a_Front_mask.png", "x/a_Front.png")),
        Row("/in/c.jpg", "c", status="failed", reason="truncated PNG"),
        Row("/in/d.jpg", "d", ("d.png",), status="pending"),
        Row("/in/e.jpg", "e", ("e.png",)),
        Row("/in/b.jpg", "b", ("b_mask.png", "b.webp"), notes=("broken colour profile dropped",)),
    ]
    write_rows(tmp_path, *((row, {}) for row in rows), end='{"input": "/in/f.jpg", "pla')  # still being written
    b, c, d, e, a = find(tmp_path)
    assert a.file == tmp_path / "x/a_Front.png"
    assert (b.file, str(b.photo)) == (tmp_path / "b.webp", "/in/b.jpg")
    assert b.notes == ("broken colour profile dropped",)  # the last row counts
    assert (c.mark, c.reason, c.file) == ("failed", "truncated PNG", None)
    assert (d.mark, d.file) == ("not finished", None)
    assert e.mark == "failed"
    assert e.reason == "e.png is gone; run garmentcut cut again"


@pytest.mark.parametrize(
    ("judgement", "mark", "reason"),
    [
        ({}, "", ""),
        ({"doubt": 0.05}, "", ""),
        ({"doubt": 0.06}, "doubtful", "its doubt is over 0.05"),
        ({"doubt": 0.9, "verdict": "accept"}, "", ""),  # the verdict knows better than any number here
        ({"doubt": 0.01, "verdict": "review", "reasons": ["two parts", "a hole"]}, "doubtful", "two parts; a hole"),
        ({"verdict": "review"}, "doubtful", "to review"),
        ({"doubt": 0.06, "reasons": ["hole"]}, "doubtful", "hole"),
        ({"doubt": "much", "verdict": None}, "", ""),
        ({"doubt": float("nan")}, "", ""),
    ],
)
def test_doubt_and_verdict(tmp_path, judgement, mark, reason):
    touch(tmp_path, "a.png")
    write_rows(tmp_path, (Row("/in/a.jpg", "a", ("a.png",)), judgement))
    (entry,) = find(tmp_path)
    assert (entry.mark, entry.reason) == (mark, reason)
    doubt = judgement.get("doubt")
    assert entry.doubt == (doubt if isinstance(doubt, float) and doubt == doubt else None)


def test_where_there_is_nothing_to_show(tmp_path):
    for folder, says in ((tmp_path / "none", "no such folder"), (tmp_path, "no cutouts;")):
        with pytest.raises(SheetError, match=says):
            find(folder)
    touch(tmp_path, "a.png")
    with pytest.raises(SheetError, match="not a folder"):
        find(tmp_path / "a.png")
    (tmp_path / "results.jsonl").write_text("")
    with pytest.raises(SheetError, match="no cutouts yet"):
        find(tmp_path)
    (tmp_path / "results.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(SheetError, match="not a row of garmentcut's"):
        find(tmp_path)
