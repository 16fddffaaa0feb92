"""What a tuned knob may be set to: values from a list, or a range."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from garmentcut.study.declaration import StudyError

Setting = dict[str, Any]
"""Values by `section.key`."""


def is_range(value: Any) -> bool:
    """True for `{ low = ..., high = ... }`, false for a list of values.

    Raises:
        StudyError: it is neither.
    """
    if isinstance(value, list) and value:
        return False
    if not isinstance(value, dict) or not {"low", "high"} <= set(value) <= {"low", "high", "log"}:
        raise StudyError(f"{value!r} is neither a list of values nor a range such as {{ low = 1e-4, high = 1e-2 }}")
    low, high, log = value["low"], value["high"], value.get("log", False)
    numbers = all(isinstance(limit, int | float) and not isinstance(limit, bool) for limit in (low, high))
    if not numbers or not low < high or (log and low <= 0) or not isinstance(log, bool):
        raise StudyError(f"{value!r}: low must be below high, and above 0 where log = true")
    return True


def distribution_of(value: Any) -> BaseDistribution:
    """What Optuna draws from; a list's values go in as JSON, since its storage holds plain values only."""
    if not is_range(value):
        return CategoricalDistribution([json.dumps(choice) for choice in value])
    low, high, log = value["low"], value["high"], value.get("log", False)
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def drawn(params: Mapping[str, Any], knobs: Mapping[str, Any]) -> Setting:
    """A setting from what Optuna drew."""
    return {key: params[key] if is_range(value) else json.loads(params[key]) for key, value in knobs.items()}


def combinations(knobs: Mapping[str, Sequence[Any]]) -> Iterator[Setting]:
    """Every combination of listed values, the last knob changing first."""
    for values in itertools.product(*knobs.values()):
        yield dict(zip(knobs, values, strict=True))


def corners(knobs: Mapping[str, Any]) -> Iterator[Setting]:
    """Settings that between them hold every listed value and both ends of every range."""
    ends = {key: [value["low"], value["high"]] if is_range(value) else value for key, value in knobs.items()}
    for number in range(max(map(len, ends.values()), default=0)):
        yield {key: values[min(number, len(values) - 1)] for key, values in ends.items()}


def words_of(setting: Mapping[str, Any]) -> str:
    """Such as `lr 0.001, name adam`; the section where two knobs share a name."""
    short = [key.partition(".")[2] for key in setting]
    parts = []
    for key, name in zip(setting, short, strict=True):
        parts.append(f"{name if short.count(name) == 1 else key} {_word(setting[key])}")
    return ", ".join(parts)


def _word(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        is_size = all(isinstance(entry, int) for entry in value)
        return ("x" if is_size else "/").join(map(_word, value))
    if isinstance(value, dict):
        return " ".join(f"{key} {_word(entry)}" for key, entry in value.items())
    return json.dumps(value)


def at_edge(setting: Mapping[str, Any], knobs: Mapping[str, Any]) -> tuple[str, ...]:
    """Knobs whose chosen value is the least or the greatest that was tried: a better one may lie beyond."""
    return tuple(key for key, value in setting.items() if key in knobs and _is_edge(value, knobs[key]))


def _is_edge(chosen: Any, knob: Any) -> bool:
    if is_range(knob):
        low, high, log = knob["low"], knob["high"], knob.get("log", False)
        near: float = (high / low) ** 0.05 if log else 0.05 * (high - low)
        return bool(chosen <= low * near or chosen >= high / near if log else min(chosen - low, high - chosen) <= near)
    numbers = [value for value in knob if isinstance(value, int | float) and not isinstance(value, bool)]
    return len(numbers) == len(knob) > 1 and chosen in (min(numbers), max(numbers))
