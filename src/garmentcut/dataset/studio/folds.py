"""Folds, gathers and wrinkles as one relief of the cloth over angle and height."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.noise import lattice, sample
from garmentcut.dataset.studio.patterns import Silhouette
from garmentcut.dataset.studio.streams import between, named_stream

_TURN = 2 * np.pi
_LOOSE = 0.006  # cloth with higher folds hangs free below its seam and creases only above


@dataclass(frozen=True)
class FoldDesign:
    """The relief of one garment.

    Attributes:
        pleats: (n, 5) hanging folds: angle, half width in radians, height, where it begins, drift in radians.
        wrinkles: (n, 6) creases: angle, height, half length, half width, slope in radians, depth.
        gathers: Lattice of fine gathers below the seam.
        billow: Lattice of broad unevenness.
        seam: Body y where pleats and gathers begin.
        hem: Body y where pleats are highest.
        gather_depth: Height of the gathers at the seam, body units.
        quilting: Distance of horizontal quilting lines, body units; 0 is none.
    """

    pleats: Floats
    wrinkles: Floats
    gathers: Floats
    billow: Floats
    seam: float
    hem: float
    gather_depth: float
    quilting: float


def design_folds(
    seed: int, silhouette: Silhouette, *, seam: float, hem: float, stiffness: float, quilting: float = 0.0
) -> FoldDesign:
    """Return the folds of a garment.

    Args:
        seed: The photo's seed.
        silhouette: How strongly it folds.
        seam: Body y where the skirt begins.
        hem: Body y where it ends.
        stiffness: 1 is cotton; satin and chiffon fold less stiffly.
        quilting: Distance of quilting lines, body units; 0 is none.
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
    # Cloth creases where it is held: under the bust, at the waist and over the hips.
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
    """Return how far the cloth stands out from its tube, body units, same shape as theta and y."""
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
        # A round ridge with a sharper valley on one side, as gravity pulls hanging cloth.
        relief += height * grown * (np.exp(-t * t) - 0.7 * np.exp(-(((t - 1.3) / 0.5) ** 2)))
    return relief


def _creases(design: FoldDesign, theta: Floats, y: Floats) -> Floats:
    relief = np.zeros(theta.shape, np.float32)
    by_row = y.reshape(len(y), -1)
    highest, lowest = by_row.min(axis=1), by_row.max(axis=1)
    for angle, height, half_length, half_width, slope, depth in design.wrinkles.astype(np.float32):
        reach = 2.5 * half_length + 6 * half_width  # beyond, a crease is flatter than a hundredth of its depth
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
