"""A photo's colours turned into another RGB profile, at 8 and at 16 bits.

Relative colorimetric with black point compensation, as Photoshop does by default. imagecodecs' Little CMS: Pillow's
knows 8 bits only.
"""

import functools
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import ImageCms

from garmentcut.config import ConfigError
from garmentcut.photo.photo import PhotoError, Pixels

_DATE = slice(24, 36)  # of making, in an ICC profile's header: the same profile every day
_FIXED_DATE = bytes.fromhex("07ea0001000100000000 0000")
_MAX_PROFILE_BYTES = 16_000_000


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
            f"its colours cannot be turned into the wanted profile ({error}); convert it yourself"
        ) from error
    return converted
