import pytest

from garmentcut.evaluation.charts import FRAME, curves, histogram


def test_columns_stack_by_view_and_count_every_photo():
    values = {"Front": [0.90, 0.95, 0.99, 0.99], "Back": [0.99]}
    chart = histogram(values, higher_is_better=True, decimals=3)
    counted = {}
    for bar in chart.bars:
        num, view = bar.label.rpartition(": ")[2].split()
        counted[view] = counted.get(view, 0) + int(num)
    assert counted == {"Front": 4, "Back": 1}
    right = [bar for bar in chart.bars if bar.x == max(bar.x for bar in chart.bars)]
    front, back = right
    assert (front.series, back.series) == (0, 1)
    assert front.height == pytest.approx(2 * back.height)
    assert back.y + back.height == pytest.approx(front.y)  # the second stands on the first
    assert front.y + front.height == FRAME.bottom
    assert back.y == FRAME.top  # three photos are the most


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_disaster_does_not_squeeze_the_others(higher_is_better):
    good = [0.990 + n / 10000 for n in range(99)]
    values = {"Front": [*good, 0.0 if higher_is_better else 400.0]}
    bars = histogram(values, higher_is_better=higher_is_better, decimals=4).bars
    assert len(bars) > 20
    outermost = min(bars, key=lambda bar: bar.x) if higher_is_better else max(bars, key=lambda bar: bar.x)
    assert ("0.0000 to" if higher_is_better else "to 400.0000") in outermost.label


def test_every_bar_and_label_lies_in_the_frame():
    chart = histogram({"Front": [3.0, 4.5, 12.0, 7.7]}, higher_is_better=False, decimals=2)
    for bar in chart.bars:
        assert FRAME.left <= bar.x <= bar.x + bar.width <= FRAME.right + 1e-9
        assert FRAME.top - 1e-9 <= bar.y <= bar.y + bar.height <= FRAME.bottom + 1e-9
    assert [tick.label for tick in chart.x_ticks] == ["4", "6", "8", "10"]
    assert [tick.label for tick in chart.y_ticks] == ["0", "1"]


def test_all_alike_is_one_column():
    bars = histogram({"Front": [1.0, 1.0]}, higher_is_better=True, decimals=4).bars
    assert len(bars) == 1
    assert bars[0].width < 30


def test_curves_share_their_axes_and_are_cut_off_below():
    chart = curves((0.0, 0.5, 1.0), [(0.9, 1.0, 0.2), (0.9, 0.95, 0.99)], depth=0.1)
    first, second = ([tuple(map(float, point.split(","))) for point in line.points.split()] for line in chart.lines)
    assert [x for x, _ in first] == [FRAME.left, (FRAME.left + FRAME.right) / 2, FRAME.right]
    assert first[0] == second[0]
    assert first[2][1] == FRAME.bottom  # 0.2 lies below the axis
    assert (chart.lines[0].best_x, chart.lines[1].best_x) == (first[1][0], second[2][0])
    assert chart.lines[0].best_y < chart.lines[1].best_y
    assert curves((0.0, 1.0), [(0.5, 0.5)], depth=0.1).lines  # flat
