import math
import random

import pytest

from garmentcut.errors import ConfigError, OutputError
from garmentcut.photo.layout import (
    CanvasSection,
    GarmentSection,
    Length,
    check_room,
    fitting_scale,
    is_whole_frame,
    parse_length,
    place_garment,
    shared_scale,
)

SQUARE = CanvasSection(width_px=2000, height_px=2000)


def placed(canvas, garment, box_hw):
    return place_garment(canvas, garment, box_hw, scale=shared_scale(canvas, [(garment, box_hw)]))


def test_height_as_a_share_of_the_canvas():
    # 85 % of 2000 is 1700: scale 0.5, width 500; centred.
    assert placed(SQUARE, GarmentSection(height="85 %"), (3400, 1000)) == ((2000, 2000), (750, 150, 1250, 1850))


def test_height_in_pixels():
    assert placed(SQUARE, GarmentSection(height=1700), (3400, 1000)).box_xyxy == (750, 150, 1250, 1850)


def test_width():
    assert placed(SQUARE, GarmentSection(width="50 %"), (1500, 2000)).box_xyxy == (500, 625, 1500, 1375)


def test_both_sizes_are_limits():
    garment = GarmentSection(height="90 %", width="50 %")
    assert placed(SQUARE, garment, (2000, 2000)).box_xyxy == (500, 500, 1500, 1500)
    assert placed(SQUARE, garment, (3600, 1000)).box_xyxy == (750, 100, 1250, 1900)


def test_margins_fill_the_room():
    garment = GarmentSection(margin="10 %")
    assert placed(SQUARE, garment, (3200, 1000)).box_xyxy == (750, 200, 1250, 1800)
    assert placed(SQUARE, garment, (1000, 3200)).box_xyxy == (200, 750, 1800, 1250)


def test_a_garment_too_wide_for_its_height_is_smaller():
    assert placed(SQUARE, GarmentSection(height="85 %", margin_left=100, margin_right=300), (2000, 2000)).box_xyxy == (
        100,
        200,
        1700,
        1800,
    )


@pytest.mark.parametrize(
    ("place", "left", "top"),
    [
        ({"horizontal": "left", "vertical": "top"}, 20, 100),
        ({"horizontal": "right", "vertical": "bottom"}, 1960, 1300),
        ({"horizontal": "center", "vertical": "center"}, 990, 700),
        ({"vertical": "baseline", "baseline": "5 %"}, 990, 1500),
    ],
)
def test_alignment_keeps_to_the_margins(place, left, top):
    margins = {"margin_left": "1 %", "margin_right": 20, "margin_top": 100, "margin_bottom": 300}
    box = placed(SQUARE, GarmentSection(height=400, **margins, **place), (800, 40)).box_xyxy
    assert box == (left, top, left + 20, top + 400)


def test_the_canvas_follows_the_garment():
    free = CanvasSection()
    assert placed(free, GarmentSection(margin=0), (300, 200)) == ((300, 200), (0, 0, 200, 300))
    assert placed(free, GarmentSection(margin=10), (300, 200)) == ((320, 220), (10, 10, 210, 310))
    # 300 px are 75 % of 400: 100 px of margins, 40 above.
    garment = GarmentSection(margin_top="10 %", margin_bottom="15 %", margin_left=0, margin_right=0)
    assert placed(free, garment, (300, 200)) == ((400, 200), (0, 40, 200, 340))
    assert placed(free, GarmentSection(height="75 %"), (300, 200)) == ((400, 200), (0, 50, 200, 350))
    assert placed(free, GarmentSection(height=150), (300, 200)) == ((150, 100), (0, 0, 100, 150))


def test_the_canvas_grows_to_its_aspect():
    canvas = CanvasSection(aspect="3:4")
    assert placed(canvas, GarmentSection(margin=0), (800, 100)) == ((800, 600), (250, 0, 350, 800))
    assert placed(canvas, GarmentSection(margin=0), (100, 600)) == ((800, 600), (0, 350, 600, 450))
    garment = GarmentSection(margin="10 %", vertical="bottom")
    assert placed(canvas, garment, (800, 100)) == ((1000, 750), (325, 100, 425, 900))


def test_one_side_and_an_aspect_make_the_other():
    assert CanvasSection(width_px=1500, aspect="3:4").size_hw == (2000, 1500)
    assert CanvasSection(height_px=2000, aspect="3:4").size_hw == (2000, 1500)
    assert placed(CanvasSection(width_px=100), GarmentSection(), (300, 200)) == ((150, 100), (0, 0, 100, 150))


def test_never_enlarged_beyond_the_limit():
    assert fitting_scale(SQUARE, GarmentSection(height=1700), (850, 100)) == 2
    assert placed(SQUARE, GarmentSection(height=1700), (850, 100)).box_xyxy == (950, 575, 1050, 1425)
    garment = GarmentSection(height=1700, max_enlargement=1.5)
    assert placed(SQUARE, garment, (850, 100)).box_xyxy == (925, 362, 1075, 1637)


def test_the_tallest_view_sets_the_shared_scale():
    garment, wide = GarmentSection(height="85 %"), GarmentSection(height="85 %", width="10 %")
    assert shared_scale(SQUARE, [(garment, (3400, 100)), (garment, (1700, 100))]) == 0.5
    assert shared_scale(SQUARE, [(garment, (3400, 100)), (wide, (1700, 800))]) == 0.25
    scale = shared_scale(SQUARE, [(garment, (3400, 1000)), (garment, (3000, 800))])
    assert place_garment(SQUARE, garment, (3000, 800), scale=scale).box_xyxy == (800, 250, 1200, 1750)


def test_not_resized():
    garment = GarmentSection(resize=False, margin=100)
    assert placed(SQUARE, garment, (1800, 500)).box_xyxy == (750, 100, 1250, 1900)
    with pytest.raises(OutputError, match="the garment has 500x1801 pixels, the canvas has room for 1800x1800; allow"):
        placed(SQUARE, garment, (1801, 500))


def test_a_canvas_out_of_all_measure():
    with pytest.raises(OutputError, match=r"canvas of 300x100000 pixels; at most 30000 a side and 100 megapixels"):
        placed(CanvasSection(), GarmentSection(height="1 %"), (1000, 300))


def test_the_photos_own_frame():
    assert is_whole_frame(CanvasSection(background="#ffffff"), GarmentSection())
    assert not is_whole_frame(CanvasSection(), GarmentSection(margin=0))
    assert not is_whole_frame(CanvasSection(aspect="1:1"), GarmentSection())


@pytest.mark.parametrize(
    ("canvas", "garment", "message"),
    [
        (
            {"height_px": 400},
            {"margin": "50 %"},
            r"margin_top \(50 %\) and margin_bottom \(50 %\) leave no room on canvas.height_px = 400",
        ),
        ({"width_px": 100}, {"margin_left": 60, "margin_right": 40}, r"margin_left \(60 px\).*canvas.width_px = 100"),
        ({}, {"margin": "48 %"}, r"margin_top \(48 %\) and margin_bottom \(48 %\) leave no room; make"),
        ({"height_px": 2000}, {"height": 2400}, r"garment.height = 2400 px is more than the 2000 px that .* leave of"),
        ({"height_px": 2000}, {"height": "85 %", "margin": "10 %"}, "garment.height = 85 % is more than the 1600 px"),
        ({"width_px": 2000}, {"vertical": "baseline", "baseline": 1, "width": 2001}, "garment.width = 2001 px"),
        ({}, {"horizontal": "left"}, "without canvas, size or margin the photo's frame stays"),
    ],
)
def test_no_room(canvas, garment, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_room(CanvasSection(**canvas), GarmentSection(**garment), "a.toml")
    assert str(caught.value).startswith("a.toml: garment")


def drawn_rules(draw):
    def length(most_px):
        return draw.choice([None, draw.randint(0, most_px), f"{draw.randint(0, 30)} %"])

    sides = {f"margin_{side}": length(60) for side in ("top", "bottom", "left", "right")}
    sizes = {
        name: draw.choice([None, draw.randint(1, 180), f"{draw.randint(12, 40)} %"]) for name in ("height", "width")
    }
    canvas = {"width_px": draw.choice([None, draw.randint(200, 900)])}
    canvas["height_px"] = draw.choice([None, draw.randint(200, 900)])
    if not all(canvas.values()):
        canvas["aspect"] = draw.choice([None, "3:4", "16:9", "1:1"])
    place = {
        "horizontal": draw.choice(["left", "center", "right"]),
        "vertical": draw.choice(["top", "center", "bottom"]),
    }
    garment = {**sides, **sizes, **place, "max_enlargement": draw.choice([1.0, 0.5, 8.0])}
    return CanvasSection(**canvas), GarmentSection(**garment)


def test_whatever_is_asked_for_holds():
    for seed in range(300):
        check_what_is_asked_for(seed)


def check_what_is_asked_for(seed):
    draw = random.Random(seed)
    canvas, garment = drawn_rules(draw)
    try:
        check_room(canvas, garment, "")
    except ConfigError:
        return
    boxes = [(draw.randint(20, 500), draw.randint(20, 500)) for _ in range(3)]
    scale = shared_scale(canvas, [(garment, box_hw) for box_hw in boxes])
    assert 0 < scale <= garment.max_enlargement
    for height, width in boxes:
        (canvas_height, canvas_width), (left, top, right, bottom) = place_garment(
            canvas, garment, (height, width), scale=scale
        )
        assert canvas.height_px in (None, canvas_height)
        assert canvas.width_px in (None, canvas_width)
        if canvas.proportions:
            across, down = canvas.proportions
            assert abs(canvas_width * down - canvas_height * across) <= max(across, down)
        assert abs((bottom - top) - height * scale) <= 1
        assert abs((right - left) - width * scale) <= 1
        assert top >= garment.margin_of("top").px(canvas_height)
        assert left >= garment.margin_of("left").px(canvas_width)
        assert canvas_height - bottom >= garment.margin_of("bottom").px(canvas_height)
        assert canvas_width - right >= garment.margin_of("right").px(canvas_width)
        if garment.height:
            assert bottom - top <= max(math.ceil(garment.height.amount * canvas_height / 100), 1) or (
                not garment.height.is_share and bottom - top <= garment.height.px(0)
            )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1700, Length(1700)),
        ("1700", Length(1700)),
        ("1700 px", Length(1700)),
        ("85%", Length(85, is_share=True)),
        ("12.5 %", Length(12.5, is_share=True)),
        (0, Length(0)),
        (None, None),
        (Length(3), Length(3)),
    ],
)
def test_lengths(value, expected):
    assert parse_length(value) == expected


@pytest.mark.parametrize(
    "value", ["", "85 percent", "-5 %", -5, "5cm", 1.5, True, "1e3", [5], "%", "٣", "101 %", 30_001, "30001 px"]
)
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError, match=r"neither pixels such as|is too much"):
        parse_length(value)


def test_pixels_of_a_side():
    assert Length(85, is_share=True).px(2000) == 1700
    assert Length(12.5, is_share=True).px(1001) == 125
    assert Length(70).px(1) == 70
    assert [str(length) for length in (Length(85, is_share=True), Length(70))] == ["85 %", "70 px"]
