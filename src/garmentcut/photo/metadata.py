"""Carries EXIF and IPTC from readers to writers (XMP: see `xmp`); damaged metadata costs a note, never the photo.

EXIF tags are copied one by one, byte for byte (TIFF 6.0, Exif 2.32). IPTC and clipping paths are among Photoshop's
image resources (Adobe, Photoshop File Formats Specification), which are the same in PSD, TIFF and JPEG.
"""

import io
import re
import struct
import threading
import warnings
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, NamedTuple

from PIL import Image

from garmentcut.errors import Note, PhotoError

_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 274, 282, 283, 296
_ARTIST, _COPYRIGHT, _COLOR_SPACE, _INTEROPERABILITY = 315, 33432, 0xA001, 0xA005
_INCH, _CENTIMETRE = 2, 3
_ADOBE_RGB, _UNCALIBRATED = 2, 0xFFFF  # colour spaces; the first is in no standard, but cameras write it
_TAKEN, _FRACTION, _SERIAL_NUMBER = 0x9003, 0x9291, 0xA431  # DateTimeOriginal, SubSecTimeOriginal, BodySerialNumber
_EXIF_DIRECTORY = 0x8769
EXIF_DIRECTORIES = (_EXIF_DIRECTORY, 0x8825)
"""Tags that point to the directories of EXIF and of GPS."""

# Descriptive tags only: tags about the layout of the pixels (sizes, strips, compression, thumbnails) would be wrong in
# the output file. So would the size in pixels, after trimming, and the interoperability directory, an offset in the old
# file.
_KEPT = {270, 271, 272, 305, 306, 315, 33432, 40091, 40092, 40093, 40094, 40095}
_READ = {*_KEPT, *EXIF_DIRECTORIES, _ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT}
_DROPPED = {0xA002, 0xA003, 0x9101, 0x9102, _INTEROPERABILITY}
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SHORT, _LONG, _RATIONAL, _LAST_CLASSIC = 3, 4, 5, 13  # types of values
_INTEGERS = {1: "B", _SHORT: "H", _LONG: "I", _LAST_CLASSIC: "I", 16: "Q", 18: "Q"}
MOST_TAGS, _MOST_TAG_BYTES, _MOST_EXIF_BYTES = 4096, 4_000_000, 16_000_000
_MIN_DPI, _MAX_DPI = 0.1, 100_000  # beyond, formats that write whole numbers could not state it

_SCAN, _NO_LENGTH = 0xDA, (0x01, *range(0xD0, 0xDA))  # JPEG markers: start of scan, markers without content
_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL_FRAMES = {0xC0, 0xC1}
_NEXT_SCAN = re.compile(b"\xff\xda")  # in coded pixels, 0 or a restart marker follows a byte of 255
_MOST_SCANS, _MOST_CHANNELS = 1000, 4  # encoders write about ten scans of up to four channels
_MOST_SEGMENTS = 20_000  # each takes time, however small
_IPTC_MARK, _MOST_RECORDS, _MOST_RESOURCES = 0x1C, 10_000, 10_000
IPTC_RESOURCE = 1028
"""Number of the image resource that holds IPTC."""
_RESOURCE_SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
_APP13, _PHOTOSHOP_MARK = 0xED, b"Photoshop 3.0\0"
_IPTC_RIGHTS = {(1, 90), (2, 80), (2, 85), (2, 110), (2, 115), (2, 116)}  # alphabet, by-line, credit, source, copyright
_PILLOW_WARNINGS = threading.Lock()
# What Pillow raises on damaged files.
_FAULTS = (ArithmeticError, AssertionError, AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError)


class Tag(NamedTuple):
    """A tag's value as stored: its type (TIFF 6.0, section 2), and its bytes in its directory's byte order."""

    kind: int
    data: bytes

    def numbers(self, order: str) -> tuple[float, ...]:
        """The values of integers and unsigned fractions, in byte order `<` or `>`; empty for other types."""
        num = len(self.data) // _ITEM_BYTES.get(self.kind, 1)
        if self.kind in _INTEGERS:
            return struct.unpack(f"{order}{num}{_INTEGERS[self.kind]}", self.data)
        if self.kind != _RATIONAL:
            return ()
        parts = struct.unpack(f"{order}{2 * num}I", self.data)
        return tuple(above / below if below else 0.0 for above, below in zip(parts[::2], parts[1::2], strict=True))


Directory = dict[int, Tag]


class Exif(NamedTuple):
    """What a photo's EXIF says."""

    orientation: int | None = None  # 1 to 8 (TIFF 6.0, tag 274); None: not stated
    # Horizontal and vertical pixels per inch, before the orientation is applied; None: not stated.
    dpi: tuple[float, float] | None = None
    # Tags on who, when and with what: TIFF-structured bytes without the `Exif` marker, orientation 1.
    kept: bytes | None = None
    is_adobe_rgb: bool = False  # the colours are Adobe RGB (1998), unless a profile says otherwise
    notes: tuple[str, ...] = ()  # what had to be left out, in words


def read_exif(block: bytes | None) -> Exif:
    """Parse the EXIF of a PNG, JPEG or WebP: TIFF-structured bytes, with or without the `Exif` marker, or none."""
    block = (block or b"").removeprefix(b"Exif\0\0")
    if not block:
        return Exif()
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return Exif(notes=(Note("unreadable EXIF left out", "metadata_left_out"),))
    return read_tiff_exif(block, int(struct.unpack_from(f"{order}I", block, 4)[0]), order)


def read_tiff_exif(data: bytes, start: int, order: str, *, is_big: bool = False) -> Exif:
    """Parse EXIF from the directory at `start` of a TIFF in byte order `<` or `>`, where EXIF and TIFF share tags."""
    main, num_lost = read_directory(data, start, order, is_big=is_big, wanted=_READ)
    kept = {number: tag for number, tag in main.items() if number in _KEPT}
    inner, is_adobe_rgb = {}, False
    for number in EXIF_DIRECTORIES:
        if not (place := _numbers(main, number, order)):
            continue
        entries, num_inner_lost = read_directory(data, int(place[0]), order, is_big=is_big)
        num_lost += num_inner_lost
        is_adobe_rgb = is_adobe_rgb or _says_adobe_rgb(data, entries, order, is_big=is_big)
        if _numbers(entries, _COLOR_SPACE, order)[:1] == (_ADOBE_RGB,):
            entries[_COLOR_SPACE] = Tag(_SHORT, struct.pack(f"{order}H", _UNCALIBRATED))
        if entries_left := {tag: value for tag, value in entries.items() if tag not in _DROPPED}:
            inner[number] = entries_left
    fault = "damaged EXIF tags" if main else "unreadable EXIF"
    if inner or kept:
        kept[_ORIENTATION] = Tag(_SHORT, struct.pack(f"{order}H", 1))
    turn, *resolution = (
        _numbers(main, tag, order) for tag in (_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT)
    )
    return Exif(
        orientation=turn[0] if len(turn) == 1 and isinstance(turn[0], int) and 1 <= turn[0] <= 8 else None,
        dpi=dpi_of(*(numbers[0] if numbers else None for numbers in resolution)),
        kept=exif_bytes(kept, inner, order) if kept else None,
        is_adobe_rgb=is_adobe_rgb,
        notes=(Note(f"{fault} left out", "metadata_left_out"),) if num_lost else (),
    )


class Entry(NamedTuple):
    """A directory's entry for a tag; a short value is stored in the entry itself."""

    number: int
    kind: int  # type of the values
    num_items: int  # number of values
    at: int  # offset of the values in the file


_CUT_OFF = Entry(-1, 0, 0, 0)


def directory_entries(data: bytes | bytearray, start: int, order: str, *, is_big: bool = False) -> Iterator[Entry]:
    """Yield the entries of the directory at `start`; a last one with the number -1 if the rest is out of reach."""
    head, line, inline, pointer = ("Q", 20, 8, f"{order}Q") if is_big else ("H", 12, 4, f"{order}I")
    first = start + struct.calcsize(head)
    if not start > 0 or first > len(data):
        yield _CUT_OFF
        return
    (num_tags,) = struct.unpack_from(order + head, data, start)
    for place in range(first, first + line * min(num_tags, MOST_TAGS), line):
        if place + line > len(data):
            yield _CUT_OFF
            return
        number, kind, count = struct.unpack_from(f"{order}HH{pointer[1]}", data, place)
        at = place + line - inline
        if _ITEM_BYTES.get(kind, 0) * count > inline:
            (at,) = struct.unpack_from(pointer, data, at)
        yield Entry(number, kind, count, at)


def read_directory(
    data: bytes, start: int, order: str, *, is_big: bool = False, wanted: Container[int] | None = None
) -> tuple[Directory, int]:
    """Read the tags of a directory, or only those in `wanted`; a damaged tag does not affect the others.

    Returns the readable tags, and the number of damaged ones; 1 if the directory itself is out of reach.
    """
    found: Directory = {}
    num_lost, num_bytes = 0, 0
    for number, kind, count, at in directory_entries(data, start, order, is_big=is_big):
        if wanted is not None and number not in wanted and number >= 0:
            continue
        size = _ITEM_BYTES.get(kind, 0) * count
        num_bytes += size
        if not _ITEM_BYTES.get(kind) or at + size > len(data) or size > _MOST_TAG_BYTES or num_bytes > _MOST_EXIF_BYTES:
            num_lost += 1
        else:
            found[number] = Tag(kind, data[at : at + size])
    return found, num_lost


def dpi_of(horizontal: Any, vertical: Any, unit: Any) -> tuple[float, float] | None:
    """Pixels per inch from the three resolution tags; None if they are missing or make no sense."""
    per_inch = {None: 1.0, _INCH: 1.0, _CENTIMETRE: 2.54}.get(unit)
    if per_inch is None or horizontal is None or vertical is None:
        return None
    dpi = float(horizontal) * per_inch, float(vertical) * per_inch
    return dpi if all(_MIN_DPI <= value < _MAX_DPI for value in dpi) else None


def exif_bytes(main: Directory, inner: Mapping[int, Directory], order: str) -> bytes:
    """Encode a main directory and the directories that it points to as TIFF-structured bytes.

    The byte order stays that of the source, because comments and maker notes depend on it.
    """
    head = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8)
    pointers = dict.fromkeys(inner, Tag(_LONG, bytes(4)))
    place = len(head) + len(directory_bytes(main | pointers, order, len(head)))
    tail = b""
    for number, entries in inner.items():
        pointers[number] = Tag(_LONG, struct.pack(f"{order}I", place + len(tail)))
        tail += directory_bytes(entries, order, place + len(tail))
    return head + directory_bytes(main | pointers, order, len(head)) + tail


def directory_bytes(entries: Directory, order: str, start: int) -> bytes:
    """Encode a classic TIFF directory that will be at `start`, followed by the values that do not fit into it.

    The length is even. Types that only BigTIFF has are left out.
    """
    written = {number: tag for number, tag in sorted(entries.items()) if tag.kind <= _LAST_CLASSIC}
    head, tail = struct.pack(f"{order}H", len(written)), b""
    behind = start + 2 + 12 * len(written) + 4
    for number, (kind, data) in written.items():
        value = data.ljust(4, b"\0")
        if len(data) > 4:
            value = struct.pack(f"{order}I", behind + len(tail))
            tail += data + bytes(len(data) % 2)  # TIFF 6.0: values begin on a word boundary
        head += struct.pack(f"{order}HHI", number, kind, len(data) // _ITEM_BYTES[kind]) + value
    return head + bytes(4) + tail


def append_directories(data: bytearray, directories: Mapping[int, Directory], order: str) -> bytes:
    """Append the EXIF and GPS directories to a TIFF, and make its own directory point to them.

    tifffile does not write these pointers, so each was written under the number below and gets its own number here.
    """
    for number, entries in directories.items():
        data += b"\0" * (len(data) % 2)  # TIFF 6.0: a directory begins on a word boundary
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        at = next(entry.at for entry in directory_entries(data, start, order) if entry.number == number - 1)
        struct.pack_into(f"{order}H", data, at - 8, number)
        struct.pack_into(f"{order}I", data, at, len(data))
        data += directory_bytes(entries, order, len(data))
    return bytes(data)


def parse_exif(exif: bytes | None) -> tuple[str, Directory, dict[int, Directory]]:
    """Byte order, main directory and inner directories of `Exif.kept`; the directories are empty for None."""
    if not exif:
        return "<", {}, {}
    order = "<" if exif[:2] == b"II" else ">"
    main, _ = read_directory(exif, int(struct.unpack_from(f"{order}I", exif, 4)[0]), order)
    pointers = {number: main.pop(number).numbers(order) for number in EXIF_DIRECTORIES if number in main}
    return order, main, {number: read_directory(exif, int(at[0]), order)[0] for number, at in pointers.items() if at}


def with_dpi(exif: bytes | None, dpi: tuple[float, float] | None) -> bytes | None:
    """Add the resolution to EXIF, for formats that have no field of their own for it."""
    if dpi is None:
        return exif
    order, main, inner = parse_exif(exif)
    for number, value in zip((_X_RESOLUTION, _Y_RESOLUTION), dpi, strict=True):
        main[number] = Tag(_RATIONAL, struct.pack(f"{order}2I", round(value * 10_000), 10_000))
    main[_RESOLUTION_UNIT] = Tag(_SHORT, struct.pack(f"{order}H", _INCH))
    return exif_bytes(main, inner, order)


def copyright_of(exif: bytes | None) -> bytes | None:
    """EXIF reduced to artist and copyright; None if it has neither."""
    order, main, _ = parse_exif(exif)
    kept = {number: main[number] for number in (_ARTIST, _COPYRIGHT) if number in main}
    return exif_bytes(kept, {}, order) if kept else None


def capture_of(exif: bytes | None) -> tuple[str, str]:
    """When a photo was taken, with fractions of a second, and the camera's serial number; empty: not stated."""
    directory = parse_exif(exif)[2].get(_EXIF_DIRECTORY, {})
    found = (directory[tag].data if tag in directory else b"" for tag in (_TAKEN, _FRACTION, _SERIAL_NUMBER))
    moment, fraction, serial = ("".join(filter(str.isprintable, data.decode("latin-1"))).strip() for data in found)
    moment, serial = (text if text.strip("0: ") else "" for text in (moment, serial))
    return f"{moment}.{fraction}" if moment and fraction else moment, serial


def capture_of_file(data: bytes) -> tuple[str, str]:
    """`capture_of` for a picture file's content, whose pixels are not decoded."""
    try:
        with silent_pillow(), Image.open(io.BytesIO(data)) as image:
            block = image.info.get("exif") or image.getexif().tobytes()
        return capture_of(bytes(block).removeprefix(b"Exif\0\0"))
    except (*_FAULTS, struct.error, Image.DecompressionBombError):
        return "", ""


def _says_adobe_rgb(data: bytes, entries: Directory, order: str, *, is_big: bool) -> bool:
    """Cameras state Adobe RGB by colour space 2, or by "uncalibrated" and the interoperability index R03 (DCF 2.0)."""
    space, place = (_numbers(entries, tag, order)[:1] for tag in (_COLOR_SPACE, _INTEROPERABILITY))
    if space in ((1,), (_ADOBE_RGB,)) or not place:
        return space == (_ADOBE_RGB,)
    index = read_directory(data, int(place[0]), order, is_big=is_big)[0].get(1)
    return index is not None and index.data.startswith(b"R03")


def _numbers(entries: Directory, tag: int, order: str) -> tuple[float, ...]:
    return entries[tag].numbers(order) if tag in entries else ()


class Resource(NamedTuple):
    """One image resource."""

    number: int
    name: str
    data: bytes


def split_resources(data: bytes) -> list[Resource]:
    """Parse the image resources of a PSD, TIFF (tag 34377) or JPEG (APP13), up to the first that is damaged.

    Their number is limited, because each takes time, however small.
    """
    resources, start = list[Resource](), 0
    while (
        data[start : start + 4] in _RESOURCE_SIGNATURES and start + 12 <= len(data) and len(resources) < _MOST_RESOURCES
    ):
        name_end = start + 7 + data[start + 6]
        size_at = name_end + (name_end - start) % 2
        content = size_at + 4
        size = int.from_bytes(data[size_at:content])
        if content + size > len(data):
            break
        name = data[start + 7 : name_end].decode("mac_roman")
        resources.append(Resource(int.from_bytes(data[start + 4 : start + 6]), name, data[content : content + size]))
        start = content + size + size % 2
    return resources


def jpeg_resources(data: bytes) -> bytes:
    """Photoshop's image resources in a JPEG file, joined from its APP13 segments."""
    contents = (content for marker, _, content in jpeg_segments(data) if marker == _APP13)
    return b"".join(content[len(_PHOTOSHOP_MARK) :] for content in contents if content.startswith(_PHOTOSHOP_MARK))


def resource_of(resources: Iterable[Resource], number: int) -> bytes | None:
    """The data of the first image resource with this number; None: there is none."""
    return next((resource.data for resource in resources if resource.number == number), None)


def iptc_of(data: bytes) -> bytes | None:
    """The IPTC among encoded image resources; None: there is none."""
    return resource_of(split_resources(data), IPTC_RESOURCE)


def join_resources(resources: Iterable[Resource]) -> bytes:
    """Encode image resources, as `split_resources` reads them."""
    parts = list[bytes]()
    for number, name, data in resources:
        head = struct.pack(">4sH", b"8BIM", number) + pascal_text(name, 2)
        parts += [head, struct.pack(">I", len(data)), data, bytes(len(data) % 2)]
    return b"".join(parts)


def pascal_text(text: str, multiple: int = 1) -> bytes:
    """A Pascal string: a length byte and Mac Roman text (`?` for other characters), padded to a multiple of bytes."""
    encoded = text.encode("mac_roman", "replace")[:255]
    return bytes([len(encoded)]) + encoded + bytes(-(1 + len(encoded)) % multiple)


def jpeg_scan(data: bytes) -> int:
    """Offset of the content of a JPEG's first scan header, after its length; the file's length if there is none.

    Searching for the marker's bytes would find that of a thumbnail in EXIF.
    """
    return next((start for marker, start, _ in jpeg_segments(data) if marker == _SCAN), len(data))


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Yield the marker, and the content's offset and bytes, of a JPEG's segments up to the first scan's header.

    Raises:
        PhotoError: there are very many.
    """
    start, marker, number = 2, 0, 0
    while marker != _SCAN and start + 4 <= len(data) and data[start] == 0xFF:
        marker = data[start + 1]
        if marker == 0xFF:  # fill byte
            start += 1
        elif marker in _NO_LENGTH:
            start += 2
        else:
            if (number := number + 1) > _MOST_SEGMENTS:
                message = f"damaged JPEG: over {_MOST_SEGMENTS} segments before its pixels; export it again"
                raise PhotoError(message, code="damaged")
            end = start + 2 + int.from_bytes(data[start + 2 : start + 4])
            yield marker, start + 4, data[start + 4 : end]
            start = max(end, start + 4)


def jpeg_frame(data: bytes) -> tuple[int, bytes]:
    """Marker and content of a JPEG's frame header, which states its kind and size; the content is empty without one."""
    found = ((marker, content) for marker, _, content in jpeg_segments(data) if marker in _FRAMES and len(content) >= 6)
    return next(found, (0, b""))


def has_all_scans(data: bytes) -> bool:
    """True if the scans of a JPEG give each coefficient of each channel its last bit (ITU-T T.81, section G.1)."""
    marker, frame = jpeg_frame(data)
    missing = {(channel, place) for channel in frame[6::3] for place in range(64)}
    first_scan = jpeg_scan(data)
    later = (match.end() + 2 for match in _NEXT_SCAN.finditer(data, first_scan))
    for start in [first_scan, *islice(later, _MOST_SCANS)]:
        num_channels = min(data[start], _MOST_CHANNELS) if start < len(data) else 0
        first, last, bits = data[start + 1 + 2 * num_channels :][:3].ljust(3, b"\xff")
        if marker in _SEQUENTIAL_FRAMES:
            first, last, bits = 0, 63, 0
        if bits & 15 == 0:
            channels = data[start + 1 : start + 1 + 2 * num_channels : 2]
            missing -= {(channel, place) for channel in channels for place in range(first, last + 1)}
    return not missing


def iptc_rights_of(iptc: bytes | None) -> bytes | None:
    """IPTC reduced to by-line, credit, source and copyright; None if it has none of them."""
    kept = [(number, record) for number, record in _iptc_records(iptc or b"") if number in _IPTC_RIGHTS]
    return b"".join(record for _, record in kept) if any(number != (1, 90) for number, _ in kept) else None


def usable_iptc(iptc: bytes | None) -> tuple[bytes | None, tuple[str, ...]]:
    """The readable part of IPTC, and a note if anything was left out."""
    if not iptc:
        return None, ()
    whole = b"".join(record for _, record in _iptc_records(iptc))
    is_damaged = len(whole) < len(iptc.rstrip(b"\0"))
    return whole or None, (Note("damaged IPTC left out", "metadata_left_out"),) if is_damaged else ()


def _iptc_records(iptc: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield the data sets (IPTC-IIM 4.2, section 1.5): record and number, and the set's own bytes."""
    start = number = 0
    while start + 5 <= len(iptc) and iptc[start] == _IPTC_MARK and (number := number + 1) <= _MOST_RECORDS:
        size, head = int.from_bytes(iptc[start + 3 : start + 5]), 5
        if size & 0x8000:  # a length of that many bytes follows
            head += size & 0x7FFF
            size = int.from_bytes(iptc[start + 5 : start + head]) if head <= 9 else len(iptc)
        if start + head + size > len(iptc):
            return
        yield (iptc[start + 1], iptc[start + 2]), iptc[start : start + head + size]
        start += head + size


@contextmanager
def silent_pillow() -> Iterator[None]:
    """Keep Pillow's warnings about odd metadata off stderr.

    Warning filters belong to the whole process, so only one thread at a time may change them. Never use this around the
    decoding of pixels, which is slow.
    """
    with _PILLOW_WARNINGS, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
