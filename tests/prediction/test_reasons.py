from dataclasses import replace

import numpy as np
import pytest

from garmentcut.prediction.doubt import ALL_SIGNS
from garmentcut.prediction.doubt_signs import observe
from garmentcut.prediction.reasons import place_of, reasons_of


def dress(height=400, width=260):
    """A gray wall and a dark dress; its alpha."""
    alpha = np.zeros((height, width), np.float32)
    alpha[60:340, 80:180] = 1
    rgb = np.where(alpha[..., None] > 0, np.uint8(40), np.uint8(200)).repeat(3, axis=2).astype(np.uint8)
    return rgb, alpha


def with_limit(model, sign, limit):
    limits = list(model.limits)
    limits[ALL_SIGNS.index(sign)] = limit
    return replace(model, limits=tuple(limits))


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (130, 65, "neckline"),
        (85, 70, "left shoulder"),
        (85, 150, "left sleeve"),
        (175, 150, "right sleeve"),
        (130, 150, "chest"),
        (175, 270, "right side"),
        (130, 335, "hem"),
        (82, 335, "hem on the left"),
    ],
)
def test_places_have_names(x, y, words):
    maps = observe(*dress()).maps
    left, top = maps.corner_xy
    assert place_of(maps, x - left, y - top) == words


def test_a_skirt_has_no_sleeves():
    rgb, alpha = dress()
    alpha[:200] = 0
    maps = observe(rgb, alpha).maps
    left, top = maps.corner_xy
    assert [place_of(maps, 85 - left, y - top) for y in (205, 250, 338)] == [
        "waist on the left",
        "left side",
        "hem on the left",
    ]


def test_a_garment_like_the_background_is_said_where(make_doubt):
    rgb, alpha = dress()
    rgb[140:190, 80:120] = 200
    model = with_limit(make_doubt(), "low_contrast", 0.01)
    assert reasons_of(model, observe(rgb, alpha)) == ("garment like background at the left sleeve",)


def test_parts_holes_sheer_cloth_and_the_frame(make_doubt):
    rgb, alpha = dress()
    alpha[200:206] = 0
    alpha[300:310, 120:140] = 0
    alpha[250:280, 150:178] = 0.6
    alpha[330:400, 100:160] = 1
    model = make_doubt()
    for sign, limit in (("parts", 1.0), ("holes", 0.0), ("sheer", -5.0)):
        model = with_limit(model, sign, limit)
    found = reasons_of(model, observe(rgb, alpha))
    assert len(found) == 3  # the strongest; more are not read
    assert found[0] == "sheer or unsure inside at the right side"
    assert "touches the frame: bottom" in found
    assert set(found) <= {"two parts", "hole at the middle", "touches the frame: bottom", found[0]}


def test_where_nothing_is_unusual_what_counts_most_is_said(make_doubt):
    rgb, alpha = dress()
    rgb[alpha > 0] = 185
    assert reasons_of(make_doubt(contrast=-1.0), observe(rgb, alpha)) == ()  # much contrast pushes doubt down
    model = replace(make_doubt(contrast=-1.0), center=(9.0,) * len(ALL_SIGNS))
    assert reasons_of(model, observe(rgb, alpha)) == ("little contrast along the edge",)
    assert reasons_of(model, observe(rgb, alpha), at_least_one=False) == ()
