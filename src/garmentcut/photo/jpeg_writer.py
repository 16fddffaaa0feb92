"""Write JPEG by Pillow, with the segments that carry profile, EXIF, XMP and clipping path."""

import io

from PIL import Image

from garmentcut.photo.path import Resource, join_resources
from garmentcut.photo.photo import OutputError, Pixels, to_8_bit

_MOST_SIDE_PX = 65_500  # libjpeg's
_MOST_SEGMENT_BYTES = 65_533
_APP13, _EXIF_MARK, _XMP_MARK = b"\xff\xed", b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_RESOURCE_MARK = b"Photoshop 3.0\0"


def jpeg_bytes(
    pixels: Pixels,
    *,
    quality: int,
    profile: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    resources: list[Resource] | None = None,
) -> bytes:
    """Encode RGB as a baseline JPEG with full-size colours (4:4:4).

    EXIF or XMP over 64 kB does not fit in a JPEG and is left out.

    Args:
        pixels: `(H, W, 3)`, uint8, or uint16, which is rounded to 8 bits.
        quality: 1 to 100.
        profile: ICC profile of the pixels' colour space.
        dpi: horizontal and vertical pixels an inch; whole numbers are written.
        exif: TIFF-structured bytes without the `Exif` marker.
        xmp: UTF-8 packet.
        resources: Photoshop's image resources, such as a clipping path.

    Raises:
        OutputError: a side over 65500 pixels.
    """
    if max(pixels.shape[:2]) > _MOST_SIDE_PX:
        raise OutputError(f"JPEG ends at {_MOST_SIDE_PX} pixels a side, this has {max(pixels.shape[:2])}; use tiff")
    options = {
        "icc_profile": profile,
        "dpi": tuple(map(round, dpi)) if dpi else None,
        "exif": _EXIF_MARK + exif if exif and _fits(_EXIF_MARK, exif) else None,
        "xmp": xmp if xmp and _fits(_XMP_MARK, xmp) else None,
        "extra": _resource_segments(join_resources(resources or [])),
    }
    file = io.BytesIO()
    given = {key: value for key, value in options.items() if value}
    Image.fromarray(to_8_bit(pixels)).save(file, "JPEG", quality=quality, subsampling=0, **given)
    return file.getvalue()


def _fits(mark: bytes, data: bytes) -> bool:
    return len(mark) + len(data) <= _MOST_SEGMENT_BYTES


def _resource_segments(data: bytes) -> bytes:
    """Image resources in as many segments as they need; readers join them."""
    room = _MOST_SEGMENT_BYTES - len(_RESOURCE_MARK)
    parts = (data[start : start + room] for start in range(0, len(data), room))
    return b"".join(
        _APP13 + (2 + len(_RESOURCE_MARK) + len(part)).to_bytes(2) + _RESOURCE_MARK + part for part in parts
    )
