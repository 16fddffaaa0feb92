"""File names taken apart: which garment, which view; and put together, safe on any file system."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

from garmentcut.dataset.manifest import VIEWS, DatasetError

DEFAULT_PATTERN = "<garment>_<view>"

_FIELD = re.compile(r"<(\w*)>|\*")
_GAP = "[-_ ]?"  # FrontRight is also front_right, front-right, front right
_WORDS = {view: re.findall("[A-Z][a-z]+", view) for view in VIEWS}
_KNOWN_VIEW = "|".join(_GAP.join(_WORDS[view]) for view in sorted(VIEWS, key=len, reverse=True))  # the longest first
_ANY_VIEW = r"[^\W\d_][^\W_]*"  # begins with a letter: IMG_0001 names no view
_UNSAFE = re.compile(r"[^\w.() +-]|^\.|[. ]$")
_MAX_NAME_BYTES = 120


class PairingError(DatasetError):
    """Folders or a pattern that cannot be worked with as a whole; the message says what to change."""


@dataclass(frozen=True)
class Key:
    """What a file's name says.

    Attributes:
        garment: as spelt in the name.
        view: likewise, but known ones as in `VIEWS`; empty: the name holds none.
    """

    garment: str
    view: str = ""

    @property
    def folded(self) -> tuple[str, str]:
        """The same for names that differ in case only."""
        return self.garment.casefold(), self.view.casefold()


class NamePattern:
    """How files are named.

    `<garment>` and `<view>` stand for themselves, `*` for as little as possible of anything, all else for itself,
    without case. A pattern with `/` reads that many folders above the file too. The suffix is no part of it.

    >>> NamePattern("<garment>_<view>").read(PurePosixPath("a/12_34_frontright.png"))
    Key(garment='12_34', view='FrontRight')
    """

    def __init__(self, text: str) -> None:
        """Compile a pattern.

        Raises:
            PairingError: an unknown field, `<garment>` missing, or a field twice.
        """
        self.text = text
        names = [match[1] for match in _FIELD.finditer(text) if match[1] is not None]
        if names.count("garment") != 1 or names.count("view") > 1 or set(names) - {"garment", "view"}:
            raise PairingError(f"pattern {text!r}: needs <garment> once, <view> at most once, and no other field")
        self.has_view = "view" in names
        self._num_parts = text.count("/") + 1
        # A known view anywhere wins: a_front_right is a's FrontRight, not a view "right" of a_front.
        self._expressions = [self._compiled(view) for view in (_KNOWN_VIEW, _ANY_VIEW)]

    def read(self, path: PurePosixPath) -> Key | None:
        """Garment and view that a path's name tells; None: it does not fit."""
        parts = path.with_suffix("").parts[-self._num_parts :]
        stem = unicodedata.normalize("NFC", "/".join(parts))  # macOS hands names over decomposed
        for expression in self._expressions:
            if found := expression.fullmatch(stem):
                fields = found.groupdict()
                return Key(fields["garment"], _known(fields.get("view", "")))
        return None

    def _compiled(self, view: str) -> re.Pattern[str]:
        kinds = {"garment": "(?P<garment>[^/]+)", "view": f"(?P<view>{view})", None: "[^/]*?"}
        parts, end = [], 0
        for match in _FIELD.finditer(self.text):
            parts += [re.escape(self.text[end : match.start()]), kinds[match[1]]]
            end = match.end()
        return re.compile("".join([*parts, re.escape(self.text[end:])]), re.IGNORECASE)


def safe_name(name: str) -> str:
    """A name that every file system takes; a changed one ends in a hash of the name, so that no two become alike."""
    safe = _UNSAFE.sub("_", name)
    if safe == name and len(safe.encode()) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{safe.encode()[: _MAX_NAME_BYTES - 9].decode(errors='ignore')}-{digest}"


def _known(view: str) -> str:
    squeezed = re.sub(_GAP, "", view).casefold()
    return next((known for known in VIEWS if known.casefold() == squeezed), view)
