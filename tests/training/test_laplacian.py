import pytest
import torch

from garmentcut.training.laplacian import laplacian_loss


def loss_of(first, second):
    return laplacian_loss(torch.logit(first, eps=1e-12), second).item()


def test_a_constant_difference_shows_in_the_last_level_only():
    alpha = torch.full((1, 1, 48, 32), 0.25, dtype=torch.float64)
    assert loss_of(alpha, alpha + 0.5) == pytest.approx(16 * 0.5)


def test_one_pixel_by_hand():
    """All five levels of a picture of one row, its blur worked out with pencil and paper."""
    alpha = torch.zeros(1, 1, 1, 2, dtype=torch.float64)
    other = torch.tensor([[[[1.0, 0.0]]]], dtype=torch.float64)
    # blurred: 6 / (6 + 4) and 4 / (4 + 6); taken away: 0.4 and -0.4; then the single pixel 0.6, which no blur changes
    assert loss_of(other, alpha) == pytest.approx(0.4 + 16 * 0.6)


@pytest.mark.parametrize("size_hw", [(1, 1), (2, 3), (17, 31), (64, 48), (33, 1)])
def test_any_size(size_hw):
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(2, 1, 1, *size_hw, dtype=torch.float64, generator=generator)
    assert loss_of(first, first) == pytest.approx(0, abs=1e-9)
    assert loss_of(first, second) == pytest.approx(loss_of(second, first)) != 0


def test_the_same_area_costs_more_in_one_piece_than_as_noise():
    flat = torch.full((1, 1, 64, 64), 0.5, dtype=torch.float64)
    piece, noise = flat.clone(), flat.clone()
    piece[..., 16:48, 16:48] = 1
    noise[..., ::2, ::2] = 1
    assert loss_of(piece, flat) > loss_of(noise, flat) > 0


def test_at_the_frame_it_is_as_inside():
    flat = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    filled = flat.clone()
    filled[..., 32:, :] = 1
    turned = flat.clone()
    turned[..., :, 32:] = 1
    assert loss_of(filled, flat) == pytest.approx(loss_of(turned, flat))
