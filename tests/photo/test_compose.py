import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from garmentcut.config import OutputConfig
from garmentcut.errors import OutputError
from garmentcut.photo import compose
from garmentcut.photo.compose import Preparation, choke_alpha, clean, clean_edge_color, lay_on_canvas, lay_over
from garmentcut.photo.layout import Placement
from garmentcut.photo.path import draw_path
from garmentcut.photo.photo import Cutout, Metadata


def square(size=40, margin=12):
    alpha = np.zeros((size, size), np.float32)
    alpha[margin:-margin, margin:-margin] = 1
    return alpha


@pytest.mark.parametrize("choke_px", [0.25, 0.5, 1.0, 1.5, 2.0, 3.25, -0.5, -1.0, -2.75])
def test_an_even_edge_moves_by_as_many_pixels(choke_px):
    alpha = np.zeros((20, 60), np.float32)
    alpha[:, 20:40] = 1
    moved = choke_alpha(alpha, choke_px)
    assert moved.dtype == np.float32
    assert moved[10].sum() == pytest.approx(20 - 2 * choke_px, abs=1e-4)


@pytest.mark.parametrize("choke_px", [0.5, 1.0, 2.0, 5.0, -1.0, -4.0])
def test_a_slanting_edge_moves_as_far(choke_px):
    y, x = np.mgrid[:160, :160]
    distance = 50 - np.hypot(y - 80, x - 80)
    moved = choke_alpha((distance + 0.5).clip(0, 1).astype(np.float32), choke_px)
    radius = (moved.sum() / np.pi) ** 0.5
    assert 50 - radius == pytest.approx(choke_px, rel=0.12, abs=0.05)


def test_sheer_cloth_stays_as_sheer():
    moved = choke_alpha(square() * np.float32(0.4), 1.0)
    assert moved[20, 20] == pytest.approx(0.4)
    assert moved[12, 20] == 0


def test_nothing_asked_is_nothing_done():
    alpha = square()
    assert choke_alpha(alpha, 0.0) is alpha
    nothing = np.zeros((8, 8), np.float32)
    assert choke_alpha(nothing, 1.0) is nothing


def test_the_input_is_not_changed():
    alpha = square()
    choke_alpha(alpha, 2.5)
    assert np.array_equal(alpha, square())


def test_what_the_frame_cuts_off_stays_at_the_frame():
    alpha = np.zeros((20, 20), np.float32)
    alpha[5:, 5:15] = 1
    assert choke_alpha(alpha, 2.0)[-1, 10] == 1


def error(rgb, studio):
    """Mean absolute colour error times alpha in the edge band, 0 to 255: what shows on a new background."""
    edge = (studio.alpha > 0) & (studio.alpha < 1)
    return (np.abs(rgb.astype(np.float64) - studio.garment).mean(axis=-1) * studio.alpha)[edge].mean()


@pytest.mark.parametrize(("sigma", "times"), [(0.8, 5), (1.5, 5), (3, 2.5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colours_come_several_times_closer_to_the_truth(studio, sigma, times, dtype):
    drawn = studio(432, 288, sigma=sigma)
    scale = dtype(np.iinfo(dtype).max // 255)
    cleaned = clean_edge_color(drawn.photo * scale, drawn.alpha)
    assert cleaned.dtype == dtype
    before, after = error(drawn.photo, drawn), error(cleaned / scale, drawn)
    assert before > 8
    assert after < before / times


@pytest.mark.parametrize("height", [100, 288, 900])
def test_at_any_size(studio, height):
    drawn = studio(height, height * 2 // 3, sigma=1)
    assert error(clean_edge_color(drawn.photo, drawn.alpha), drawn) < error(drawn.photo, drawn) / 4


def test_only_the_edge_band_changes_and_the_input_never(studio):
    drawn = studio()
    before = drawn.photo.copy()
    cleaned = clean_edge_color(drawn.photo, drawn.alpha)
    edge = (drawn.alpha > 0) & (drawn.alpha < 1)
    np.testing.assert_array_equal(cleaned[~edge], drawn.photo[~edge])
    np.testing.assert_array_equal(drawn.photo, before)
    assert (cleaned != drawn.photo).any()


@pytest.mark.parametrize("level", [0, 1])
def test_no_soft_edge_no_change(studio, level):
    photo = studio().photo
    cleaned = clean_edge_color(photo, np.full(photo.shape[:2], level, np.float32))
    np.testing.assert_array_equal(cleaned, photo)
    assert cleaned is not photo


def test_edges_at_the_frame_and_tiny_pictures(studio):
    drawn = studio()
    parts = [
        np.s_[100:180, 60:130],
        np.s_[:, 96:],
        np.s_[144:, :96],
        np.s_[40:41, :],
        np.s_[:, 96:97],
        np.s_[144:145, 30:31],
    ]
    for part in parts:
        cleaned = clean_edge_color(drawn.photo[part], np.clip(drawn.alpha[part], 0.01, 0.99))
        assert cleaned.shape == drawn.photo[part].shape


def test_edge_cut_by_the_frame_is_cleaned_as_well(studio):
    drawn = studio(432, 288)
    part = np.s_[:200, 30:144]
    crop = drawn._replace(**{name: getattr(drawn, name)[part] for name in drawn._fields})
    assert error(clean_edge_color(crop.photo, crop.alpha), crop) < error(crop.photo, crop) / 4


def test_a_million_sheer_pixels_need_little_memory():
    photo = np.full((1728, 1152, 3), (90, 60, 70), np.uint8)
    alpha = np.zeros((1728, 1152), np.float32)
    alpha[300:1300, 76:1076] = 0.4
    tracemalloc.start()
    cleaned = clean_edge_color(photo, alpha)
    assert tracemalloc.get_traced_memory()[1] < 250e6
    tracemalloc.stop()
    assert cleaned.shape == photo.shape


@pytest.mark.parametrize("moved_px", [-1, 1])
@pytest.mark.parametrize(("garment", "background"), [(43, 210), (200, 40)])
def test_an_alpha_that_is_a_pixel_off_leaves_no_line(moved_px, garment, background):
    """A dark garment before a bright wall, and the other way round."""
    draw = np.random.default_rng(0)
    share = np.zeros((200, 300), np.float32)
    share[:, 100:200] = 1
    share[:, (99, 200)] = 0.5
    cloth = garment + draw.integers(-4, 5, (200, 300, 1))
    rgb = np.rint(share[..., None] * cloth + (1 - share[..., None]) * background).astype(np.uint8).repeat(3, axis=2)
    alpha = np.roll(share, moved_px, axis=1)
    cleaned = clean_edge_color(rgb, alpha, full_height_px=1728)
    edge = (alpha > 0) & (alpha < 1)
    inside = edge & (share == 1)
    assert inside.sum() == 200
    assert abs(float(cleaned[inside].mean()) - garment) < 4


@pytest.fixture(params=[np.uint8, np.uint16])
def picture(studio, request):
    drawn = studio()
    return Cutout(drawn.photo * request.param(np.iinfo(request.param).max // 255), drawn.alpha)


def placed(picture, factor, canvas_hw=(500, 400), at=(30, 40), *, keeps_hidden=False):
    left, top, right, bottom = picture.box_xyxy
    size = round((right - left) * factor), round((bottom - top) * factor)
    box = at[0], at[1], at[0] + size[0], at[1] + size[1]
    return lay_on_canvas(picture if keeps_hidden else clean(picture), Placement(canvas_hw, box)), box


def inside(array, box):
    return array[box[1] : box[3], box[0] : box[2]]


@pytest.mark.parametrize("keeps_hidden", [False, True])
def test_at_its_own_size_every_pixel_is_kept(picture, keeps_hidden):
    laid, box = placed(picture, 1, keeps_hidden=keeps_hidden)
    source = picture if keeps_hidden else clean(picture)
    np.testing.assert_array_equal(inside(laid.rgb, box), inside(source.rgb, picture.box_xyxy))
    np.testing.assert_array_equal(inside(laid.alpha, box), inside(picture.alpha, picture.box_xyxy))
    assert laid.alpha.sum() == picture.alpha.sum()
    assert laid.is_clean != keeps_hidden


@pytest.mark.parametrize("factor", [0.11, 0.37, 0.5, 0.93, 1.3, 1.9])
@pytest.mark.parametrize("keeps_hidden", [False, True])
def test_the_box_lands_where_it_should(picture, factor, keeps_hidden):
    laid, box = placed(picture, factor, keeps_hidden=keeps_hidden)
    assert laid.alpha.shape == laid.rgb.shape[:2] == (500, 400)
    assert laid.rgb.dtype == picture.rgb.dtype
    assert np.abs(np.subtract(laid.box_xyxy, box)).max() <= 1
    np.testing.assert_allclose(laid.alpha.sum(), picture.alpha.sum() * factor**2, rtol=0.04)


@pytest.mark.parametrize("factor", [0.3, 0.5, 0.8])
def test_no_ghosts_around_and_no_thin_spots_inside(factor):
    """A square with hard edges: a filter that overshoots would leave levels beside 0, 1 and one ramp between."""
    alpha = np.zeros((200, 200), np.float32)
    alpha[50:150, 50:150] = 1
    alpha[90:110, 90:110] = 0  # and a hole
    rgb = np.full((200, 200, 3), 200, np.uint8)
    rgb[alpha > 0] = (10, 60, 250)
    laid, box = placed(Cutout(rgb, alpha), factor, canvas_hw=(120, 120), at=(10, 10))
    profile = inside(laid.alpha, box)[round(20 * factor)]
    assert (profile[2:-2] == 1).all()
    middle = inside(laid.alpha, box)[round(50 * factor)]
    crossing = np.flatnonzero((middle > 0) & (middle < 1))
    assert len(crossing) <= 6, "a ramp of two or three pixels to each side of the hole"
    np.testing.assert_array_equal(
        laid.rgb[laid.alpha > 0.01], np.broadcast_to((10, 60, 250), (120, 120, 3))[laid.alpha > 0.01]
    )
    assert (laid.rgb[laid.alpha == 0] == 0).all()


def test_hidden_pixels_do_not_bleed_into_the_edge(studio):
    drawn = studio(sigma=2)
    rgb = np.where(drawn.alpha[..., None] > 0, np.uint8((180, 20, 60)), np.uint8(0))
    for factor in (0.3, 0.5, 1.4):
        laid, _ = placed(Cutout(rgb, drawn.alpha, is_clean=True), factor)
        edge = (laid.alpha > 0.02) & (laid.alpha < 1)
        assert edge.sum() > 100
        assert np.abs(laid.rgb[edge].astype(int) - (180, 20, 60)).max() <= 1


def test_texture_stays_sharp():
    """Stripes of four pixels at half size: Lanczos keeps 93 % of their contrast, a triangle 50 %."""
    rgb = np.zeros((128, 128, 3), np.uint8)
    rgb[:, np.arange(128) % 8 < 4] = 200
    alpha = np.zeros((128, 128), np.float32)
    alpha[16:112, 16:112] = 1
    laid, box = placed(Cutout(rgb, alpha), 0.5, canvas_hw=(100, 100), at=(20, 20))
    row = inside(laid.rgb, box)[24, 8:-8, 0].astype(int)
    assert np.ptp(row) > 180


def test_kept_pixels_are_the_photos(picture):
    laid, box = placed(picture, 0.5, keeps_hidden=True)
    left, top = box[0] - picture.box_xyxy[0] / 2, box[1] - picture.box_xyxy[1] / 2
    rows, columns = (
        slice(round(top) + 1, round(top + 288 / 2) - 1),
        slice(max(round(left), 0) + 1, round(left + 192 / 2) - 1),
    )
    covered = np.zeros(laid.alpha.shape, bool)
    covered[rows, columns] = True
    top_level = np.iinfo(picture.rgb.dtype).max
    assert (laid.rgb[450:, 350:] == top_level).all(), "paper where the photo does not reach"
    assert (laid.rgb[covered] < top_level * 0.92).all(), "studio grey and cloth everywhere else"
    hidden = covered & (laid.alpha == 0)
    assert (laid.rgb[hidden] > 0).all()


def test_a_canvas_smaller_than_the_photo(picture):
    left, top, right, bottom = picture.box_xyxy
    size = right - left, bottom - top
    laid = lay_on_canvas(picture, Placement(size[::-1], (0, 0, *size)))
    np.testing.assert_array_equal(laid.rgb, inside(picture.rgb, picture.box_xyxy))


def test_everything_else_goes_along(picture):
    metadata = Metadata(b"p", (300, 240), b"e", b"x", b"i")
    laid, _ = placed(replace(picture, **vars(metadata)), 0.5)
    assert laid.metadata == metadata


def test_nothing_to_place():
    empty = Cutout(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="nothing is visible"):
        lay_on_canvas(empty, Placement((10, 10), (0, 0, 5, 5)))


def test_any_placement():
    """Sums, bounds and hidden pixels hold for random blobs, sizes and places."""
    for seed in range(40):
        check_placement(seed)


def check_placement(seed):
    draw = np.random.default_rng(seed)
    height, width = draw.integers(8, 90, 2)
    alpha = np.zeros((100, 100), np.float32)
    alpha[5 : 5 + height, 3 : 3 + width] = draw.choice([0, 0.3, 1], (height, width)).astype(np.float32)
    alpha[5, 3 : 3 + width] = alpha[5 : 5 + height, 3] = alpha[4 + height, 3 : 3 + width] = alpha[
        5 : 5 + height, 2 + width
    ] = 1
    rgb = draw.integers(0, 256, (100, 100, 3)).astype(np.uint8)
    size = draw.integers(1, 80, 2)
    left, top = draw.integers(0, 20, 2)
    box = int(left), int(top), int(left + size[0]), int(top + size[1])
    for keeps_hidden in (False, True):
        source = Cutout(rgb, alpha)
        laid = lay_on_canvas(source if keeps_hidden else clean(source), Placement((100, 101), box))
        assert laid.box_xyxy == box
        outside = laid.alpha.copy()
        outside[box[1] : box[3], box[0] : box[2]] = 0
        assert not outside.any()
        assert keeps_hidden or (laid.rgb[laid.alpha == 0] == 0).all()


def test_a_clean_cutout_is_not_cleaned_again(picture):
    laid, _ = placed(picture, 0.5)
    assert clean(laid) is laid


@pytest.fixture
def cutout(studio):
    drawn = studio()
    return Cutout(drawn.photo, drawn.alpha)


def prepare(cutout, **output):
    return Preparation(cutout, OutputConfig(**{"formats": ("psd", "mask"), **output}))


def test_each_thing_is_worked_out_once(cutout):
    prepared = prepare(cutout, trim=True, path="exact")
    assert prepared.untouched is prepared.untouched
    assert prepared.cleaned is prepared.cleaned
    assert prepared.path("none") is prepared.path("editable")


@pytest.mark.parametrize(
    ("hidden", "format", "is_kept"),
    [("auto", "psd", True), ("auto", "png", False), ("keep", "png", True), ("clear", "psd", False)],
)
def test_hidden_pixels_as_asked_or_as_the_format_does(cutout, hidden, format, is_kept):
    wanted = prepare(cutout, hidden=hidden).wanted(format)
    np.testing.assert_array_equal(wanted.rgb, cutout.rgb if is_kept else clean(cutout).rgb)


def test_a_background_takes_clean_edges_and_no_alpha(cutout):
    flat = prepare(cutout, background="#102030").flat("tiff")
    np.testing.assert_array_equal(flat, lay_over(clean(cutout), "#102030"))


@pytest.mark.parametrize(
    ("path", "auto", "has_path"),
    [("auto", "none", False), ("auto", "editable", True), ("none", "editable", False), ("exact", "none", True)],
)
def test_a_path_as_asked_or_as_the_format_does(cutout, path, auto, has_path):
    prepared = prepare(cutout, path=path)
    assert (prepared.path(auto) is not None) == has_path
    assert bool(prepared.resources()) == (path == "exact")


def test_the_path_is_that_of_the_trimmed_picture(cutout):
    prepared = prepare(cutout, trim=True, margin_px=11, path="exact")
    drawn = draw_path(prepared.path("none"), prepared.untouched.alpha.shape)
    inside = prepared.untouched.alpha >= 0.5
    assert ((drawn >= 0.5) == inside).mean() > 0.999


def test_exact_is_nearer_than_editable(cutout):
    def knots(kind):
        return sum(len(outline.knots) for outline in prepare(cutout, path=kind).path("none").subpaths)

    assert knots("exact") >= knots("editable")


def test_no_outline_is_an_error_only_where_one_was_asked_for(cutout):
    sheer = Cutout(cutout.rgb, cutout.alpha * np.float32(0.4))
    assert prepare(sheer).path("editable") is None
    assert prepare(sheer).resources() == []
    with pytest.raises(OutputError, match="no outline for a path: nothing is half opaque"):
        prepare(sheer, path="editable").path("none")


def test_a_ragged_outline_is_an_error_only_where_one_was_asked_for(cutout, monkeypatch):
    monkeypatch.setattr(compose, "MOST_KNOTS", 1)
    assert prepare(cutout).path("editable") is None
    with pytest.raises(OutputError, match=r"too ragged for a path \(.+ knots\); use path = 'none'"):
        prepare(cutout, path="exact").path("none")


def test_nothing_to_trim_to_and_too_much_margin(cutout):
    empty = Cutout(cutout.rgb, np.zeros_like(cutout.alpha))
    with pytest.raises(OutputError, match="nothing to trim to"):
        _ = prepare(empty, trim=True).untouched
    with pytest.raises(OutputError, match=r"a margin of 20000 pixels makes 16.. megapixels; use a smaller one"):
        _ = prepare(cutout, trim=True, margin_px=20_000).cleaned
