"""A length as customers write it: pixels, or per cent of a side of the canvas."""

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator

_PER_CENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
_PIXELS = re.compile(r"([0-9]+)(?: ?px)?")
_MAX_PX = 30_000


class Length(NamedTuple):
    """Pixels, or with `is_share` per cent of the canvas.

    >>> Length(85, is_share=True).px(2000)
    1700
    """

    amount: float
    is_share: bool = False

    def px(self, side_px: int) -> int:
        """Whole pixels on a canvas whose side has `side_px`."""
        return round(self.amount * side_px / 100) if self.is_share else round(self.amount)

    def __str__(self) -> str:
        """As it is written in a specification."""
        return f"{self.amount:g} %" if self.is_share else f"{self.amount:g} px"


def parse_length(value: Any) -> Length | None:
    """A length as it stands in a TOML file: `1700`, `"1700 px"`, `"85 %"`.

    Raises:
        ValueError: anything else, or out of range.
    """
    if value is None or isinstance(value, Length):
        return value
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if found := _PER_CENT.fullmatch(text):
        length = Length(float(found[1]), is_share=True)
    elif found := _PIXELS.fullmatch(text):
        length = Length(int(found[1]))
    else:
        raise ValueError(f"{value!r} is neither pixels such as 1700 nor per cent such as '85 %'")
    if length.amount > (100 if length.is_share else _MAX_PX):
        raise ValueError(f"{length} is too much; at most 100 % or {_MAX_PX} px")
    return length


OptionalLength = Annotated[Length | None, BeforeValidator(parse_length)]
"""Of a field of a specification; None: not said."""
