import io
import json
import os
from dataclasses import asdict, replace

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from garmentcut.errors import ConfigError, SourceError
from garmentcut.photo.color import made_profile, srgb_of
from garmentcut.photo.files import LOCK_NAME
from garmentcut.photo.photo import Cutout
from garmentcut.prediction import sheet as sheet_room
from garmentcut.prediction.results import Row
from garmentcut.prediction.sheet import (
    FRAMES,
    SHEET_SUFFIXES,
    Cell,
    ContactSheet,
    SheetOptions,
    break_lines,
    draw_ground,
    draw_page,
    encode_sheet,
    find_cells,
    fit_line,
    is_contact_sheet,
    lay_on_ground,
    legible,
    named_grounds,
    read_cell,
    shrink_cutout,
    width_of,
    wrap_lines,
)


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"picture")


def write_rows(folder, *rows, end=""):
    lines = [json.dumps({**asdict(row), **more}) + "\n" for row, more in rows]
    (folder / "results.jsonl").write_text("".join(lines) + end)


def find(folder, doubt_over=0.05):
    return find_cells(folder, doubt_over=doubt_over)


def places(folder):
    return [cell.name for cell in find(folder)]


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
    garments = [cell.garment for cell in find(tmp_path)]
    assert garments == ["dress-2"] * 3 + ["dress-10"] * 3 + ["IMG_0002", "shop/dress-2"]


def test_ids_are_no_numbers(tmp_path):
    touch(tmp_path, "0a93d055_Front.png", "00f6fb5d_Front.png", "9_Front.png", "10_Front.png", "a.b_Front.png")
    assert places(tmp_path) == ["9_Front", "10_Front", "00f6fb5d_Front", "0a93d055_Front", "a.b_Front"]


def test_masks_and_jpegs_stand_aside_where_there_is_a_cutout(tmp_path):
    touch(tmp_path, "a.png", "a_mask.png", "a.jpg", "b_Front_mask.png", "c.jpg", "d.png", "d.psd")
    assert [cell.file.name for cell in find(tmp_path)] == ["a.png", "b_Front_mask.png", "c.jpg", "d.png", "d.psd"]
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
    assert [(cell.name, cell.mark, cell.reason) for cell in find(tmp_path)] == [
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
    (cell,) = find(tmp_path)
    assert (cell.mark, cell.reason) == (mark, reason)
    doubt = judgement.get("doubt")
    assert cell.doubt == (doubt if isinstance(doubt, float) and doubt == doubt else None)


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


LARGE = SheetOptions(cell_px=640)


def read(**cell):
    return read_cell(Cell("x_Front", **cell), LARGE)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_a_cutout_and_its_caption(tmp_path, suffix):
    cell = read(file=cutout(tmp_path / f"x_Front.{suffix}"), doubt=0.034, notes=("broken colour profile dropped",))
    assert np.array_equal(cell.thumbnail, np.full((40, 30, 4), (*RED, 255)))
    assert (cell.name, cell.garment, cell.mark, cell.reason) == ("x_Front", "x", "", "")
    assert cell.facts == f"60 x 80 px · {suffix} · doubt 0.03"
    assert cell.notes == ("broken colour profile dropped",)


def test_the_whole_frame_if_wanted(tmp_path):
    cell = read_cell(Cell("x", cutout(tmp_path / "x.png")), replace(LARGE, trim=False))
    assert cell.thumbnail.shape == (80, 60, 4)
    assert cell.thumbnail[..., 3].sum() == 40 * 30 * 255


def test_a_mask_is_laid_on_its_photo(tmp_path):
    cell = read(file=mask(tmp_path / "x_mask.png"), photo=photo(tmp_path / "x.png"))
    assert np.array_equal(cell.thumbnail, np.full((40, 30, 4), (*RED, 255)))
    assert cell.notes == ("its photo under the mask",)


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
    assert (cell.notes, cell.mark) == ((note,), "")


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
    assert (meant.mark, meant.notes) == ("", ("on a background, not transparent",))


def test_a_broken_file_is_a_cell_with_the_reason(tmp_path):
    broken = tmp_path / "x.png"
    broken.write_bytes(cutout(broken).read_bytes()[:60])
    cell = read(file=broken, mark="doubtful", reason="two parts")
    assert (cell.mark, cell.thumbnail, cell.facts) == ("failed", None, "x.png")
    assert cell.reason == "truncated PNG; copy or export it again"  # without the path: the title has it


def test_what_is_known_to_have_failed_is_not_read():
    cell = read(mark="failed", reason="truncated PNG", notes=("a note",))
    assert (cell.mark, cell.reason, cell.thumbnail, cell.notes) == ("failed", "truncated PNG", None, ("a note",))


SMALL = SheetOptions(("#ffffff",), columns=3, cell_px=64, lines_per_page=2)


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
        ContactSheet(folder, tmp_path / "sheet.jpg", SheetOptions(columns=9, cell_px=4000))


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

    def read_cell(cell, *args, **options):
        read.append(cell.name)
        return original(cell, *args, **options)

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


THUMBNAIL_TEAL = (10, 120, 130)


def square_cutout(height=160, width=120, *, color=THUMBNAIL_TEAL, hidden=(255, 0, 0), dtype=np.uint8):
    """An opaque square in the middle; what alpha hides has another colour."""
    top = np.iinfo(dtype).max // 255
    rgb = np.full((height, width, 3), np.array(hidden) * top, dtype)
    alpha = np.zeros((height, width), np.float32)
    place = slice(height // 2 - 40, height // 2 + 40), slice(width // 2 - 40, width // 2 + 40)
    rgb[place], alpha[place] = np.array(color) * top, 1
    return Cutout(rgb, alpha)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_stay_exact_and_hidden_ones_stay_hidden(dtype):
    small = shrink_cutout(square_cutout(dtype=dtype), (45, 33), trim=False)
    assert small.shape == (44, 33, 4)  # 33 of 120 is the narrower limit
    assert tuple(small[22, 16]) == (*THUMBNAIL_TEAL, 255)
    assert tuple(small[0, 0]) == (0, 0, 0, 0)
    edge = small[(small[..., 3] > 0) & (small[..., 3] < 255)].astype(int)
    assert edge.size
    # Premultiplied: the garment's colour times alpha; red from behind would show in the first channel.
    assert np.abs(edge[:, :3] - edge[:, 3:] * np.array(THUMBNAIL_TEAL) / 255).max() <= 2


def test_the_edge_band_gets_no_halo():
    small = shrink_cutout(square_cutout(color=(255, 255, 255), hidden=(255, 255, 255)), (53, 40), trim=False)
    laid = lay_on_ground(small, draw_ground("#808080", (53, 40)))
    assert laid.min() == 0x80  # an overshooting filter would darken the ground around the garment


def test_trimmed_to_what_is_visible():
    assert shrink_cutout(square_cutout(), (500, 500)).shape == (80, 80, 4)  # and not enlarged
    assert shrink_cutout(square_cutout(), (20, 500)).shape == (20, 20, 4)
    assert (shrink_cutout(square_cutout(), (20, 500))[..., 3] == 255).all()
    empty = Cutout(np.full((30, 20, 3), 9, np.uint8), np.zeros((30, 20), np.float32))
    assert not shrink_cutout(empty, (15, 15)).any()


def test_a_speck_is_shown_if_it_can_be_seen():
    def height(speck):
        cutout = square_cutout()
        cutout.alpha[10:12, 60] = speck
        return len(shrink_cutout(cutout, (500, 500)))

    assert (height(4 / 255), height(0.2)) == (80, 110)


def test_one_thin_line_still_has_a_pixel():
    line = Cutout(np.zeros((1000, 1, 3), np.uint8), np.ones((1000, 1), np.float32))
    assert shrink_cutout(line, (10, 10)).shape == (10, 1, 4)


def test_colours_are_brought_to_srgb():
    profile = made_profile((0.3127, 0.329), (0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 2.2)  # wider than sRGB
    color = np.full((8, 8, 3), (60, 200, 90), np.uint8)
    small = shrink_cutout(Cutout(color, np.ones((8, 8), np.float32), profile), (8, 8))
    assert np.array_equal(small[..., :3], srgb_of(color, profile))
    assert not np.array_equal(small[..., :3], color)


def test_grounds():
    board = draw_ground("checkerboard", (20, 30), square_px=10)
    assert [tuple(board[y, x]) for y, x in ((0, 0), (0, 10), (10, 0), (19, 19))] == [
        (255,) * 3,
        (204,) * 3,
        (204,) * 3,
        (255,) * 3,
    ]
    assert (draw_ground("#FF00aa", (2, 3)) == (255, 0, 170)).all()


def test_what_is_not_there_shows_the_ground_exactly():
    ground = draw_ground("checkerboard", (8, 8), square_px=2)
    thumbnail = np.zeros((4, 4, 4), np.uint8)
    thumbnail[0, 0] = (*THUMBNAIL_TEAL, 255)
    thumbnail[1, 1] = (50, 0, 0, 128)
    laid = lay_on_ground(thumbnail, ground)
    assert tuple(laid[2, 2]) == THUMBNAIL_TEAL
    assert tuple(laid[3, 3]) == (50 + 127, 127, 127)  # 255 * 127 / 255 of the white square shines through
    laid[2, 2], laid[3, 3] = ground[2, 2], ground[3, 3]
    assert np.array_equal(laid, ground)
    assert not (ground == THUMBNAIL_TEAL).all(axis=-1).any()  # the ground itself was left alone


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dress_Front 12 … ·", "dress_Front 12 … ·"),
        ("Åse", "Ase"),  # the base letter, where the font lacks the accent
        ("A\N{COMBINING RING ABOVE}se", "Ase"),  # as macOS hands it over
        ("中文.psd", "??.psd"),
        ("a\nb\tc", "a b c"),
        ("bad\udcff\x00", "bad??"),  # a file name need not be Unicode
        ("\N{DRESS}", "?"),
    ],
)
def test_what_the_font_lacks_is_replaced(text, shown):
    assert legible(text) == shown
    assert width_of(legible(text), 14) > 0


def test_a_long_name_keeps_its_beginning_and_its_end():
    name = "15d4c04f-e650-59a6-8218-e85a82fe1bfa_FrontRight"
    short = fit_line(name, 200, 14)
    head, _, tail = short.partition("…")
    assert width_of(short, 14) <= 200 < width_of(name, 14)
    assert name.startswith(head)
    assert name.endswith(tail)
    assert "FrontRight" in tail
    assert 0 <= len(head) - len(tail) <= 1
    assert fit_line(name, 1000, 14) == name
    assert fit_line("wide", 1, 14) == ""


def test_words_are_wrapped_and_the_rest_is_hinted_at():
    text = "sheer edge;  garment like\nbackground at the left sleeve"
    lines = wrap_lines(text, 150, 13, max_lines=9)
    assert len(lines) > 1
    assert " ".join(lines) == "sheer edge; garment like background at the left sleeve"
    assert all(width_of(line, 13) <= 150 for line in lines)
    short = wrap_lines(text, 150, 13, max_lines=2)
    assert short[0] == lines[0]
    assert short[1].endswith("…")
    assert width_of(short[1], 13) <= 150


def test_a_word_longer_than_a_line_is_broken():
    lines = wrap_lines("x" * 100, 100, 13, max_lines=99)
    assert "".join(lines) == "x" * 100
    assert all(width_of(line, 13) <= 100 for line in lines)
    assert wrap_lines("", 100, 13, max_lines=2) == []


TEAL = (10, 120, 130)
STYLE = SheetOptions(("checkerboard", "#ffffff", "#ff00aa"), columns=2, cell_px=80)
ONE = SheetOptions(("#ff00aa",), columns=3, cell_px=80)


def hollow(height=40, width=40):
    """An opaque teal frame around a hole."""
    thumbnail = np.zeros((height, width, 4), np.uint8)
    thumbnail[..., :3], thumbnail[..., 3] = TEAL, 255
    thumbnail[10:-10, 10:-10] = 0
    return thumbnail


def corner(style, column=0, top=None):
    """Top and left of a card."""
    size = style
    return size.header if top is None else top, 2 * size.gap + column * (size.card_width + size.gap)


def shown_on(page, style, column=0, ground=0):
    """The pixels of one cutout on one ground."""
    top, left = corner(style, column)
    height, width = style.picture_hw
    top, left = top + style.gap, left + style.gap + ground * width
    return page[top : top + height, left : left + width]


def count(page, color):
    return int((page == color).all(axis=-1).sum())


def test_each_cutout_on_every_ground_side_by_side():
    page = draw_page([[Cell("a", thumbnail=hollow())]], STYLE, title="Autumn")
    assert page.dtype == np.uint8
    for place, ground in enumerate(STYLE.grounds):
        shown = shown_on(page, STYLE, ground=place)
        expected = draw_ground(ground, STYLE.picture_hw, square_px=2)
        garment = (shown == TEAL).all(axis=-1)
        assert garment.sum() == 40 * 40 - 20 * 20
        assert garment[20:60, 10:50].sum() == garment.sum()  # in the middle of 80x60
        assert np.array_equal(shown[~garment], expected[~garment])  # around it and through its hole


def test_the_doubtful_and_the_failed_are_framed_and_say_why():
    cells = [
        Cell("fine", thumbnail=hollow()),
        Cell("doubt", thumbnail=hollow(), mark="doubtful", reason="sheer edge"),
        Cell("broken", mark="failed", reason="truncated PNG; copy or export it again"),
    ]
    page = draw_page([cells], ONE, title="Autumn")
    size = ONE
    height = page.shape[0] - size.header - 2 * size.gap
    for column, color in ((0, None), (1, FRAMES["doubtful"]), (2, FRAMES["failed"])):
        top, left = corner(ONE, column)
        card = page[top : top + height, left : left + size.card_width]
        sides = (card[: size.frame], card[-size.frame :], card[:, : size.frame], card[:, -size.frame :])
        for frame in FRAMES.values():
            assert all((side == frame).all() == (frame == color) for side in sides)
    assert count(shown_on(page, ONE, 1), TEAL) == 1200
    assert count(shown_on(page, ONE, 2), TEAL) == 0
    assert count(shown_on(page, ONE, 2), (255, 0, 170)) == 0  # no ground where nothing stands on it


def test_reasons_and_notes_are_written_below():
    def page_of(**words):
        return draw_page([[Cell("a", thumbnail=hollow(), **words)]], ONE, title="Autumn")

    plain, noted = page_of(), page_of(notes=("CMYK converted to sRGB",))
    line = ONE.text_line
    assert noted.shape[0] == plain.shape[0] + 2 * line  # wrapped into two
    assert page_of(notes=("x",)).shape[0] == plain.shape[0] + line
    assert page_of(notes=("long " * 99,)).shape[0] == plain.shape[0] + 2 * line
    doubtful, other = (page_of(mark="doubtful", reason=reason) for reason in ("hem", "ham"))
    assert doubtful.shape == other.shape
    assert not np.array_equal(doubtful, other)


def test_views_of_a_garment_share_a_card():
    cells = [
        Cell("x_Front", thumbnail=hollow()),
        Cell("x_Back", thumbnail=hollow()),
        Cell("y_Front", thumbnail=hollow()),
    ]
    page = draw_page([cells], ONE, title="Autumn")
    top, left = corner(ONE)
    size = ONE
    row = page[top + size.gap]
    gaps = [row[left + place * size.card_width + (place - 1) * size.gap :][: size.gap] for place in (1, 2)]
    background = page[1, 1]
    assert not (gaps[0] == background).all(axis=-1).any()  # joined
    assert (gaps[1] == background).all()


def test_cells_without_a_garment_do_not_join():
    page = draw_page([[Cell("a", thumbnail=hollow()), Cell("b", thumbnail=hollow())]], ONE, title="Autumn")
    top, left = corner(ONE)
    size = ONE
    gap = page[top + size.gap, left + size.card_width :][: size.gap]
    assert (gap == page[1, 1]).all()


def test_the_head_has_title_and_legend():
    page = draw_page([[Cell("a", thumbnail=hollow())]], STYLE, title="Autumn", subtitle="1 cutout")
    head, blank = page[: STYLE.header], draw_page([[Cell("a")]], STYLE, title="")[: STYLE.header]
    assert all(count(head, color) for color in FRAMES.values())
    assert not np.array_equal(head, blank)
    assert np.array_equal(head[:, -200:], blank[:, -200:])


def test_names_no_font_can_draw_do_no_harm():
    page = draw_page(
        [[Cell("中文\udcff\n", thumbnail=hollow(), reason="é", notes=("\0",))]], STYLE, title="\udcff" * 500
    )
    assert count(page, TEAL) == 3 * 1200


def test_pages_are_no_larger_than_planned():
    lines = [[Cell("a", thumbnail=hollow(), notes=("word " * 99,))] * 2] * 3
    page = draw_page(lines, STYLE, title="Autumn")
    assert page.shape == (*STYLE.page_hw([STYLE.card_height(2)] * 3), 3)


@pytest.mark.parametrize(
    ("garments", "columns", "lines"),
    [
        ("aaabbbc", 3, [[0, 1, 2], [3, 4, 5], [6]]),
        ("aabbb", 3, [[0, 1], [2, 3, 4]]),  # b does not fit behind a
        ("abcd", 3, [[0, 1, 2], [3]]),
        ("abbbb", 3, [[0, 1, 2], [3, 4]]),  # b fits into no line: no place is wasted
        ("aab", 1, [[0], [1], [2]]),
        ("", 3, []),
    ],
)
def test_views_are_not_parted_by_a_line_break(garments, columns, lines):
    assert break_lines(garments, columns) == lines


def test_columns_fill_a_page_in_threes():
    assert SheetOptions().columns == 3
    assert SheetOptions(("#ffffff",)).columns == 9
    assert SheetOptions(cell_px=4000).columns == 1
    assert SheetOptions(columns=5).columns == 5


def test_grounds_by_name():
    assert named_grounds(["all"]) == ("checkerboard", "#ffffff", "#ff00aa")
    assert named_grounds(["#00ff00", "white", "#00ff00", "checkerboard"]) == ("#00ff00", "#ffffff", "checkerboard")
    for ground in ("green", "#12345", "", "#1234567"):
        with pytest.raises(ConfigError, match="is not a ground; use checkerboard, white"):
            SheetOptions((ground,))


PAGE = np.full((40, 60, 3), (255, 0, 170), np.uint8)
PAGE[10:20, 10:20] = (10, 120, 130)


@pytest.mark.parametrize("suffix", [*SHEET_SUFFIXES, ".PNG"])
def test_a_sheet_knows_itself(tmp_path, suffix):
    path = tmp_path / f"sheet{suffix}"
    path.write_bytes(encode_sheet(PAGE, suffix))
    assert is_contact_sheet(path)
    with Image.open(path) as image:
        assert image.format == ("PNG" if suffix.lower() == ".png" else "JPEG")
        assert np.abs(np.asarray(image).astype(int) - PAGE).max() <= (0 if image.format == "PNG" else 24)


def test_the_strong_ground_does_not_bleed():
    with Image.open(io.BytesIO(encode_sheet(PAGE, ".jpg"))) as image:
        assert image.layer[0][1:3] == image.layer[1][1:3] == (1, 1)  # no chroma subsampling


def test_others_are_not_taken_for_sheets(tmp_path):
    Image.fromarray(PAGE).save(tmp_path / "photo.jpg")
    assert not is_contact_sheet(tmp_path / "photo.jpg")
    assert not is_contact_sheet(tmp_path / "none.jpg")
    assert not is_contact_sheet(tmp_path)
