import pytest
import torch

from garmentcut.dataset.augment.filters import box_mean, dilate, gaussian_blur, smooth_field


def test_box_mean_of_a_dot():
    dot = torch.zeros(1, 1, 9, 9)
    dot[..., 4, 4] = 25
    mean = box_mean(dot, 2)
    assert torch.allclose(mean[..., 2:7, 2:7], torch.ones(()))
    assert mean.sum() == pytest.approx(25)


def test_dilating_reaches_so_far_and_no_farther():
    mask = torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    mask[0, 0, 5, 5] = True
    reached = dilate(mask, 3)
    assert set(reached.unique().tolist()) == {0, 1}
    assert reached[0].sum() == 49
    assert (reached[0, 0, 2:9, 2:9] == 1).all()
    assert not reached[1].any()


def test_each_picture_is_blurred_by_its_own_sigma_in_all_channels():
    dots = torch.zeros(2, 4, 31, 31)
    dots[..., 15, 15] = 1
    blurred = gaussian_blur(dots, torch.tensor([1.0, 3.0], dtype=torch.float64))
    peaks = blurred[:, :, 15, 15]
    assert peaks[0].tolist() == pytest.approx([1 / (2 * 3.14159)] * 4, rel=0.01)
    assert peaks[1].tolist() == pytest.approx([1 / (2 * 3.14159 * 9)] * 4, rel=0.02)


def test_a_smooth_field_goes_through_its_corners():
    heights = torch.tensor([[[[0.0, 1.0], [2.0, 3.0], [-1.0, 0.5]]]])
    field = smooth_field(heights, (60, 40))
    assert field.shape == (1, 1, 60, 40)
    corners = [field[0, 0, row, column].item() for row in (0, -1) for column in (0, -1)]
    assert corners == pytest.approx([0, 1, -1, 0.5], abs=1e-4)
