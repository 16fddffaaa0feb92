"""What an audit looks at: the part of a photo around the garment, a cutout's mask there and a prediction's."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_gradient_magnitude

from garmentcut.evaluation.masks import Area, Mask
from garmentcut.evaluation.matting import Alpha
from garmentcut.evaluation.surface import border_of


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything around the garment, cut out of the photo.

    Attributes:
        colors: `(h, w, 3)` float32, the photo.
        edges: `(h, w)` float32: how steep the photo is, in lightness or in warmth.
        theirs: the cutout's mask; ours: the prediction's.
        alpha: the prediction's.
        their_inside, our_inside: signed distances from the two borders.
        corner_yx: where in the photo it begins.
        unit: pixels of the photo that one of a photo 1728 high stands for.
    """

    colors: NDArray[np.float32]
    edges: NDArray[np.float32]
    theirs: Mask
    ours: Mask
    alpha: Alpha
    their_inside: NDArray[np.float32]
    our_inside: NDArray[np.float32]
    corner_yx: tuple[int, int]
    unit: float

    @classmethod
    def of(cls, rgb: NDArray[np.uint8], theirs: Mask, ours: Mask, alpha: Alpha, *, area: Area, unit: float) -> "Scene":
        """Of `area` of the photo, two masks and the prediction's alpha."""
        colors = rgb[area].astype(np.float32)
        light, warmth = colors.mean(axis=2), (colors[..., 0] - colors[..., 2]) / 2
        steepest = [gaussian_gradient_magnitude(plane, 1.0) for plane in (light, warmth)]
        return cls(
            colors=colors,
            edges=np.maximum.reduce(steepest),
            theirs=theirs[area],
            ours=ours[area],
            alpha=alpha[area],
            their_inside=inside_of(theirs[area]),
            our_inside=inside_of(ours[area]),
            corner_yx=(area[0].start, area[1].start),
            unit=unit,
        )


def inside_of(mask: Mask) -> NDArray[np.float32]:
    """Signed distance from a mask's border in pixels, above zero inside; its border pixels lie half a pixel inside."""
    distance = distance_transform_edt(~border_of(mask))  # the border's own pixels belong to the mask
    signed: NDArray[np.float32] = np.where(mask, distance + 0.5, 0.5 - distance).astype(np.float32)
    return signed
