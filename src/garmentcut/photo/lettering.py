"""Letters on pictures: text that fits its place, in Pillow's own font, so that it looks the same everywhere."""

import functools
import unicodedata

from PIL import ImageFont

_ELLIPSIS = "…"
_NOT_IN_ANY_FONT = "\uffff"  # a noncharacter: drawn as the box that stands for a missing glyph
_SUBSTITUTE = "?"


def legible(text: str) -> str:
    """The text with what the font cannot draw replaced: `é` by `e`, anything without a base letter by `?`."""
    return "".join(map(_legible_character, text))


def width_of(text: str, size_px: int) -> float:
    """Pixels a line of text takes."""
    return font_of(size_px).getlength(text)


def fit_line(text: str, width_px: int, size_px: int) -> str:
    """One line of at most `width_px`; what is too long loses its middle: a name's end holds the view."""
    text = legible(text)
    if width_of(text, size_px) <= width_px:
        return text
    for num_kept in range(len(text) - 1, 0, -1):
        tail = num_kept // 2
        shortened = text[: num_kept - tail] + _ELLIPSIS + text[len(text) - tail :]
        if width_of(shortened, size_px) <= width_px:
            return shortened
    return ""


def wrap_lines(text: str, width_px: int, size_px: int, *, max_lines: int) -> list[str]:
    """Lines of at most `width_px`, broken between words where possible; the last one ends in `…` if there is more."""
    rest, lines = " ".join(legible(text).split()), list[str]()
    while rest and len(lines) < max_lines:
        num_fitting = _num_fitting(rest, width_px, size_px)
        blank = rest.rfind(" ", 0, num_fitting + 1)
        end = num_fitting if num_fitting == len(rest) or blank <= 0 else blank
        lines.append(rest[:end])
        rest = rest[end:].lstrip()
    if rest and lines:
        last = lines[-1]
        while last and width_of(last + _ELLIPSIS, size_px) > width_px:
            last = last[:-1]
        lines[-1] = last + _ELLIPSIS
    return lines


@functools.lru_cache(maxsize=16)
def font_of(size_px: int) -> ImageFont.FreeTypeFont:
    """The font that comes with Pillow."""
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont)  # a size was given
    return font


def _num_fitting(text: str, width_px: int, size_px: int) -> int:
    """How many of its first characters fit, at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if width_of(text[:middle], size_px) <= width_px else (low, middle - 1)
    return low


@functools.lru_cache(maxsize=4096)
def _legible_character(character: str) -> str:
    if character.isspace():
        return " "
    for candidate in (character, unicodedata.normalize("NFKD", character)[:1]):
        if candidate.isprintable() and _glyph(candidate) != _glyph(_NOT_IN_ANY_FONT):
            return candidate
    return "" if unicodedata.combining(character) else _SUBSTITUTE


def _glyph(character: str) -> tuple[tuple[int, int], bytes]:
    mask = font_of(16).getmask(character)
    return mask.size, bytes(mask)
