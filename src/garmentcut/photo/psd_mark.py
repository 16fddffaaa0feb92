"""What garmentcut notes in its own Photoshop documents, so that it can tell later what a retoucher has changed.

It stands in the XMP packet, as properties of a namespace of its own: Adobe's programs keep properties that they do not
know (Adobe, XMP Specification, part 1). Photoshop counts 16-bit levels from 0 to 32768 and rounds what it opens to
them, so checksums are of 8-bit documents only; a 16-bit mask is compared with the saved channel beside it.
"""

import base64
import re
import zlib
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from garmentcut.photo.clipping_path import PenPath, parse_path
from garmentcut.photo.path_writer import path_resources
from garmentcut.photo.photo import PhotoError, Pixels
from garmentcut.photo.png import fast_deflate

_NAMESPACE = "http://ns.garmentcut.org/psd/1.0/"  # a name only; nothing has to be there
_MOST_BYTES, _MOST_PATH_BYTES = 8_000_000, 2_000_000  # a packet; a path, unpacked
_PACKET = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)
_END = b"</rdf:RDF>"
_OWN = re.compile(rb'<rdf:Description[^>]*xmlns:garmentcut="[^>]*/>')


@dataclass(frozen=True)
class Mark:
    """A document as garmentcut wrote it.

    Attributes:
        size_hw: of the photo's layer.
        is_whole: the layer is the whole photo, untouched; False: trimmed, laid on a customer's canvas, or its hidden
            pixels were cleared.
        photo_sum: checksum of its colours; None: 16 bits.
        mask_sum: checksum of its mask; None: 16 bits.
        path: the clipping path; None: none was written.
    """

    size_hw: tuple[int, int]
    is_whole: bool = True
    photo_sum: int | None = None
    mask_sum: int | None = None
    path: PenPath | None = None


def mark_of(rgb: Pixels, mask: Pixels, path: PenPath | None, *, is_whole: bool) -> Mark:
    """The mark of a document that is about to be written.

    Args:
        rgb: `(H, W, 3)`, of the photo's layer.
        mask: `(H, W)`, its layer mask.
        path: its clipping path.
        is_whole: see `Mark`.
    """
    return Mark((mask.shape[0], mask.shape[1]), is_whole, checksum_of(rgb), checksum_of(mask), path)


def checksum_of(levels: Pixels) -> int | None:
    """CRC-32 of uint8 levels of any shape; None: uint16, see above."""
    if levels.dtype != np.uint8:
        return None
    checksum: int = fast_deflate().crc32(np.ascontiguousarray(levels).data)
    return checksum


def write_mark(xmp: bytes | None, mark: Mark) -> bytes:
    """A packet with the mark in it instead of an earlier one.

    Args:
        xmp: the photo's own packet; all of it stays. None: there is none. One that does not end as Adobe's programs
            write it stays as it is, without a mark.
        mark: see there.
    """
    values = {"Size": f"{mark.size_hw[1]}x{mark.size_hw[0]}", "Frame": "whole" if mark.is_whole else "part"}
    sums = {"Photo": mark.photo_sum, "Mask": mark.mask_sum}
    values |= {key: f"{checksum:08x}" for key, checksum in sums.items() if checksum is not None}
    if mark.path is not None:
        values["Path"] = base64.b64encode(zlib.compress(path_resources(mark.path)[0].data, 9)).decode()
    own = "".join(f' garmentcut:{key}="{value}"' for key, value in values.items())
    description = f'<rdf:Description rdf:about="" xmlns:garmentcut="{_NAMESPACE}"{own}/>'.encode()
    before, end, behind = _OWN.sub(b"", xmp or _PACKET).rpartition(_END)
    return before + description + end + behind if end else behind


def read_mark(xmp: bytes | None) -> Mark | None:
    """The mark in a packet, whichever program wrote the packet anew; None: there is none that can be read."""
    if not xmp or len(xmp) > _MOST_BYTES or _NAMESPACE.encode() not in xmp or b"<!DOCTYPE" in xmp:
        return None
    try:
        values = _own_values(ElementTree.fromstring(xmp.strip(b"\0 \t\r\n").decode("utf-8-sig")))
        width, _, height = values["Size"].partition("x")
        photo_sum, mask_sum = (int(values[key], 16) if key in values else None for key in ("Photo", "Mask"))
        path = _path_of(values.get("Path"))
        return Mark((int(height), int(width)), values["Frame"] == "whole", photo_sum, mask_sum, path)
    except (ElementTree.ParseError, KeyError, ValueError, zlib.error, PhotoError):
        return None


def _own_values(root: Any) -> dict[str, str]:
    """Properties of our namespace, as attributes or as elements: XMP has both ways."""
    start, values = f"{{{_NAMESPACE}}}", dict[str, str]()
    for element in root.iter():
        named = {**element.attrib, element.tag: element.text or ""}
        values |= {key.removeprefix(start): text.strip() for key, text in named.items() if key.startswith(start)}
    return values


def _path_of(text: str | None) -> PenPath | None:
    if text is None:
        return None
    return parse_path(zlib.decompressobj().decompress(base64.b64decode(text, validate=True), _MOST_PATH_BYTES))
