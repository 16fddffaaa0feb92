"""The curve of a learning-rate range test, as an SVG that stands alone."""

import math
from collections.abc import Iterable, Sequence

from garmentcut.training.range_test import RangePoint, smoothed_losses

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 700, 24, 360  # of the plot, in pixels
_HEADROOM = 1.15  # times the loss at the start; what diverges is cut off
_FONT = 'font-family="sans-serif" font-size="13" fill="#333"'


def curve_svg(points: Sequence[RangePoint], suggested: float | None) -> str:
    """Draw loss over learning rate, the rate on a log axis: each step in grey, smoothed in blue.

    Args:
        points: of `range_test`, at least 2; losses of at least 0.
        suggested: `suggested_lr` of them, marked by a dashed line; None: no mark.

    Returns:
        A whole SVG document, 720 by 420 pixels on white.
    """
    smooth = smoothed_losses(points)
    first, last = math.log10(points[0].lr), math.log10(points[-1].lr)
    ticks = _ticks(float(smooth[: int(smooth.argmin()) + 1].max()) * _HEADROOM)

    def place_x(lr: float) -> float:
        return _LEFT + (math.log10(lr) - first) / (last - first) * (_RIGHT - _LEFT)

    def place_y(loss: float) -> float:
        # Clipped by the plot's frame; bounded, since some viewers stumble over huge numbers.
        return _BOTTOM - min(loss / ticks[-1], 3) * (_BOTTOM - _TOP)

    def path(losses: Iterable[float], style: str) -> str:
        places = " ".join(
            f"{place_x(point.lr):.1f},{place_y(loss):.1f}" for point, loss in zip(points, losses, strict=True)
        )
        return f'<polyline points="{places}" fill="none" {style} clip-path="url(#plot)"/>'

    decades = [10.0**exponent for exponent in range(math.ceil(first - 1e-9), math.floor(last + 1e-9) + 1)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        "<title>Learning-rate range test</title>",
        f'<clipPath id="plot"><rect x="{_LEFT}" y="{_TOP}" width="{_RIGHT - _LEFT}" height="{_BOTTOM - _TOP}"/>'
        "</clipPath>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *(_vertical(place_x(lr), f"{lr:.0e}".replace("e-0", "e-").replace("e+00", "")) for lr in decades),
        *(_horizontal(place_y(tick), f"{tick:g}") for tick in ticks),
        path((point.loss for point in points), 'stroke="#999" stroke-width="1"'),
        path(smooth, 'stroke="#1f6fb4" stroke-width="2.5"'),
        *([] if suggested is None else [_mark(place_x(suggested), suggested)]),
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{_HEIGHT - 14}" text-anchor="middle" {_FONT}>'
        "learning rate (log scale)</text>",
        f'<text transform="translate(20 {(_TOP + _BOTTOM) / 2}) rotate(-90)" text-anchor="middle" {_FONT}>loss</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _ticks(high: float) -> list[float]:
    """Round numbers from 0 to at least `high`, four to eight of them."""
    high = high or 1.0
    unit = 10.0 ** math.floor(math.log10(high))
    step = next(step for step in (unit / 5, unit / 2, unit, unit * 2) if high / step <= 6)
    return [count * step for count in range(math.ceil(high / step) + 1)]


def _vertical(x: float, label: str) -> str:
    return (
        f'<path d="M{x:.1f} {_TOP}V{_BOTTOM + 5}" stroke="#e4e4e4"/>'
        f'<text x="{x:.1f}" y="{_BOTTOM + 21}" text-anchor="middle" {_FONT}>{label}</text>'
    )


def _horizontal(y: float, label: str) -> str:
    return (
        f'<path d="M{_LEFT - 5} {y:.1f}H{_RIGHT}" stroke="#e4e4e4"/>'
        f'<text x="{_LEFT - 9}" y="{y + 4.5:.1f}" text-anchor="end" {_FONT}>{label}</text>'
    )


def _mark(x: float, lr: float) -> str:
    left = x > (_LEFT + _RIGHT) / 2
    return (
        f'<path d="M{x:.1f} {_TOP}V{_BOTTOM}" stroke="#c0392b" stroke-width="1.5" stroke-dasharray="5 4"/>'
        f'<text x="{x + (-8 if left else 8):.1f}" y="{_TOP + 16}" text-anchor="{"end" if left else "start"}" {_FONT}>'
        f"suggested {lr:.2g}</text>"
    )
