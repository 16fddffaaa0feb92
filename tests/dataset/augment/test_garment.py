import pytest
import torch

from garmentcut.dataset.augment.draws import Draws
from garmentcut.dataset.augment.filters import dilate
from garmentcut.dataset.augment.garment import pattern_garment, recolor_garment
from garmentcut.dataset.augment.rim import BAND_PX
from garmentcut.recipe import Strength

CHANGES = [recolor_garment, pattern_garment]


def changed(change, batch, seed=0, *, p=1.0, amount=1.0, strongest=True):
    draws = Draws(torch.Generator().manual_seed(seed), len(batch[0]), strongest)
    return change(*batch, draws, Strength(p, amount))


@pytest.mark.parametrize("change", CHANGES)
def test_only_the_garment_changes(change, batch):
    photos, alphas = batch
    after = changed(change, batch)
    # Its alpha is exact here, so the visible edge is where the alpha ends.
    outside = (alphas == 0).expand_as(photos)
    assert torch.equal(after[outside], photos[outside])
    inside = (alphas == 1).expand_as(photos)
    moved = [(after[row] - photos[row])[inside[row]].abs().mean() for row in range(5)]
    assert min(moved) > 0.01


@pytest.mark.parametrize("change", CHANGES)
def test_with_a_tight_alpha_nothing_beyond_the_visible_edge_changes(change, batch):
    photos, alphas = batch
    tight = 1 - dilate(alphas < 1, 1)
    after = change(photos, tight, Draws(torch.Generator().manual_seed(0), 5, True), Strength(1, 1))
    beyond = (dilate(tight, BAND_PX) == 0).expand_as(photos)
    assert torch.equal(after[beyond], photos[beyond])
    between = ((alphas > 0.5) & (tight == 0)).expand_as(photos)
    assert (after[between] - photos[between]).abs().mean() > 0.01  # no line of the old colour stays


@pytest.mark.parametrize("change", CHANGES)
def test_no_garment_no_change(change, batch):
    photos = batch[0]
    assert torch.equal(changed(change, (photos, torch.zeros(5, 1, 96, 64))), photos)


@pytest.mark.parametrize("change", CHANGES)
def test_amount_is_how_much_is_mixed_in(change, batch):
    photos, alphas = batch
    weak, half, full = (changed(change, batch, amount=amount) - photos for amount in (0.01, 0.5, 1.0))
    inside = (alphas == 1).expand_as(photos)
    assert weak[inside].abs().max() < 0.011
    assert torch.allclose(half[inside], full[inside] / 2, atol=1e-4)
    assert torch.equal(changed(change, batch, amount=2.0), changed(change, batch, amount=1.0))


def test_dyed_cloth_keeps_its_folds_and_gets_the_dye():
    """A garment of one colour with a darker fold: the fold stays darker, whatever the dye."""
    photos = torch.full((40, 3, 32, 32), 0.9)
    alphas = torch.zeros(40, 1, 32, 32)
    alphas[..., 8:24, 8:24] = 1
    photos[..., 8:24, 8:24] = 0.5
    photos[..., 8:24, 14:18] = 0.4
    dyed = changed(recolor_garment, (photos, alphas))
    cloth, fold = dyed[:, :, 10, 10], dyed[:, :, 10, 15]
    assert ((cloth - fold).mean(dim=1) > 0).all()
    assert cloth.std(dim=0).min() > 0.15  # dyes of all kinds
    assert cloth.amin() < 0.1
    assert cloth.amax() > 0.8
    saturation = cloth.amax(dim=1) - cloth.amin(dim=1)
    assert saturation.min() < 0.15
    assert saturation.max() > 0.5


def test_white_and_black_garments_can_be_dyed_too():
    for level in (1.0, 0.0):
        photos, alphas = torch.full((20, 3, 16, 16), level), torch.ones(20, 1, 16, 16)
        dyed = changed(recolor_garment, (photos, alphas))
        assert (dyed - photos).abs().amax(dim=(1, 2, 3)).min() > 0.02
        assert dyed.std(dim=0).amax() > 0.2


def test_patterns_are_stripes_checks_and_dots():
    """On plain cloth without sway, the number of levels of ink tells them apart."""
    photos, alphas = torch.full((24, 3, 128, 128), 0.5), torch.ones(24, 1, 128, 128)
    printed = changed(pattern_garment, (photos, alphas))
    shares = []
    for picture in printed[:, 0]:
        levels, counts = picture.mul(200).round().unique(return_counts=True)
        shares.append(len(levels[counts > 0.04 * 128 * 128]))
    assert {2, 3} <= set(shares)
    assert (printed.std(dim=(2, 3)).amax(dim=1) > 0.001).double().mean() > 0.9


def test_every_draw_prints_another_pattern(batch):
    first, second = changed(pattern_garment, batch, 1), changed(pattern_garment, batch, 2)
    assert not torch.equal(first, second)
