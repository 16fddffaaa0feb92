"""EXIF: what of it travels from a photo to its cutout."""

from PIL import Image

# Descriptive tags only: tags about the layout of the pixels (sizes, strips, compression, thumbnails) would lie in the
# output file. Numbers from TIFF 6.0 and Exif 2.32.
_ORIENTATION, _X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _INCH = 274, 282, 283, 296, 2
_KEPT = {270, 271, 272, 305, 306, 315, 33432, 40091, 40092, 40093, 40094, 40095}
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_PIXEL_SIZE = {0xA002, 0xA003}  # PixelXDimension, PixelYDimension: no longer true after trimming


def keep_descriptive(exif: Image.Exif) -> bytes | None:
    """The tags that say who, when and with what a photo was taken.

    Args:
        exif: as Pillow read it.

    Returns:
        TIFF-structured bytes without the `Exif` marker and with orientation 1; None if nothing worth keeping is there.
    """
    kept = Image.Exif()
    for tag, value in exif.items():
        if tag in _KEPT:
            kept[tag] = value
    for number in (_EXIF_IFD, _GPS_IFD):
        entries = {tag: value for tag, value in exif.get_ifd(number).items() if tag not in _PIXEL_SIZE}
        if entries:
            kept.get_ifd(number).update(entries)
            kept[number] = kept.get_ifd(number)
    if not len(kept):
        return None
    kept[_ORIENTATION] = 1
    return kept.tobytes().removeprefix(b"Exif\0\0")


def orientation_of(exif: Image.Exif) -> int:
    """Orientation tag, 1 to 8; 1 where it is missing or not a number."""
    value = exif.get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def with_dpi(exif: bytes | None, dpi: tuple[float, float] | None) -> bytes | None:
    """EXIF that also states the resolution, for formats with no field of their own for it.

    Args:
        exif: TIFF-structured bytes or None.
        dpi: horizontal and vertical pixels an inch or None.
    """
    if dpi is None:
        return exif
    tags = parse_exif(exif)
    tags[_X_RESOLUTION], tags[_Y_RESOLUTION], tags[_RESOLUTION_UNIT] = dpi[0], dpi[1], _INCH
    return tags.tobytes().removeprefix(b"Exif\0\0")


def parse_exif(exif: bytes | None) -> Image.Exif:
    """Tags of TIFF-structured bytes; none for None."""
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    return tags
