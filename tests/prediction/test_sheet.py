import io
import json
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from garmentcut.dataset.corrections import Decision, decision_stem, write_decision
from garmentcut.errors import ConfigError, SourceError
from garmentcut.photo.compose import draw_ground
from garmentcut.photo.files import LOCK_NAME, FolderLock
from garmentcut.prediction import sheet as sheet_room
from garmentcut.prediction.results import Row
from garmentcut.prediction.sheet import (
    FRAMES,
    SHEET_SUFFIXES,
    Cell,
    ContactSheet,
    SheetOptions,
    break_lines,
    draw_page,
    encode_sheet,
    fit_line,
    is_contact_sheet,
    legible,
    named_grounds,
    width_of,
    wrap_lines,
)

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
    with pytest.raises(SourceError, match=r"garment-1\.png exists already and is not a contact sheet"):
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
    with FolderLock(folder / LOCK_NAME):  # as the run holds it
        shown = list(ContactSheet(folder, tmp_path / "sheet.png", SMALL).draw())
    assert [cutout.mark for cutout in shown] == ["", "not finished", "failed"]
    assert shown[2].reason == "truncated PNG"
    assert colors_on(tmp_path / "sheet.png") == [0]
    page = pixels_of(tmp_path / "sheet.png")
    for mark in ("not finished", "failed"):
        assert (page == FRAMES[mark]).all(axis=-1).sum() > 500
    assert (folder / "results.jsonl").read_text().endswith('{"input": ')  # read only


def test_what_somebody_accepted_in_the_review_is_not_marked(tmp_path):
    folder = write_cutouts(tmp_path / "in", 2)
    rows = [Row(f"/in/{number}.jpg", f"garment-{number}", (f"garment-{number}.png",), doubt=0.9) for number in (0, 1)]
    (folder / "results.jsonl").write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows))
    accepted = Decision("/in/1.jpg", "", "garment-1", "accepted")
    write_decision(folder, decision_stem(accepted.place, accepted.input), accepted)
    shown = list(ContactSheet(folder, tmp_path / "sheet.png", SMALL).draw())
    assert [cutout.mark for cutout in shown] == ["doubtful", ""]


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
    (line,) = wrap_lines("/photos/2026/winter/a_Front.jpg: cannot be read", 100, 13, max_lines=1)
    assert line.startswith("/photos/2026")
    assert line.endswith("…")
    short = wrap_lines("x" * 100, 100, 13, max_lines=2)
    assert short == [lines[0], f"{lines[0][:-1]}…"]
    assert wrap_lines("words", 100, 13, max_lines=0) == []


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
