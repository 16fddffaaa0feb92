"""XMP: what of it travels from a photo to its cutout (Adobe, XMP Specification, parts 1 and 3)."""

import re
from typing import Any

_MOST_BYTES = 8_000_000  # some documents drag megabytes of history along; far more is an attack
# No longer true of upright, perhaps trimmed pixels. Prefixes other than these are allowed, and nobody writes them.
_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")
_SIZES = rb"tiff:ImageWidth|tiff:ImageLength|exif:PixelXDimension|exif:PixelYDimension"
_SIZE_ATTRIBUTES = re.compile(rb"\s(?:" + _SIZES + rb")\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')")
_SIZE_ELEMENTS = re.compile(rb"<(" + _SIZES + rb")>[^<]*</\1>")


def read_xmp(found: Any) -> tuple[bytes | None, tuple[str, ...]]:
    """A photo's XMP packet, with orientation 1 and no size in pixels; damaged XMP costs a note, never the photo.

    Args:
        found: what the file holds: UTF-8 bytes, or nothing.

    Returns:
        The packet or None; what had to be left out, in words.
    """
    if not isinstance(found, bytes) or not (packet := found.strip(b"\0 \t\r\n")):
        return None, ()
    from xml.etree import ElementTree  # most photos have none

    if len(packet) > _MOST_BYTES:
        return None, (f"XMP of {len(packet) / 1e6:.0f} MB left out",)
    try:
        # Entities would let a small packet unpack to a huge one; XMP has none of its own.
        if b"<!DOCTYPE" in packet:
            raise ValueError
        ElementTree.fromstring(packet.decode("utf-8"))
    except (ValueError, ElementTree.ParseError):
        return None, ("unreadable XMP left out",)
    upright = _ORIENTATION.sub(rb"\g<1>1", packet)
    return _SIZE_ELEMENTS.sub(b"", _SIZE_ATTRIBUTES.sub(b"", upright)), ()
