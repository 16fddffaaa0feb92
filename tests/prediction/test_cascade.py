"""A cascade of two stand-ins: both find red cloth, and remember what they were shown."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from garmentcut.config import CutConfig
from garmentcut.errors import ModelError, NoGarmentError, PhotoError
from garmentcut.model.card import FirstLook, first_network_of, read_model, with_card
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cascade import Cascade, crop_around
from garmentcut.prediction.cutter import Cutter, default_model
from garmentcut.prediction.frame import crop_pixels, frame_photo

LOOK = FirstLook("red", (96, 64), 32, margin_px=32, shapes_hw=((256, 192),), least_agreement=0.9)


@dataclass
class Red:
    """alpha = (red - green) / 255; `misses`: sees nothing in a crop, only in whole photos."""

    misses: bool = False
    whole_px: int = 384 * 256
    name: str = "red"
    streams: int = 1
    calls: list = field(default_factory=list)

    def __call__(self, pixels):
        self.calls.append(pixels)
        alpha = ((pixels[..., 0].astype(np.float32) - pixels[..., 1]) / 255).clip(0, 1)
        return alpha * np.float32(not (self.misses and alpha.size < self.whole_px))


@pytest.fixture
def load(card):
    def loaded(*, cut=None, second=None, **changes):
        look_changes = {key: changes.pop(key) for key in list(changes) if hasattr(LOOK, key)}
        card_ = replace(card, working_size_hw=(384, 256), first_look=replace(LOOK, **look_changes), **changes)
        second, cut_ = second or Red(), cut or CutConfig()
        return Cutter(card_, second, cut_, Cascade(card_, Red(), second, cut_))

    return loaded


def dressed(*extra, size_hw=(384, 256)):
    rgb = np.full((*size_hw, 3), 200, np.uint8)
    step = size_hw[0] // 96
    for top, bottom, left, right in ((30, 60, 24, 44), *extra):
        rgb[top * step : bottom * step, left * step : right * step] = 255, 0, 0
    return rgb


def area(alpha):
    rows, columns = np.nonzero(alpha >= 0.5)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def test_the_second_look_sees_the_garment_at_its_own_size(load):
    cutter, rgb = load(), dressed()
    cutout = cutter(rgb)
    assert area(cutout.alpha) == (96, 120, 176, 240)
    assert [pixels.shape for pixels in cutter.stages.first.calls] == [(96, 64, 3)]
    [crop] = cutter.runtime.calls
    assert crop.shape == (256, 192, 3)
    assert (crop == 255).sum() == 120 * 80  # all of the dress


def test_what_stands_beside_is_not_cut(load):
    speck = (10, 12, 50, 52)
    alpha = load()(dressed(speck)).alpha
    assert area(alpha) == (96, 120, 176, 240)
    assert alpha.sum() == pytest.approx(120 * 80)


def test_both_looks_are_told(load):
    cutter, photo = load(), Photo(dressed())
    prediction = cutter.predict(photo, cutter.frame(photo))
    assert prediction.coarse.shape == (96, 64)
    assert prediction.alpha.shape == (384, 256)
    assert prediction.agreement > 0.97
    assert prediction.small_alpha((96, 64)) == pytest.approx(prediction.coarse, abs=0.35)
    assert prediction.notes == ()


def test_looks_that_disagree_are_settled_by_a_look_at_the_whole_photo(load):
    cutter, photo = load(second=Red(misses=True)), Photo(dressed())
    prediction = cutter.predict(photo, cutter.frame(photo))
    assert [pixels.shape[:2] for pixels in cutter.runtime.calls] == [(256, 192), (384, 256)]
    assert prediction.notes == ("the stages disagreed, so the whole photo was used instead of the garment's box",)
    assert area(prediction.alpha) == (96, 120, 176, 240)


def test_a_cascade_that_never_looks_again_says_that_nothing_was_found(load):
    with pytest.raises(NoGarmentError):
        load(second=Red(misses=True), least_agreement=0.0)(dressed())


def test_a_photo_without_a_garment_costs_no_second_look(load):
    cutter = load()
    with pytest.raises(PhotoError, match="no garment found"):
        cutter(np.full((384, 256, 3), 200, np.uint8))
    assert cutter.runtime.calls == []


def test_a_garment_cut_by_the_frame_is_told(load):
    cutter, photo = load(), Photo(dressed((55, 96, 24, 44)))
    assert cutter.predict(photo, cutter.frame(photo)).notes == ("cut by the frame: bottom",)


def test_a_second_look_may_see_the_first_ones_map(load):
    cutter = load(sees_map=True)
    cutter(dressed())
    [crop] = cutter.runtime.calls
    assert crop.shape == (256, 192, 4)
    inside = crop[..., 0] == 255
    assert crop[..., 3][inside].mean() > 240
    assert crop[..., 3][~inside].mean() < 15


@pytest.mark.parametrize("size_hw", [(384, 256), (1152, 768), (2304, 1536), (768, 1536)])
@pytest.mark.parametrize("effort", ["fast", "normal", "best"])
def test_the_cutout_lies_where_the_garment_is_at_every_size(load, size_hw, effort):
    step = size_hw[0] // 96
    alpha = load(cut=CutConfig(effort=effort))(dressed(size_hw=size_hw)).alpha
    assert alpha.shape == size_hw
    assert area(alpha) == pytest.approx((24 * step, 30 * step, 44 * step, 60 * step), abs=step / 2)
    assert alpha.sum() == pytest.approx(600 * step**2, rel=0.03)


def test_fast_is_the_first_network_alone_best_is_the_second_twice(load):
    fast, best = load(cut=CutConfig(effort="fast")), load(cut=CutConfig(effort="best"))
    fast(dressed())
    assert (len(fast.stages.first.calls), len(fast.runtime.calls)) == (1, 0)
    best(dressed((30, 34, 44, 50)))
    one, mirrored = best.runtime.calls
    assert np.array_equal(one, mirrored[:, ::-1])


def test_a_flip_average_puts_both_the_right_way_round(load):
    lopsided = dressed((30, 34, 44, 50))
    assert load(cut=CutConfig(effort="best"))(lopsided).alpha == pytest.approx(load()(lopsided).alpha, abs=1e-6)


def test_chokes_of_card_and_user_add_up(load):
    alpha = load(cut=CutConfig(choke_px=1.0), choke_px=0.5)(dressed()).alpha
    assert alpha[180].sum() == pytest.approx(80 - 2 * 1.5, abs=0.01)


def test_a_model_of_one_network_has_no_fast(tmp_path):
    content, card = read_model(default_model())
    single = tmp_path / "single.onnx"
    single.write_bytes(with_card(content, replace(card, first_look=None)))
    with pytest.raises(ModelError, match="no stage that `fast` could leave out"):
        Cutter.load(single, cut=CutConfig(effort="fast"))


def test_a_card_that_promises_a_first_look_is_held_to_it(card):
    with pytest.raises(ModelError, match="does not; export it again"):
        first_network_of(b"", replace(card, first_look=LOOK))


PHOTO_HW = (1728, 1152)
CROPS = FirstLook("none", (96, 64), 32, margin_px=96, shapes_hw=((640, 576), (896, 576), (1472, 704)))


@pytest.fixture
def cascade(card):
    return replace(card, working_size_hw=PHOTO_HW, first_look=CROPS)


def box_of(top, bottom, left, right, photo_hw=PHOTO_HW):
    return left / photo_hw[1], top / photo_hw[0], right / photo_hw[1], bottom / photo_hw[0]


@pytest.mark.parametrize(
    ("garment", "shape_hw"),
    [
        ((600, 1000, 400, 700), (640, 576)),
        ((600, 1100, 400, 700), (896, 576)),
        ((300, 1500, 400, 700), (1472, 704)),
        ((300, 1500, 200, 900), (1408, 896)),  # none holds it: the next multiples of 64
        ((0, 1728, 0, 1152), (1728, 1152)),
    ],
)
def test_the_smallest_shape_that_holds_box_and_margin(cascade, garment, shape_hw):
    crop, found_hw = crop_around(box_of(*garment), PHOTO_HW, 1.0, cascade)
    assert found_hw == shape_hw
    assert crop.content_hw == shape_hw
    top, bottom, left, right = garment
    assert crop.box_xyxy[0] <= max(left - 96, 0)
    assert crop.box_xyxy[1] <= max(top - 96, 0)
    assert crop.box_xyxy[2] >= min(right + 96, 1152)
    assert crop.box_xyxy[3] >= min(bottom + 96, 1728)


def test_a_crop_stays_in_the_photo(cascade):
    crop, _ = crop_around(box_of(0, 300, 900, 1152), PHOTO_HW, 1.0, cascade)
    assert crop.box_xyxy == (1152 - 576, 0, 1152, 640)


def test_a_camera_photo_is_cropped_at_the_working_scale(cascade):
    photo = Photo(np.zeros((5184, 3456, 3), np.uint8))
    photo.rgb[2400:3000, 1500:1800] = 255
    frame = frame_photo(photo, cascade)
    crop, shape_hw = crop_around(box_of(2400, 3000, 1500, 1800, photo.size_hw), photo.size_hw, 1 / 3, cascade)
    assert shape_hw == (640, 576)
    pixels = crop_pixels(photo, frame, crop)
    assert pixels.shape == (640, 576, 3)
    assert (pixels > 128).all(axis=2).sum() == pytest.approx(200 * 100, rel=0.02)


def test_a_shape_wider_than_the_photo_is_padded_with_its_border(load):
    rgb = np.random.default_rng(0).integers(0, 255, (384, 100, 3)).astype(np.uint8)
    rgb[120:240, 30:70] = 255, 0, 0
    cutter = load()
    cutter(rgb)
    [crop] = cutter.runtime.calls
    assert crop.shape == (256, 192, 3)
    assert np.array_equal(crop[:, 100:], np.repeat(crop[:, 99:100], 92, axis=1))
