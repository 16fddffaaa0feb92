"""What travels from a photo to its cutout beside the pixels: EXIF, XMP.

Numbers of tags from TIFF 6.0 and Exif 2.32; XMP after Adobe's XMP Specification, parts 1 and 3.
"""

import io
import re
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from PIL import Image, TiffImagePlugin, TiffTags

# Descriptive tags only: tags about the layout of the pixels (sizes, strips, compression, thumbnails) would lie in the
# output file. Numbers from TIFF 6.0 and Exif 2.32.
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296
_ARTIST, _COPYRIGHT = 315, 33432
_TAKEN, _FRACTION, _SERIAL_NUMBER = 0x9003, 0x9291, 0xA431  # DateTimeOriginal, SubSecTimeOriginal, BodySerialNumber
_INCH, _CENTIMETRE = 2, 3
_KEPT = {270, 271, 272, 305, 306, 315, 33432, 40091, 40092, 40093, 40094, 40095}
_EXIF_DIRECTORY = 0x8769
EXIF_DIRECTORIES = (_EXIF_DIRECTORY, 0x8825)
"""Tags that point to the directories of EXIF and of GPS."""
# The size in pixels is no longer true after trimming, the way of compression in no case; the interoperability directory
# is a position in the old file.
_DROPPED = {0xA002, 0xA003, 0x9101, 0x9102, 0xA005}
_BYTE_TAGS = {0, 5, 40091, 40092, 40093, 40094, 40095}  # GPS version and altitude reference, Windows' comments
_HEADS = {"<": b"II*\0\x08\0\0\0", ">": b"MM\0*\0\0\0\x08"}
_MAX_DPI = 100_000
_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, struct.error, SyntaxError, TypeError)
_PILLOW_WARNINGS = threading.Lock()
_MOST_XMP_BYTES = 8_000_000  # some documents drag megabytes of history along; far more is an attack
# No longer true of upright, perhaps trimmed pixels. Prefixes other than these are allowed, and nobody writes them.
_XMP_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")
_SIZES = rb"tiff:ImageWidth|tiff:ImageLength|exif:PixelXDimension|exif:PixelYDimension"
_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
}
_DESCRIPTION, _ABOUT = f"{{{_NAMESPACES['rdf']}}}Description", f"{{{_NAMESPACES['rdf']}}}about"
_RIGHTS = f"{{{_NAMESPACES['dc']}}}creator", f"{{{_NAMESPACES['dc']}}}rights"
_PACKET_START, _PACKET_END = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>',
    b'<?xpacket end="w"?>',
)
_SIZE_ATTRIBUTES = re.compile(rb"\s(?:" + _SIZES + rb")\s*=\s*(?:\"[^\"<]*\"|'[^'<]*')")
_SIZE_ELEMENTS = re.compile(rb"<(" + _SIZES + rb")>[^<]*</\1>")


class Exif(NamedTuple):
    """What a photo's EXIF says.

    Attributes:
        orientation: 1 to 8 (TIFF 6.0, tag 274).
        dpi: horizontal and vertical pixels an inch, as stored, not yet turned; None: not said.
        kept: the tags that say who, when and with what: TIFF-structured bytes without the `Exif` marker, orientation 1.
        notes: what had to be left out, in words.
    """

    orientation: int = 1
    dpi: tuple[float, float] | None = None
    kept: bytes | None = None
    notes: tuple[str, ...] = ()


def read_exif(load: Callable[[], Image.Exif]) -> Exif:
    """Read what can be read; damaged EXIF costs a note, never the photo.

    Args:
        load: gives the tags as Pillow finds them; may raise what Pillow raises on damage.
    """
    found = Exif()
    try:
        with silent_pillow():
            tags = load()
            found = Exif(
                _orientation_of(tags), dpi_of(*map(tags.get, (_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT)))
            )
            return found._replace(kept=_descriptive(tags))
    except (*_FAULTS, ValueError):
        return found._replace(notes=("unreadable EXIF left out",))


def dpi_of(horizontal: Any, vertical: Any, unit: Any) -> tuple[float, float] | None:
    """Pixels an inch of the three resolution tags; None if they do not say it or make no sense."""
    per_inch = {None: 1.0, _INCH: 1.0, _CENTIMETRE: 2.54}.get(unit)
    if per_inch is None or horizontal is None or vertical is None:
        return None
    dpi = float(horizontal) * per_inch, float(vertical) * per_inch
    return dpi if all(0 < value < _MAX_DPI for value in dpi) else None


def with_dpi(exif: bytes | None, dpi: tuple[float, float] | None) -> bytes | None:
    """EXIF that also states the resolution, for formats with no field of their own for it.

    Args:
        exif: TIFF-structured bytes or None.
        dpi: horizontal and vertical pixels an inch or None.
    """
    if dpi is None:
        return exif
    tags = parse_exif(exif)
    contents = {tag: tags.get_ifd(tag) if tag in EXIF_DIRECTORIES else tags[tag] for tag in tags}
    resolution = {_X_RESOLUTION: dpi[0], _Y_RESOLUTION: dpi[1], _RESOLUTION_UNIT: _INCH}
    return _bytes_of(contents | resolution, tags.endian)


def copyright_of(exif: bytes | None) -> bytes | None:
    """EXIF of which only artist and copyright are left; None if it has neither.

    Args:
        exif: TIFF-structured bytes or None.
    """
    tags = parse_exif(exif)
    kept = {tag: tags[tag] for tag in (_ARTIST, _COPYRIGHT) if tag in tags}
    return _bytes_of(kept, tags.endian) if kept else None


def parse_exif(exif: bytes | None) -> Image.Exif:
    """Tags of TIFF-structured bytes; none for None."""
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    return tags


def capture_of(exif: bytes | None) -> tuple[str, str]:
    """When a photo was taken, with fractions of a second, and the camera's serial number; empty: not said.

    Args:
        exif: TIFF-structured bytes or None.
    """
    try:
        with silent_pillow():
            return _capture(parse_exif(exif))
    except (*_FAULTS, ValueError):
        return "", ""


def capture_of_file(data: bytes) -> tuple[str, str]:
    """The same of a picture's file, its pixels left alone."""
    try:
        with silent_pillow(), Image.open(io.BytesIO(data)) as image:
            return _capture(image.getexif())
    except (*_FAULTS, ValueError, Image.DecompressionBombError):
        return "", ""


def _capture(tags: Image.Exif) -> tuple[str, str]:
    directory = tags.get_ifd(_EXIF_DIRECTORY)
    moment, fraction, serial = (
        "".join(filter(str.isprintable, str(directory.get(tag, "")))).strip()
        for tag in (_TAKEN, _FRACTION, _SERIAL_NUMBER)
    )
    moment, serial = (text if text.strip("0: ") else "" for text in (moment, serial))
    return f"{moment}.{fraction}" if moment and fraction else moment, serial


def directory_of(
    entries: dict[int, Any], order: str, group: int | None = None
) -> TiffImagePlugin.ImageFileDirectory_v2:
    """Tags as a TIFF directory that knows how to lay itself out for a given offset.

    Args:
        entries: as Pillow reads them.
        order: of bytes, `<` or `>`.
        group: the tag that points at the directory; None: the main one.
    """
    directory = TiffImagePlugin.ImageFileDirectory_v2(_HEADS[order], group=group)
    for tag, value in entries.items():
        # Pillow guesses types, and guesses these wrong; it reads text as Latin-1 (often it is UTF-8), but writes ASCII.
        if isinstance(value, str):
            directory.tagtype[tag] = TiffTags.ASCII
            directory[tag] = value.encode("latin-1", "replace")
        else:
            if isinstance(value, bytes):
                directory.tagtype[tag] = TiffTags.BYTE if tag in _BYTE_TAGS else TiffTags.UNDEFINED
            directory[tag] = value
    return directory


@contextmanager
def silent_pillow() -> Iterator[None]:
    """Keep Pillow's warnings about odd metadata off stderr.

    Filters of warnings belong to the whole process, so only one thread at a time may change them: never around the
    decoding of pixels, which is slow.
    """
    with _PILLOW_WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _orientation_of(tags: Image.Exif) -> int:
    value = tags.get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _descriptive(tags: Image.Exif) -> bytes | None:
    kept = {tag: tags[tag] for tag in tags if tag in _KEPT}
    for number in EXIF_DIRECTORIES:
        entries = {tag: value for tag, value in tags.get_ifd(number).items() if tag not in _DROPPED}
        if entries:
            kept[number] = entries
    return _bytes_of({**kept, _ORIENTATION: 1}, tags.endian) if kept else None


def _bytes_of(contents: dict[int, Any], order: str | None) -> bytes:
    """TIFF-structured bytes of tags and, as dictionaries, of directories of tags.

    The order of bytes stays the source's: comments and makers' notes depend on it.
    """
    order = order or "<"
    main = directory_of({tag: value for tag, value in contents.items() if tag not in EXIF_DIRECTORIES}, order)
    inner = {number: contents[number] for number in EXIF_DIRECTORIES if contents.get(number)}
    for number in inner:
        main.tagtype[number] = TiffTags.LONG
        main[number] = 0
    start, tail = len(_HEADS[order]), b""
    place = start + len(main.tobytes(start))
    for number, entries in inner.items():
        main[number] = place + len(tail)
        tail += directory_of(entries, order, number).tobytes(place + len(tail))
        tail += bytes(len(tail) % 2)  # TIFF 6.0: a directory begins on a word boundary
    return _HEADS[order] + main.tobytes(start) + tail


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

    if len(packet) > _MOST_XMP_BYTES:
        return None, (f"XMP of {len(packet) / 1e6:.0f} MB left out",)
    try:
        # Entities would let a small packet unpack to a huge one; XMP has none of its own.
        if b"<!DOCTYPE" in packet:
            raise ValueError
        ElementTree.fromstring(packet.decode("utf-8"))
    except (ValueError, ElementTree.ParseError):
        return None, ("unreadable XMP left out",)
    upright = _XMP_ORIENTATION.sub(rb"\g<1>1", packet)
    return _SIZE_ELEMENTS.sub(b"", _SIZE_ATTRIBUTES.sub(b"", upright)), ()


def rights_of(xmp: bytes | None) -> bytes | None:
    """A packet of which only who made the picture and who owns it is left; None if it says neither.

    These are Dublin Core's creator and rights, and all of XMP's rights management; Photoshop shows them as author,
    copyright notice, status and URL.

    Args:
        xmp: as `read_xmp` gives it.
    """
    if not xmp:
        return None
    from xml.etree import ElementTree

    for prefix, name in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, name)
    try:
        root = ElementTree.fromstring(xmp.decode("utf-8"))
    except (ValueError, ElementTree.ParseError):  # not from `read_xmp`
        return None
    kept = ElementTree.Element(_DESCRIPTION, {_ABOUT: ""})
    for description in root.iter(_DESCRIPTION):
        kept.attrib.update({key: text for key, text in description.attrib.items() if _is_right(key)})
        kept.extend(child for child in description if _is_right(child.tag))
    if len(kept) + len(kept.attrib) == 1:
        return None
    packet = ElementTree.Element(f"{{{_NAMESPACES['x']}}}xmpmeta")
    ElementTree.SubElement(packet, f"{{{_NAMESPACES['rdf']}}}RDF").append(kept)
    content: bytes = ElementTree.tostring(packet, "utf-8")
    return _PACKET_START + content + _PACKET_END


def _is_right(name: str) -> bool:
    return name in _RIGHTS or name.startswith(f"{{{_NAMESPACES['xmpRights']}}}")
