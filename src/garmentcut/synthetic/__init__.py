"""A studio that draws itself: photos of dressed mannequins whose alpha is known exactly."""

from garmentcut.synthetic.render import StudioPhoto, draw_studio_photo, studio_traits, write_studio_photos
from garmentcut.synthetic.scene import VIEWS

__all__ = ["VIEWS", "StudioPhoto", "draw_studio_photo", "studio_traits", "write_studio_photos"]
