from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.dataset.studio import VIEWS, draw_studio_photo

PHOTOS = Path(__file__).parents[3] / "examples" / "photos"
SEEDS = (209, 615)


def test_there_are_three_views_of_each_example_and_they_are_small():
    paths = sorted(PHOTOS.glob("*.jpg"))
    garments = [draw_studio_photo(seed, size_hw=(96, 64)).garment for seed in SEEDS]
    assert [path.stem for path in paths] == sorted(f"{garment}_{view}" for garment in garments for view in VIEWS)
    assert sum(path.stat().st_size for path in paths) < 4_000_000


@pytest.mark.parametrize(("seed", "view"), [(209, "FrontRight"), (615, "Back")])
def test_the_examples_are_what_their_seeds_draw(seed, view):
    """A change of the drawing asks for new examples; examples/README.md says how."""
    garment = draw_studio_photo(seed, size_hw=(96, 64)).garment
    with Image.open(PHOTOS / f"{garment}_{view}.jpg") as image:
        reduced = np.asarray(image.reduce(12), np.float64)
    again = Image.fromarray(draw_studio_photo(seed, view=view, size_hw=(432, 288)).rgb)
    assert np.abs(reduced - np.asarray(again.reduce(3))).mean() < 1.5
