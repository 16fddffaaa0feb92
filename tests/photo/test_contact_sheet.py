import numpy as np
import pytest

from garmentcut.config import ConfigError
from garmentcut.photo.contact_sheet import FRAMES, Cell, break_lines, draw_page
from garmentcut.photo.sheet_style import SheetStyle, named_grounds
from garmentcut.photo.thumbnail import draw_ground

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
        Cell("doubt", "doubt", ring(), mark="doubtful", reason="sheer rim"),
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


def test_pages_are_no_larger_than_promised():
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
