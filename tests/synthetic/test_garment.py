from dataclasses import replace

import numpy as np
import pytest

from garmentcut.synthetic.fabric import design_fabric
from garmentcut.synthetic.garment import (
    HEM_ANGLES,
    KINDS,
    Cut,
    Hole,
    SheerBand,
    Slit,
    Strap,
    cloth_density,
    cloth_mask,
    design_garment,
    pick_kind,
)
from garmentcut.synthetic.mannequin import Tube, cut_slices, design_mannequin, look_at, profile

X = np.linspace(-0.12, 0.12, 97)
Y = np.linspace(0.02, 0.7, 137)


def constant(value):
    return profile([(0.0, value), (1.0, value)])


@pytest.fixture
def plain():
    edge = profile([(0.0, 0.2), (1.0, 0.2)])
    return Cut(edge, edge, profile([(0.0, 1.0), (0.01, 1.0)]), (), np.full(HEM_ANGLES.shape, 0.6))


def seen(cut, yaw=0.0, near=True):
    """The cloth of a straight tube, as rows and columns of True."""
    tube = Tube(0.0, 1.0, constant(0.0), constant(0.0), constant(0.1), constant(0.08))
    surface = look_at(cut_slices(tube, Y, yaw), X, near=near)
    return cloth_mask(cut, surface, np.broadcast_to(Y[:, None], surface.x.shape))


def test_cloth_lies_between_upper_edge_and_hem(plain):
    mask = seen(plain)
    rows = Y[mask.any(axis=1)]
    assert rows.min() == pytest.approx(0.2, abs=0.006) and rows.max() == pytest.approx(0.6, abs=0.006)
    np.testing.assert_array_equal(mask[60], np.abs(X) <= 0.1)


def test_a_slit_opens_towards_the_hem_and_only_on_its_side(plain):
    mask = seen(replace(plain, slit=Slit(0.0, 0.4, 0.3)))
    gaps = (~mask[:, np.abs(X) < 0.05]).sum(axis=1)
    assert gaps[np.searchsorted(Y, 0.35)] == 0
    assert 0 < gaps[np.searchsorted(Y, 0.5)] < gaps[np.searchsorted(Y, 0.58)]
    assert seen(replace(plain, slit=Slit(0.0, 0.4, 0.3)), yaw=np.pi)[np.searchsorted(Y, 0.58), 48]


def test_an_open_front_shows_the_inside_of_the_back(plain):
    vest = replace(plain, opening=constant(0.03))
    row = np.searchsorted(Y, 0.4)
    assert not seen(vest)[row, 48] and seen(vest, near=False)[row, 48]
    assert seen(vest, yaw=np.pi)[row, 48]


def test_a_dip_hem_is_longer_behind(plain):
    dipped = replace(plain, hem=0.5 - 0.1 * np.cos(HEM_ANGLES))
    assert Y[seen(dipped)[:, 48]].max() == pytest.approx(0.4, abs=0.006)
    assert Y[seen(dipped, near=False)[:, 48]].max() == pytest.approx(0.6, abs=0.006)


def test_straps_run_over_both_shoulders_on_their_side(plain):
    strapped = replace(plain, straps=(Strap(0.06, 0.04, 0.006, True),))
    above = np.searchsorted(Y, 0.1)
    places = X[seen(strapped)[above]]
    assert places.min() < -0.04 and places.max() > 0.04 and np.abs(places).min() > 0.03
    assert not seen(strapped, yaw=np.pi)[above].any()


def test_a_hole_takes_cloth_away_at_its_angle(plain):
    pierced = replace(plain, holes=(Hole(np.pi, 0.3, 0.2, 0.03),))
    row = np.searchsorted(Y, 0.3)
    assert seen(pierced)[row, 48] and not seen(pierced, yaw=np.pi)[row, 48]


def test_density_is_the_bands_inside_it_and_one_outside(plain):
    cut = replace(plain, sheer=(SheerBand(0.3, 0.4, 0.5),))
    density = cloth_density(cut, np.array([0.2, 0.35, 0.5]), 500.0)
    np.testing.assert_allclose(density, (1.0, 0.5, 1.0))


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
