"""Colour: from whatever a file holds to RGB, and from a photo's RGB to the sRGB the network was trained on."""

import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from garmentcut.photo.photo import PhotoError, Pixels


class ToRgb(NamedTuple):
    """RGB pixels, the RGB profile they are in (None: sRGB), and what had to be changed."""

    rgb: Pixels
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def usable_profile(profile: bytes | None, space: bytes = b"RGB ") -> tuple[bytes | None, tuple[str, ...]]:
    """A profile that fits the pixels, or None with a note that says why it was dropped.

    Args:
        profile: ICC profile as found in the file.
        space: the colour space signature the pixels have (ICC.1, header bytes 16 to 19).
    """
    if not profile:
        return None, ()
    try:
        _open_profile(profile)
    except (ImageCms.PyCMSError, OSError):
        return None, ("broken colour profile dropped: read as sRGB",)
    if profile[16:20] != space:
        return None, ("colour profile of another colour space dropped: read as sRGB",)
    return profile, ()


def rgb_of_gray(gray: Pixels, profile: bytes | None) -> ToRgb:
    """Gray `(H, W)` to three equal channels; a gray profile is applied at 8 bits (gray to sRGB)."""
    kept, notes = usable_profile(profile, b"GRAY")
    if kept and gray.dtype == np.uint8:
        return ToRgb(_to_srgb(gray, "L", kept))
    if kept:
        notes = ("gray colour profile dropped: read as sRGB",)
    return ToRgb(np.repeat(gray[..., None], 3, axis=2), None, notes)


def rgb_of_rgba(rgba: Pixels, profile: bytes | None) -> ToRgb:
    """Straight-alpha `(H, W, 4)`: opaque pixels as they are, transparent parts laid on white."""
    rgb, alpha = rgba[..., :3], rgba[..., 3:]
    kept, notes = usable_profile(profile)
    top = np.iinfo(rgba.dtype).max
    if (alpha == top).all():
        return ToRgb(np.ascontiguousarray(rgb), kept, notes)
    white = alpha.astype(np.uint64)
    flat = ((rgb * white + top * (top - white)) + top // 2) // top
    return ToRgb(flat.astype(rgba.dtype), kept, (*notes, "transparent parts laid on white"))


def rgb_of_cmyk(cmyk: NDArray[np.uint8], profile: bytes | None) -> ToRgb:
    """CMYK `(H, W, 4)` uint8 (255: full ink) to sRGB by its own profile.

    Raises:
        PhotoError: no usable CMYK profile, so the colours are not defined.
    """
    kept, _ = usable_profile(profile, b"CMYK")
    if kept is None:
        raise PhotoError("CMYK without a CMYK profile, so its colours are not defined; convert it to RGB")
    return ToRgb(_to_srgb(cmyk, "CMYK", kept), None, ("CMYK converted to sRGB",))


def srgb_of(rgb: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """A copy for the network: `(H, W, 3)` uint8 in `profile`'s colours, turned into sRGB."""
    return rgb if profile is None or _is_srgb(profile) else _to_srgb(rgb, "RGB", profile)


def color_in_profile(color: str, profile: bytes | None) -> tuple[int, int, int]:
    """The sRGB colour `#rrggbb` as 8-bit numbers in `profile`, so that it looks the same there."""
    srgb = bytes.fromhex(color.removeprefix("#"))
    if profile is None or _is_srgb(profile):
        return srgb[0], srgb[1], srgb[2]
    dot = Image.frombytes("RGB", (1, 1), srgb)
    out = ImageCms.profileToProfile(dot, ImageCms.createProfile("sRGB"), _open_profile(profile), outputMode="RGB")
    assert out is not None  # only an in-place conversion returns None
    red, green, blue = out.tobytes()
    return red, green, blue


def _to_srgb(pixels: Pixels, mode: str, profile: bytes) -> NDArray[np.uint8]:
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())
    try:
        out = ImageCms.profileToProfile(image, _open_profile(profile), ImageCms.createProfile("sRGB"), outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise PhotoError(f"its colour profile cannot be applied ({error}); convert it to sRGB") from error
    return np.asarray(out)


def _open_profile(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.getOpenProfile(io.BytesIO(profile))


def _is_srgb(profile: bytes) -> bool:
    """True by name: converting sRGB to sRGB costs time and rounds twice."""
    name = ImageCms.getProfileDescription(_open_profile(profile)).strip().lower()
    return name.startswith("srgb")
