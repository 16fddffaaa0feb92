"""Designs a garment's fabric and folds and paints its texture, for `garment`, `cloth` and `render`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from PIL import Image, ImageDraw

from garmentcut.synthetic.canvas import Floats, between, happens, lattice, named_stream, pick, read_table, sample

TEXTURE_WIDTH = 0.82  # body units around the body; beyond, the print repeats at the back seam
_COLOURS = read_table(list[tuple[int, int, int]], "colours")
PRINTS = read_table(dict[str, float], "prints")
_FINER = 2  # texels of the drawing per texel of the result, along each axis
_HOLE_DENSITY, _THREAD_DENSITY = 0.10, 0.72  # opacity of lace between its motifs
_NET_STEP, _NET_THREAD = TEXTURE_WIDTH / 110, 0.0016  # body units
_TURN = 2 * np.pi
_LOOSE = 0.006  # cloth with higher folds hangs freely below its seam and creases only above


@dataclass(frozen=True)
class Finish:
    """How cloth looks in light: strength and sharpness of highlights, visibility of the weave, stiffness of folds."""

    gloss: float
    sharpness: float
    weave: float
    stiffness: float


FINISHES = read_table(dict[str, tuple[Finish, float]], "finishes")


class FabricDesign(NamedTuple):
    """One fabric."""

    rgb: Floats  # (3,) ground colour, sRGB in [0, 1]
    accents: Floats  # (k, 3) colours of the print
    print_name: str  # A key of `PRINTS`
    finish_name: str  # A key of `FINISHES`
    marks: Floats  # (n, 5) motifs of the print: x and y in body units, size, angle, colour number
    clouds: Floats  # Lattice of heights for a watercolour print
    scale: float  # Size of the print, body units
    angle: float  # Direction of the print: 0 runs down, 1 runs around
    inner: Floats  # (3,) colour of the inside
    likeness: str  # What the colour was chosen to resemble: `mannequin`, `background` or empty

    @property
    def finish(self) -> Finish:
        """The finish of the cloth."""
        return FINISHES[self.finish_name][0]


def design_fabric(
    seed: int, skin: Floats, backdrop: Floats, *, rgb: Sequence[float] | None = None, print_name: str | None = None
) -> FabricDesign:
    """Return the fabric of a seed; some garments resemble the mannequin's skin, (3,), or the backdrop, (3,).

    A ground colour `rgb`, sRGB in [0, 1], and a print's name replace the drawn ones.
    """
    rng = named_stream(seed, "fabric")
    drawn_print = pick(rng, PRINTS)
    name = print_name or drawn_print
    finish = pick(rng, {key: weight for key, (_, weight) in FINISHES.items()})
    finish = "cotton" if name == "lace" else "crepe" if finish == "sequins" and name != "plain" else finish
    likeness = pick(rng, {"": 0.82, "mannequin": 0.07, "background": 0.11})
    ground = {"": _colour(rng), "mannequin": skin, "background": backdrop}[likeness]
    ground = np.clip(ground + rng.normal(0, 0.025, 3), 0.015, 0.985)
    if rgb is not None:
        ground = np.array(rgb, np.float64)
    accents = np.stack([_colour(rng) for _ in range(5)])
    if name == "brushed":  # washes of neighbouring tones
        accents = ground + 0.45 * (accents - ground)
    if name in ("stripes", "checks", "dots", "zigzag") and happens(rng, 0.6):
        accents[0] = (0.95, 0.95, 0.94) if ground.mean() < 0.5 else (0.1, 0.1, 0.14)
    return FabricDesign(
        rgb=np.asarray(ground, np.float32),
        accents=accents.astype(np.float32),
        print_name=name,
        finish_name=finish,
        marks=_marks(rng, name),
        clouds=lattice(rng, 12, 10),
        scale=between(rng, 0.012, 0.055),
        angle=between(rng, 0, 1),
        inner=np.asarray(ground * between(rng, 0.6, 0.95), np.float32),
        likeness=likeness if rgb is None else "",
    )


def _colour(rng: np.random.Generator) -> Floats:
    chosen = np.array(_COLOURS[int(rng.integers(len(_COLOURS)))]) / 255
    return np.asarray(np.clip(chosen * between(rng, 0.88, 1.1), 0, 1))


def _marks(rng: np.random.Generator, print_name: str) -> Floats:
    """Motifs over the whole cloth, or along one bent branch for a placed print."""
    size = between(rng, 0.008, 0.022)
    if print_name == "placed flowers":
        count = 16
        along = np.linspace(0, 1, count)
        x = TEXTURE_WIDTH / 2 + 0.05 * np.sin(along * between(rng, 2, 5)) + rng.normal(0, 0.014, count)
        y = between(rng, 0.12, 0.2) + along * between(rng, 0.08, 0.3)
        size = between(rng, 0.014, 0.022)
    else:
        # A jittered grid, so that motifs are spread evenly, like a repeat, and never pile up.
        step = size * between(rng, 1.9, 3.2)
        columns, rows = int(TEXTURE_WIDTH / step), int(1.0 / step)
        grid_x, grid_y = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
        count = grid_x.size
        x = grid_x.ravel() * TEXTURE_WIDTH + rng.uniform(-0.4, 0.4, count) * step
        y = grid_y.ravel() + rng.uniform(-0.4, 0.4, count) * step
    sizes = size * rng.uniform(0.55, 1.25, count)
    return np.stack([x, y, sizes, rng.uniform(0, 2 * np.pi, count), rng.integers(0, 4, count)], axis=1)


def paint_texture(fabric: FabricDesign, unit_px: float) -> Floats:
    """Return the unrolled cloth, float32 (rows, columns, 4): sRGB and density in [0, 1].

    Columns span `TEXTURE_WIDTH` body units around the body from its back seam; rows span one body unit, from the neck.
    """
    finer = unit_px * _FINER
    size = (round(TEXTURE_WIDTH * finer) // _FINER * _FINER, round(finer) // _FINER * _FINER)
    x = ((np.arange(size[0]) + 0.5) / finer)[None, :].astype(np.float32)
    y = ((np.arange(size[1]) + 0.5) / finer)[:, None].astype(np.float32)
    ruled = _RULED.get(fabric.print_name)
    image = Image.new("RGBA", size, (*_bytes(fabric.rgb), 255))
    if ruled is not None:
        for accent, share in zip(fabric.accents, ruled(fabric, x, y), strict=False):
            mask = Image.fromarray(np.broadcast_to(np.clip(share, 0, 1) * 255, size[::-1]).astype(np.uint8))
            image.paste((*_bytes(accent), 255), (0, 0), mask)
    elif fabric.print_name == "lace":
        image = _lace(fabric, size, finer)
    elif fabric.print_name != "plain":
        draw = ImageDraw.Draw(image)
        for mark in fabric.marks:
            _draw_motif(draw, fabric, mark, finer)
            if mark[0] - TEXTURE_WIDTH > -2 * mark[2]:
                _draw_motif(draw, fabric, mark - (TEXTURE_WIDTH, 0, 0, 0, 0), finer)
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
    """The stretch with which a print fits a whole number of times around, and so closes at the back seam."""
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
    """Watercolour: soft clouds of several sizes, stretched down the cloth and broken up by a brush's bristles."""
    shares = []
    bristles = sample(fabric.clouds, x * (18 / TEXTURE_WIDTH), y * 2.5 + 0 * x)
    for offset in (0.0, 0.37):
        cloud = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
        for octave in range(4):
            around = (x / TEXTURE_WIDTH + offset) * max(2**octave // 2, 1)
            down = y * (0.55 * 2**octave) * (0.6 + fabric.angle) + offset + 0 * x
            down = np.abs(down % 2 - 1)  # back and forth on the lattice, so that no edge shows
            cloud += sample(fabric.clouds, around, down) / 1.6**octave
        shares.append(np.clip((cloud + 0.25 * bristles - 0.15) * 2.2, 0, 1))
    return tuple(shares)


_RULED: dict[str, Callable[[FabricDesign, Floats, Floats], tuple[Floats, ...]]] = {
    "stripes": _stripes,
    "checks": _checks,
    "zigzag": _zigzag,
    "brushed": _brushed,
}


def _draw_motif(draw: ImageDraw.ImageDraw, fabric: FabricDesign, mark: Floats, finer: float) -> None:
    x, y, size, angle, number = mark
    at, size = (x * finer, y * finer), size * finer
    if fabric.print_name == "dots":
        draw.ellipse(_disc(at, size * 0.5), _bytes(fabric.accents[0]))
        return
    rgb = fabric.accents[int(number)]
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
    """Rotate, scale and move shapes (n, points, 2); returns each as x, y, x, y, ..."""
    cos, sin = size * np.cos(angle), size * np.sin(angle)
    x, y = shapes[..., 0], shapes[..., 1]
    moved = np.stack([at[0] + x * cos - y * sin, at[1] + x * sin + y * cos], axis=-1)
    return cast(list[list[float]], moved.reshape(len(shapes), -1).tolist())


def _evenly(count: int, start: float = 0.0) -> Floats:
    return np.asarray(start + np.arange(count) * (2 * np.pi / count))


_LEAVES = _petals(np.array([0.6, 2.7]), 0.21)
_RINGS = (  # petals, reach and brightness, from the outside in
    (_petals(_evenly(6), 0.36), 1.0, 0.86),
    (_petals(_evenly(5, 0.5), 0.36), 0.78, 1.0),
    (_petals(_evenly(4, 1.0), 0.36), 0.5, 1.14),
)
_LACE_PETALS = _petals(_evenly(6), 0.32)
_THREAD_ENDS = np.stack([np.cos(_evenly(6, 0.5)), np.sin(_evenly(6, 0.5))], axis=-1)
_LACE_THREADS = np.stack([np.zeros((6, 2)), _THREAD_ENDS], axis=1)


def _lace(fabric: FabricDesign, size: tuple[int, int], finer: float) -> Image.Image:
    """Dense flowers on a fine net, which differ in density, with a slight shade at the motifs' edges."""
    density = Image.new("L", size, round(255 * _HOLE_DENSITY))
    shade = Image.new("RGBA", size, (*_bytes(fabric.rgb * 0.94), 255))
    dense, light = ImageDraw.Draw(density), ImageDraw.Draw(shade)
    motif_rgb, hole = _bytes(fabric.rgb), round(255 * _HOLE_DENSITY)
    (width, height), thread_px = size, max(round(_NET_THREAD * finer), 1)
    # The net's threads are slanted both ways; a whole number fits around, so that it closes at the back seam.
    for start in np.arange(-height, width + height, _NET_STEP * finer).tolist():
        for end in (start + height, start - height):
            dense.line((start, 0, end, height), round(255 * _THREAD_DENSITY), thread_px)
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


def look_up(texture: Floats, around: Floats, down: Floats) -> Floats:
    """Sample the texture bilinearly at places of the cloth, (h, w), float32 (h, w, 4).

    `around` is in body units along the cloth from the middle of the front, and repeats; `down` is body y, clipped.
    """
    rows, columns = texture.shape[:2]
    x: Any = np.asarray((around / TEXTURE_WIDTH + 0.5) % 1 * columns - 0.5, np.float32)
    y: Any = np.asarray(np.clip(down * rows - 0.5, 0, rows - 1), np.float32)
    return np.asarray(cv2.remap(cast(Any, texture), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


@dataclass(frozen=True)
class Silhouette:
    """The outline below the bodice."""

    from_waist: bool  # The widths begin at the waist; else at the bust, and the waist is not fitted
    half_widths: tuple[float, ...]  # At equal steps from there to the hem
    fold: float  # Height of the hanging folds at the hem
    folds: tuple[int, int]  # Least and greatest number of hanging folds around
    gathers: float  # Height of the fine gathers where the widths begin


class FoldDesign(NamedTuple):
    """The relief of one garment."""

    pleats: Floats  # (n, 5) hanging folds: angle, half width in radians, height, body y of the start, drift in radians
    wrinkles: Floats  # (n, 6) creases: angle, height, half length, half width, slope in radians, depth
    gathers: Floats  # Lattice of fine gathers below the seam
    billow: Floats  # Lattice of large-scale unevenness
    seam: float  # Body y where pleats and gathers begin
    hem: float  # Body y where pleats are highest
    gather_depth: float  # Height of the gathers at the seam, body units
    quilting: float  # Distance between horizontal quilting lines, body units; 0 is none


def design_folds(
    seed: int, silhouette: Silhouette, *, seam: float, hem: float, stiffness: float, quilting: float = 0.0
) -> FoldDesign:
    """Return the folds of a garment whose skirt begins at body y `seam` and ends at `hem`.

    A stiffness of 1 is cotton's; satin's and chiffon's is lower. `quilting` is the distance between quilting lines in
    body units; 0 is none.
    """
    rng = named_stream(seed, "folds")
    count = int(rng.integers(silhouette.folds[0], silhouette.folds[1] + 1))
    spread = _TURN / count
    angle = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) * spread
    height = silhouette.fold * rng.uniform(0.35, 1.25, count) / stiffness
    begins = seam + (hem - seam) * rng.uniform(-0.05, 0.35, count)
    drift = rng.normal(0, 0.12, count) * spread
    pleats = np.stack([angle, spread * rng.uniform(0.28, 0.55, count), height, begins, drift], axis=1)
    return FoldDesign(
        pleats=pleats,
        wrinkles=_wrinkles(rng, seam, seam if silhouette.fold > _LOOSE else hem, stiffness),
        gathers=lattice(rng, 3, 72),
        billow=lattice(rng, 6, 9),
        seam=seam,
        hem=hem,
        gather_depth=silhouette.gathers * between(rng, 0.6, 1.2),
        quilting=quilting,
    )


def _wrinkles(rng: np.random.Generator, seam: float, hem: float, stiffness: float) -> Floats:
    count = int(rng.integers(14, 34))
    # Cloth creases where it is held: below the bust, at the waist and over the hips.
    places = np.minimum(rng.choice(np.array([0.15, 0.2, seam, seam + 0.03, 0.33, (seam + hem) / 2]), count), hem)
    return np.stack(
        [
            rng.uniform(0, _TURN, count),
            places + rng.normal(0, 0.025, count),
            rng.uniform(0.015, 0.06, count),
            rng.uniform(0.003, 0.009, count),
            rng.normal(0, 0.5, count),
            rng.uniform(0.0008, 0.0030, count) / stiffness,
        ],
        axis=1,
    )


def fold_relief(design: FoldDesign, theta: Floats, y: Floats) -> Floats:
    """Return how far the cloth stands out from its tube, in body units, with the shape of theta and y."""
    relief = _pleats(design, theta, y) + _creases(design, theta, y)
    below = np.maximum(y - design.seam, 0)
    gathered = np.where(y >= design.seam, np.exp(-below / 0.07), np.exp(-(design.seam - y) / 0.012) * 0.6)
    ridges = 1 - 2 * np.abs(sample(design.gathers, theta / _TURN, below / 0.5))
    relief += design.gather_depth * gathered * ridges
    relief += 0.0036 * sample(design.billow, theta / _TURN, y)
    if design.quilting:
        relief += 0.005 * np.sqrt(np.abs(np.sin(np.pi * y / design.quilting)) + 0.06)
    return np.asarray(relief, np.float32)


def _pleats(design: FoldDesign, theta: Floats, y: Floats) -> Floats:
    relief = np.zeros(theta.shape, np.float32)
    span = max(design.hem - design.seam, 0.05)
    for angle, half_width, height, begins, drift in design.pleats.astype(np.float32):
        offset = (theta - angle - drift * (y - design.seam) / span + np.pi) % _TURN - np.pi
        t = offset / half_width
        grown = np.clip((y - begins) / span, 0, 1.1)
        # A round ridge with a sharper valley on one side, like cloth that hangs under gravity.
        relief += height * grown * (np.exp(-t * t) - 0.7 * np.exp(-(((t - 1.3) / 0.5) ** 2)))
    return relief


def _creases(design: FoldDesign, theta: Floats, y: Floats) -> Floats:
    relief = np.zeros(theta.shape, np.float32)
    by_row = y.reshape(len(y), -1)
    highest, lowest = by_row.min(axis=1), by_row.max(axis=1)
    for angle, height, half_length, half_width, slope, depth in design.wrinkles.astype(np.float32):
        reach = 2.5 * half_length + 6 * half_width  # beyond it a crease has less than a hundredth of its depth
        rows = np.flatnonzero((highest < height + reach) & (lowest > height - reach))
        if rows.size == 0:
            continue
        part = slice(rows[0], rows[-1] + 1)
        right = ((theta[part] - angle + np.pi) % _TURN - np.pi) * 0.09
        down = y[part] - height
        along = (right * np.cos(slope) + down * np.sin(slope)) / half_length
        across = (down * np.cos(slope) - right * np.sin(slope)) / half_width + 0.6 * along**2
        ridge = np.exp(-across * across) - 0.5 * np.exp(-((across - 1.5) ** 2))
        relief[part] -= depth * np.exp(-along * along) * ridge
    return relief
