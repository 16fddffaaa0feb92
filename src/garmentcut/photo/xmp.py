"""XMP: what of it travels from a photo to its cutout (Adobe, XMP Specification, parts 1 and 3)."""

import re
from typing import Any

_MOST_BYTES = 8_000_000  # some documents drag megabytes of history along; far more is an attack
# No longer true of upright, perhaps trimmed pixels. Prefixes other than these are allowed, and nobody writes them.
_ORIENTATION = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[1-8]")
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
