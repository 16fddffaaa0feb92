"""Axes of a study's plots: from values to places, and round numbers to write beside them."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Axis:
    """From values to places on the page.

    Attributes:
        low, high: values at its ends; low < high.
        start, end: places of these.
        log: equal ratios are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; one beyond an end is put there."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, max(value, self.low)))
        return self.start + min((value - low) / (high - low), 1.0) * (self.end - self.start)

    def ticks(self, num: int) -> list[tuple[float, str]]:
        """About `num` places with their labels."""
        values = _decades(self.low, self.high) if self.log else round_numbers(self.low, self.high, num)
        return [(self(value), short(value)) for value in values]


def axis_over(values: list[float], *, start: float, end: float, margin: float = 0.06) -> Axis:
    """An axis that holds all values, with some room at both ends."""
    low, high = min(values), max(values)
    room = margin * (high - low) or 1e-4
    return Axis(low - room, high + room, start, end)


def round_numbers(low: float, high: float, num: int) -> list[float]:
    """Round numbers between two, about `num` of them."""
    raw = (high - low) / max(num, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * (1 - 1e-9))
    return [round(k * step, 10) for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """As few characters as it takes: `0.0005`, `12,000`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6f}".rstrip("0").rstrip(".")


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten and, as far as there is room, multiples of them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors: tuple[int, ...] = (1, 2, 3, 5, 7) if high / low < 20 else (1, 2, 5) if high / low < 300 else (1,)
    return [10.0**power * factor for power in powers for factor in factors if low <= 10.0**power * factor <= high]
