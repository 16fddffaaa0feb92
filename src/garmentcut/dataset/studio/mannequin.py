"""The mannequin: its measures and skin as tables, its shape as tubes."""

from dataclasses import dataclass

import numpy as np

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.streams import between, happens, named_stream, pick
from garmentcut.dataset.studio.tube import Tube, profile

SKINS = {  # sRGB of a surface in full light, and how often
    "beige": ((236, 199, 166), 5.0),
    "rose": ((232, 196, 172), 3.0),
    "cream": ((247, 226, 190), 3.0),
    "straw": ((244, 216, 156), 2.0),
    "ivory": ((250, 240, 218), 1.0),
    "tan": ((212, 162, 122), 1.5),
    "grey": ((158, 160, 164), 1.5),
}
# Body y, half width, half depth, forward shift.
_TORSO = (
    (0.000, 0.037, 0.037, -0.006),
    (0.030, 0.034, 0.038, -0.006),
    (0.044, 0.040, 0.043, -0.008),
    (0.054, 0.062, 0.047, -0.010),
    (0.066, 0.080, 0.052, -0.010),
    (0.080, 0.091, 0.056, -0.008),
    (0.100, 0.094, 0.063, -0.004),
    (0.130, 0.091, 0.072, 0.004),
    (0.160, 0.087, 0.074, 0.006),
    (0.200, 0.079, 0.063, 0.002),
    (0.250, 0.073, 0.056, 0.000),
    (0.290, 0.082, 0.065, -0.004),
    (0.340, 0.095, 0.077, -0.010),
    (0.385, 0.100, 0.080, -0.012),
    (0.415, 0.097, 0.076, -0.010),
    (0.440, 0.086, 0.066, -0.008),
    (0.466, 0.016, 0.030, -0.004),
)
# Body y, distance from the axis, radius, backward shift.
_LEG = (
    (0.360, 0.044, 0.026, 0.004),
    (0.400, 0.047, 0.0465, 0.006),
    (0.425, 0.0485, 0.0505, 0.006),
    (0.450, 0.049, 0.050, 0.005),
    (0.520, 0.050, 0.0410, -0.004),
    (0.600, 0.051, 0.0325, -0.010),
    (0.640, 0.051, 0.0285, -0.008),
    (0.680, 0.050, 0.0275, 0.002),
    (0.740, 0.050, 0.0300, 0.012),
    (0.820, 0.049, 0.0250, 0.014),
    (0.900, 0.048, 0.0185, 0.008),
    (0.985, 0.048, 0.0185, 0.002),
)


@dataclass(frozen=True)
class MannequinDesign:
    """One mannequin.

    Attributes:
        skin: (3,) sRGB in [0, 1].
        gloss: Strength of the highlights.
        torso: Neck to hips.
        legs: The figure's right and left leg.
        arm_length: How far the upper-arm stumps reach beyond the shoulder, body units; 0 is none.
        socket: (3,) colour of the disc where an arm would be joined.
        has_waist_seam: The torso lifts off the legs at a visible seam.
        cap: (3,) colour of the top of the neck.
    """

    skin: Floats
    gloss: float
    torso: Tube
    legs: tuple[Tube, Tube]
    arm_length: float
    socket: Floats
    has_waist_seam: bool
    cap: Floats


def design_mannequin(seed: int) -> MannequinDesign:
    """Return the mannequin of a seed."""
    rng = named_stream(seed, "mannequin")
    skin = np.array(SKINS[pick(rng, {name: weight for name, (_, weight) in SKINS.items()})][0], np.float32) / 255
    skin = np.clip(skin + rng.normal(0, 0.012, 3).astype(np.float32), 0, 1)
    width = between(rng, 0.95, 1.05)
    stance = between(rng, -0.014, 0.014)
    slim = between(rng, 0.92, 1.04)
    legs = (_leg(-1, stance, slim, width), _leg(1, -stance, slim, width))
    arm_length = between(rng, 0.016, 0.028) if happens(rng, 0.6) else 0.0
    grey = between(rng, 0.35, 0.75)
    cap = np.clip(skin * between(rng, 0.9, 1.08), 0, 1)
    return MannequinDesign(
        skin=skin,
        gloss=between(rng, 0.0, 0.14),
        torso=_torso(width),
        legs=legs,
        arm_length=arm_length,
        socket=np.full(3, grey, np.float32),
        has_waist_seam=happens(rng, 0.7),
        cap=np.asarray(cap, np.float32),
    )


def _torso(width: float) -> Tube:
    y, half_width, half_depth, forward = np.array(_TORSO).T
    return Tube(
        top=0.0,
        bottom=float(y[-1]),
        centre_x=profile([(0, 0), (1, 0)]),
        centre_z=profile(list(zip(y, forward, strict=True))),
        half_width=profile(list(zip(y, half_width * width, strict=True)), 0.008),
        half_depth=profile(list(zip(y, half_depth, strict=True)), 0.008),
    )


def _leg(side: int, stance: float, slim: float, hips: float) -> Tube:
    y, spread, radius, back = np.array(_LEG).T
    radius = radius * np.interp(y, (0.46, 0.6), (hips, slim))
    spread = spread * np.interp(y, (0.46, 0.6), (hips, 1.0))
    deeper = np.interp(y, (0.42, 0.55), (1.22, 1.06))  # thighs are deeper than wide
    return Tube(
        top=float(y[0]),
        bottom=float(y[-1]),
        centre_x=profile(list(zip(y, side * spread, strict=True))),
        centre_z=profile(list(zip(y, stance - back, strict=True)), 0.03),
        half_width=profile(list(zip(y, radius, strict=True)), 0.025),
        half_depth=profile(list(zip(y, radius * deeper, strict=True)), 0.025),
    )


def bust_relief(theta: Floats, y: Floats, fullness: float = 1.0) -> Floats:
    """Return how far the bust stands out from the torso's ellipses, body units, at angles and heights."""
    relief = np.zeros(np.broadcast_shapes(theta.shape, y.shape), np.float32)
    for side in (-1, 1):
        across = (theta - side * 0.62) / 0.36
        down = (y - 0.152) / np.where(y > 0.152, 0.026, 0.042)
        relief += np.exp(-(across**2) - down**2)
    return np.asarray(0.019 * fullness * relief, np.float32)
