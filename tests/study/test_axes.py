import pytest

from garmentcut.study.axes import Axis, axis_over, round_numbers, short


def test_places():
    axis = Axis(0.0, 2.0, 100, 300)
    assert [axis(value) for value in (-1, 0, 1, 2, 3)] == [100, 100, 200, 300, 300]
    log = Axis(1.0, 100.0, 0, 200, log=True)
    assert log(10) == pytest.approx(100)
    assert [label for _, label in log.ticks(5)] == ["1", "2", "5", "10", "20", "50", "100"]
    assert [label for _, label in Axis(10.0, 20_000.0, 0, 1, log=True).ticks(5)] == ["10", "100", "1,000", "10,000"]


def test_an_axis_over_one_value_has_room():
    axis = axis_over([0.5, 0.5], start=0, end=10)
    assert axis.low < 0.5 < axis.high


def test_round_numbers():
    assert round_numbers(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert round_numbers(-0.0012, 0.0031, 4) == [0, 0.002] or round_numbers(-0.0012, 0.0031, 4)[0] >= -0.0012
    assert all(label == short(float(label)) for label in ("0.0005", "0.96", "12"))
