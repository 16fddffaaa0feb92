from functools import cache

import numpy as np
import pytest

from garmentcut.synthetic import draw_studio_photo
from garmentcut.synthetic.fabric import design_fabric
from garmentcut.synthetic.garment import design_garment
from garmentcut.synthetic.mannequin import design_mannequin

SMALL = (288, 192)


@cache
def _drawn(seed, view, size_hw, garment_kind, print_name, fabric_rgb):
    return draw_studio_photo(
        seed, view=view, size_hw=size_hw, garment_kind=garment_kind, print_name=print_name, fabric_rgb=fabric_rgb
    )


@pytest.fixture
def seeds_with():
    """Finds seeds whose garment has a trait, without drawing any."""
    grey = np.full(3, 0.5, np.float32)

    def call(trait, *, kind):
        torso = design_mannequin(0).torso
        found = [
            seed
            for seed in range(40)
            if trait in design_garment(seed, kind, torso, design_fabric(seed, grey, grey)).traits
        ]
        assert found
        return found

    return call


@pytest.fixture
def draw():
    """Draws small photos, each of them once for all tests."""

    def call(seed, *, view="Front", size_hw=SMALL, garment_kind=None, print_name=None, fabric_rgb=None):
        return _drawn(seed, view, size_hw, garment_kind, print_name, fabric_rgb)

    return call
