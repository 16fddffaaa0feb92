import io

import numpy as np
import pytest
from PIL import Image

from garmentcut.errors import ConfigError
from garmentcut.photo.color import srgb_of
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.sheet import (
    FRAMES,
    SHEET_SUFFIXES,
    Cell,
    SheetStyle,
    break_lines,
    draw_ground,
    draw_page,
    encode_sheet,
    fit_line,
    is_contact_sheet,
    lay_on_ground,
    legible,
    named_grounds,
    shrink_cutout,
    width_of,
    wrap_lines,
)

from .made import rgb_profile

THUMBNAIL_TEAL = (10, 120, 130)


def square(height=160, width=120, *, color=THUMBNAIL_TEAL, hidden=(255, 0, 0), dtype=np.uint8):
    """An opaque square in the middle; what alpha hides has another colour."""
    top = np.iinfo(dtype).max // 255
    rgb = np.full((height, width, 3), np.array(hidden) * top, dtype)
    alpha = np.zeros((height, width), np.float32)
    place = slice(height // 2 - 40, height // 2 + 40), slice(width // 2 - 40, width // 2 + 40)
    rgb[place], alpha[place] = np.array(color) * top, 1
    return Cutout(rgb, alpha)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_stay_exact_and_hidden_ones_stay_hidden(dtype):
    small = shrink_cutout(square(dtype=dtype).picture, (45, 33), trim=False)
    assert small.shape == (44, 33, 4)  # 33 of 120 is the narrower limit
    assert tuple(small[22, 16]) == (*THUMBNAIL_TEAL, 255)
    assert tuple(small[0, 0]) == (0, 0, 0, 0)
    edge = small[(small[..., 3] > 0) & (small[..., 3] < 255)].astype(int)
    assert edge.size
    # Premultiplied: the garment's colour times alpha; red from behind would show in the first channel.
    assert np.abs(edge[:, :3] - edge[:, 3:] * np.array(THUMBNAIL_TEAL) / 255).max() <= 2


def test_the_edge_band_gets_no_halo():
    small = shrink_cutout(square(color=(255, 255, 255), hidden=(255, 255, 255)).picture, (53, 40), trim=False)
    laid = lay_on_ground(small, draw_ground("#808080", (53, 40)))
    assert laid.min() == 0x80  # an overshooting filter would darken the ground around the garment


def test_trimmed_to_what_is_visible():
    assert shrink_cutout(square().picture, (500, 500)).shape == (80, 80, 4)  # and not enlarged
    assert shrink_cutout(square().picture, (20, 500)).shape == (20, 20, 4)
    assert (shrink_cutout(square().picture, (20, 500))[..., 3] == 255).all()
    empty = Cutout(np.full((30, 20, 3), 9, np.uint8), np.zeros((30, 20), np.float32))
    assert not shrink_cutout(empty.picture, (15, 15)).any()


def test_a_speck_is_shown_if_it_can_be_seen():
    def height(speck):
        cutout = square()
        cutout.alpha[10:12, 60] = speck
        return len(shrink_cutout(cutout.picture, (500, 500)))

    assert (height(4 / 255), height(0.2)) == (80, 110)


def test_one_thin_line_still_has_a_pixel():
    line = Cutout(np.zeros((1000, 1, 3), np.uint8), np.ones((1000, 1), np.float32))
    assert shrink_cutout(line.picture, (10, 10)).shape == (10, 1, 4)


def test_colours_are_brought_to_srgb():
    profile, color = rgb_profile(), np.full((8, 8, 3), (60, 200, 90), np.uint8)
    small = shrink_cutout(Cutout(color, np.ones((8, 8), np.float32), profile).picture, (8, 8))
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
STYLE = SheetStyle(("checkerboard", "#ffffff", "#ff00aa"), columns=2, cell_px=80)
ONE = SheetStyle(("#ff00aa",), columns=3, cell_px=80)


def ring(height=40, width=40):
    """An opaque teal frame around a hole."""
    thumbnail = np.zeros((height, width, 4), np.uint8)
    thumbnail[..., :3], thumbnail[..., 3] = TEAL, 255
    thumbnail[10:-10, 10:-10] = 0
    return thumbnail


def corner(style, column=0, top=None):
    """Top and left of a card."""
    size = style.measures
    return size.header if top is None else top, 2 * size.gap + column * (size.card_width + size.gap)


def picture(page, style, column=0, ground=0):
    """The pixels of one cutout on one ground."""
    top, left = corner(style, column)
    height, width = style.picture_hw
    top, left = top + style.measures.inset, left + style.measures.inset + ground * width
    return page[top : top + height, left : left + width]


def count(page, color):
    return int((page == color).all(axis=-1).sum())


def test_each_cutout_on_every_ground_side_by_side():
    page = draw_page([[Cell("a", "a", ring())]], STYLE, title="Autumn")
    assert page.dtype == np.uint8
    for place, ground in enumerate(STYLE.grounds):
        shown = picture(page, STYLE, ground=place)
        expected = draw_ground(ground, STYLE.picture_hw, square_px=STYLE.square_px)
        garment = (shown == TEAL).all(axis=-1)
        assert garment.sum() == 40 * 40 - 20 * 20
        assert garment[20:60, 10:50].sum() == garment.sum()  # in the middle of 80x60
        assert np.array_equal(shown[~garment], expected[~garment])  # around it and through its hole


def test_the_doubtful_and_the_failed_are_framed_and_say_why():
    cells = [
        Cell("fine", "fine", ring()),
        Cell("doubt", "doubt", ring(), mark="doubtful", reason="sheer edge"),
        Cell("broken", "broken", mark="failed", reason="truncated PNG; copy or export it again"),
    ]
    page = draw_page([cells], ONE, title="Autumn")
    size = ONE.measures
    height = page.shape[0] - size.header - 2 * size.gap
    for column, color in ((0, None), (1, FRAMES["doubtful"]), (2, FRAMES["failed"])):
        top, left = corner(ONE, column)
        card = page[top : top + height, left : left + size.card_width]
        sides = (card[: size.frame], card[-size.frame :], card[:, : size.frame], card[:, -size.frame :])
        for frame in FRAMES.values():
            assert all((side == frame).all() == (frame == color) for side in sides)
    assert count(picture(page, ONE, 1), TEAL) == 1200
    assert count(picture(page, ONE, 2), TEAL) == 0
    assert count(picture(page, ONE, 2), (255, 0, 170)) == 0  # no ground where nothing stands on it


def test_reasons_and_notes_are_written_below():
    def page_of(**words):
        return draw_page([[Cell("a", "a", ring(), **words)]], ONE, title="Autumn")

    plain, noted = page_of(), page_of(notes="CMYK converted to sRGB")
    line = ONE.measures.text_line
    assert noted.shape[0] == plain.shape[0] + 2 * line  # wrapped into two
    assert page_of(notes="x").shape[0] == plain.shape[0] + line
    assert page_of(notes="long " * 99).shape[0] == plain.shape[0] + 2 * line
    doubtful, other = (page_of(mark="doubtful", reason=reason) for reason in ("hem", "ham"))
    assert doubtful.shape == other.shape
    assert not np.array_equal(doubtful, other)


def test_views_of_a_garment_share_a_card():
    cells = [Cell("x_Front", "x", ring()), Cell("x_Back", "x", ring()), Cell("y_Front", "y", ring())]
    page = draw_page([cells], ONE, title="Autumn")
    top, left = corner(ONE)
    size = ONE.measures
    row = page[top + size.inset]
    gaps = [row[left + place * size.card_width + (place - 1) * size.gap :][: size.gap] for place in (1, 2)]
    background = page[1, 1]
    assert not (gaps[0] == background).all(axis=-1).any()  # joined
    assert (gaps[1] == background).all()


def test_cells_without_a_garment_do_not_join():
    page = draw_page([[Cell("a", "", ring()), Cell("b", "", ring())]], ONE, title="Autumn")
    top, left = corner(ONE)
    size = ONE.measures
    gap = page[top + size.inset, left + size.card_width :][: size.gap]
    assert (gap == page[1, 1]).all()


def test_the_head_has_title_and_legend():
    page = draw_page([[Cell("a", "a", ring())]], STYLE, title="Autumn", subtitle="1 cutout")
    head, blank = page[: STYLE.measures.header], draw_page([[Cell("a")]], STYLE, title="")[: STYLE.measures.header]
    assert all(count(head, color) for color in FRAMES.values())
    assert not np.array_equal(head, blank)
    assert np.array_equal(head[:, -200:], blank[:, -200:])


def test_names_no_font_can_draw_do_no_harm():
    page = draw_page([[Cell("中文\udcff\n", "", ring(), reason="é", notes="\0")]], STYLE, title="\udcff" * 500)
    assert count(page, TEAL) == 3 * 1200


def test_pages_are_no_larger_than_planned():
    lines = [[Cell("a", "a", ring(), notes="word " * 99)] * 2] * 3
    page = draw_page(lines, STYLE, title="Autumn")
    assert page.shape == (*STYLE.page_hw(3), 3)


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
    assert SheetStyle().columns == 3
    assert SheetStyle(("#ffffff",)).columns == 9
    assert SheetStyle(cell_px=4000).columns == 1
    assert SheetStyle(columns=5).columns == 5


def test_grounds_by_name():
    assert named_grounds(["all"]) == ("checkerboard", "#ffffff", "#ff00aa")
    assert named_grounds(["#00ff00", "white", "#00ff00", "checkerboard"]) == ("#00ff00", "#ffffff", "checkerboard")
    for ground in ("green", "#12345", "", "#1234567"):
        with pytest.raises(ConfigError, match="is not a ground; use checkerboard, white"):
            SheetStyle((ground,))


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
