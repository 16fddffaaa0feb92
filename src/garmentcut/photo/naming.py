"""How delivered files are called: a pattern with fields, checked once, filled in for each photo."""

import re
from string import Formatter
from typing import NamedTuple

from garmentcut.config import ConfigError

FIELDS = ("garment", "view", "stem", "counter")
_WIDTH = re.compile(r"0[1-9]")  # zeros to fill, and digits
_UNSAFE = re.compile(r'[\\:*?"<>|\x00-\x1f\x7f]')
_PLACE = "\0"  # stands for the counter; no name holds it


class Subject(NamedTuple):
    """What the name of a photo tells.

    Attributes:
        garment: the garment's id; the stem, where the name has no view.
        view: of the garment; empty: the name has none.
        stem: the photo's name without suffix.
    """

    garment: str
    view: str
    stem: str


class FilledPattern(NamedTuple):
    """A name before its counter is known: what stands before and behind it, and its least digits (0: it has none)."""

    before: str
    behind: str = ""
    num_digits: int = 0

    def numbered(self, counter: int) -> str:
        """The whole name."""
        return f"{self.before}{counter:0{self.num_digits}}{self.behind}" if self.num_digits else self.before

    def counter_of(self, name: str) -> int | None:
        """The number in a name of this form; None: it has another form."""
        digits = name[len(self.before) : len(name) - len(self.behind)]
        fits = name.startswith(self.before) and name.endswith(self.behind) and re.fullmatch(r"[0-9]{1,9}", digits)
        return int(digits) if fits and self.numbered(int(digits)) == name else None


def fill_pattern(pattern: str, subject: Subject) -> FilledPattern:
    """A pattern with all but its counter filled in.

    Args:
        pattern: one that `check_pattern` passes.
        subject: the photo; where it has no view, {view} becomes `unknown`.
    """
    text, num_digits = "", 0
    for literal, field, spec, _ in Formatter().parse(pattern):
        text += literal
        if field == "counter":
            text, num_digits = text + _PLACE, int(spec) if spec else 1
        elif field is not None:
            text += getattr(subject, field) or "unknown"
    before, _, behind = text.partition(_PLACE)
    return FilledPattern(before, behind, num_digits)


def check_pattern(pattern: str, source: str) -> None:
    """Refuse a pattern that cannot name files.

    Raises:
        ConfigError: an unknown field, a format that is none, or a character that file systems refuse; names `source`.
    """
    problem = _problem_of(pattern)
    if problem:
        raise ConfigError(f"{source}: file.name = {pattern!r}: {problem}")


def _problem_of(pattern: str) -> str:
    known = ", ".join(f"{{{field}}}" for field in FIELDS)
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        return f"{error}; fields are {known}"
    for _, field, spec, conversion in parts:
        if field is not None and field not in FIELDS:
            return f"unknown field {{{field}}}; fields are {known}"
        if conversion or (spec and (field != "counter" or not _WIDTH.fullmatch(spec))):
            return "only {counter} has a width, such as {counter:03}"
    if [field for _, field, _, _ in parts].count("counter") > 1:
        return "{counter} at most once"
    if _UNSAFE.search("".join(literal for literal, _, _, _ in parts)):
        return "a character that file systems refuse"
    example = fill_pattern(pattern, Subject("a", "a", "a")).numbered(1)
    if any(not part.strip(". ") or part != part.strip() or part.endswith(".") for part in example.split("/")):
        return "no empty part, none that begins or ends with a blank or ends with a dot"
    return ""
