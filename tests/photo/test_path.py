import io
import re
import shutil
import struct
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from garmentcut.config import OutputConfig, ReadConfig
from garmentcut.errors import PhotoError
from garmentcut.photo.compose import Preparation
from garmentcut.photo.metadata import join_resources, split_resources
from garmentcut.photo.path import (
    PenPath,
    Subpath,
    draw_coverage,
    draw_path,
    find_clipping_path,
    flatten_curves,
    parse_path,
    path_resources,
)
from garmentcut.photo.photo import Cutout
from garmentcut.photo.psd_format import read_document
from garmentcut.photo.read import read_raster
from garmentcut.photo.trace import trace_outline
from garmentcut.photo.truth import read_cutout
from garmentcut.photo.write import encode_prepared

from .made_cutout import (
    COMBINE,
    EXCLUDE,
    INTERSECT,
    MERGED,
    SUBTRACT,
    box,
    circle,
    clipping_name,
    path_records,
    resource,
)
from .made_cutout import (
    path_resources as made_resources,
)

STEP = 1 / 65535  # results are rounded to 16 bits


def rectangle(left, top, right, bottom):
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], float)


def sampled(polygon, size_hw, fold=64):
    """Even-odd coverage by `fold * fold` points a pixel."""
    y, x = (np.mgrid[: size_hw[0] * fold, : size_hw[1] * fold] + 0.5) / fold
    inside = np.zeros(y.shape, bool)
    for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y0 != y1:
            inside ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside.reshape(size_hw[0], fold, size_hw[1], fold).mean(axis=(1, 3))


def test_a_rectangle_by_hand():
    alpha = draw_coverage([rectangle(1.25, 1.5, 3.5, 4)], (5, 5))
    across, down = [0, 0.75, 1, 0.5, 0], [0, 0.5, 1, 1, 0]
    np.testing.assert_allclose(alpha, np.outer(down, across), atol=STEP)
    assert alpha.dtype == np.float32


def test_a_triangle_by_hand():
    alpha = draw_coverage([np.array([(0, 0), (2, 0), (0, 2)], float)], (2, 2))
    np.testing.assert_allclose(alpha, [[1, 0.5], [0.5, 0]], atol=STEP)


@pytest.mark.parametrize("turn", [1, -1])
def test_either_direction_fills_the_same(turn):
    polygon = np.random.default_rng(0).uniform(0, 8, (3, 2))
    np.testing.assert_array_equal(draw_coverage([polygon[::turn]], (8, 8)), draw_coverage([polygon], (8, 8)))


@pytest.mark.parametrize("seed", range(5))
def test_any_triangle_agrees_with_sampling_also_beyond_the_borders(seed):
    polygon = np.random.default_rng(seed).uniform(-4, 12, (3, 2))
    assert np.abs(draw_coverage([polygon], (7, 9)) - sampled(polygon, (7, 9))).max() < 0.02


@pytest.mark.parametrize("turn", [1, -1])
def test_an_outline_within_another_is_a_hole_whatever_its_direction(turn):
    alpha = draw_coverage([rectangle(0, 0, 8, 8), rectangle(2, 2, 6, 6)[::turn]], (8, 8))
    assert alpha.sum() == 64 - 16
    assert not alpha[2:6, 2:6].any()


def test_an_outline_around_the_picture_fills_it_and_one_beside_it_nothing():
    assert (draw_coverage([rectangle(-5, -5, 20, 20)], (4, 6)) == 1).all()
    for beside in (
        rectangle(-5, 0, -1, 4),
        rectangle(7, 0, 9, 4),
        rectangle(0, -5, 6, -1),
        rectangle(0, 5, 6, 9),
    ):
        assert not draw_coverage([beside], (4, 6)).any()


def test_no_outline_and_flat_ones_enclose_nothing():
    assert not draw_coverage([], (3, 3)).any()
    assert not draw_coverage([rectangle(0, 1, 3, 1)], (3, 3)).any()


def test_nothing_is_left_far_from_the_outline():
    """Rounding errors would stand as alpha above 0 in whole rows."""
    polygon = np.random.default_rng(1).uniform(2, 300, (200, 2))
    alpha = draw_coverage([polygon], (310, 700))
    assert not alpha[:, 301:].any()
    assert alpha.min() == 0
    assert alpha.max() <= 1


def test_rows_beyond_one_band_are_drawn():
    alpha = draw_coverage([rectangle(1, 100.5, 3, 900.25)], (1000, 4))
    assert alpha.sum() == pytest.approx(2 * 799.75, abs=0.01)
    assert alpha[899:901, 1].tolist() == pytest.approx([1, 0.25], abs=STEP)


def test_a_curve_encloses_its_area():
    """An arch over (0, 0) to (300, 0) with both control points 400 higher: 0.6 * 300 * 400, by integration."""
    points = flatten_curves(np.array([[(0, 0), (0, 400), (300, 400), (300, 0)]], float))
    assert points[0].tolist() == [0, 0]
    assert points[:, 1].max() == pytest.approx(300, abs=0.01)
    alpha = draw_coverage([np.vstack([points, (300, 0)])], (310, 310))
    assert alpha.sum() == pytest.approx(72_000, rel=1e-5)


def test_straight_curves_stay_their_ends():
    corners = rectangle(0, 0, 9, 9)
    curves = np.stack([corners, corners, np.roll(corners, -1, 0), np.roll(corners, -1, 0)], axis=1)
    alpha = draw_coverage([flatten_curves(curves)], (9, 9))
    assert (alpha == 1).all()


def test_absurd_outlines_are_refused_before_they_take_memory():
    wild = np.random.default_rng(0).uniform(-3e6, 3e6, (5000, 4, 2))
    with pytest.raises(PhotoError, match="million points"):
        flatten_curves(wild)
    zigzag = np.stack([np.tile([0.0, 30_000], 1000), np.linspace(0, 30_000, 2000)], axis=1)
    with pytest.raises(PhotoError, match="absurdly long"):
        draw_coverage([zigzag], (30_000, 30_000))


SIZE = (80, 60)
CIRCLE_SHARE = 1.00028001  # what four cubic curves enclose of pi * r * r, by integration


def drawn(subpaths, size_hw=SIZE, **options):
    return draw_path(parse_path(path_records(subpaths, size_hw, **options)), size_hw)


def test_a_circle_has_its_area_and_place():
    alpha = drawn([circle(30.3, 40.7, 25)])
    assert alpha.sum() == pytest.approx(np.pi * 25**2 * CIRCLE_SHARE, rel=3e-5)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    assert (alpha * x).sum() / alpha.sum() == pytest.approx(30.3, abs=1e-3)
    assert (alpha * y).sum() / alpha.sum() == pytest.approx(40.7, abs=1e-3)
    distance = np.hypot(x - 30.3, y - 40.7)
    assert (alpha[distance < 24] == 1).all()
    assert not alpha[distance > 26].any()


def test_knots_stand_y_first_as_shares_of_the_sides():
    path = parse_path(path_records([box(6, 20, 45, 60)], SIZE))
    assert path.subpaths[0].knots.shape == (4, 3, 2)
    np.testing.assert_allclose(path.subpaths[0].knots[0, 1], [0.1, 0.25], atol=1e-7)
    alpha = drawn([box(6, 20, 45, 60)])
    assert alpha[20:60, 6:45].min() > 0.9999
    assert alpha.sum() == pytest.approx(40 * 39, abs=0.01)


A, B = box(10, 10, 40, 40), box(30, 10, 50, 40)  # 900 and 600, 300 in both
AREAS = {
    (EXCLUDE, EXCLUDE): 900,
    (COMBINE, EXCLUDE): 900,
    (COMBINE, COMBINE): 1200,
    (COMBINE, SUBTRACT): 600,
    (COMBINE, INTERSECT): 300,
    (COMBINE, MERGED): 900,
    (SUBTRACT, COMBINE): 4800 - 900 + 300,
    (SUBTRACT, SUBTRACT): 4800 - 1200,
    (INTERSECT, EXCLUDE): 900,
}


@pytest.mark.parametrize("operations", AREAS, ids=str)
def test_operations_of_subpaths(operations):
    assert drawn([A, B], operations=operations).sum() == pytest.approx(AREAS[operations], abs=0.1)


def test_operations_apply_in_order():
    """Two united, then a third excluded: not the even-odd fill of the three."""
    alpha = drawn([A, B, box(35, 15, 45, 20)], operations=(COMBINE, COMBINE, EXCLUDE))
    assert alpha.sum() == pytest.approx(1200 - 50, abs=0.1)


@pytest.mark.parametrize("turn", [1, -1])
def test_a_hole_is_a_hole_whatever_its_direction(turn):
    alpha = drawn([circle(30, 40, 25), circle(30, 40, 10, turn=turn)])
    assert alpha.sum() == pytest.approx(np.pi * (25**2 - 10**2) * CIRCLE_SHARE, rel=3e-5)


def test_shapes_that_touch_leave_no_seam():
    """Merged into one fill: laid over each other, each would give half a border pixel, together 0.75."""
    alpha = drawn([box(10, 10, 20.5, 40), box(20.5, 10, 40, 40)])
    assert alpha[15:30, 20].min() > 0.9999


def test_an_open_path_is_closed_by_a_straight_line():
    knots = circle(30, 40, 20)[:3]  # right, lower, left: the half below the line back
    alpha = drawn([knots], closed=False)
    assert alpha.sum() == pytest.approx(np.pi * 20**2 * CIRCLE_SHARE / 2, rel=1e-4)


def test_without_an_outline_the_initial_fill_counts():
    assert not drawn([]).any()
    assert (drawn([], initial_fill=1) == 1).all()


def test_a_path_beyond_the_borders_is_cut_off():
    alpha = drawn([box(-20, -20, 30, 40)])
    assert alpha.sum() == pytest.approx(30 * 40, abs=0.1)


@pytest.mark.parametrize("beside", [box(-200, 5, -150, 40), box(5000, 5, 5100, 40), box(5, -90, 20, -10)])
def test_a_part_wholly_beside_the_picture_draws_nothing(beside):
    # Photoshop keeps such parts when it crops the canvas.
    np.testing.assert_array_equal(drawn([box(10, 10, 30, 40), beside]), drawn([box(10, 10, 30, 40)]))
    assert not drawn([beside]).any()


def saved(*paths, clips=None):
    records = [resource(2000 + k, path_records([box(0, 0, 10, 10 + k)], SIZE), name) for k, name in enumerate(paths)]
    named = [resource(2999, clipping_name(clips))] if clips else []
    return split_resources(b"".join(records + named))


def test_the_named_path_clips():
    path, notes = find_clipping_path(saved("Path 1", "Dress", "Path 3", clips="Dress"))
    assert (path.name, notes) == ("Dress", ())


def test_without_a_name_the_first_path_clips():
    path, notes = find_clipping_path(saved("Path 1"))
    assert (path.name, notes) == ("Path 1", ())
    path, notes = find_clipping_path(saved("Path 1", "Dress"))
    assert (path.name, notes) == ("Path 1", ("no path is set as clipping path: the first of 2, 'Path 1', used",))


def test_a_named_path_that_is_missing_is_reported():
    path, notes = find_clipping_path(saved("Path 1", clips="Dress"))
    assert (path.name, notes) == ("Path 1", ("the clipping path 'Dress' is missing: 'Path 1' used",))


def test_paths_without_outlines_do_not_count():
    assert find_clipping_path([]) is None
    assert find_clipping_path(split_resources(made_resources(path_records([], SIZE)))) is None


def test_a_damaged_path_ends_where_it_is_cut():
    records = path_records([A], SIZE)
    for end in range(len(records)):
        alpha = draw_path(parse_path(records[:end]), SIZE)
        assert 0 <= alpha.min() <= alpha.max() <= 1


def test_absurdly_many_knots_are_refused():
    with pytest.raises(PhotoError, match="50000 knots"):
        parse_path(path_records([A], SIZE) + path_records([A * 1], SIZE)[-26:] * 50_001)


WRITTEN_SIZE = (400, 300)
FORMATS = ["psd", "tiff", "jpeg"]


def shares(knots, size_hw=WRITTEN_SIZE):
    return np.array(knots, float) / size_hw[::-1]


def iou(a, b):
    return np.minimum(a, b).sum() / np.maximum(a, b).sum()


@pytest.fixture(scope="module")
def cutout():
    """A garment with a neckline, a hole and an island."""
    y, x = np.indices(WRITTEN_SIZE) + 0.5
    around = [(150, 190, 120), (150, 60, 55), (140, 230, 22), (262, 350, 30)]  # x, y, radius
    body, neck, hole, island = (np.clip(r - np.hypot(x - cx, (y - cy) * 0.9) + 0.5, 0, 1) for cx, cy, r in around)
    alpha = np.maximum(np.minimum(body, 1 - np.maximum(neck, hole)), island).astype(np.float32)
    rgb = np.stack([x % 256, y % 256, (x + y) % 256], axis=2).astype(np.uint8)
    return Cutout(rgb, alpha)


def encode(cutout, format, **output):
    return encode_prepared(Preparation(cutout, OutputConfig(formats=(format,), **output)), format)


def resources_of(data, format):
    if format == "psd":
        return read_document(data, ReadConfig()).resources
    return split_resources(read_raster(data, ReadConfig()).resources)


def test_the_bytes_are_photoshops_own():
    corners, round_knots = box(30, 40, 150, 200), circle(200, 100, 50)
    path = PenPath("Åpning", (Subpath(0, True, shares(corners)), Subpath(2, True, shares(round_knots))))
    drawn, clipped_by = path_resources(path)
    assert (drawn.number, drawn.name, clipped_by.number, clipped_by.name) == (2000, "Åpning", 2999, "")
    assert clipped_by.data == clipping_name("Åpning")
    expected = bytearray(path_records([corners, round_knots], WRITTEN_SIZE, operations=[0, 2]))
    for knot in range(4):  # made_cutout has no smooth knots; a box's have none, a circle's are all smooth
        struct.pack_into(">H", expected, 26 * (3 + 4 + 1 + knot), 1)
    assert drawn.data == expected


def test_pointed_smooth_and_open():
    knots = shares([(np.array(before), np.array((9.0, 9)), np.array(after)) for before, after in [
        ((5, 9), (15, 9)), ((5, 9), (9, 15)), ((5, 9), (3, 9)), ((9, 9), (9, 9)),
    ]])  # straight on, a turn, back on itself, no handles  # fmt: skip
    selectors = {
        closed: [
            int.from_bytes(path_resources(PenPath("", (Subpath(0, closed, knots),)))[0].data[start : start + 2])
            for start in range(52, 52 + 5 * 26, 26)
        ]
        for closed in (True, False)
    }
    assert selectors == {True: [0, 1, 2, 2, 2], False: [3, 4, 5, 5, 5]}


def test_what_is_written_is_read_again():
    rng = np.random.default_rng(0)
    subpaths = tuple(Subpath(k - 1, k % 2 == 0, rng.uniform(-2, 2, (k + 2, 3, 2))) for k in range(5))
    for filled in (False, True):
        path = PenPath("Path 1", subpaths, filled)
        found, notes = find_clipping_path(split_resources(join_resources(path_resources(path))))
        assert (found.name, found.filled, notes) == ("Path 1", filled, ())
        for one, other in zip(found.subpaths, subpaths, strict=True):
            assert (one.operation, one.closed) == (other.operation, other.closed)
            np.testing.assert_allclose(one.knots, other.knots, atol=2**-24)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("kind", ["editable", "exact"])
def test_each_format_holds_the_outline_with_its_hole(cutout, format, kind):
    path, notes = find_clipping_path(resources_of(encode(cutout, format, path=kind), format))
    assert notes == ()
    assert len(path.subpaths) == 3
    drawn = draw_path(path, WRITTEN_SIZE)
    assert drawn[230, 140] == 0
    assert iou(drawn, cutout.alpha) > (0.998 if kind == "editable" else 0.999)


@pytest.mark.parametrize("format", FORMATS)
def test_what_formats_do_by_themselves(cutout, format):
    assert bool(find_clipping_path(resources_of(encode(cutout, format), format))) == (format == "psd")
    assert not find_clipping_path(resources_of(encode(cutout, format, path="none"), format))


def test_a_jpeg_with_a_path_is_a_cutout(cutout, tmp_path):
    (tmp_path / "skirt.jpg").write_bytes(encode(cutout, "jpeg", path="exact"))
    found = read_cutout(tmp_path / "skirt.jpg")
    assert found.source == "clipping path"
    assert iou(found.alpha, cutout.alpha) > 0.999


@pytest.mark.parametrize("format", FORMATS)
def test_a_trimmed_path_lies_where_the_garment_does(cutout, format):
    trimmed = cutout.trimmed(25)
    data = encode(cutout, format, path="editable", trim=True, margin_px=25)
    path, _ = find_clipping_path(resources_of(data, format))
    assert iou(draw_path(path, trimmed.alpha.shape), trimmed.alpha) > 0.998


@pytest.mark.parametrize("format", FORMATS)
def test_exiftool_finds_the_path_and_nothing_wrong(cutout, format, tmp_path):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    (tmp_path / f"skirt.{format}").write_bytes(encode(cutout, format, path="editable"))
    command = ["exiftool", "-validate", "-warning", "-error", "-a", "-ClippingPathName", tmp_path / f"skirt.{format}"]
    lines = dict(
        re.split(r"\s*: ", line, maxsplit=1)
        for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    )
    assert lines["Clipping Path Name"] == "Path 1"
    # ExifTool knows no deflate in TIFF, and misses EXIF in a JPEG that has none to have.
    assert lines["Validate"] == "OK" or "0x0103 Compression" in lines["Warning"] or format == "jpeg"


@pytest.mark.parametrize("format", FORMATS)
def test_imagemagick_reads_the_same_outline(cutout, format, tmp_path):
    identify = next(filter(None, map(shutil.which, ("magick", "identify"))), None)
    if not identify:
        pytest.skip("ImageMagick is not installed (Debian: imagemagick)")
    file = tmp_path / f"skirt.{format}"
    file.write_bytes(encode(cutout, format, path="editable"))
    command = [identify, *(["identify"] if identify.endswith("magick") else []), "-format", "%[8BIM:1999,2998:#1]"]
    svg = subprocess.run([*command, f"{file}[0]"], capture_output=True, text=True, check=True).stdout
    if not svg:
        pytest.skip("this ImageMagick prints no paths")
    drawn = Image.new("1", (8 * WRITTEN_SIZE[1], 8 * WRITTEN_SIZE[0]))
    for outline in re.findall(r'M[^M"Z]+', re.findall(r' d="([^"]+)"', svg)[0]):
        numbers = np.array(re.findall(r"-?\d+(?:\.\d+)?", outline), float)
        curves = numbers[2:].reshape(-1, 3, 2)
        starts = np.concatenate([numbers[None, :2], curves[:-1, 2]])
        polygon = flatten_curves(np.concatenate([starts[:, None], curves], axis=1)) * 8
        shape = Image.new("1", drawn.size)
        ImageDraw.Draw(shape).polygon([tuple(point) for point in polygon], fill=1)
        drawn = ImageChops.logical_xor(drawn, shape)
    alpha = np.asarray(drawn, np.float32).reshape(WRITTEN_SIZE[0], 8, WRITTEN_SIZE[1], 8).mean(axis=(1, 3))
    assert iou(alpha, cutout.alpha) > 0.995  # Pillow draws borders too, some hundredths of a pixel fatter


def test_a_parsed_path_is_the_traced_one(cutout):
    traced = trace_outline(cutout.alpha)
    assert len(parse_path(path_resources(traced)[0].data).subpaths) == len(traced.subpaths)
    assert io.BytesIO(join_resources(path_resources(traced))).read(4) == b"8BIM"
