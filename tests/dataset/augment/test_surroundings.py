import pytest
import torch

from garmentcut.dataset.augment.draws import Draws
from garmentcut.dataset.augment.filters import dilate
from garmentcut.dataset.augment.surroundings import paste_garments, vary_background
from garmentcut.recipe import Strength

VIEWS = ("Front", "Back", "FrontRight", "Front", "Front")


def drawn(num, seed=0, *, strongest=True):
    return Draws(torch.Generator().manual_seed(seed), num, strongest)


def test_the_background_changes_and_the_garment_does_not(batch):
    photos, alphas = batch
    after = vary_background(photos, alphas, drawn(5), Strength(1, 0.4))
    inside, outside = ((alphas == level).expand_as(photos) for level in (1, 0))
    assert torch.equal(after[inside], photos[inside])
    for row in range(5):
        assert (after[row] - photos[row])[outside[row]].abs().mean() > 0.05


def test_the_background_darkens_and_brightens_by_its_amount():
    photos, alphas = torch.full((200, 3, 8, 8), 0.4), torch.zeros(200, 1, 8, 8)
    after = vary_background(photos, alphas, drawn(200), Strength(1, 0.5))
    luma = after.mean(dim=(1, 2, 3))
    assert luma[luma < 0.4].mean() == pytest.approx(0.2, abs=0.02)
    assert luma[luma > 0.4].mean() == pytest.approx(0.6, abs=0.03)
    tint = after[:, 0] / after[:, 2]
    assert tint.max() > 1.3
    assert tint.min() < 0.77


def test_rims_keep_the_garments_part(batch):
    """A blackened backdrop: the rim becomes that share of the cloth."""
    photos, alphas = batch
    after = vary_background(photos, alphas, drawn(5, seed=2), Strength(1, 1))
    rim = (alphas > 0.4) & (alphas < 0.6)
    dark = after.mean(dim=(1, 2, 3)) < photos.mean(dim=(1, 2, 3))
    assert dark.any()
    shrunk = after[dark] / photos[dark]
    assert shrunk[rim[dark].expand_as(shrunk)].mean() < 0.8
    assert shrunk[rim[dark].expand_as(shrunk)].mean() > 0.2


def scenes():
    """A tall red garment on a dim backdrop, and a wide green one on a bright backdrop, elsewhere."""
    photos, alphas = torch.full((2, 3, 60, 60), 0.5), torch.zeros(2, 1, 60, 60)
    photos[1] = 0.6
    alphas[0, :, 10:50, 12:24] = 1
    alphas[1, :, 20:35, 34:50] = 1
    for row, color in enumerate(([0.9, 0.0, 0.0], [0.0, 0.9, 0.0])):
        photos[row] = torch.where(alphas[row] > 0, torch.tensor(color).view(3, 1, 1), photos[row])
    return photos, alphas


def test_a_pasted_garment_takes_the_others_place():
    photos, alphas = scenes()
    pasted, targets, views = paste_garments(photos, alphas, ("Front", "Back"), drawn(2), Strength(1, 0))
    assert views == ("Back", "Front")
    assert targets.sum(dim=(1, 2, 3)).tolist() == [15 * 16, 40 * 12]
    # Centred on the garment that was there: columns 12..23 and 34..49 have their middles 24 columns apart.
    assert torch.equal(targets[0], alphas[1].roll(-24, 2))
    # Every pixel of its colour is target, every target has its colour, and nothing of the old one is left.
    green = pasted[0, 1] - pasted[0, 0] > 0.2
    assert torch.equal(green, targets[0, 0] > 0.5)
    assert (pasted[0, 0] - pasted[0, 1]).max() < 0.05


def test_what_shows_instead_of_the_old_garment_is_as_bright_as_the_surroundings():
    photos, alphas = scenes()
    pasted, targets, _ = paste_garments(photos, alphas, ("Front", "Front"), drawn(2), Strength(1, 0))
    assert (pasted[0] - 0.5)[:, targets[0, 0] == 0].abs().max() < 0.02


def test_the_rest_of_the_photo_stays(batch):
    photos, alphas = batch
    pasted, targets, _ = paste_garments(photos, alphas, VIEWS, drawn(5), Strength(1, 0))
    far = (dilate((alphas > 0) | (targets > 0), 10) == 0).expand_as(photos)
    assert far[:3].flatten(1).any(dim=1).all()
    assert torch.equal(pasted[far], photos[far])
    assert not torch.equal(targets, alphas)


def test_only_as_many_as_drawn_and_with_their_views(batch):
    photos, alphas = batch
    pasted, targets, views = paste_garments(photos, alphas, VIEWS, drawn(5, seed=3), Strength(0.5, 0))
    same = [torch.equal(after, before) for after, before in zip(pasted, photos, strict=True)]
    assert 0 < sum(same) < 5
    assert same == [torch.equal(after, before) for after, before in zip(targets, alphas, strict=True)]
    assert all(view == VIEWS[row] for row, view in enumerate(views) if same[row])


def test_every_other_photo_may_be_the_donor_and_none_its_own():
    photos = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8) / 10
    donors = set()
    for seed in range(40):
        views = paste_garments(photos, torch.ones(4, 1, 8, 8), ("0", "1", "2", "3"), drawn(4, seed), Strength(1, 0))[2]
        donors |= set(enumerate(views))
    assert donors == {(row, str(donor)) for row in range(4) for donor in range(4) if row != donor}


def test_one_photo_alone_has_nothing_to_paste(batch):
    photos, alphas = batch[0][:1], batch[1][:1]
    after = paste_garments(photos, alphas, ("Front",), drawn(1), Strength(1, 0))
    assert after == (photos, alphas, ("Front",))
