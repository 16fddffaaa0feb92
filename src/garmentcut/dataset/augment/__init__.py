"""Photo and alpha varied together, on the device they are on: geometry, colour, light, and what the garment is."""

from garmentcut.dataset.augment.page import augmentation_page
from garmentcut.dataset.augment.pipeline import augment

__all__ = ["augment", "augmentation_page"]
