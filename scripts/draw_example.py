"""Draw docs/images/example.png: an example photo, its mask, and its cutout on a strong colour, as `cut` makes them."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from garmentcut import Cutter, read_photo

_ROOT = Path(__file__).parents[1]
_PANEL = (300, 450)


def main(photo_path: Path) -> None:
    """Write the picture."""
    photo = read_photo(photo_path)
    cutout = Cutter.load()(photo)
    mask = np.repeat(np.rint(cutout.alpha * 255).astype(np.uint8)[..., None], 3, axis=2)
    panels = [photo.rgb, mask, cutout.cleaned.over("#ff2d87")]
    picture = Image.new("RGB", (_PANEL[0] * len(panels) + 10 * (len(panels) - 1), _PANEL[1]), "white")
    for number, pixels in enumerate(panels):
        panel = Image.fromarray(pixels).resize(_PANEL, Image.Resampling.LANCZOS)
        picture.paste(panel, (number * (_PANEL[0] + 10), 0))
    target = _ROOT / "docs" / "images" / "example.png"
    target.parent.mkdir(exist_ok=True)
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
