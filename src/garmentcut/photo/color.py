"""Colour: from whatever a file holds to RGB, from a photo's RGB to the network's sRGB, and into a customer's profile.

Between profiles: relative colorimetric with black point compensation, as Photoshop does by default; by imagecodecs'
Little CMS at 8 and 16 bits, for Pillow's knows 8 bits only.
"""

import functools
import io
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from garmentcut.config import ConfigError
from garmentcut.photo.photo import PhotoError, Pixels

_SAME_LEVELS = 2  # of 255: profiles of sRGB itself differ by that much in their rounding
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_IS_PROFILE = slice(36, 40)
_BROKEN = ("broken colour profile dropped: read as sRGB",)
_DATE = slice(24, 36)  # of making, in an ICC profile's header: the same profile every day
_FIXED_DATE = bytes.fromhex("07ea0001000100000000 0000")
_MAX_PROFILE_BYTES = 16_000_000


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
    if profile[_IS_PROFILE] != b"acsp":  # the signature that every profile has there (ICC.1)
        return None, _BROKEN
    if profile[16:20] != space:
        return None, ("colour profile of another colour space dropped: read as sRGB",)
    try:
        _to_srgb_transform(profile, _MODES[space])
    except (ImageCms.PyCMSError, OSError):
        return None, _BROKEN
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
    kept, notes = usable_profile(profile)
    rgb = np.ascontiguousarray(rgba[..., :3])
    top = np.iinfo(rgba.dtype).max
    sheer = rgba[..., 3] < top
    if not sheer.any():
        return ToRgb(rgb, kept, notes)
    share = rgba[sheer, 3:].astype(np.uint32)  # 65535 * 65535 + 32767 still fits
    rgb[sheer] = (rgb[sheer] * share + top * (top - share) + top // 2) // top
    return ToRgb(rgb, kept, (*notes, "transparent parts laid on white"))


def rgb_of_cmyk(cmyk: NDArray[np.uint8], profile: bytes | None) -> ToRgb:
    """CMYK `(H, W, 4)` uint8 (255: full ink) to sRGB by its own profile.

    Raises:
        PhotoError: no usable CMYK profile, so the colours are not defined.
    """
    kept, _ = usable_profile(profile, b"CMYK")
    if kept is None:
        raise PhotoError(
            "CMYK without a usable CMYK profile, so its colours are not defined; convert it to RGB",
            code="color_profile",
        )
    return ToRgb(_to_srgb(cmyk, "CMYK", kept), None, ("CMYK converted to sRGB",))


def srgb_of(rgb: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """A copy for the network: `(H, W, 3)` uint8 in `profile`'s colours, turned into sRGB.

    Raises:
        PhotoError: the profile cannot be applied.
    """
    return rgb if profile is None or _is_srgb(profile) else _to_srgb(rgb, "RGB", profile)


def color_in_profile(color: str, profile: bytes | None) -> tuple[int, int, int]:
    """The sRGB colour `#rrggbb` as 8-bit numbers in `profile`, so that it looks the same there.

    Raises:
        PhotoError: the profile tells what its colours look like, but not how to make one.
    """
    srgb = bytes.fromhex(color.removeprefix("#"))
    if profile is None or _is_srgb(profile):
        return srgb[0], srgb[1], srgb[2]
    dot = Image.frombytes("RGB", (1, 1), srgb)
    try:
        out = ImageCms.profileToProfile(dot, ImageCms.createProfile("sRGB"), _open_profile(profile), outputMode="RGB")
    except ImageCms.PyCMSError as error:
        raise PhotoError(
            "no background can be laid in its colour profile; convert the photo to sRGB", code="color_profile"
        ) from error
    assert out is not None  # only an in-place conversion returns None
    red, green, blue = out.tobytes()
    return red, green, blue


def _to_srgb(pixels: Pixels, mode: str, profile: bytes) -> NDArray[np.uint8]:
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())
    try:
        return np.array(_to_srgb_transform(profile, mode).apply(image))
    except (ImageCms.PyCMSError, OSError) as error:
        raise PhotoError(
            f"its colour profile cannot be applied ({error}); convert it to sRGB", code="color_profile"
        ) from error


@functools.lru_cache(maxsize=4)  # a studio's photos share their profile; building a transform takes milliseconds
def _to_srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(_open_profile(profile), ImageCms.createProfile("sRGB"), mode, "RGB")


@functools.lru_cache(maxsize=4)
def _is_srgb(profile: bytes) -> bool:
    """True by what it does to a spread of colours: its name may lie, and converting sRGB to sRGB only costs."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    spread = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    moved = np.abs(_to_srgb(spread, "RGB", profile).astype(np.int16) - spread)
    return int(moved.max()) <= _SAME_LEVELS


def _open_profile(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.getOpenProfile(io.BytesIO(profile))


@functools.cache
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, the same bytes on every call and day."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = _FIXED_DATE
    return bytes(profile)


def read_target(name: str, folder: Path, source: str) -> bytes | None:
    """The profile that a specification asks for.

    Args:
        name: `keep`, `sRGB` in any case, or the path of a file.
        folder: where a path that is not absolute starts.
        source: where the name comes from, for the message.

    Returns:
        The profile; None: photos keep theirs.

    Raises:
        ConfigError: the file cannot be read, or holds no RGB profile that colours can be turned into.
    """
    if name.casefold() in ("keep", "srgb"):
        return srgb_profile() if name.casefold() == "srgb" else None
    path = folder / Path(name).expanduser()
    place = f"{source}: color.profile = {name!r}"
    try:
        with path.open("rb") as file:
            profile = file.read(_MAX_PROFILE_BYTES)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"{place}: {reason}; use keep, sRGB or the file of an RGB profile") from error
    space = profile[16:20].decode("latin-1").strip()
    if profile[36:40] != b"acsp" or space != "RGB":
        kind = f"a profile of {space} colours" if profile[36:40] == b"acsp" else "no ICC profile"
        raise ConfigError(f"{place}: {kind}; use keep, sRGB or the file of an RGB profile")
    try:
        convert_colors(np.zeros((1, 3), np.uint8), srgb_profile(), profile)
    except PhotoError as error:
        raise ConfigError(f"{place}: colours cannot be turned into it; use another profile") from error
    return profile


def convert_colors(rgb: Pixels, profile: bytes | None, target: bytes) -> Pixels:
    """Turn colours of one profile into another's so that they look the same.

    Args:
        rgb: `(..., 3)` uint8 or uint16.
        profile: what they are in; None: sRGB.
        target: what they shall be in.

    Raises:
        PhotoError: one of the profiles cannot be applied.
    """
    profile = profile or srgb_profile()
    if profile == target or not rgb.size:
        return rgb
    flags = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
    if rgb.dtype == np.uint16:
        # Optimized, 16 bits go through a table of 33 steps a side, which is 19 of 255 levels off at the gamut's edge.
        flags |= imagecodecs.CMS.FLAGS.NOOPTIMIZE
    try:
        converted: Pixels = imagecodecs.cms_transform(
            np.ascontiguousarray(rgb.reshape(1, -1, 3)),
            profile,
            target,
            colorspace="rgb",
            outcolorspace="rgb",
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
            flags=flags,
        ).reshape(rgb.shape)
    except (imagecodecs.CmsError, ValueError) as error:
        raise PhotoError(
            f"its colours cannot be turned into the wanted profile ({error}); convert it yourself",
            code="color_profile",
        ) from error
    return converted
