import numpy as np
import pytest

from garmentcut.dataset.studio.fabric import design_fabric
from garmentcut.dataset.studio.garment import KINDS, design_garment, pick_kind
from garmentcut.dataset.studio.mannequin import design_mannequin

GREY = np.full(3, 0.5, np.float32)
WANTED = {
    "dip hem", "slit", "straps", "sheer", "open front", "waistband", "belt", "lace", "stripes", "checks", "flowers",
    "satin", "like the mannequin", "like the background", "cut-outs", "keyhole", "maxi", "full", "pencil",
}  # fmt: skip


@pytest.fixture(scope="module")
def garments():
    drawn = []
    for seed in range(120):
        torso = design_mannequin(seed).torso
        drawn.append(design_garment(seed, pick_kind(seed), torso, design_fabric(seed, GREY, GREY)))
    return drawn


def test_all_kinds_and_features_are_drawn(garments):
    traits = frozenset().union(*(garment.traits for garment in garments))
    assert set(KINDS) | WANTED <= traits


def test_traits_say_what_was_cut(garments):
    for garment in garments:
        assert ("slit" in garment.traits) == (garment.cut.slit is not None)
        assert ("straps" in garment.traits) == bool(garment.cut.straps)
        assert ("sheer" in garment.traits) == bool(garment.cut.sheer)
        assert ("open front" in garment.traits) == (garment.cut.opening is not None)
        assert ("belt" in garment.traits or "waistband" in garment.traits) == (garment.trims.belt is not None)


def test_a_dip_hem_is_lower_behind(garments):
    dipped = [garment for garment in garments if "dip hem" in garment.traits]
    assert dipped
    for garment in dipped:
        hem = garment.cut.hem
        assert hem[[0, -1]].mean() > hem[len(hem) // 2] + 0.01


def test_cloth_is_nowhere_tighter_than_the_body_and_ends_above_the_turntable(garments):
    y = np.linspace(0.1, 0.4, 60)
    for seed, garment in enumerate(garments):
        assert (garment.tube.half_width(y) >= design_mannequin(seed).torso.half_width(y) - 1e-3).all()
        assert garment.cut.top < garment.cut.bottom < 1.0
