"""Prints: a fabric's colour and density as a picture of the unrolled cloth."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.fabric import TEXTURE_WIDTH, FabricDesign
from garmentcut.dataset.studio.noise import sample

_FINER = 2  # texels of the drawing a texel of the result, along each axis
_HOLE_DENSITY, _THREAD_DENSITY = 0.10, 0.72  # opacity of lace between its motifs
_NET_STEP, _NET_THREAD = TEXTURE_WIDTH / 110, 0.0016  # body units


def paint_texture(fabric: FabricDesign, unit_px: float) -> Floats:
    """Return the unrolled cloth, float32 (rows, columns, 4): sRGB and density in [0, 1].

    Columns span `TEXTURE_WIDTH` body units around the body from its back seam, rows one body unit from the neck down.
    """
    finer = unit_px * _FINER
    size = (round(TEXTURE_WIDTH * finer) // _FINER * _FINER, round(finer) // _FINER * _FINER)
    x = ((np.arange(size[0]) + 0.5) / finer)[None, :].astype(np.float32)
    y = ((np.arange(size[1]) + 0.5) / finer)[:, None].astype(np.float32)
    ruled = _RULED.get(fabric.print_name)
    ground = _bytes(fabric.rgb)
    if ruled is not None:
        shares = [_bytes(fabric.accents[i]) for i in range(2)]
        image = Image.new("RGBA", size, (*ground, 255))
        for accent, share in zip(shares, ruled(fabric, x, y), strict=False):
            mask = Image.fromarray(np.broadcast_to(np.clip(share, 0, 1) * 255, size[::-1]).astype(np.uint8))
            image.paste((*accent, 255), (0, 0), mask)
    else:
        image = Image.new("RGBA", size, (*ground, 255))
        if fabric.print_name == "lace":
            image = _lace(fabric, size, finer)
        elif fabric.print_name != "plain":
            _draw_motifs(ImageDraw.Draw(image), fabric, finer)
    return np.asarray(image.reduce(_FINER), np.float32) / 255


def _bytes(rgb: Floats) -> tuple[int, int, int]:
    red, green, blue = (round(255 * float(part)) for part in np.clip(rgb, 0, 1))
    return red, green, blue


def _stripes(fabric: FabricDesign, x: Floats, y: Floats) -> tuple[Floats, ...]:
    place = y + 0 * x if fabric.angle > 0.4 else x * _whole_turns(fabric.scale) + 0 * y
    phase = place / fabric.scale % 1
    share = 0.25 + 0.35 * fabric.angle
    return ((phase < share) * 1.0, (np.abs(phase - 0.8) < 0.03) * 1.0)


def _whole_turns(scale: float) -> float:
    """Stretch that lets a repeat meet itself at the back seam."""
    return max(round(TEXTURE_WIDTH / scale), 1) * scale / TEXTURE_WIDTH


def _checks(fabric: FabricDesign, x: Floats, y: Floats) -> tuple[Floats, ...]:
    across, down = x * _whole_turns(fabric.scale) / fabric.scale % 1, y / fabric.scale % 1
    first = 0.5 * (across < 0.5) + 0.5 * (down < 0.5)
    line = 0.7 * np.maximum(np.abs(across - 0.75) < 0.04, np.abs(down - 0.75) < 0.04)
    return (first, line)


def _zigzag(fabric: FabricDesign, x: Floats, y: Floats) -> tuple[Floats, ...]:
    across = np.abs(x * _whole_turns(fabric.scale) / fabric.scale % 1 - 0.5) * 2
    phase = (y / fabric.scale + across * 0.8) % 1
    return ((phase < 0.42) * 1.0, (np.abs(phase - 0.7) < 0.06) * 1.0)


def _brushed(fabric: FabricDesign, x: Floats, y: Floats) -> tuple[Floats, ...]:
    """Watercolour: soft clouds of several sizes, drawn out down the cloth and broken up by the brush's bristles."""
    shares = []
    bristles = sample(fabric.clouds, x * (18 / TEXTURE_WIDTH), y * 2.5 + 0 * x)
    for offset in (0.0, 0.37):
        cloud = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
        for octave in range(4):
            around = (x / TEXTURE_WIDTH + offset) * max(2**octave // 2, 1)
            down = y * (0.55 * 2**octave) * (0.6 + fabric.angle) + offset + 0 * x
            down = np.abs(down % 2 - 1)  # to and fro on the lattice, so that no edge shows
            cloud += sample(fabric.clouds, around, down) / 1.6**octave
        shares.append(np.clip((cloud + 0.25 * bristles - 0.15) * 2.2, 0, 1))
    return tuple(shares)


_RULED: dict[str, Callable[[FabricDesign, Floats, Floats], tuple[Floats, ...]]] = {
    "stripes": _stripes,
    "checks": _checks,
    "zigzag": _zigzag,
    "brushed": _brushed,
}


def _draw_motifs(draw: ImageDraw.ImageDraw, fabric: FabricDesign, finer: float) -> None:
    for x, y, size, angle, colour in fabric.marks:
        for wrapped in (x, x - TEXTURE_WIDTH):
            if wrapped * finer > -2 * size * finer:
                _draw_motif(draw, fabric, (wrapped * finer, y * finer), size * finer, (angle, int(colour)))


def _draw_motif(
    draw: ImageDraw.ImageDraw,
    fabric: FabricDesign,
    at: tuple[float, float],
    size: float,
    turn_and_colour: tuple[float, int],
) -> None:
    angle, number = turn_and_colour
    if fabric.print_name == "dots":
        draw.ellipse(_disc(at, size * 0.5), _bytes(fabric.accents[0]))
        return
    rgb = fabric.accents[number]
    leaf_rgb = _bytes(fabric.accents[4] * (0.5, 0.75, 0.5) + (0.05, 0.18, 0.08))
    for leaf in _placed(_LEAVES, at, angle, size * 1.35):
        draw.polygon(leaf, leaf_rgb)
    for petals, reach, shade in _RINGS:
        petal_rgb = _bytes(rgb * shade)
        for petal in _placed(petals, at, angle, size * reach):
            draw.polygon(petal, petal_rgb)
    draw.ellipse(_disc(at, size * 0.16), _bytes(1 - 0.7 * rgb[::-1]))


def _disc(at: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    return at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius


def _petals(angles: Floats, half_width: float) -> Floats:
    """Petals of length 1 around the origin, (n, 18, 2)."""
    t = np.linspace(0, np.pi, 9)
    along = np.concatenate([(1 - np.cos(t)) / 2, (1 - np.cos(t))[::-1] / 2])
    across = np.concatenate([np.sin(t), -np.sin(t)[::-1]])
    across = np.sign(across) * np.abs(across) ** 0.8 * half_width
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    return np.stack([along * cos - across * sin, along * sin + across * cos], axis=-1)


def _placed(shapes: Floats, at: tuple[float, float], angle: float, size: float) -> list[list[float]]:
    """Turn, enlarge and move shapes (n, points, 2); each comes back as x, y, x, y, ..."""
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    x, y = shapes[..., 0], shapes[..., 1]
    moved = np.stack([at[0] + x * cos - y * sin, at[1] + x * sin + y * cos], axis=-1)
    flat: list[list[float]] = moved.reshape(len(shapes), -1).tolist()
    return flat


def _evenly(count: int, start: float = 0.0) -> Floats:
    return np.asarray(start + np.arange(count) * (2 * np.pi / count))


_LEAVES = _petals(np.array([0.6, 2.7]), 0.21)
_RINGS = (  # petals, their reach, brightness: from the outside in
    (_petals(_evenly(6), 0.36), 1.0, 0.86),
    (_petals(_evenly(5, 0.5), 0.36), 0.78, 1.0),
    (_petals(_evenly(4, 1.0), 0.36), 0.5, 1.14),
)
_LACE_PETALS = _petals(_evenly(6), 0.32)
_THREAD_ENDS = np.stack([np.cos(_evenly(6, 0.5)), np.sin(_evenly(6, 0.5))], axis=-1)
_LACE_THREADS = np.stack([np.zeros((6, 2)), _THREAD_ENDS], axis=1)


def _lace(fabric: FabricDesign, size: tuple[int, int], finer: float) -> Image.Image:
    """Dense flowers on a fine net; only the density differs, with a breath of shade at the motifs' edges."""
    density = Image.new("L", size, round(255 * _HOLE_DENSITY))
    shade = Image.new("RGBA", size, (*_bytes(fabric.rgb * 0.94), 255))
    dense, light = ImageDraw.Draw(density), ImageDraw.Draw(shade)
    motif_rgb, hole = _bytes(fabric.rgb), round(255 * _HOLE_DENSITY)
    _draw_net(dense, size, finer)
    for x, y, mark_size, angle, _ in fabric.marks:
        at, length = (x * finer, y * finer), mark_size * finer
        for thread in _placed(_LACE_THREADS, at, angle, length * 1.6):
            dense.line(thread, 235, max(round(length * 0.13), 1))
        for petal in _placed(_LACE_PETALS, at, angle, length * 0.95):
            dense.polygon(petal, 250)
            light.polygon(petal, motif_rgb)
        dense.ellipse(_disc(at, length * 0.14), hole)
    shade.putalpha(density)
    return shade


def _draw_net(draw: ImageDraw.ImageDraw, size: tuple[int, int], finer: float) -> None:
    """Slanted threads both ways; their number is whole, so that the net closes at the back seam."""
    width, height = size
    thread_px = max(round(_NET_THREAD * finer), 1)
    for start in np.arange(-height, width + height, _NET_STEP * finer).tolist():
        for end in (start + height, start - height):
            draw.line((start, 0, end, height), round(255 * _THREAD_DENSITY), thread_px)


def look_up(texture: Floats, around: Floats, down: Floats) -> Floats:
    """Return the texture at places of the cloth, bilinear, float32 (..., 4).

    Args:
        texture: From `paint_texture`.
        around: Body units along the cloth from the front middle; it repeats.
        down: Body y; the ends are repeated.
    """
    rows, columns = texture.shape[:2]
    x = (around / TEXTURE_WIDTH + 0.5) * columns - 0.5
    y = np.clip(down * rows - 0.5, 0, rows - 1.001)
    left, top = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
    u, v = (x - left)[..., None].astype(np.float32), (y - top)[..., None].astype(np.float32)
    left, right = left % columns, (left + 1) % columns
    upper = texture[top, left] * (1 - u) + texture[top, right] * u
    lower = texture[top + 1, left] * (1 - u) + texture[top + 1, right] * u
    return np.asarray(upper * (1 - v) + lower * v)
