import torch

from garmentcut.training.rim import near_edge, rim_weights


def square(size=16, start=5, stop=11):
    target = torch.zeros(1, 1, size, size)
    target[..., start:stop, start:stop] = 1
    return target


def test_the_band_reaches_as_far_inside_as_outside():
    near = near_edge(square(), 2)
    row = near[0, 0, 8].int().tolist()
    #      0  1  2  3  4 |5  6  7  8  9  10| 11 ...
    assert row == [0, 0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0, 0]
    assert torch.equal(near, near.mT)


def test_one_pixel_is_one_pixel():
    assert near_edge(square(), 1).sum() == 8 * 8 - 4 * 4


def test_soft_pixels_are_near_by_themselves():
    target = torch.zeros(1, 1, 9, 9)
    target[..., 4, 4] = 0.3
    assert near_edge(target, 3).nonzero().tolist() == [[0, 0, 4, 4]]


def test_the_frame_is_no_edge():
    target = torch.zeros(2, 1, 12, 12)
    target[0] = 1
    target[1, :, :6] = 1
    near = near_edge(target, 2)
    assert not near[0].any()
    assert near[1, 0].all(dim=1).int().tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0]


def test_a_band_wider_than_the_photo():
    assert near_edge(square(), 40).all()
    assert not near_edge(torch.ones(1, 1, 3, 50), 40).any()


def test_wide_bands_stay_exact():
    target = torch.zeros(1, 1, 1, 600)
    target[..., 300:] = 1
    assert near_edge(target, 100).sum() == 200


def test_weights():
    target = square()
    weights = rim_weights(target, weight=4, rim_px=2)
    near = near_edge(target, 2)
    assert (weights[near] == 4).all()
    assert (weights[~near] == 1).all()
    assert weights.dtype == target.dtype
