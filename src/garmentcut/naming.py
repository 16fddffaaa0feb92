"""Names of files: a studio's photos by garment and view, and outputs by the table of formats.

Options, settings, writers and specifications use that table. A new format needs a new row and the function in it.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal, NamedTuple

from garmentcut.errors import DatasetError


class FileFormat(NamedTuple):
    """A format, its suffixes, and what it can hold."""

    # The first is written, and is different for each format; users may name the format by any of them.
    suffixes: tuple[str, ...]
    encoder: str  # `module:function` that encodes a `garmentcut.photo.compose.Preparation`
    media_type: str  # for a browser
    bits: Literal[8, 16] = 8  # maximum per channel
    has_alpha: bool = True  # it holds the whole alpha
    has_path: bool = False  # it holds a clipping path
    has_layers: bool = False  # a background hides nothing: it is a separate layer, or there is none
    # A working format for retouchers, so by default the photo's pixels under the alpha are kept.
    keeps_hidden: bool = False
    # The metadata that it can hold: fields of `garmentcut.photo.photo.Metadata`.
    carries: frozenset[str] = frozenset({"profile", "dpi", "exif", "xmp"})

    @property
    def suffix(self) -> str:
        """The suffix that is appended to a photo's stem."""
        return self.suffixes[0]


_ALL = frozenset({"profile", "dpi", "exif", "xmp", "iptc"})

_WRITE = "garmentcut.photo.write:encode_"

FORMATS: dict[str, FileFormat] = {
    "png": FileFormat((".png",), f"{_WRITE}png", "image/png", 16),
    "mask": FileFormat(("_mask.png",), f"{_WRITE}mask", "image/png", has_layers=True, carries=frozenset({"dpi"})),
    "webp": FileFormat((".webp",), f"{_WRITE}webp", "image/webp"),
    "tiff": FileFormat(
        (".tif", ".tiff"), f"{_WRITE}tiff", "image/tiff", 16, has_path=True, keeps_hidden=True, carries=_ALL
    ),
    "psd": FileFormat(
        (".psd",),
        "garmentcut.photo.psd_roundtrip:encode_psd",
        "image/vnd.adobe.photoshop",
        bits=16,
        has_path=True,
        has_layers=True,
        keeps_hidden=True,
        carries=_ALL,
    ),
    "jpeg": FileFormat((".jpg", ".jpeg"), f"{_WRITE}jpeg", "image/jpeg", has_alpha=False, has_path=True, carries=_ALL),
}
NAMES = ", ".join(FORMATS)


def known_format(name: str) -> str:
    """The name of the format for its name or one of its suffixes, in any case: `jpg`, `.TIF`.

    Raises:
        ValueError: there is none; the message names all formats.
    """
    meant = name.lower().removeprefix(".")
    for format, row in FORMATS.items():
        if meant == format or f".{meant}" in row.suffixes:
            return format
    raise ValueError(f"{name!r} is not a format; use one of {NAMES}")


def listed(names: Iterable[str]) -> str:
    """Join names as in a sentence: `tiff, psd or jpeg`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def keeps_hidden(format: str, *, hidden: str, path: str, background: str | None) -> bool:
    """Whether a file keeps the photo's pixels under the alpha, instead of clean edge colours and black.

    Args:
        format: a key of `FORMATS`.
        hidden: `auto`, `clear` or `keep`; see `OutputConfig.hidden`.
        path: see `OutputConfig.path`.
        background: `#rrggbb`; None: transparent.
    """
    row = FORMATS[format]
    if hidden != "auto":
        return hidden == "keep"
    if not row.has_alpha:  # a whole photo with a clipping path
        return row.has_path and background is None and path not in ("auto", "none")
    return row.keeps_hidden and (row.has_layers or background is None)


VIEWS = ("Front", "FrontRight", "Back")  # the known views
DEFAULT_PATTERN = "<garment>_<view>"

_FIELD = re.compile(r"(<\w*>|\*)")
_GAP = "[-_ ]?"  # FrontRight may also be front_right, front-right, front right
_WORDS = {view: re.findall("[A-Z][a-z]+", view) for view in VIEWS}
_KNOWN_VIEW = "|".join(_GAP.join(_WORDS[view]) for view in sorted(VIEWS, key=len, reverse=True))  # the longest first
_ANY_VIEW = r"[^\W\d_][^\W_]*"  # begins with a letter, so that IMG_0001 has no view
_UNSAFE = re.compile(r"[^\w.() +-]|^\.|[. ]$")
_MAX_NAME_BYTES = 120


@dataclass(frozen=True)
class Key:
    """The garment and view in a file's name."""

    garment: str  # as spelled in the name
    view: str = ""  # likewise, but known ones as in `VIEWS`; empty: none

    @property
    def folded(self) -> tuple[str, str]:
        """A key that is the same for names that differ only in case."""
        return self.garment.casefold(), self.view.casefold()


class NamePattern:
    """A pattern of file names.

    `<garment>` and `<view>` match these parts, `*` as little as possible of anything, all else itself, in any case. A
    pattern with `/` also matches that many folders above the file, each of which may have a `<garment>`; what these
    match is joined. The suffix is not part of it.

    >>> NamePattern("<garment>_<view>").read(PurePosixPath("a/12_34_frontright.png"))
    Key(garment='12_34', view='FrontRight')
    """

    def __init__(self, text: str) -> None:
        """Compile a pattern; DatasetError: a field is unknown or given twice, or `<garment>` is missing."""
        self.text = text
        fields = _FIELD.findall(text)
        is_twice = fields.count("<view>") > 1 or any(part.count("<garment>") > 1 for part in text.split("/"))
        if "<garment>" not in fields or is_twice or set(fields) - {"<garment>", "<view>", "*"}:
            raise DatasetError(f"pattern {text!r}: needs <garment> once, or once per folder, and <view> at most once")
        self.has_view = "<view>" in fields
        self._num_parts = text.count("/") + 1
        # Known views take precedence: a_front_right is a's FrontRight, not a view "right" of a_front.
        self._expressions = [self._compiled(view) for view in (_KNOWN_VIEW, _ANY_VIEW)]

    def read(self, path: PurePosixPath) -> Key | None:
        """The garment and view in a path's name; None: it does not match."""
        parts = path.with_suffix("").parts[-self._num_parts :]
        stem = unicodedata.normalize("NFC", "/".join(parts))  # macOS decomposes names
        for expression in self._expressions:
            if found := expression.fullmatch(stem):
                fields = found.groupdict()
                squeezed = re.sub(_GAP, "", view := fields.pop("view", "")).casefold()
                return Key("_".join(fields.values()), next((one for one in VIEWS if one.casefold() == squeezed), view))
        return None

    def _compiled(self, view: str) -> re.Pattern[str]:
        kinds = {"<garment>": "(?P<garment{}>[^/]+)", "<view>": f"(?P<view>{view})", "*": "[^/]*?"}
        fields = enumerate(_FIELD.split(self.text))
        parts = (kinds[part].replace("{}", str(n)) if part in kinds else re.escape(part) for n, part in fields)
        return re.compile("".join(parts), re.IGNORECASE)


def safe_name(name: str) -> str:
    """A name that every file system accepts; a changed one ends in a hash of the old one, so that all stay distinct."""
    safe = _UNSAFE.sub("_", name)
    if safe == name and len(safe.encode()) <= _MAX_NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:8]
    return f"{safe.encode()[: _MAX_NAME_BYTES - 9].decode(errors='ignore')}-{digest}"
