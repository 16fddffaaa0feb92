import math
import xml.etree.ElementTree as ElementTree

import pytest

from garmentcut.training.range_curve import curve_svg
from garmentcut.training.range_test import RangePoint

SVG = "{http://www.w3.org/2000/svg}"


def points_of(losses, low=-6, high=0):
    last = len(losses) - 1
    return [RangePoint(10 ** (low + (high - low) * i / last), loss) for i, loss in enumerate(losses)]


def drawn(points, suggested):
    root = ElementTree.fromstring(curve_svg(points, suggested))
    lines = [
        [tuple(map(float, place.split(","))) for place in line.get("points").split()]
        for line in root.iter(f"{SVG}polyline")
    ]
    return root, [text.text for text in root.iter(f"{SVG}text")], lines


def test_axes_are_labelled():
    _, texts, _ = drawn(points_of([1.0, 0.8, 0.5, 0.4, 0.9, 2.0, 30.0]), 1e-4)
    assert "learning rate (log scale)" in texts
    assert "loss" in texts
    assert [text for text in texts if text.startswith("1")] == [
        "1e-6",
        "1e-5",
        "1e-4",
        "1e-3",
        "1e-2",
        "1e-1",
        "1",
        "1",
        "1.2",
    ]
    assert {"0", "0.2", "0.4"} <= set(texts)
    assert "suggested 0.0001" in texts


def test_the_curve_is_where_it_belongs():
    _, _, (raw, smooth) = drawn(points_of([1.0, 1.0, 1.0, 1.0, 1.0]), None)
    assert [x for x, _ in raw] == pytest.approx([70, 227.5, 385, 542.5, 700])
    # from 0 to 1.2 over 336 pixels
    assert [y for _, y in raw] == pytest.approx([360 - 336 / 1.2] * 5)
    assert smooth == raw


def test_no_suggestion_no_mark():
    _, texts, _ = drawn(points_of([1.0, 1.0, 1.0]), None)
    assert not [text for text in texts if "suggested" in text]


@pytest.mark.parametrize("losses", [[1.0, 2.0], [0.0, 0.0, 0.0], [3e-9, 1e-9, 2e-9], [1.0, 1e30], [700.0, 5.0, 8.0]])
def test_any_losses_can_be_drawn(losses):
    _, texts, lines = drawn(points_of(losses), 1e-3)
    assert all(math.isfinite(value) and abs(value) < 2000 for line in lines for place in line for value in place)
    assert 8 <= len(texts) <= 20
