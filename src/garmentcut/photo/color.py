"""Converts colours: to RGB when a file is read, to sRGB for networks and previews, or to a customer's profile.

`convert_colors` uses the relative colorimetric intent with black point compensation, as Photoshop does by default. It
calls Little CMS through imagecodecs, at 8 and 16 bits, because Pillow supports only 8.
"""

import functools
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from garmentcut.errors import ConfigError, Note, PhotoError
from garmentcut.photo.photo import Pixels, to_8_bit

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a pixel's perceived brightness (ITU-R BT.601)."""
_D65 = (0.3127, 0.3290)
_ADOBE_PRIMARIES, _ADOBE_GAMMA = (0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 563 / 256  # Adobe RGB (1998)
_PRIMARIES = {  # ITU-T H.273, table 2
    1: (0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
_TRANSFERS: dict[int, float | str] = {1: 2.4, 4: 2.2, 5: 2.8, 6: 2.4, 8: 1.0, 13: "srgb", 14: 2.4, 15: 2.4}
_HDR = (16, 18)  # PQ, HLG
_NEAR = 0.005  # tolerance when gammas and primaries are compared
_BAND_ROWS = 64
_SAME_LEVELS = 2  # of 255; sRGB profiles differ from each other by this much, through rounding
_MODES = {b"RGB ": "RGB", b"GRAY": "L", b"CMYK": "CMYK"}
_SIGNATURE = slice(36, 40)
_BROKEN = (Note("broken colour profile dropped: read as sRGB", "profile_dropped"),)
_DATE = slice(24, 36)  # creation date in an ICC header; fixed, so that the same profile always has the same bytes
_FIXED_DATE = bytes.fromhex("07ea0001000100000000 0000")
_MAX_PROFILE_BYTES = 16_000_000


class ToRgb(NamedTuple):
    """RGB pixels, the RGB profile they are in (None: sRGB), and what had to be changed."""

    rgb: Pixels
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def gray_of(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Perceived brightness of each pixel `(H, W, 3)`, 0 to 255."""
    return np.asarray(rgb @ np.array(LUMA, np.float32), np.float32)


def usable_profile(profile: bytes | None, space: bytes = b"RGB ") -> tuple[bytes | None, tuple[str, ...]]:
    """The file's profile if it fits the pixels, else None with a note that says why it was dropped.

    `space` is the colour space signature of the pixels (ICC.1, header bytes 16 to 19).
    """
    if not profile:
        return None, ()
    if profile[_SIGNATURE] != b"acsp":  # every profile has this signature (ICC.1)
        return None, _BROKEN
    if profile[16:20] != space:
        return None, (Note("colour profile of another colour space dropped: read as sRGB", "profile_dropped"),)
    try:
        _to_srgb_transform(profile, _MODES[space])
    except (ImageCms.PyCMSError, OSError):
        return None, _BROKEN
    return profile, ()


def rgb_of_gray(gray: Pixels, profile: bytes | None) -> ToRgb:
    """Convert gray `(H, W)` to RGB: to sRGB by a gray profile, else to three equal channels in the RGB profile."""
    kept, notes = usable_profile(profile, b"GRAY")
    if kept and gray.dtype == np.uint8:
        return ToRgb(_to_srgb(gray, "L", kept))
    if kept:
        # Convert the 65,536 levels, not every pixel.
        table = _transformed(np.arange(65_536, dtype=np.uint16)[:, None], kept, srgb_profile(), "gray")
        return ToRgb(table[gray])
    if profile and profile[16:20] == b"RGB ":
        kept, notes = usable_profile(profile)
    return ToRgb(np.repeat(gray[..., None], 3, axis=2), kept, notes)


def rgb_of_channels(color: Pixels, alpha: Pixels | None, profile: bytes | None, *, is_cmyk: bool = False) -> ToRgb:
    """Convert a file's gray, RGB or ink channels `(H, W, C)` to RGB; transparent parts are laid on white.

    Alpha `(H, W)` is straight. With `is_cmyk` the channels are inks (255: full ink), which are rounded to 8 bits.
    """
    if is_cmyk:
        converted = rgb_of_cmyk(to_8_bit(color), profile)
        alpha = None if alpha is None else to_8_bit(alpha)
    elif color.shape[2] == 1:
        converted = rgb_of_gray(color[..., 0], profile)
    else:
        converted = ToRgb(color, *usable_profile(profile))
    return converted if alpha is None else _laid_on_white(converted, alpha)


def _laid_on_white(converted: ToRgb, alpha: Pixels) -> ToRgb:
    """Keep opaque pixels and lay transparent parts on white."""
    rgb, top = np.array(converted.rgb, order="C"), np.iinfo(alpha.dtype).max
    is_opaque = True
    for start in range(0, len(rgb), _BAND_ROWS):  # in bands, because the products need 32 bits
        band, cover = rgb[start : start + _BAND_ROWS], alpha[start : start + _BAND_ROWS, :, None]
        if (cover < top).any():
            share = cover.astype(np.uint32)  # 65535 * 65535 + 32767 still fits
            band[:] = (band * share + top * (top - share) + top // 2) // top
            is_opaque = False
    notes = () if is_opaque else (Note("transparent parts laid on white", "laid_on_white"),)
    return ToRgb(rgb, converted.profile, (*converted.notes, *notes))


def rgb_of_cmyk(cmyk: NDArray[np.uint8], profile: bytes | None) -> ToRgb:
    """Convert CMYK `(H, W, 4)` uint8 (255: full ink) to sRGB by its own profile.

    Without a usable profile the result is approximate, as in most viewers: each channel is (1 - ink) * (1 - black).
    """
    if (kept := usable_profile(profile, b"CMYK")[0]) is not None:
        return ToRgb(_to_srgb(cmyk, "CMYK", kept), None, (Note("CMYK converted to sRGB", "color_converted"),))
    image = Image.frombuffer("CMYK", (cmyk.shape[1], cmyk.shape[0]), np.ascontiguousarray(cmyk).tobytes())
    note = Note("CMYK without a usable profile: colours are approximate", "color_approximate")
    return ToRgb(np.array(image.convert("RGB")), None, (note,))


def rgb_of_lab(lab: NDArray[np.float32]) -> Pixels:
    """Convert CIELAB (D50) `(H, W, 3)`, L in [0, 100], to 16-bit sRGB."""
    profile = imagecodecs.cms_profile("lab4")
    return _transform(lab, profile, srgb_profile(), "lab", imagecodecs.CMS.FLAGS.NOOPTIMIZE, outdtype="u2")


def stated_profile(
    profile: bytes | None, png_color: "PngColor | None" = None, *, is_adobe_rgb: bool = False
) -> bytes | None:
    """The profile of a file's RGB colours, however the file states it; None: sRGB.

    An embedded profile takes precedence, then PNG's cICP, then gAMA and cHRM, then EXIF (`is_adobe_rgb`).

    Raises:
        PhotoError: the picture is HDR, which no such profile describes.
    """
    if profile:
        return profile
    found = png_color.profile() if png_color else None
    if found is None and is_adobe_rgb and not (png_color and png_color.is_srgb):
        return made_profile(_D65, _ADOBE_PRIMARIES, _ADOBE_GAMMA)
    return found


class PngColor(NamedTuple):
    """What the chunks of a PNG say about its colours (W3C, PNG Specification, third edition, section 11.3.2)."""

    code_points: tuple[int, ...] = ()  # cICP: primaries, transfer function, matrix, full range (ITU-T H.273)
    gamma: float = 0.0  # gAMA, the file's encoding gamma; 0.45455 in most
    primaries: tuple[float, ...] = ()  # cHRM: x and y of white, red, green and blue
    is_srgb: bool = False  # there is an sRGB chunk, which overrides gAMA and cHRM

    @classmethod
    def of(cls, chunks: Mapping[bytes, bytes]) -> "PngColor":
        """Parse the contents of chunks, by chunk type."""
        code_points, gamma, primaries = (chunks.get(kind, b"") for kind in (b"cICP", b"gAMA", b"cHRM"))
        return cls(
            tuple(code_points) if len(code_points) == 4 else (),
            int.from_bytes(gamma) / 100_000 if len(gamma) == 4 else 0.0,
            tuple(np.frombuffer(primaries, ">u4") / 100_000) if len(primaries) == 32 else (),
            b"sRGB" in chunks,
        )

    def profile(self) -> bytes | None:
        """The equivalent ICC profile; None: sRGB, or nothing usable is stated. Raises PhotoError for HDR."""
        if self.code_points:
            primaries, transfer, matrix, _ = self.code_points
            if transfer in _HDR:
                raise PhotoError("an HDR image (PQ or HLG); export it for standard screens, with sRGB or Display P3")
            if primaries in _PRIMARIES and transfer in _TRANSFERS and matrix == 0:
                return made_profile(_D65, _PRIMARIES[primaries], _TRANSFERS[transfer])
        if self.is_srgb or not self.gamma:  # browsers ignore primaries without a gamma
            return None
        white, primaries_xy = self.primaries[:2] or _D65, self.primaries[2:] or _PRIMARIES[1]
        if min(white[1], *primaries_xy[1::2]) <= 0 or max(*white, *primaries_xy) > 1:
            return None
        # 1 / 2.2 means sRGB's own curve, which no single number describes (section 13.13).
        is_near = abs(self.gamma - 0.45455) < _NEAR and np.abs(np.subtract(primaries_xy, _PRIMARIES[1])).max() < _NEAR
        try:
            return made_profile(white, primaries_xy, "srgb" if is_near else 1 / self.gamma)
        except PhotoError:
            return None


@functools.lru_cache(maxsize=16)
def made_profile(white: tuple[float, ...], primaries: tuple[float, ...], transfer: float | str) -> bytes | None:
    """An ICC profile of an RGB colour space, always the same bytes; None: it is sRGB.

    White and primaries (red, green, blue) are given as x and y; `transfer` is `srgb`, or the exponent that maps encoded
    values to linear light. Raises PhotoError if the numbers describe no possible colour space.
    """
    points = [coordinate for xy in zip(primaries[::2], primaries[1::2], strict=True) for coordinate in (*xy, 1.0)]
    curve: dict[str, Any] = {"gamma": transfer}
    if transfer == "srgb":
        levels = np.linspace(0, 1, 4096)
        light = np.where(levels < 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
        curve = {"transferfunction": light.astype(np.float32)}
    try:
        profile = bytearray(imagecodecs.cms_profile("rgb", whitepoint=[*white, 1.0], primaries=points, **curve))
    except (imagecodecs.CmsError, ValueError) as error:
        raise PhotoError("the numbers that describe its colours make no sense", code="color_profile") from error
    profile[_DATE] = _FIXED_DATE
    return None if _is_srgb(bytes(profile)) else bytes(profile)


def srgb_of(rgb: NDArray[np.uint8], profile: bytes | None) -> NDArray[np.uint8]:
    """Convert `(H, W, 3)` uint8 from `profile` to sRGB, for the network; sRGB pixels are returned as they are."""
    return rgb if profile is None or _is_srgb(profile) else _to_srgb(rgb, "RGB", profile)


def color_in_profile(color: str, profile: bytes | None) -> tuple[int, int, int]:
    """Convert the sRGB colour `#rrggbb` to 8-bit levels in `profile`.

    Raises:
        PhotoError: the profile can only convert from its colours, not to them.
    """
    levels = np.frombuffer(bytes.fromhex(color.removeprefix("#")), np.uint8)
    try:
        red, green, blue = levels if profile is None or _is_srgb(profile) else convert_colors(levels, None, profile)
    except PhotoError as error:
        message = "the background cannot be converted to its colour profile; convert the photo to sRGB"
        raise PhotoError(message, code="color_profile") from error
    return int(red), int(green), int(blue)


def _to_srgb(pixels: Pixels, mode: str, profile: bytes) -> NDArray[np.uint8]:
    image = Image.frombuffer(mode, (pixels.shape[1], pixels.shape[0]), np.ascontiguousarray(pixels).tobytes())
    try:
        return np.array(_to_srgb_transform(profile, mode).apply(image))
    except (ImageCms.PyCMSError, OSError) as error:
        message = f"its colour profile cannot be applied ({error}); convert it to sRGB"
        raise PhotoError(message, code="color_profile") from error


@functools.lru_cache(maxsize=4)  # a studio's photos share their profile; building a transform takes milliseconds
def _to_srgb_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(_open_profile(profile), ImageCms.createProfile("sRGB"), mode, "RGB")


@functools.lru_cache(maxsize=4)
def _is_srgb(profile: bytes) -> bool:
    """Whether converting a sample of colours leaves them unchanged; a profile's name proves nothing."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    spread = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    return int(np.abs(_to_srgb(spread, "RGB", profile).astype(np.int16) - spread).max()) <= _SAME_LEVELS


def _open_profile(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.getOpenProfile(io.BytesIO(profile))


@functools.cache
def srgb_profile() -> bytes:
    """An ICC profile of sRGB, always the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_DATE] = _FIXED_DATE
    return bytes(profile)


def read_target(name: str, folder: Path, source: str) -> bytes | None:
    """The profile that a specification asks for: `keep` (None), `sRGB` in any case, or a file, relative to `folder`.

    Raises:
        ConfigError: the file cannot be read, or holds no RGB profile that colours can be converted to.
    """
    if name.casefold() in ("keep", "srgb"):
        return srgb_profile() if name.casefold() == "srgb" else None
    place, fix = f"{source}: color.profile = {name!r}", "use keep, sRGB or the file of an RGB profile"
    try:
        with (folder / Path(name).expanduser()).open("rb") as file:
            profile = file.read(_MAX_PROFILE_BYTES)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{place}: {getattr(error, 'strerror', None) or error}; {fix}") from error
    if profile[_SIGNATURE] != b"acsp":
        raise ConfigError(f"{place}: not an ICC profile; {fix}")
    if (space := profile[16:20].decode("latin-1").strip()) != "RGB":
        raise ConfigError(f"{place}: a profile of {space} colours; {fix}")
    try:
        convert_colors(np.zeros((1, 3), np.uint8), srgb_profile(), profile)
    except PhotoError as error:
        raise ConfigError(f"{place}: colours cannot be converted to it; use another profile") from error
    return profile


def convert_colors(rgb: Pixels, profile: bytes | None, target: bytes) -> Pixels:
    """Convert colours `(..., 3)` from `profile` (None: sRGB) to `target`, at their own depth.

    Raises:
        PhotoError: one of the profiles cannot be applied.
    """
    profile = profile or srgb_profile()
    if profile == target or not rgb.size:
        return rgb
    try:
        return _transformed(rgb.reshape(-1, 3), profile, target, "rgb").reshape(rgb.shape)
    except (imagecodecs.CmsError, ValueError) as error:
        message = f"its colours cannot be converted to the requested profile ({error}); convert it yourself"
        raise PhotoError(message, code="color_profile") from error


def _transformed(levels: Pixels, profile: bytes, target: bytes, space: str) -> Pixels:
    """Convert levels `(N, 1 or 3)` from a gray or RGB profile to RGB `(N, 3)` in another one, at the same depth."""
    flags = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
    if levels.dtype == np.uint16:
        # The optimized 16-bit path uses a table of 33 steps a side, up to 19 of 255 levels wrong at the gamut's edge.
        flags |= imagecodecs.CMS.FLAGS.NOOPTIMIZE
    return _transform(np.ascontiguousarray(levels[None]), profile, target, space, flags).reshape(-1, 3)


def _transform(pixels: NDArray[Any], profile: bytes, target: bytes, space: str, flags: int, **more: Any) -> Pixels:
    intent = imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC
    converted: Pixels = imagecodecs.cms_transform(
        pixels, profile, target, colorspace=space, outcolorspace="rgb", intent=intent, flags=int(flags), **more
    )
    return converted
