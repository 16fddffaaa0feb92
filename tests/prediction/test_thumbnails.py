import json
import os
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import ReadConfig
from garmentcut.errors import SourceError
from garmentcut.photo.color import made_profile, srgb_of
from garmentcut.photo.compose import draw_ground, lay_on_ground, shrink_cutout
from garmentcut.photo.photo import Cutout
from garmentcut.prediction.results import Row
from garmentcut.prediction.sheet import (
    Cell,
    encode_sheet,
    find_cells,
    is_contact_sheet,
    read_cell,
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


def test_results_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "results.jsonl")

    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder / "results.jsonl"))

    monkeypatch.setattr("garmentcut.prediction.sheet.Journal", refuse)
    with pytest.raises(SourceError, match=f"^{tmp_path}/results.jsonl: Permission denied; make it readable$"):
        find(tmp_path)


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
    with pytest.raises(SourceError, match="not a garmentcut row"):
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


LARGE = 608, 456


def read(**cell):
    return read_cell(Cell("x_Front", **cell), LARGE, ReadConfig())


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_a_cutout_and_its_caption(tmp_path, suffix):
    cell = read(file=cutout(tmp_path / f"x_Front.{suffix}"), doubt=0.034, notes=("broken colour profile dropped",))
    assert np.array_equal(cell.thumbnail, np.full((40, 30, 4), (*RED, 255)))
    assert (cell.name, cell.garment, cell.mark, cell.reason) == ("x_Front", "x", "", "")
    assert cell.facts == f"60 x 80 px · {suffix} · doubt 0.03"
    assert cell.notes == ("broken colour profile dropped",)


def test_the_whole_frame_if_wanted(tmp_path):
    cell = read_cell(Cell("x", cutout(tmp_path / "x.png")), LARGE, ReadConfig(), trim=False)
    assert cell.thumbnail.shape == (80, 60, 4)
    assert cell.thumbnail[..., 3].sum() == 40 * 30 * 255


def test_a_mask_is_laid_on_its_photo(tmp_path):
    cell = read(file=mask(tmp_path / "x_mask.png"), photo=photo(tmp_path / "x.png"))
    assert np.array_equal(cell.thumbnail, np.full((40, 30, 4), (*RED, 255)))
    assert cell.notes == ("its photo under the mask",)


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ("gone", "mask alone: its photo can no longer be read"),
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


def test_others_are_not_taken_for_sheets(tmp_path):
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "photo.jpg")
    assert not is_contact_sheet(tmp_path / "photo.jpg")
    assert not is_contact_sheet(tmp_path / "none.jpg")
    assert not is_contact_sheet(tmp_path)
