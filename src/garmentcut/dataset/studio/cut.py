"""The cut of a garment: which places of its tube are cloth, and how dense the cloth is there."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from garmentcut.dataset.studio.canvas import Floats
from garmentcut.dataset.studio.patterns import Strap
from garmentcut.dataset.studio.tube import Profile, Surface

Mask = npt.NDArray[np.bool_]
SHOULDER = 0.035  # body y above which no strap reaches
_STRAP_OVERLAP = 0.012  # straps begin inside the bodice
HEM_ANGLES = np.linspace(-np.pi, np.pi, 1441)


@dataclass(frozen=True)
class Hole:
    """An elliptic opening: its angle, height and half axes (radians, body units)."""

    theta: float
    y: float
    half_angle: float
    half_height: float


@dataclass(frozen=True)
class Slit:
    """An opening from the hem up: its angle, where it ends above, and its half width at the hem in radians."""

    theta: float
    top: float
    half_angle: float


@dataclass(frozen=True)
class SheerBand:
    """A part that is sheer: heights from and to, and its opacity in [0, 1]."""

    top: float
    bottom: float
    opacity: float


@dataclass(frozen=True)
class Cut:
    """The cut of one garment.

    Attributes:
        neck_front: Distance from the middle -> height above which there is no cloth, in front.
        neck_back: The same behind.
        armhole: Height -> distance from the middle up to which there is cloth.
        straps: Bands above the bodice.
        hem: (1441,) height of the hem at `HEM_ANGLES`.
        opening: Height -> half width of the open front; None if it is closed.
        slit: An opening from the hem, if any.
        holes: Further openings.
        sheer: Sheer parts.
    """

    neck_front: Profile
    neck_back: Profile
    armhole: Profile
    straps: tuple[Strap, ...]
    hem: Floats
    opening: Profile | None = None
    slit: Slit | None = None
    holes: tuple[Hole, ...] = ()
    sheer: tuple[SheerBand, ...] = ()

    @property
    def top(self) -> float:
        """The highest cloth, body y."""
        return SHOULDER if self.straps else min(self.neck_front.least, self.neck_back.least)

    @property
    def bottom(self) -> float:
        """The lowest cloth, body y."""
        return float(self.hem.max())


def cloth_mask(cut: Cut, place: Surface, y: Floats) -> Mask:
    """Return where lines of sight meet cloth.

    Args:
        cut: The garment's cut.
        place: Where they meet the garment's tube.
        y: Body y of each of these places, same shape.
    """
    mask = np.array(place.inside)
    highest, lowest = float(y.min()), float(y.max())
    neck_end = max(cut.neck_front.most, cut.neck_back.most)
    if highest < max(neck_end, cut.armhole.end):
        mask &= _upper_part(cut, place, y)
    if cut.opening is not None:
        mask &= (place.ahead < 0) | (np.abs(place.x) > cut.opening(y))
    is_low = lowest > float(cut.hem.min())
    if cut.holes or is_low or (cut.slit is not None and lowest > cut.slit.top):
        theta = place.theta
        for hole in cut.holes:
            mask &= (_turn(theta, hole.theta) / hole.half_angle) ** 2 + ((y - hole.y) / hole.half_height) ** 2 > 1
        if is_low:
            mask &= y < np.interp(theta, HEM_ANGLES, cut.hem)
        if cut.slit is not None:
            opened = np.clip((y - cut.slit.top) / max(cut.bottom - cut.slit.top, 0.01), 0, 1)
            mask &= np.abs(_turn(theta, cut.slit.theta)) >= cut.slit.half_angle * opened
    return mask


def _turn(theta: Floats, origin: float) -> Floats:
    return np.asarray((theta - origin + np.pi) % (2 * np.pi) - np.pi)


def _upper_part(cut: Cut, place: Surface, y: Floats) -> Mask:
    off_middle = np.abs(place.x)
    edge = np.where(place.ahead > 0, cut.neck_front(off_middle), cut.neck_back(off_middle))
    mask = (y > edge) & (off_middle < cut.armhole(y))
    for strap in cut.straps:
        curve = cut.neck_front if strap.in_front else cut.neck_back
        end = float(curve(np.array([abs(strap.x_bottom)]))[0]) + _STRAP_OVERLAP
        along = (y - end) / (SHOULDER + 0.02 - end)
        middle = strap.x_bottom + (strap.x_top - strap.x_bottom) * along
        near = np.minimum(np.abs(place.x - middle), np.abs(place.x + middle)) < strap.half_width
        mask |= near & (y > SHOULDER) & (y < end) & ((place.ahead > 0) == strap.in_front) & place.inside
    return mask


def cloth_density(cut: Cut, y: Floats, unit_px: float) -> Floats:
    """Return the opacity of the cloth in [0, 1] at heights y, seen straight on; an edge takes one pixel."""
    density = np.ones(y.shape, np.float32)
    for band in cut.sheer:
        within = np.clip(np.minimum(y - band.top, band.bottom - y) * unit_px + 0.5, 0, 1)
        density += within * (band.opacity - density)
    return density
