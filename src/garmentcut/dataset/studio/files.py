"""Write synthetic studio photos to disk, named as a studio names its own, with their exact cutouts if wanted."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from garmentcut.dataset.studio.photo import StudioPhoto, draw_studio_photo
from garmentcut.dataset.studio.placement import VIEWS
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.files import write_atomic

_JPEG_QUALITY = 95


def write_studio_photos(
    out_dir: Path, seeds: Iterable[int], *, size_hw: tuple[int, int] = (1728, 1152), cutouts_dir: Path | None = None
) -> Iterator[Path]:
    """Draw a garment for each seed, in all three views.

    Args:
        out_dir: gets `<garment>_<view>.jpg`.
        seeds: 0 or more each; the same seed gives the same garment.
        size_hw: height and width in pixels.
        cutouts_dir: gets `<garment>_<view>.png`, RGBA with the exact alpha, as a retoucher would deliver it.

    Yields:
        The path of each photo when it is written.
    """
    for seed in seeds:
        for view in VIEWS:
            shot = draw_studio_photo(seed, view=view, size_hw=size_hw)
            name = f"{shot.garment}_{shot.view}"
            if cutouts_dir is not None:
                Cutout(shot.rgb, shot.alpha).save(cutouts_dir / f"{name}.png")
            write_atomic(out_dir / f"{name}.jpg", _jpeg_of(shot))
            yield out_dir / f"{name}.jpg"


def _jpeg_of(shot: StudioPhoto) -> bytes:
    file = io.BytesIO()
    Image.fromarray(shot.rgb).save(file, "JPEG", quality=_JPEG_QUALITY, dpi=(300, 300))
    return file.getvalue()
