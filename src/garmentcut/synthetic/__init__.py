"""Draws photos of dressed mannequins whose alpha is known exactly: `garmentcut studio`, and training pairs."""

from garmentcut.synthetic.render import (
    StudioPhoto,
    Variation,
    composite,
    draw_studio_photo,
    draw_variation,
    studio_traits,
    write_studio_photos,
)
from garmentcut.synthetic.scene import VIEWS

__all__ = [
    "VIEWS",
    "StudioPhoto",
    "Variation",
    "composite",
    "draw_studio_photo",
    "draw_variation",
    "studio_traits",
    "write_studio_photos",
]
