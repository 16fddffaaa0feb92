"""The plots of a study, as SVG: differences with their intervals, learning curves, errors over numbers of garments."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from garmentcut.study.axes import Axis, axis_over, round_numbers
from garmentcut.study.comparison import ArmResult
from garmentcut.study.growth import Growth, Point
from garmentcut.study.results import Results, RunResult
from garmentcut.study.verdicts import interval_text, signed

_WIDTH = 820.0
_ROW = 28.0
_LETTER = 7.0  # width of one, about
_LONGEST_NAME, _LONGEST_IN_LEGEND = 34, 26
_COLORS = 8


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: in the legend.
        points: as SVG has them.
        color: number of the colour.
        is_dashed: the colour is used a second time.
        thin: single runs behind their mean.
    """

    name: str
    points: str
    color: int
    is_dashed: bool
    thin: tuple[str, ...]


def differences_svg(rows: Sequence[ArmResult]) -> str:
    """Each arm's difference from the reference, with its interval; empty: there is none yet."""
    shown = [(row.arm.name, row.paired) for row in rows[1:] if row.paired]
    if not shown:
        return ""
    left = 20 + _LETTER * min(max(len(name) for name, _ in shown), _LONGEST_NAME)
    right = _WIDTH - 225
    ends = [0.0]
    for _, paired in shown:
        ends += [end for end in (paired.dice.value, paired.dice.low, paired.dice.high) if end is not None]
    axis = axis_over(ends, start=left, end=right)
    marks = [
        {
            "name": _cut(name),
            "y": 14 + _ROW * (number + 0.5),
            "x": axis(paired.dice.value),
            "ends": None
            if paired.dice.low is None or paired.dice.high is None
            else (axis(paired.dice.low), axis(paired.dice.high)),
            "kind": paired.verdict if paired.verdict in ("better", "worse") else "open",
            "text": f"{signed(paired.dice.value)} {interval_text(paired.dice)}",
        }
        for number, (name, paired) in enumerate(shown)
    ]
    bottom = 14 + _ROW * len(marks)
    return _drawn(
        "differences",
        width=_WIDTH,
        height=bottom + 44,
        marks=marks,
        zero=axis(0.0),
        bottom=bottom,
        right=right,
        left=left,
        ticks=[(axis(v), signed(v, 6).rstrip("0").rstrip(".") or "0") for v in _places(axis)],
        title=f"difference of mean Dice from {_cut(rows[0].arm.name)}",
    )


def curves_svg(results: Results) -> str:
    """Mean Dice of the held-out photos while training: a line an arm, thin ones for its runs; empty: nothing ran."""
    runs = {arm.name: [run for run in results.of(arm) if run.curve] for arm in results.study.arms}
    runs = {name: found for name, found in runs.items() if found}
    if not runs:
        return ""
    left, right, top, bottom = 56.0, _WIDTH - 240, 14.0, 300.0
    steps = [look.step for found in runs.values() for run in found for look in run.curve]
    across = Axis(0, max(steps), left, right)
    up = axis_over(_late(runs), start=bottom, end=top)
    lines = [
        Line(
            _cut(name, _LONGEST_IN_LEGEND),
            _points(_mean_curve(found), across, up),
            number % _COLORS,
            number >= _COLORS,
            tuple(_points([(look.step, look.mean_dice) for look in run.curve], across, up) for run in found),
        )
        for number, (name, found) in enumerate(runs.items())
    ]
    height = max(bottom + 44, 30 + 20 * len(lines))
    return _drawn(
        "curves",
        width=_WIDTH,
        height=height,
        lines=lines,
        left=left,
        right=right,
        bottom=bottom,
        x_ticks=across.ticks(6),
        y_ticks=up.ticks(6),
    )


def growth_svg(growth: Growth) -> str:
    """Errors over numbers of garments, measured and beyond."""
    left, right, top, bottom = 66.0, _WIDTH - 30, 14.0, 300.0
    points = (*growth.measured, *growth.beyond)
    sizes = [float(point.garments) for point in points]
    ends = [end for point in points for end in (point.low, point.high, point.error) if end > 0]
    across = Axis(min(sizes) / 1.3, max(sizes) * 1.3, left, right, log=True)
    up = Axis(min(ends) / 1.2, max(ends) * 1.2, bottom, top, log=True)
    grid = [across.low * (across.high / across.low) ** (k / 80) for k in range(81)]
    return _drawn(
        "growth",
        width=_WIDTH,
        height=bottom + 44,
        left=left,
        right=right,
        bottom=bottom,
        curve=" ".join(f"{across(n):.1f},{up(growth(n)):.1f}" for n in grid),
        marks=[*_marks(growth.measured, across, up, "measured"), *_marks(growth.beyond, across, up, "open")],
        x_ticks=across.ticks(6),
        y_ticks=up.ticks(6),
    )


def _drawn(name: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("garmentcut.study"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{name}.svg.j2").render(**values)


def _places(axis: Axis) -> list[float]:
    return round_numbers(axis.low, axis.high, 5)


def _late(runs: dict[str, list[RunResult]]) -> list[float]:
    """Dice from the second half of each training on: there the arms differ, before they all climb."""
    found = []
    for run in (run for group in runs.values() for run in group):
        found += [look.mean_dice for look in run.curve if 2 * look.step >= run.curve[-1].step]
    return found


def _mean_curve(runs: Sequence[RunResult]) -> list[tuple[int, float]]:
    by_step: dict[int, list[float]] = {}
    for run in runs:
        for look in run.curve:
            by_step.setdefault(look.step, []).append(look.mean_dice)
    return [(step, fmean(values)) for step, values in sorted(by_step.items()) if len(values) == len(runs)]


def _points(curve: Sequence[tuple[int, float]], across: Axis, up: Axis) -> str:
    return " ".join(f"{across(step):.1f},{up(dice):.1f}" for step, dice in curve)


def _marks(points: Sequence[Point], across: Axis, up: Axis, kind: str) -> list[dict[str, Any]]:
    return [
        {
            "x": across(p.garments),
            "y": up(max(p.error, up.low)),
            "low": up(max(p.low, up.low)),
            "high": up(p.high),
            "kind": kind,
            "label": f"{p.garments:,}",
        }
        for p in points
    ]


def _cut(name: str, longest: int = _LONGEST_NAME) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
