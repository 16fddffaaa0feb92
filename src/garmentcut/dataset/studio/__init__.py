"""Synthetic studio photos of dressed mannequins whose alpha is known exactly."""

from garmentcut.dataset.studio.photo import StudioPhoto, draw_studio_photo
from garmentcut.dataset.studio.placement import VIEWS

__all__ = ["VIEWS", "StudioPhoto", "draw_studio_photo"]
