import json
import os
from dataclasses import asdict

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from garmentcut.errors import SourceError
from garmentcut.photo.files import LOCK_NAME
from garmentcut.photo.sheet import FRAMES, SheetStyle, encode_sheet, is_contact_sheet
from garmentcut.prediction import sheet as sheet_room
from garmentcut.prediction.results import Row
from garmentcut.prediction.sheet import ContactSheet, Entry, SheetOptions, find_entries, read_cell


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
        with pytest.raises(SourceError, match=says):
            find(folder)
    touch(tmp_path, "a.png")
    with pytest.raises(SourceError, match="not a folder"):
        find(tmp_path / "a.png")
    (tmp_path / "results.jsonl").write_text("")
    with pytest.raises(SourceError, match="no cutouts yet"):
        find(tmp_path)
    (tmp_path / "results.jsonl").write_text('{"other": 1}\n')
    with pytest.raises(SourceError, match="not a row of garmentcut's"):
        find(tmp_path)


RED, WALL = (200, 30, 40), (190, 190, 190)
BOX = (slice(20, 60), slice(15, 45))


def photo(path):
    pixels = np.full((80, 60, 3), WALL, np.uint8)
    pixels[BOX] = RED
    Image.fromarray(pixels).save(path)
    return path


def cutout(path, *, box=BOX, size_hw=(80, 60)):
    pixels = np.zeros((*size_hw, 4), np.uint8)
    pixels[box] = (*RED, 255)
    Image.fromarray(pixels).save(path, lossless=True)
    return path


def mask(path, size_hw=(80, 60)):
    alpha = np.zeros(size_hw, np.uint8)
    alpha[BOX] = 255
    Image.fromarray(alpha).save(path)
    return path


def read(**entry):
    return read_cell(Entry("x_Front", **entry), (400, 400))


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_a_cutout_and_its_caption(tmp_path, suffix):
    cell = read(file=cutout(tmp_path / f"x_Front.{suffix}"), doubt=0.034, notes=("broken colour profile dropped",))
    assert np.array_equal(cell.thumbnail, np.full((40, 30, 4), (*RED, 255)))
    assert (cell.title, cell.garment, cell.mark, cell.reason) == ("x_Front", "x", "", "")
    assert cell.facts == f"60 x 80 px · {suffix} · doubt 0.03"
    assert cell.notes == "broken colour profile dropped"


def test_the_whole_frame_if_wanted(tmp_path):
    cell = read_cell(Entry("x", cutout(tmp_path / "x.png")), (400, 400), trim=False)
    assert cell.thumbnail.shape == (80, 60, 4)
    assert cell.thumbnail[..., 3].sum() == 40 * 30 * 255


def test_a_mask_is_laid_on_its_photo(tmp_path):
    cell = read(file=mask(tmp_path / "x_mask.png"), photo=photo(tmp_path / "x.png"))
    assert np.array_equal(cell.thumbnail, np.full((40, 30, 4), (*RED, 255)))
    assert cell.notes == "its photo under the mask"


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ("gone", "mask alone: its photo cannot be read any more"),
        ("other size", "mask alone: its photo has another size"),
        ("unknown", "mask alone: its photo is not known"),
    ],
)
def test_a_mask_without_its_photo_is_shown_itself(tmp_path, changed, note):
    original = photo(tmp_path / "x.png")
    if changed == "gone":
        original.unlink()
    size_hw = (70, 60) if changed == "other size" else (80, 60)
    cell = read(file=mask(tmp_path / "x_mask.png", size_hw), photo=None if changed == "unknown" else original)
    expected = np.zeros((*size_hw, 4), np.uint8)
    expected[..., 3], expected[BOX] = 255, 255
    assert np.array_equal(cell.thumbnail, expected)
    assert (cell.notes, cell.mark) == (note, "")


@pytest.mark.parametrize(
    ("box", "suspicion"),
    [
        ((slice(0, 0), slice(0, 0)), "empty: nothing is visible"),
        ((slice(None), slice(None)), "nothing is cut out: no pixel is transparent"),
    ],
)
def test_what_cannot_be_a_cutout_is_doubtful(tmp_path, box, suspicion):
    cell = read(file=cutout(tmp_path / "x.png", box=box))
    assert (cell.mark, cell.reason) == ("doubtful", suspicion)
    assert cell.thumbnail.shape == (80, 60, 4)
    known = read(file=tmp_path / "x.png", mark="doubtful", reason="two parts")
    assert known.reason == f"two parts; {suspicion}"


def test_without_transparency(tmp_path):
    lost = read(file=photo(tmp_path / "lost.png"))
    assert (lost.mark, lost.reason) == ("doubtful", "nothing in the file says what is cut out")
    assert (lost.thumbnail[0, 0] == (*WALL, 255)).all()
    assert (lost.thumbnail[30, 30] == (*RED, 255)).all()
    meant = read(file=tmp_path / "lost.png", photo=tmp_path / "x.jpg")  # the run's own: cut --background
    assert (meant.mark, meant.notes) == ("", "on a background, not transparent")


def test_a_broken_file_is_a_cell_with_the_reason(tmp_path):
    broken = tmp_path / "x.png"
    broken.write_bytes(cutout(broken).read_bytes()[:60])
    cell = read(file=broken, mark="doubtful", reason="two parts")
    assert (cell.mark, cell.thumbnail, cell.facts) == ("failed", None, "x.png")
    assert cell.reason == "truncated PNG; copy or export it again"  # without the path: the title has it


def test_what_is_known_to_have_failed_is_not_read():
    cell = read(mark="failed", reason="truncated PNG", notes=("a note",))
    assert (cell.mark, cell.reason, cell.thumbnail, cell.notes) == ("failed", "truncated PNG", None, "a note")


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
    with pytest.raises(SourceError, match=r"garment-1\.png is there already and no contact sheet"):
        ContactSheet(folder, folder / "garment-1.png", SMALL)
    assert (folder / "garment-1.png").read_bytes() == before
    for _ in range(2):  # but itself; and it is no cutout, though it lies among them
        assert len(list(ContactSheet(folder, folder / "sheet.jpg", SMALL).draw())) == 2
    assert is_contact_sheet(folder / "sheet.jpg")


def test_misuse(tmp_path):
    folder = write_cutouts(tmp_path / "in", 4)
    with pytest.raises(SourceError, match=r"written as \.jpg or \.jpeg or \.png"):
        ContactSheet(folder, tmp_path / "sheet.tif", SMALL)
    with pytest.raises(SourceError, match="smaller --cell"):
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
