"""The first look: the whole photo in small, and its alpha carried to where the second look needs it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.model.card import FirstLook
from garmentcut.photo.resize import resize_rgb
from garmentcut.prediction.crop import Crop
from garmentcut.prediction.frame import Frame
from garmentcut.prediction.locate import Place
from garmentcut.prediction.looks import Looks
from garmentcut.prediction.runtime import Runtime

_REDUCING_GAP = 2.0  # a box is what is looked for: 1152x1728 pixels shrink in half the time


def coarse_alpha(first: Runtime, frame: Frame, look: FirstLook) -> NDArray[np.float32]:
    """The first look's alpha of the whole photo.

    Args:
        first: its network.
        frame: the photo as framed.
        look: what the card says of it.

    Returns:
        `(h, w)` float32 in [0, 1], of the photo without any padding, about `look.size_hw`.
    """
    content = frame.rgb[: frame.content_hw[0], : frame.content_hw[1]]
    scale = (look.size_hw[0] * look.size_hw[1] / (content.shape[0] * content.shape[1])) ** 0.5
    scale = min(look.size_hw[0] / content.shape[0], scale * 2**0.5)  # the frame's own rule, and its limit
    height, width = (max(round(side * scale), 1) for side in content.shape[:2])
    small = resize_rgb(content, (height, width), reducing_gap=_REDUCING_GAP)
    pad = [(0, -side % look.multiple_of) for side in (height, width)]
    alpha: NDArray[np.float32] = first(np.pad(small, (*pad, (0, 0)), mode="edge"))[:height, :width]
    return alpha


def coarse_in(crop: Crop, coarse: NDArray[np.float32], photo_hw: tuple[int, int]) -> NDArray[np.float32]:
    """The first look's alpha as the crop's network sees the photo: `crop.shape_hw` float32 in [0, 1].

    Smooth, for the first look knows no edges: those are the second's to find.
    """
    step = np.array(coarse.shape[::-1] * 2) / np.array(photo_hw[::-1] * 2)
    box = np.minimum(np.array(crop.box_xyxy) * step, coarse.shape[::-1] * 2)  # a product may be rounded beyond
    image = Image.fromarray(np.ascontiguousarray(coarse))
    size = crop.content_hw[1], crop.content_hw[0]
    large = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=tuple(box)), np.float32).clip(0, 1)
    missing = [(0, whole - has) for whole, has in zip(crop.shape_hw, crop.content_hw, strict=True)]
    return np.pad(large, missing, mode="edge")


def with_map(rgb: NDArray[np.uint8], coarse: NDArray[np.float32]) -> NDArray[np.uint8]:
    """`(H, W, 4)` uint8: pixels and the first look's alpha, 255 for 1."""
    return np.dstack([rgb, np.rint(coarse * 255).astype(np.uint8)])


def fast_looks(frame: Frame, place: Place) -> Looks:
    """The first look taken for the last: its edge is made crisp when it is brought to the photo's size."""
    (height, width), coarse = frame.photo_hw, place.garment
    whole = Crop((0, 0, width, height), (coarse.shape[0], coarse.shape[1]), (coarse.shape[0], coarse.shape[1]))
    return Looks(frame, whole, coarse, coarse, place.notes)
