from dataclasses import replace

import numpy as np
import pytest

from garmentcut.photo.cutout import Cutout
from garmentcut.photo.layout import Placement
from garmentcut.photo.placing import lay_on_canvas


@pytest.fixture(params=[np.uint8, np.uint16])
def cutout(studio, request):
    drawn = studio()
    return Cutout(drawn.photo * request.param(np.iinfo(request.param).max // 255), drawn.alpha)


def placed(cutout, factor, canvas_hw=(500, 400), at=(30, 40), **options):
    left, top, right, bottom = cutout.box_xyxy
    size = round((right - left) * factor), round((bottom - top) * factor)
    box = at[0], at[1], at[0] + size[0], at[1] + size[1]
    return lay_on_canvas(cutout, Placement(canvas_hw, box), **options), box


def inside(array, box):
    return array[box[1] : box[3], box[0] : box[2]]


@pytest.mark.parametrize("keeps_hidden", [False, True])
def test_at_its_own_size_every_pixel_is_kept(cutout, keeps_hidden):
    laid, box = placed(cutout, 1, keeps_hidden=keeps_hidden)
    source = cutout if keeps_hidden else cutout.cleaned
    np.testing.assert_array_equal(inside(laid.rgb, box), inside(source.rgb, cutout.box_xyxy))
    np.testing.assert_array_equal(inside(laid.alpha, box), inside(cutout.alpha, cutout.box_xyxy))
    assert laid.alpha.sum() == cutout.alpha.sum()
    assert laid.is_clean != keeps_hidden


@pytest.mark.parametrize("factor", [0.11, 0.37, 0.5, 0.93, 1.3, 1.9])
@pytest.mark.parametrize("keeps_hidden", [False, True])
def test_the_box_lands_where_it_should(cutout, factor, keeps_hidden):
    laid, box = placed(cutout, factor, keeps_hidden=keeps_hidden)
    assert laid.alpha.shape == laid.rgb.shape[:2] == (500, 400)
    assert laid.rgb.dtype == cutout.rgb.dtype
    assert np.abs(np.subtract(laid.box_xyxy, box)).max() <= 1
    np.testing.assert_allclose(laid.alpha.sum(), cutout.alpha.sum() * factor**2, rtol=0.04)


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


def test_hidden_pixels_do_not_bleed_into_the_rim(studio):
    drawn = studio(sigma=2)
    rgb = np.where(drawn.alpha[..., None] > 0, np.uint8((180, 20, 60)), np.uint8(0))
    for factor in (0.3, 0.5, 1.4):
        laid, _ = placed(Cutout(rgb, drawn.alpha, is_clean=True), factor)
        rim = (laid.alpha > 0.02) & (laid.alpha < 1)
        assert rim.sum() > 100
        assert np.abs(laid.rgb[rim].astype(int) - (180, 20, 60)).max() <= 1


def test_texture_stays_sharp():
    """Stripes of four pixels at half size: Lanczos keeps 93 % of their contrast, a triangle 50 %."""
    rgb = np.zeros((128, 128, 3), np.uint8)
    rgb[:, np.arange(128) % 8 < 4] = 200
    alpha = np.zeros((128, 128), np.float32)
    alpha[16:112, 16:112] = 1
    laid, box = placed(Cutout(rgb, alpha), 0.5, canvas_hw=(100, 100), at=(20, 20))
    row = inside(laid.rgb, box)[24, 8:-8, 0].astype(int)
    assert np.ptp(row) > 180


def test_kept_pixels_are_the_photos(cutout):
    laid, box = placed(cutout, 0.5, keeps_hidden=True)
    left, top = box[0] - cutout.box_xyxy[0] / 2, box[1] - cutout.box_xyxy[1] / 2
    rows, columns = (
        slice(round(top) + 1, round(top + 288 / 2) - 1),
        slice(max(round(left), 0) + 1, round(left + 192 / 2) - 1),
    )
    covered = np.zeros(laid.alpha.shape, bool)
    covered[rows, columns] = True
    top_level = np.iinfo(cutout.rgb.dtype).max
    assert (laid.rgb[450:, 350:] == top_level).all(), "paper where the photo does not reach"
    assert (laid.rgb[covered] < top_level * 0.92).all(), "studio grey and cloth everywhere else"
    hidden = covered & (laid.alpha == 0)
    assert (laid.rgb[hidden] > 0).all()


def test_a_canvas_smaller_than_the_photo(cutout):
    left, top, right, bottom = cutout.box_xyxy
    size = right - left, bottom - top
    laid = lay_on_canvas(cutout, Placement(size[::-1], (0, 0, *size)), keeps_hidden=True)
    np.testing.assert_array_equal(laid.rgb, inside(cutout.rgb, cutout.box_xyxy))


def test_everything_else_goes_along(cutout):
    described = replace(cutout, profile=b"p", dpi=(300, 240), exif=b"e")
    laid, _ = placed(described, 0.5)
    assert (laid.profile, laid.dpi, laid.exif) == (b"p", (300, 240), b"e")


def test_nothing_to_place():
    empty = Cutout(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32))
    with pytest.raises(ValueError, match="nothing is visible"):
        lay_on_canvas(empty, Placement((10, 10), (0, 0, 5, 5)))


@pytest.mark.parametrize("seed", range(40))
def test_any_placement(seed):
    """Sums, bounds and hidden pixels hold for random blobs, sizes and places."""
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
        laid = lay_on_canvas(Cutout(rgb, alpha), Placement((100, 101), box), keeps_hidden=keeps_hidden)
        assert laid.box_xyxy == box
        outside = laid.alpha.copy()
        outside[box[1] : box[3], box[0] : box[2]] = 0
        assert not outside.any()
        assert keeps_hidden or (laid.rgb[laid.alpha == 0] == 0).all()


def test_a_clean_cutout_is_not_cleaned_again(cutout):
    laid, _ = placed(cutout, 0.5)
    assert laid.cleaned is laid
    assert cutout.cleaned.cleaned is cutout.cleaned
