from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from garmentcut.dataset.augment import augment
from garmentcut.dataset.frame_augment import SampleDraws, dilate
from garmentcut.dataset.garment_augment import (
    BAND_PX,
    find_edge,
    paste_garment,
    repaint,
)
from garmentcut.recipe import AugmentConfig, Strength


def split(cover, *, left=(0.1, 0.2, 0.6), right=(0.9, 0.9, 0.8), rows=24):
    """Cloth at the left, backdrop at the right; `cover` is how much of each column the cloth covers."""
    cover = torch.tensor(cover).view(1, 1, 1, -1).expand(1, 1, rows, -1)
    cloth, backdrop = (torch.tensor(color).view(1, 3, 1, 1) for color in (left, right))
    return cover * cloth + (1 - cover) * backdrop, cover.contiguous(), cloth, backdrop


GARMENTS = Path(__file__).parents[3] / "shared" / "garments"
FULL, NONE = [1.0] * 16, [0.0] * 16


def test_an_exact_alpha_is_the_share_itself():
    photo, alpha, cloth, backdrop = split([*FULL, 0.7, 0.2, *NONE])
    edge = find_edge(photo, alpha)
    assert torch.allclose(edge.share, alpha, atol=0.03)
    assert (edge.share >= alpha).all()
    assert torch.equal(edge.share == 0, alpha == 0)
    assert torch.allclose(edge.garment[..., :18], cloth, atol=1e-5)
    assert torch.allclose(edge.around[..., 16:], backdrop, atol=1e-5)


def test_the_visible_edge_is_found_outside_a_tight_alpha():
    photo, visible, _, _ = split([*FULL, 0.8, 0.3, *NONE])
    alpha = torch.zeros_like(visible)
    alpha[..., :16] = 1
    share = find_edge(photo, alpha).share
    assert share[0, 0, 5, 15:19].tolist() == pytest.approx([1, 0.8, 0.3, 0], abs=0.05)


def test_colours_that_look_alike_leave_the_alpha():
    photo, _, _, _ = split([*FULL, 0.8, 0.3, *NONE], left=(0.5, 0.5, 0.5), right=(0.51, 0.5, 0.5))
    alpha = torch.zeros(1, 1, 24, 34)
    alpha[..., :16] = 1
    assert (find_edge(photo, alpha).share - alpha).abs().max() < 0.05


def test_what_is_neither_cloth_nor_backdrop_is_not_taken_for_a_mixture():
    photo, _, _, _ = split([*FULL, *[0.0] * 18])
    alpha = torch.zeros(1, 1, 24, 34)
    alpha[..., :16] = 1
    photo[:, :, :, 16:18] = torch.tensor([0.9, 0.1, 0.1]).view(3, 1, 1)  # a red thread
    assert torch.equal(find_edge(photo, alpha).share, alpha)


def test_nothing_is_found_far_from_the_alpha(batch):
    photos, alphas = batch
    share = find_edge(photos, alphas).share
    far = dilate(alphas > 0, BAND_PX) == 0
    assert (share[far] == 0).all()
    assert (share[alphas == 1] == 1).all()


def test_sheer_cloth_has_its_own_colours():
    photo, alpha, _, _ = split([0.4] * 34)
    assert torch.equal(find_edge(photo, alpha).garment, photo)


def test_repainting_leaves_the_other_sides_share():
    photo, cover, cloth, backdrop = split([*FULL, 0.7, 0.2, *NONE])
    red = torch.tensor([0.8, 0.1, 0.1]).view(1, 3, 1, 1)
    painted = repaint(photo, cover, cloth.expand_as(photo), red.expand_as(photo))
    assert torch.allclose(painted, cover * red + (1 - cover) * backdrop, atol=1e-6)
    assert torch.equal(painted[..., 18:], photo[..., 18:])


def test_retouchers_cut_inside_the_visible_edge():
    """A black skirt before white: the cloth still covers much of the first pixel outside the alpha."""
    if not GARMENTS.is_dir():
        pytest.skip("needs the real photos beside the checkout")
    name = "4b89b603-5920-47bc-aa3d-de70244cf508_Front"
    with (
        Image.open(GARMENTS / "original" / f"{name}.webp") as file,
        Image.open(GARMENTS / "cutout" / f"{name}.png") as cutout,
    ):
        photo = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)[None] / 255
        alpha = torch.from_numpy(np.array(cutout.getchannel("A")))[None, None] / 255
    share = find_edge(photo, alpha).share
    inside, first, second, third = (dilate(alpha > 0.5, reach).bool() for reach in range(4))
    assert (share - alpha)[first & ~inside].median() > 0.3
    assert (share - alpha)[third & ~second].median() < 0.2


CHANGES = ["recolor", "pattern", "panel"]


def changed(change, batch, seed=0, *, amount=1.0):
    """Photos, through the public door."""
    config, views = AugmentConfig(**{change: Strength(1.0, amount)}), ["Front"] * len(batch[0])
    return augment(*batch, views=views, config=config, key=(seed, 0), strongest=True)[0]


@pytest.mark.parametrize("change", CHANGES)
def test_only_the_garment_changes(change, batch):
    photos, alphas = batch
    after = changed(change, batch)
    # Its alpha is exact here, so the visible edge is where the alpha ends.
    outside = (alphas == 0).expand_as(photos)
    assert torch.equal(after[outside], photos[outside])
    inside = (alphas == 1).expand_as(photos)
    moved = [(after[row] - photos[row])[inside[row]].abs().mean() for row in range(5)]
    assert sorted(moved)[1] > 0.01  # a panel may happen to have the colour of the cloth


@pytest.mark.parametrize("change", CHANGES)
def test_with_a_tight_alpha_nothing_beyond_the_visible_edge_changes(change, batch):
    photos, alphas = batch
    tight = 1 - dilate(alphas < 1, 1)
    after = changed(change, (photos, tight))
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
    dyed = changed("recolor", (photos, alphas))
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
        dyed = changed("recolor", (photos, alphas))
        assert (dyed - photos).abs().amax(dim=(1, 2, 3)).min() > 0.02
        assert dyed.std(dim=0).amax() > 0.2


def test_patterns_are_stripes_checks_and_dots():
    """On plain cloth without sway, the number of levels of ink tells them apart."""
    photos, alphas = torch.full((24, 3, 128, 128), 0.5), torch.ones(24, 1, 128, 128)
    printed = changed("pattern", (photos, alphas))
    shares = []
    for picture in printed[:, 0]:
        levels, counts = picture.mul(200).round().unique(return_counts=True)
        shares.append(len(levels[counts > 0.04 * 128 * 128]))
    assert {2, 3} <= set(shares)
    assert (printed.std(dim=(2, 3)).amax(dim=1) > 0.001).double().mean() > 0.9


def test_every_draw_prints_another_pattern(batch):
    first, second = changed("pattern", batch, 1), changed("pattern", batch, 2)
    assert not torch.equal(first, second)


def test_panels_take_the_colour_of_the_backdrop_or_of_the_mannequin():
    """Plain blue cloth on a brown mannequin before a gray wall; panels that show all of what is beside them."""
    wall, skin, cloth = (torch.tensor(color).view(3, 1, 1) for color in ((0.7,) * 3, (0.8, 0.6, 0.4), (0.1, 0.2, 0.7)))
    photo, alpha = wall.repeat(1, 120, 80), torch.zeros(1, 120, 80)
    photo[:, 5:115, 36:44] = skin
    photo[:, 30:90, 20:60], alpha[:, 30:90, 20:60] = cloth, 1
    num = 60
    after = changed("panel", (photo.repeat(num, 1, 1, 1), alpha.repeat(num, 1, 1, 1)))
    part = (after - photo).abs().amax(dim=1)[:, 31:89, 21:59] > 0.05  # without the hems of one pixel
    assert part.double().mean(dim=(1, 2)).min() > 0.01
    assert part.double().mean(dim=(1, 2)).max() < 0.6
    shown = torch.stack(
        [picture[:, 31:89, 21:59][:, where].median(dim=1).values for picture, where in zip(after, part, strict=True)]
    )
    is_wall, is_skin = ((shown - color.flatten()).abs().amax(dim=1) < 0.05 for color in (wall, skin))
    assert is_wall.double().mean() > 0.3
    assert is_skin.double().mean() > 0.2
    assert (is_wall | is_skin).double().mean() > 0.9  # the others are at a corner of both
    hemmed = (after - photo).abs().amax(dim=(1, 2))[:, 20:60].amin(dim=1) == 0
    assert 0.3 < hemmed.double().mean() < 1


VIEWS = ("Front", "Back", "FrontRight", "Front", "Front")


def pasted_on(photos, alphas, views, seed=0, *, p=1.0):
    config = AugmentConfig(paste=Strength(p, 0.0))
    rows = [paste_garment(photos, alphas, views, row, SampleDraws(config, (seed, row))) for row in range(len(views))]
    return torch.cat([row[0] for row in rows]), torch.cat([row[1] for row in rows]), tuple(row[2] for row in rows)


def test_the_background_changes_and_the_garment_does_not(batch):
    photos, alphas = batch
    after = changed("background", batch, amount=0.4)
    inside, outside = ((alphas == level).expand_as(photos) for level in (1, 0))
    assert torch.equal(after[inside], photos[inside])
    for row in range(5):
        assert (after[row] - photos[row])[outside[row]].abs().mean() > 0.05


def test_the_background_darkens_and_brightens_by_its_amount():
    photos, alphas = torch.full((200, 3, 8, 8), 0.4), torch.zeros(200, 1, 8, 8)
    after = changed("background", (photos, alphas), amount=0.5)
    luma = after.mean(dim=(1, 2, 3))
    assert luma[luma < 0.4].mean() == pytest.approx(0.2, abs=0.02)
    assert luma[luma > 0.4].mean() == pytest.approx(0.6, abs=0.03)
    tint = after[:, 0] / after[:, 2]
    assert tint.max() > 1.3
    assert tint.min() < 0.77


def test_edges_keep_the_garments_part(batch):
    """A blackened backdrop: the edge becomes that share of the cloth."""
    photos, alphas = batch
    after = changed("background", batch, seed=2)
    edge = (alphas > 0.4) & (alphas < 0.6)
    dark = after.mean(dim=(1, 2, 3)) < photos.mean(dim=(1, 2, 3))
    assert dark.any()
    shrunk = after[dark] / photos[dark]
    assert shrunk[edge[dark].expand_as(shrunk)].mean() < 0.8
    assert shrunk[edge[dark].expand_as(shrunk)].mean() > 0.2


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
    pasted, targets, views = pasted_on(photos, alphas, ("Front", "Back"))
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
    pasted, targets, _ = pasted_on(photos, alphas, ("Front", "Front"))
    assert (pasted[0] - 0.5)[:, targets[0, 0] == 0].abs().max() < 0.02


def test_the_rest_of_the_photo_stays(batch):
    photos, alphas = batch
    pasted, targets, _ = pasted_on(photos, alphas, VIEWS)
    far = (dilate((alphas > 0) | (targets > 0), 10) == 0).expand_as(photos)
    assert far[:3].flatten(1).any(dim=1).all()
    assert torch.equal(pasted[far], photos[far])
    assert not torch.equal(targets, alphas)


def test_only_as_many_as_drawn_and_with_their_views(batch):
    photos, alphas = batch
    pasted, targets, views = pasted_on(photos, alphas, VIEWS, seed=3, p=0.5)
    same = [torch.equal(after, before) for after, before in zip(pasted, photos, strict=True)]
    assert 0 < sum(same) < 5
    assert same == [torch.equal(after, before) for after, before in zip(targets, alphas, strict=True)]
    assert all(view == VIEWS[row] for row, view in enumerate(views) if same[row])


def test_every_other_photo_may_be_the_donor_and_none_its_own():
    photos = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 8, 8) / 10
    donors = set()
    for seed in range(40):
        views = pasted_on(photos, torch.ones(4, 1, 8, 8), ("0", "1", "2", "3"), seed)[2]
        donors |= set(enumerate(views))
    assert donors == {(row, str(donor)) for row in range(4) for donor in range(4) if row != donor}


def test_one_photo_alone_has_nothing_to_paste(batch):
    photos, alphas = batch[0][:1], batch[1][:1]
    after = paste_garment(photos, alphas, ("Front",), 0, SampleDraws(AugmentConfig(paste=Strength(1.0, 0.0)), (0,)))
    assert torch.equal(after[0], photos)
    assert torch.equal(after[1], alphas)
    assert after[2] == "Front"
