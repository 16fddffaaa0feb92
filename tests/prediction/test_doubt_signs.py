import numpy as np
import pytest

from garmentcut.prediction.doubt_signs import SIGNS, contact_of, observe, observe_looks
from garmentcut.prediction.frame import Frame
from garmentcut.prediction.looks import Looks


def sign(observation, name):
    return observation.signs[SIGNS.index(name)]


def test_each_sign_grows_with_what_it_stands_for(studio):
    plain = studio(288, 192)
    soft = studio(288, 192, sigma=4)
    base = observe(plain.photo, plain.alpha)
    assert sign(observe(soft.photo, soft.alpha), "rim") > sign(base, "rim") + 0.5
    assert sign(observe(soft.photo, soft.alpha), "wide_rim") > sign(base, "wide_rim")

    sheer = plain.alpha.copy()
    sheer[120:170, 70:120] = 0.6
    assert sign(observe(plain.photo, sheer), "sheer") > sign(base, "sheer") + 1

    hazy = plain.alpha.copy()
    hazy[5:25, 5:60] = 0.3
    assert sign(observe(plain.photo, hazy), "haze") > sign(base, "haze") + 1

    torn = plain.alpha.copy()
    torn[100:104] = 0
    torn[130:150, 90:110] = 0
    assert (sign(observe(plain.photo, torn), "parts"), sign(base, "parts")) == (np.log2(3), 1)
    assert (sign(observe(plain.photo, torn), "holes"), sign(base, "holes")) == (1, 0)
    assert sign(observe(plain.photo, torn), "outline") > sign(base, "outline")

    gray = np.full_like(plain.photo, 200)
    assert sign(observe(gray, plain.alpha), "low_contrast") == 1
    assert sign(observe(gray, plain.alpha), "contrast") < sign(base, "contrast")
    assert sign(observe(gray, plain.alpha), "mixed_colors") < sign(base, "mixed_colors")


def test_contact_is_with_the_frame_only():
    alpha = np.zeros((80, 60), np.float32)
    alpha[30:, 10:50] = 1
    observation = observe(np.zeros((80, 60, 3), np.uint8), alpha)
    assert contact_of(observation.maps) == 40
    assert sign(observation, "contact") > 0.1
    alpha[79] = 0
    assert sign(observe(np.zeros((80, 60, 3), np.uint8), alpha), "contact") == 0


def test_signs_hardly_depend_on_the_size_the_network_works_at(studio):
    small, large = (
        observe(shown.photo, shown.alpha) for shown in (studio(432, 288, sigma=1), studio(1728, 1152, sigma=4))
    )
    np.testing.assert_allclose(small.looks, large.looks, rtol=0.03)
    for name in ("outline", "parts", "contact", "contrast", "mixed_colors"):
        assert sign(small, name) == pytest.approx(sign(large, name), abs=0.15), name


def test_padding_is_not_looked_at_and_two_looks_are_compared(studio):
    shown = studio(96, 64)
    padded = np.pad(shown.photo, ((0, 32), (0, 32), (0, 0)), mode="edge")
    looks = Looks.of_frame(
        np.pad(shown.alpha, ((0, 32), (0, 32)), constant_values=1), Frame(padded, (96, 64), (96, 64))
    )
    seen, plain = observe_looks(looks), observe(shown.photo, shown.alpha)
    np.testing.assert_array_equal(seen.signs, plain.signs)
    other = Looks(looks.frame, looks.crop, looks.fine, np.roll(looks.small_alpha((48, 32)), 6, axis=0))
    assert sign(observe_looks(other), "two_looks") > sign(seen, "two_looks") + 3
