"""Photo files made by hand: profiles, EXIF, encoders, broken PNG and TIFF parts."""

import io
import struct
import zlib

import numpy as np
import tifffile
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from garmentcut.photo.metadata import Tag, directory_bytes

XYZ_OF_WIDE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))  # Adobe RGB at D50


def pixels(height=12, width=20, channels=3, dtype=np.uint8):
    """Smooth, without symmetry, every channel another."""
    y, x = np.mgrid[:height, :width]
    top = np.iinfo(dtype).max
    planes = [(0.1 + 0.8 * ((1 + k) * x / width + (k % 2 + 1) * y / height) / (k + 3)) for k in range(channels)]
    out = np.rint(np.stack(planes, -1) * top).astype(dtype)
    return out[..., 0] if channels == 1 else out


def encoded(image, format, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, format, **options)
    return file.getvalue()


def tiff(array, **options):
    file = io.BytesIO()
    options = {"photometric": "rgb", "metadata": None, "byteorder": "<", **options}
    tifffile.imwrite(file, array, **options)
    return file.getvalue()


def patched(tiff, tag, value):
    """A classic little-endian TIFF with another number in a one-number tag."""
    data = bytearray(tiff)
    (start,) = struct.unpack_from("<I", data, 4)
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        number, kind = struct.unpack_from("<HH", data, entry)
        if number == tag:
            struct.pack_into("<H" if kind == 3 else "<I", data, entry + 8, value)
    return bytes(data)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_header(width, height, *, depth=8, color_type=0, extra=b"", idat=None):
    """A PNG that declares a size; its pixels are zeros, packed, or missing."""
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    packed = zlib.compress(bytes(1000)) if idat is None else idat
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def with_chunks(png, *chunks):
    """Chunks put behind IHDR."""
    return png[:33] + b"".join(chunks) + png[33:]


def exif(orientation=1, *, dpi=None, artist="Åse Ødegård"):
    tags = Image.Exif()
    tags[274], tags[271], tags[315], tags[306] = orientation, "Camera Maker", artist.encode(), "2026:01:02 03:04:05"
    if dpi:
        tags[282], tags[283], tags[296] = dpi[0], dpi[1], 2
    tags[0x8769] = {
        0x829A: IFDRational(1, 125),
        0x8827: 200,
        0x9003: "2026:01:02 03:04:05",
        0xA002: 4000,
        0x927C: b"note",
    }
    tags[0x8825] = {1: "N", 2: (59.0, 54.0, 0.0), 3: "E", 4: (10.0, 45.0, 0.0)}
    return tags


def exif_bytes(*args, **options):
    return exif(*args, **options).tobytes().removeprefix(b"Exif\0\0")


def xmp_packet(orientation=1, extra=""):
    """A packet as Photoshop writes it; says who made the picture, and as its upright size what `extra` says."""
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}"{extra}>'
        "<dc:creator><rdf:Seq><rdf:li>Åse Ødegård</rdf:li></rdf:Seq></dc:creator>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def rgb_profile(gamma=2.2, colorants=XYZ_OF_WIDE_RGB, name=b"Wide test RGB"):
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    tags = [(kind, _xyz(*xyz)) for kind, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)]
    return _profile(b"mntr", b"RGB ", b"XYZ ", [*tags, *((kind, curve) for kind in (b"rTRC", b"gTRC", b"bTRC"))], name)


def gray_profile(gamma=1.0):
    return _profile(
        b"mntr", b"GRAY", b"XYZ ", [(b"kTRC", b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)))]
    )


def cmyk_profile():
    """Ink straight to Lab: each ink darkens, black most."""
    ramp = bytes(range(256))
    grid = b""
    for corner in range(16):
        cyan, magenta, yellow, black = (corner >> shift & 1 for shift in (3, 2, 1, 0))
        light = 255 * (1 - 0.4 * cyan) * (1 - 0.5 * magenta) * (1 - 0.1 * yellow) * (1 - 0.9 * black)
        a, b = 128 + 60 * (magenta - cyan) * (1 - black), 128 + 60 * (yellow - cyan) * (1 - black)
        grid += bytes(int(value) for value in (light, a, b))
    identity = struct.pack(">9i", *(65536 * (k in (0, 4, 8)) for k in range(9)))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + grid + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", [(b"A2B0", table)])


def _xyz(x, y, z):
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in (x, y, z)))


def _profile(kind, space, pcs, tags, name=b"test"):
    """ICC.1:2001-04, sections 6.1 to 6.3."""
    desc = b"desc" + bytes(4) + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(4 + 4 + 2 + 1 + 67)
    text = b"text" + bytes(4) + b"none\0"
    tags = [(b"desc", desc), (b"cprt", text), (b"wtpt", _xyz(0.9642, 1.0, 0.8249)), *tags]
    place, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for tag, data in tags:
        table += tag + struct.pack(">II", place + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4sI4s4s4s", place + len(body), b"test", 0x02400000, kind, space, pcs) + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def interoperable(index):
    """EXIF with an uncalibrated colour space and an interoperability index."""
    main = {0x8769: Tag(4, bytes(4))}
    start = 8 + len(directory_bytes(main, "<", 8))
    inner = {0xA001: Tag(3, b"\xff\xff"), 0xA005: Tag(4, bytes(4))}
    behind = start + len(directory_bytes(inner, "<", start))
    main[0x8769], inner[0xA005] = (Tag(4, struct.pack("<I", place)) for place in (start, behind))
    parts = (main, 8), (inner, start), ({1: Tag(2, index)}, behind)
    return b"II*\0\x08\0\0\0" + b"".join(directory_bytes(entries, "<", place) for entries, place in parts)
