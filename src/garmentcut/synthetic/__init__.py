"""Draws photos of dressed mannequins whose alpha is known exactly: `garmentcut studio`, and training pairs."""

from garmentcut.synthetic.render import StudioPhoto as StudioPhoto
from garmentcut.synthetic.render import Variation as Variation
from garmentcut.synthetic.render import composite as composite
from garmentcut.synthetic.render import draw_studio_photo as draw_studio_photo
from garmentcut.synthetic.render import draw_variation as draw_variation
from garmentcut.synthetic.render import studio_traits as studio_traits
from garmentcut.synthetic.render import write_studio_photos as write_studio_photos
from garmentcut.synthetic.scene import VIEWS as VIEWS
