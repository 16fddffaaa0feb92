import json
from dataclasses import asdict

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from garmentcut.photo.contact_sheet import FRAMES
from garmentcut.photo.sheet_file import encode_sheet, is_contact_sheet
from garmentcut.photo.sheet_style import SheetStyle
from garmentcut.prediction import sheet as sheet_room
from garmentcut.prediction.results import Row
from garmentcut.prediction.sheet import ContactSheet, SheetOptions
from garmentcut.prediction.sheet_entries import SheetError
from garmentcut.prediction.sources import LOCK_NAME

SMALL = SheetOptions(SheetStyle(("#ffffff",), columns=3, cell_px=64), lines_per_page=2)


def color_of(number):
    return 20 * number + 10, 90, 250 - 20 * number


def write_cutouts(folder, num):
    folder.mkdir(exist_ok=True)
    for number in range(num):
        pixels = np.zeros((60, 40, 4), np.uint8)
        pixels[10:50, 10:30] = (*color_of(number), 255)
        Image.fromarray(pixels).save(folder / f"garment-{number}.png")
    return folder


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image)


def colors_on(path):
    """Numbers of the cutouts on a page, from its pixels, line by line."""
    page = pixels_of(path)
    found = {}
    for number in range(12):
        places = np.argwhere((page == color_of(number)).all(axis=-1))
        if len(places):
            assert len(places) == 40 * 20
            found[tuple(places[0])] = number
    return [found[place] for place in sorted(found)]


def test_one_page(tmp_path):
    shown = list(ContactSheet(write_cutouts(tmp_path / "in", 5), tmp_path / "out/sheet.png", SMALL).draw())
    assert [cutout.name for cutout in shown] == [f"garment-{number}" for number in range(5)]
    assert {cutout.page for cutout in shown} == {tmp_path / "out/sheet.png"}
    assert colors_on(tmp_path / "out/sheet.png") == [0, 1, 2, 3, 4]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["sheet.png"]


def test_many_cutouts_make_several_pages(tmp_path):
    folder = write_cutouts(tmp_path / "in", 8)
    shown = list(ContactSheet(folder, tmp_path / "sheet.png", SMALL).draw())
    assert [cutout.page.name for cutout in shown] == ["sheet_001.png"] * 6 + ["sheet_002.png"] * 2
    assert colors_on(tmp_path / "sheet_001.png") == [0, 1, 2, 3, 4, 5]
    assert colors_on(tmp_path / "sheet_002.png") == [6, 7]
    assert len({pixels_of(tmp_path / f"sheet_00{number}.png").shape[1] for number in (1, 2)}) == 1


def test_pages_of_an_earlier_longer_sheet_go(tmp_path):
    folder = write_cutouts(tmp_path / "in", 8)
    list(ContactSheet(folder, tmp_path / "sheet.png", SMALL).draw())
    (tmp_path / "sheet_009.png").write_bytes(b"somebody else's")
    (tmp_path / "sheet_old.png").write_bytes(encode_sheet(np.zeros((9, 9, 3), np.uint8), ".png"))
    for number in range(3, 8):
        (folder / f"garment-{number}.png").unlink()
    list(ContactSheet(folder, tmp_path / "sheet.png", SMALL).draw())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "sheet.png", "sheet_009.png", "sheet_old.png"]


def test_a_sheet_never_replaces_anything_else(tmp_path):
    folder = write_cutouts(tmp_path / "in", 2)
    before = (folder / "garment-1.png").read_bytes()
    with pytest.raises(SheetError, match=r"garment-1\.png is there already and no contact sheet"):
        ContactSheet(folder, folder / "garment-1.png", SMALL)
    assert (folder / "garment-1.png").read_bytes() == before
    for _ in range(2):  # but itself; and it is no cutout, though it lies among them
        assert len(list(ContactSheet(folder, folder / "sheet.jpg", SMALL).draw())) == 2
    assert is_contact_sheet(folder / "sheet.jpg")


def test_misuse(tmp_path):
    folder = write_cutouts(tmp_path / "in", 4)
    with pytest.raises(SheetError, match=r"written as \.jpg or \.jpeg or \.png"):
        ContactSheet(folder, tmp_path / "sheet.tif", SMALL)
    with pytest.raises(SheetError, match="smaller --cell"):
        ContactSheet(folder, tmp_path / "sheet.jpg", SheetOptions(SheetStyle(columns=9, cell_px=4000)))


def test_a_folder_still_being_cut(tmp_path):
    folder = write_cutouts(tmp_path / "in", 3)
    rows = [
        Row("/in/0.jpg", "garment-0", ("garment-0.png",)),
        Row("/in/1.jpg", "garment-1", ("garment-1.png",), status="pending"),
        Row("/in/2.jpg", "garment-2", status="failed", reason="truncated PNG"),
    ]
    lines = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    (folder / "results.jsonl").write_text(lines + '{"input": ')
    with FileLock(folder / LOCK_NAME):  # as the run holds it
        shown = list(ContactSheet(folder, tmp_path / "sheet.png", SMALL).draw())
    assert [cutout.mark for cutout in shown] == ["", "not finished", "failed"]
    assert shown[2].reason == "truncated PNG"
    assert colors_on(tmp_path / "sheet.png") == [0]
    page = pixels_of(tmp_path / "sheet.png")
    for mark in ("not finished", "failed"):
        assert (page == FRAMES[mark]).all(axis=-1).sum() > 500
    assert (folder / "results.jsonl").read_text().endswith('{"input": ')  # read only


def test_a_broken_cutout_stops_no_other(tmp_path):
    folder = write_cutouts(tmp_path / "in", 4)
    (folder / "garment-1.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    shown = list(ContactSheet(folder, tmp_path / "sheet.png", SMALL).draw())
    assert [cutout.mark for cutout in shown] == ["", "failed", "", ""]
    assert shown[1].reason
    assert colors_on(tmp_path / "sheet.png") == [0, 2, 3]


def test_only_the_page_at_hand_is_read(tmp_path, monkeypatch):
    read = []
    folder, original = write_cutouts(tmp_path / "in", 12), sheet_room.read_cell

    def read_cell(entry, *args, **options):
        read.append(entry.place)
        return original(entry, *args, **options)

    monkeypatch.setattr(sheet_room, "read_cell", read_cell)
    for _ in ContactSheet(folder, tmp_path / "sheet.png", SMALL).draw():
        assert len(read) <= 6 * (len(list(tmp_path.glob("sheet_*.png"))) + 1)
    assert len(read) == 12


def test_stopping_early_leaves_no_half_page(tmp_path):
    drawing = ContactSheet(write_cutouts(tmp_path / "in", 8), tmp_path / "sheet.png", SMALL).draw()
    for _ in range(7):
        next(drawing)
    drawing.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "sheet_001.png"]
