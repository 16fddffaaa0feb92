"""The table of output formats, one row each, which options, settings, writers and specifications go by.

A new format is a new row and the function that it names.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple


class FileFormat(NamedTuple):
    """A format, how it is named on disk, and what it can hold."""

    # The first is written, and no two formats write the same; a user may ask for the format by any.
    suffixes: tuple[str, ...]
    encoder: str  # `module:function` that gives a file's content of a `garmentcut.photo.compose.Preparation`
    media_type: str  # for a browser
    bits: Literal[8, 16] = 8  # most it holds of a channel
    has_alpha: bool = True  # a reader finds the whole alpha in it
    has_path: bool = False  # it holds a clipping path
    has_layers: bool = False  # a background is a layer of its own, or there is none: it hides nothing
    # A retoucher goes on in it, so where nothing else is asked for, the photo's pixels under the alpha are kept.
    keeps_hidden: bool = False
    # What it holds of a photo's metadata: the fields of `garmentcut.photo.photo.Metadata`.
    carries: frozenset[str] = frozenset({"profile", "dpi", "exif", "xmp"})

    @property
    def suffix(self) -> str:
        """What is put behind a photo's stem."""
        return self.suffixes[0]


_ALL = frozenset({"profile", "dpi", "exif", "xmp", "iptc"})

FORMATS: dict[str, FileFormat] = {
    "png": FileFormat((".png",), "garmentcut.photo.write:encode_png", "image/png", bits=16),
    "mask": FileFormat(
        ("_mask.png",), "garmentcut.photo.write:encode_mask", "image/png", has_layers=True, carries=frozenset({"dpi"})
    ),
    "webp": FileFormat((".webp",), "garmentcut.photo.write:encode_webp", "image/webp"),
    "tiff": FileFormat(
        (".tif", ".tiff"),
        "garmentcut.photo.write:encode_tiff",
        "image/tiff",
        bits=16,
        has_path=True,
        keeps_hidden=True,
        carries=_ALL,
    ),
    "psd": FileFormat(
        (".psd",),
        "garmentcut.photo.psd_write:encode_psd",
        "image/vnd.adobe.photoshop",
        bits=16,
        has_path=True,
        has_layers=True,
        keeps_hidden=True,
        carries=_ALL,
    ),
    "jpeg": FileFormat(
        (".jpg", ".jpeg"),
        "garmentcut.photo.write:encode_jpeg",
        "image/jpeg",
        has_alpha=False,
        has_path=True,
        carries=_ALL,
    ),
}
NAMES = ", ".join(FORMATS)


def known_format(name: str) -> str:
    """The name, if a format has it.

    Raises:
        ValueError: none has; the message names them all.
    """
    if name not in FORMATS:
        raise ValueError(f"{name!r} is not a format; use one of {NAMES}")
    return name


def listed(names: Iterable[str]) -> str:
    """Names as a sentence has them: `tiff, psd or jpeg`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def keeps_hidden(format: str, *, hidden: str, path: str, background: str | None) -> bool:
    """Whether a file holds the photo's pixels under the alpha, or clean edge colours and black.

    Args:
        format: a key of `FORMATS`.
        hidden: `auto`, `clear` or `keep`, as `OutputConfig.hidden` says.
        path: as `OutputConfig.path` says.
        background: `#rrggbb`; None: transparent.
    """
    row = FORMATS[format]
    if hidden != "auto":
        return hidden == "keep"
    if not row.has_alpha:  # a photo and the path that clips it
        return row.has_path and background is None and path not in ("auto", "none")
    return row.keeps_hidden and (row.has_layers or background is None)
