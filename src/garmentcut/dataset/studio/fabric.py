"""Fabrics: colours, finish and print, drawn from tables."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.noise import lattice
from garmentcut.dataset.studio.streams import between, happens, named_stream, pick

TEXTURE_WIDTH = 0.82  # body units around; then the print repeats, at the back seam
_COLOURS = (  # sRGB
    (22, 22, 24), (18, 19, 22), (26, 28, 46), (24, 36, 92), (30, 62, 160), (92, 138, 214), (150, 186, 222),
    (112, 206, 222),
    (16, 124, 116), (20, 92, 70), (126, 150, 92), (180, 206, 150), (232, 214, 96), (240, 168, 60), (226, 96, 50),
    (206, 50, 44), (140, 18, 30), (92, 18, 40), (232, 136, 118), (246, 196, 196), (226, 92, 140), (170, 60, 128),
    (150, 120, 176), (92, 58, 110), (244, 242, 236), (250, 250, 250), (226, 220, 208), (206, 200, 196), (160, 158, 160),
    (104, 104, 108), (62, 62, 66), (122, 98, 74), (184, 152, 116), (74, 98, 128), (52, 74, 98),
)  # fmt: skip
PRINTS = {
    "plain": 7.0, "stripes": 1.4, "checks": 1.3, "flowers": 2.4, "dots": 0.7, "zigzag": 0.6, "brushed": 0.8,
    "placed flowers": 1.0, "lace": 1.2,
}  # fmt: skip


@dataclass(frozen=True)
class Finish:
    """How cloth takes light: strength and sharpness of its highlights, visible weave, and stiffness of folds."""

    gloss: float
    sharpness: float
    weave: float
    stiffness: float


FINISHES: dict[str, tuple[Finish, float]] = {
    "cotton": (Finish(0.03, 6, 0.02, 1.0), 4),
    "crepe": (Finish(0.02, 5, 0.03, 0.8), 2.5),
    "satin": (Finish(0.46, 12, 0.006, 0.75), 2),
    "chiffon": (Finish(0.04, 8, 0.012, 0.65), 1.5),
    "denim": (Finish(0.02, 5, 0.075, 1.3), 1),
    "knit": (Finish(0.0, 4, 0.06, 1.2), 1.2),
    "sequins": (Finish(0.35, 16, 0.75, 1.3), 0.6),
}


@dataclass(frozen=True)
class FabricDesign:
    """One fabric.

    Attributes:
        rgb: (3,) ground colour, sRGB in [0, 1].
        accents: (k, 3) colours of the print.
        print_name: A key of `PRINTS`.
        finish_name: A key of `FINISHES`.
        marks: (n, 5) motifs of the print: x and y in body units, size, angle, colour number.
        clouds: Lattice heights of a watercolour print.
        scale: Size of the print, body units.
        angle: Its slope: 0 runs down, 1 runs around.
        inner: (3,) colour of the inside.
        likeness: What the colour was chosen to resemble: `mannequin`, `background` or nothing.
    """

    rgb: Floats
    accents: Floats
    print_name: str
    finish_name: str
    marks: Floats
    clouds: Floats
    scale: float
    angle: float
    inner: Floats
    likeness: str

    @property
    def finish(self) -> Finish:
        """How it takes light."""
        return FINISHES[self.finish_name][0]


def design_fabric(
    seed: int, skin: Floats, backdrop: Floats, *, rgb: Sequence[float] | None = None, print_name: str | None = None
) -> FabricDesign:
    """Return the fabric of a seed.

    Args:
        seed: The photo's seed.
        skin: (3,) the mannequin's colour, which some garments resemble.
        backdrop: (3,) the background's colour, which some garments resemble.
        rgb: Ground colour instead of the drawn one, sRGB in [0, 1].
        print_name: A key of `PRINTS` instead of the drawn one.
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
        # A jittered grid: motifs are spread evenly, as a repeat would be, and never pile up.
        step = size * between(rng, 1.9, 3.2)
        columns, rows = int(TEXTURE_WIDTH / step), int(1.0 / step)
        grid_x, grid_y = np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows)
        count = grid_x.size
        x = grid_x.ravel() * TEXTURE_WIDTH + rng.uniform(-0.4, 0.4, count) * step
        y = grid_y.ravel() + rng.uniform(-0.4, 0.4, count) * step
    sizes = size * rng.uniform(0.55, 1.25, count)
    return np.stack([x, y, sizes, rng.uniform(0, 2 * np.pi, count), rng.integers(0, 4, count)], axis=1)
