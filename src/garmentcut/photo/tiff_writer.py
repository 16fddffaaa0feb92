"""Write TIFF by tifffile, with the EXIF and GPS directories that it has no call for."""

import io
import struct
from typing import Any, Literal

import numpy as np
import tifffile

from garmentcut.photo.metadata import EXIF_DIRECTORIES, directory_of, parse_exif
from garmentcut.photo.path import Resource, join_resources
from garmentcut.photo.photo import Pixels

_XMP, _IMAGE_RESOURCES = 700, 34377
_TEXT_TAGS = (270, 271, 272, 306, 315, 33432)  # description, make, model, date, artist, copyright


def tiff_bytes(
    pixels: Pixels,
    *,
    profile: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    resources: list[Resource] | None = None,
) -> bytes:
    """Encode RGB or RGBA as a deflate-compressed TIFF that Photoshop opens.

    Args:
        pixels: `(H, W, 3)` or `(H, W, 4)`, uint8 or uint16, alpha straight ("unassociated").
        profile: ICC profile of the pixels' colour space.
        dpi: horizontal and vertical pixels an inch.
        exif: TIFF-structured bytes without the `Exif` marker.
        xmp: UTF-8 packet.
        resources: Photoshop's image resources, such as a clipping path.
    """
    tags = parse_exif(exif)
    directories = {number: entries for number in EXIF_DIRECTORIES if (entries := tags.get_ifd(number))}
    order: Literal["<", ">"] = ">" if tags.endian == ">" else "<"  # makers' notes depend on it
    # As bytes: tifffile refuses text that is not ASCII, and photographers have names.
    texts = {tag: tags[tag].encode("latin-1", "replace") for tag in _TEXT_TAGS if isinstance(tags.get(tag), str)}
    extratags: list[Any] = [(tag, "s", 0, text, True) for tag, text in texts.items()]
    extratags += [(number - 1, "I", 1, 0, True) for number in directories]
    blocks = {_XMP: xmp, _IMAGE_RESOURCES: join_resources(resources or [])}
    extratags += [(tag, "B", len(block), block, True) for tag, block in blocks.items() if block]
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        np.ascontiguousarray(pixels),
        byteorder=order,
        bigtiff=False,
        photometric="rgb",
        extrasamples=["unassalpha"] if pixels.shape[2] == 4 else None,
        compression="zlib",
        compressionargs={"level": 1},
        predictor=True,
        resolution=dpi,
        resolutionunit="INCH" if dpi else None,
        iccprofile=profile,
        software="garmentcut",
        metadata=None,
        extratags=extratags,
    )
    return _append_directories(bytearray(file.getbuffer()), directories, order)


def _append_directories(data: bytearray, directories: dict[int, dict[int, Any]], order: str) -> bytes:
    """Put the EXIF and GPS directories behind the picture, and tags that point at them into its own directory.

    tifffile does not write such tags; so each was written as its lower neighbour, and gets its number here.
    """
    for number, entries in directories.items():
        data += b"\0" * (len(data) % 2)  # TIFF 6.0: a directory begins on a word boundary
        entry = _entry_place(data, number - 1, order)
        struct.pack_into(f"{order}H", data, entry, number)
        struct.pack_into(f"{order}I", data, entry + 8, len(data))
        data += directory_of(entries, order, number).tobytes(len(data))
    return bytes(data)


def _entry_place(data: bytearray, number: int, order: str) -> int:
    """Where the first directory of a classic TIFF describes a tag."""
    (start,) = struct.unpack_from(f"{order}I", data, 4)
    (num_entries,) = struct.unpack_from(f"{order}H", data, start)
    entries = range(start + 2, start + 2 + 12 * num_entries, 12)
    return next(entry for entry in entries if struct.unpack_from(f"{order}H", data, entry) == (number,))
