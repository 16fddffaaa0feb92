"""XMP, for readers and writers of photos: parses packets, edits statements no longer true of the pixels.

Packets (Adobe, XMP Specification, parts 1 and 3) come from anywhere, so expat parses them, without entities; a regular
expression sees only attributes that expat has found. Damage costs a note, never the photo.
"""

import hashlib
import re
import struct
from collections.abc import Iterable
from typing import Any, NamedTuple
from xml.parsers import expat

from garmentcut.errors import Note

_MOST_BYTES = 8_000_000  # some documents drag megabytes of history along; far more is an attack
_MOST_ELEMENTS, _MOST_NESTED = 400_000, 100
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NOTE = "http://ns.adobe.com/xmp/note/"
_ORIENTATION = "http://ns.adobe.com/tiff/1.0/ Orientation"
# No longer true of one packet for upright, perhaps trimmed pixels.
_UNTRUE = {
    "http://ns.adobe.com/tiff/1.0/ ImageWidth",
    "http://ns.adobe.com/tiff/1.0/ ImageLength",
    "http://ns.adobe.com/exif/1.0/ PixelXDimension",
    "http://ns.adobe.com/exif/1.0/ PixelYDimension",
    f"{_NOTE} HasExtendedXMP",
}
_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": RDF,
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
}
_DESCRIPTION, _ABOUT = f"{{{RDF}}}Description", f"{{{RDF}}}about"
_RIGHTS = f"{{{_NAMESPACES['dc']}}}creator", f"{{{_NAMESPACES['dc']}}}rights"
_PACKET_START, _PACKET_END = b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>', b'<?xpacket end="w"?>'
_BLANKS = b"\0 \t\r\n"


def packet_of(descriptions: str = "") -> bytes:
    """A packet with these RDF Descriptions, whose prefix for RDF's namespace is `rdf`."""
    meta = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">{descriptions}</rdf:RDF></x:xmpmeta>'
    return _PACKET_START + meta.encode() + _PACKET_END


# Only matched where the parser has found an attribute.
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_EXTENSION_MARK, _EXTENSION_HEAD = b"http://ns.adobe.com/xmp/extension/\0", struct.Struct(">32sII")
_ROOM = 65_000  # bytes of XMP in a segment


class Xmp(NamedTuple):
    """A photo's XMP: the packet with orientation 1 and no size in pixels, the orientation it had, and notes."""

    packet: bytes | None = None
    orientation: int | None = None
    notes: tuple[str, ...] = ()


class Property(NamedTuple):
    """A simple property in a packet: an attribute, or an element without elements in it."""

    name: str  # namespace, a blank, and the local name
    value: str  # its text
    outer: slice  # bytes of all of it; of an attribute, with the blanks before it
    inner: slice  # bytes of its value


class Packet:
    """A packet, parsed in one pass, and the byte ranges of what is in it.

    Attributes:
        properties: the simple properties.
        descriptions: Descriptions without content as `(namespaces of their attributes, byte range)`.
        content: byte range of RDF's content; None: there is no RDF.

    Raises:
        ValueError: not well-formed UTF-8 XML, too many elements, or a document type, whose entities could be huge.
    """

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self._open: list[tuple[str, int, int, bool]] = []  # name, start, end of the start tag, whether it is a leaf
        self._text: list[str] = []
        self._num_elements = 0
        self.properties: list[Property] = []
        self.descriptions: list[tuple[set[str], slice]] = []
        self.content: slice | None = None
        self._parser = parser = expat.ParserCreate("utf-8", " ")
        parser.ordered_attributes = True
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        try:
            parser.Parse(packet, True)
        except expat.ExpatError as error:
            raise ValueError(str(error)) from error

    def _refuse(self, *_: Any) -> None:
        raise ValueError("a document type")

    def _start(self, name: str, attributes: list[str]) -> None:
        self._num_elements += 1
        if len(self._open) >= _MOST_NESTED or self._num_elements > _MOST_ELEMENTS:
            raise ValueError("too many elements")
        if self._open:
            self._open[-1] = (*self._open[-1][:3], False)
        start = self._parser.CurrentByteIndex
        end = self._attributes(name, attributes, start)
        self._open.append((name, start, end, True))
        self._text.clear()

    def _attributes(self, name: str, attributes: list[str], start: int) -> int:
        """Record the attributes of a start tag; returns the offset of its end."""
        packet, place = self._packet, start + 1
        while packet[place] not in b" \t\r\n/>":
            place += 1
        names, namespaces = iter(attributes[::2]), set[str]()
        values = iter(attributes[1::2])
        while match := _ATTRIBUTE.match(packet, place):
            if not (match[1] == b"xmlns" or match[1].startswith(b"xmlns:")):
                own = next(names)
                namespaces.add(own.partition(" ")[0])
                inner = slice(match.start(2) + 1, match.end(2) - 1)
                self.properties.append(Property(own, next(values), slice(match.start(), match.end()), inner))
            place = match.end()
        end = packet.index(b">", place) + 1
        if name == f"{RDF} Description" and packet[end - 2 : end] == b"/>":
            self.descriptions.append((namespaces - {RDF}, slice(start, end)))
        return end

    def _end(self, name: str) -> None:
        _, start, end, is_leaf = self._open.pop()
        close = self._parser.CurrentByteIndex
        if self._packet[end - 2 : end] == b"/>":
            return
        if name == f"{RDF} RDF":
            self.content = slice(end, close)
        if is_leaf:
            stop = self._packet.index(b">", close) + 1
            self.properties.append(Property(name, "".join(self._text), slice(start, stop), slice(end, close)))
        self._text.clear()


def read_xmp(found: Any, extension: bytes | None = None) -> Xmp:
    """Parse XMP, and a JPEG's `extension` of it beyond 64 kB; damaged XMP costs a note, never the photo."""
    if not isinstance(found, bytes) or not (packet := found.strip(_BLANKS)):
        return Xmp()
    if len(packet) + len(extension or b"") > _MOST_BYTES:
        note = f"XMP of {(len(packet) + len(extension or b'')) / 1e6:.0f} MB left out"
        return Xmp(notes=(Note(note, "metadata_left_out"),))
    try:
        scan, notes = Packet(packet), tuple[str, ...]()
        if extension:
            packet, scan, notes = _joined(packet, scan, extension.strip(_BLANKS))
    except ValueError:
        return Xmp(notes=(Note("unreadable XMP left out", "metadata_left_out"),))
    turns = [one for one in scan.properties if one.name == _ORIENTATION and one.value.strip() in set("12345678")]
    edits = [(one.outer, b"") for one in scan.properties if one.name in _UNTRUE]
    edits += [(one.inner, b"1") for one in turns if one.value != "1"]
    return Xmp(edited(packet, edits), int(turns[0].value) if turns else None, notes)


def edited(packet: bytes, edits: Iterable[tuple[slice, bytes]]) -> bytes:
    """Replace bytes of a packet; a slice within another one counts for nothing."""
    parts, done = [], 0
    for place, new in sorted(edits, key=lambda edit: edit[0].start):
        if place.start >= done:
            parts += [packet[done : place.start], new]
            done = place.stop
    return b"".join((*parts, packet[done:]))


def rights_of(xmp: bytes | None) -> bytes | None:
    """A packet reduced to who made the picture and who owns it; None if it says neither.

    These are Dublin Core's creator and rights, and all of XMP's rights management; Photoshop shows them as author,
    copyright notice, status and URL.
    """
    if not xmp:
        return None
    from xml.etree import ElementTree

    for prefix, name in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, name)
    try:
        Packet(xmp)
        root = ElementTree.fromstring(xmp.decode("utf-8"))
    except (ValueError, ElementTree.ParseError):  # did not come from `read_xmp`
        return None
    kept = ElementTree.Element(_DESCRIPTION, {_ABOUT: ""})
    for description in root.iter(_DESCRIPTION):
        kept.attrib.update({key: text for key, text in description.attrib.items() if _is_right(key)})
        kept.extend(child for child in description if _is_right(child.tag))
    if len(kept) + len(kept.attrib) == 1:
        return None
    packet = ElementTree.Element(f"{{{_NAMESPACES['x']}}}xmpmeta")
    ElementTree.SubElement(packet, f"{{{RDF}}}RDF").append(kept)
    content: bytes = ElementTree.tostring(packet, "utf-8")
    return _PACKET_START + content + _PACKET_END


def _is_right(name: str) -> bool:
    return name in _RIGHTS or name.startswith(f"{{{_NAMESPACES['xmpRights']}}}")


def _joined(packet: bytes, scan: Packet, extension: bytes) -> tuple[bytes, Packet, tuple[str, ...]]:
    """Merge a packet and its extension."""
    try:
        more = Packet(extension)
        if scan.content is None or more.content is None:
            raise ValueError("no RDF in one of them")
        end = slice(scan.content.stop, scan.content.stop)
        whole = edited(packet, [(end, extension[more.content])])
        return whole, Packet(whole), ()
    except ValueError:
        return packet, scan, (Note("unreadable extended XMP left out", "metadata_left_out"),)


def extended_xmp(segments: Iterable[tuple[int, int, bytes]]) -> bytes | None:
    """The part of a JPEG's XMP beyond its first segment; None: there is none, or some of it is missing."""
    parts: dict[int, bytes] = {}
    size = 0
    for marker, _, content in segments:
        if marker == 0xE1 and content.startswith(_EXTENSION_MARK):
            head = content[len(_EXTENSION_MARK) :]
            if len(head) < _EXTENSION_HEAD.size:
                return None
            _, size, offset = _EXTENSION_HEAD.unpack_from(head)
            parts[offset] = head[_EXTENSION_HEAD.size :]
    whole = b"".join(parts[offset] for offset in sorted(parts))
    return whole if whole and len(whole) == size else None


def extended_xmp_segments(xmp: bytes) -> tuple[bytes, list[bytes]]:
    """Split a packet that is too long for a JPEG's segment: a short packet that says so, and the segments' contents."""
    digest = hashlib.md5(xmp, usedforsecurity=False).hexdigest().upper()  # as specified
    parts = [
        _EXTENSION_MARK + _EXTENSION_HEAD.pack(digest.encode(), len(xmp), start) + xmp[start : start + _ROOM]
        for start in range(0, len(xmp), _ROOM)
    ]
    named = f'<rdf:Description rdf:about="" xmlns:xmpNote="{_NOTE}" xmpNote:HasExtendedXMP="{digest}"/>'
    return packet_of(named), parts
