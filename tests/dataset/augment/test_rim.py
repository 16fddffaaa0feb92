from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from garmentcut.dataset.augment.filters import dilate
from garmentcut.dataset.augment.rim import BAND_PX, find_edge, repaint


def split(cover, *, left=(0.1, 0.2, 0.6), right=(0.9, 0.9, 0.8), rows=24):
    """Cloth at the left, backdrop at the right; `cover` is how much of each column the cloth covers."""
    cover = torch.tensor(cover).view(1, 1, 1, -1).expand(1, 1, rows, -1)
    cloth, backdrop = (torch.tensor(color).view(1, 3, 1, 1) for color in (left, right))
    return cover * cloth + (1 - cover) * backdrop, cover.contiguous(), cloth, backdrop


GARMENTS = Path(__file__).parents[3].parent / "shared" / "garments"
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
