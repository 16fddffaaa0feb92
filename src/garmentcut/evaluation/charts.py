"""Geometry of the report's charts; the template draws it as SVG. Units are those of the SVG's view box."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Frame(NamedTuple):
    """Size of a chart, and where its axes lie."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float


FRAME = Frame(width=340, height=190, left=40, right=322, top=10, bottom=164)
_BINS = 24


@dataclass(frozen=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A part of a histogram's column, of one view."""

    x: float
    y: float
    width: float
    height: float
    series: int
    label: str


@dataclass(frozen=True)
class Histogram:
    """Stacked columns, one colour a view."""

    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Line:
    """A curve as SVG points, and its highest place."""

    points: str
    best_x: float
    best_y: float
    series: int


@dataclass(frozen=True)
class Curves:
    """Curves on common axes."""

    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def histogram(values: Mapping[str, Sequence[float]], *, higher_is_better: bool, decimals: int) -> Histogram:
    """Columns of how many photos have which value, stacked by view.

    The bad tail, the last fortieth of the photos, is gathered in the outermost column, so that a few disasters do not
    squeeze the others into one; that column's label says so.

    Args:
        values: by view; one value at least in all.
        higher_is_better: where the bad tail is.
        decimals: of labels.
    """
    every = np.concatenate([np.asarray(part, np.float64) for part in values.values()])
    edges = _bin_edges(every, higher_is_better=higher_is_better)
    counts = [np.histogram(np.clip(part, edges[0], edges[-1]), edges)[0] for part in values.values()]
    top = int(np.sum(counts, axis=0).max())
    across, up = _Scale(edges[0], edges[-1], FRAME.left, FRAME.right), _Scale(0, top, FRAME.bottom, FRAME.top)
    bars = []
    for column in range(len(edges) - 1):
        label = _range_label(edges, every, column, decimals)
        below = 0
        for series, (view, heights) in enumerate(zip(values, counts, strict=True)):
            num = int(heights[column])
            if num:
                x, y = across(edges[column]), up(below + num)
                size = across(edges[column + 1]) - x, up(below) - y
                bars.append(Bar(x, y, *size, series, f"{label}: {num} {view}"))
                below += num
    places = _places(edges[0], edges[-1], 5)
    x_ticks = tuple(Tick(across(at), _short(at)) for at in places)
    y_ticks = tuple(Tick(up(at), _short(at)) for at in _places(0, top, 4) if at == int(at))
    return Histogram(tuple(bars), x_ticks, y_ticks)


def curves(xs: Sequence[float], series: Sequence[Sequence[float]], *, depth: float) -> Curves:
    """Curves from the highest point down to `depth` below it at most; what lies deeper is cut off at the axis.

    Args:
        xs: ascending.
        series: values at `xs`, one sequence a curve.
        depth: how far below the highest point the axis may reach.
    """
    top = max(map(max, series))
    floor = max(min(map(min, series)), top - depth)
    room = max(top - floor, 1e-4)
    across, up = _Scale(0, 1, FRAME.left, FRAME.right), _Scale(floor, top + 0.06 * room, FRAME.bottom, FRAME.top)
    lines = []
    for number, values in enumerate(series):
        points = " ".join(f"{across(x):.1f},{up(max(y, floor)):.1f}" for x, y in zip(xs, values, strict=True))
        best = max(range(len(values)), key=values.__getitem__)
        lines.append(Line(points, across(xs[best]), up(values[best]), number))
    x_ticks = tuple(Tick(across(at), _short(at)) for at in (0.0, 0.25, 0.5, 0.75, 1.0))
    return Curves(tuple(lines), x_ticks, tuple(Tick(up(at), _short(at)) for at in _places(floor, top, 4)))


@dataclass(frozen=True)
class _Scale:
    """From values to places on the page."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return float(self.start + share * (self.end - self.start))


def _bin_edges(values: NDArray[np.float64], *, higher_is_better: bool) -> NDArray[np.float64]:
    low, high = float(values.min()), float(values.max())
    if higher_is_better:
        low = min(float(np.percentile(values, 2.5)), high)
    else:
        high = max(float(np.percentile(values, 97.5)), low)
    if high - low < 1e-6:
        low, high = low - 0.5e-3, high + 0.5e-3
    return np.linspace(low, high, _BINS + 1)


def _range_label(edges: NDArray[np.float64], values: NDArray[np.float64], column: int, decimals: int) -> str:
    low = f"{min(float(values.min()), edges[0]) if column == 0 else edges[column]:.{decimals}f}"
    last = column == len(edges) - 2
    high = f"{max(float(values.max()), edges[-1]) if last else edges[column + 1]:.{decimals}f}"
    return f"{low} to {high}"


def _places(low: float, high: float, num: int) -> list[float]:
    """Round numbers from `low` to `high`, about `num` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / num
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    return [round(k * step, 10) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _short(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
