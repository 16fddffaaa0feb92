import math

import numpy as np
import pytest
import torch

from garmentcut.evaluation.metrics import thin_parts
from garmentcut.recipe import LossConfig
from garmentcut.training.losses import (
    bce_loss,
    dice_loss,
    edge_weights,
    focal_loss,
    l1_loss,
    laplacian_loss,
    lovasz_hinge,
    near_edge,
    thin_weights,
    total_loss,
)

ALL = LossConfig(bce=1, dice=1, focal=1, lovasz=1, l1=1, laplacian=1, edge_weight=4, edge_px=2)
SOFT_TERMS = [bce_loss, dice_loss, lambda x, t: focal_loss(x, t, gamma=2), l1_loss, laplacian_loss]
TERMS = [*SOFT_TERMS, lovasz_hinge]
NAMES = ["bce", "dice", "focal", "l1", "laplacian", "lovasz"]


def picture(rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype)[None, None]


def logit(rows):
    return torch.logit(picture(rows))


TARGET = picture([[1, 0], [1, 0.5]])
HALVES = picture([[0.0, 0.0], [0.0, 0.0]])  # p = 1/2 everywhere


def test_cross_entropy_by_hand():
    assert bce_loss(HALVES, TARGET).item() == pytest.approx(math.log(2))
    p = logit([[0.9, 0.2], [0.5, 0.5]])
    by_hand = -(math.log(0.9) + math.log(0.8) + math.log(0.5) + math.log(0.5)) / 4
    assert bce_loss(p, TARGET).item() == pytest.approx(by_hand)


def test_dice_by_hand():
    # |p - t|: 1/2, 1/2, 1/2, 0; sum p 2, sum t 5/2, smooth 1
    assert dice_loss(HALVES, TARGET).item() == pytest.approx(1.5 / 5.5)


def test_dice_of_a_mask_is_the_usual_one():
    probability = torch.rand(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = (torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).double()
    both, each = (probability * mask).sum((1, 2, 3)), (probability + mask).sum((1, 2, 3))
    usual = (1 - (2 * both + 1) / (each + 1)).mean()
    assert dice_loss(torch.logit(probability), mask).item() == pytest.approx(usual.item())


def test_focal_by_hand():
    # error 1/2, 1/2, 1/2, 0; squared times log 2
    assert focal_loss(HALVES, TARGET, gamma=2).item() == pytest.approx(3 * 0.25 * math.log(2) / 4)
    assert focal_loss(HALVES, TARGET, gamma=0).item() == pytest.approx(math.log(2))


def test_focal_of_a_mask_is_lins():
    p_t = picture([[0.9, 0.3]])
    lin = (-((1 - p_t) ** 2) * p_t.log()).mean()
    assert focal_loss(torch.logit(p_t), torch.ones_like(p_t), gamma=2).item() == pytest.approx(lin.item())


def test_l1_by_hand():
    assert l1_loss(HALVES, TARGET).item() == pytest.approx(1.5 / 4)


def test_weights_make_a_weighted_mean():
    weight = picture([[4, 1], [1, 1]])
    p = logit([[0.75, 0.0], [1.0, 0.5]])  # wrong by 1/4 in the pixel that counts four times
    assert l1_loss(p, TARGET, weight=weight).item() == pytest.approx(0.25 * 4 / 7)
    assert bce_loss(HALVES, TARGET, weight=weight).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_a_photo_counts_the_same_in_any_batch(term):
    logits = torch.randn(2, 1, 6, 5, generator=torch.Generator().manual_seed(0))
    share = torch.tensor([0.1, 0.9])[:, None, None, None]
    target = (torch.rand(2, 1, 6, 5, generator=torch.Generator().manual_seed(1)) < share).float()
    alone = (term(logits[:1], target[:1]) + term(logits[1:], target[1:])) / 2
    torch.testing.assert_close(term(logits, target), alone)


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
@pytest.mark.parametrize("level", [0.0, 1.0, None], ids=["empty", "full", "mask"])
def test_perfect_costs_nothing(term, level):
    target = torch.zeros(2, 1, 9, 7)
    target[..., 2:6, 2:5] = 1
    if level is not None:
        target.fill_(level)
    assert term((target * 2 - 1) * 30, target).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("term", SOFT_TERMS[1:], ids=NAMES[1:5])
def test_a_soft_target_met_costs_nothing(term):
    target = torch.rand(2, 1, 9, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert term(torch.logit(target), target).item() == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("term", SOFT_TERMS, ids=NAMES[:5])
@pytest.mark.parametrize("level", [0.1, 0.4, 0.75])
def test_the_lowest_is_at_the_soft_value(term, level):
    target = torch.full((1, 1, 4, 4), level, dtype=torch.float64)
    costs = [term(torch.logit(target * 0 + p / 100), target).item() for p in range(1, 100)]
    lowest = round(level * 100) - 1
    assert costs.index(min(costs)) == lowest
    assert costs[:lowest] == sorted(costs[:lowest], reverse=True)
    assert costs[lowest:] == sorted(costs[lowest:])


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_nearer_is_cheaper(term):
    target = torch.zeros(1, 1, 8, 8)
    target[..., 2:6, 2:6] = 1
    costs = [term((target * 2 - 1) * margin, target).item() for margin in (-4, -2, -1, 0, 0.5, 1)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 2 * costs[-1]


@pytest.mark.parametrize("extreme", [1e4, -1e4])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_extreme_logits_keep_the_gradient_finite(extreme, level, gamma):
    logits = torch.full((2, 1, 20, 12), extreme, requires_grad=True)
    target = torch.full((2, 1, 20, 12), level)
    config = LossConfig(bce=1, dice=1, focal=1, focal_gamma=gamma, lovasz=1, l1=1, laplacian=1)
    loss = total_loss(logits, target, config)
    loss.total.backward()
    assert loss.total.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("term", TERMS, ids=NAMES)
def test_gradients_are_right(term):
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 1, 5, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.rand(2, 1, 5, 6, dtype=torch.float64, generator=generator)
    assert torch.autograd.gradcheck(lambda x: term(x, target), (logits,))


def test_weighted_gradients_are_right():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(1, 1, 9, 6, dtype=torch.float64, generator=generator, requires_grad=True)
    target = torch.zeros(1, 1, 9, 6, dtype=torch.float64)
    target[..., :3, :] = 1
    assert torch.autograd.gradcheck(lambda x: total_loss(x, target, ALL).total, (logits,))


def test_the_total_is_the_weighted_sum_of_its_parts():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 1, 8, 8, generator=generator, requires_grad=True)
    target = torch.rand(2, 1, 8, 8, generator=generator)
    loss = total_loss(logits, target, LossConfig(bce=2, dice=0.5, laplacian=3, edge_weight=1))
    assert list(loss.parts) == ["bce", "dice", "laplacian"]
    expected = 2 * bce_loss(logits, target) + 0.5 * dice_loss(logits, target) + 3 * laplacian_loss(logits, target)
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.parts["bce"], bce_loss(logits, target).detach())
    assert loss.total.requires_grad
    assert not any(part.requires_grad for part in loss.parts.values())


def test_the_edge_band_counts_more_but_the_scale_stays():
    target = torch.zeros(1, 1, 64, 64)
    target[..., 20:44, 20:44] = 1
    flat = torch.zeros(1, 1, 64, 64)
    outside = flat.clone()
    outside[..., 0, 0] = 9  # a wrong pixel far away
    at_the_edge = flat.clone()
    at_the_edge[..., 18, 30] = 9

    def cost(logits, weight):
        return total_loss(logits, target, LossConfig(dice=0, edge_weight=weight, edge_px=3)).total.item()

    assert cost(flat, 4) == pytest.approx(cost(flat, 1))
    assert cost(outside, 1) == pytest.approx(cost(at_the_edge, 1))
    assert cost(outside, 4) < cost(outside, 1) < cost(at_the_edge, 4)
    far, near = cost(outside, 4) - cost(flat, 4), cost(at_the_edge, 4) - cost(flat, 4)
    assert near == pytest.approx(4 * far, rel=1e-3)


def test_inside_autocast_it_computes_in_float32():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 1, 16, 16, generator=generator).bfloat16()
    target = torch.rand(1, 1, 16, 16, generator=generator)
    with torch.autocast("cpu", torch.bfloat16):
        inside = total_loss(logits, target, ALL)
    assert inside.total.dtype == torch.float32
    assert torch.equal(inside.total, total_loss(logits.float(), target, ALL).total)


def test_nothing_not_a_number_is_hidden():
    logits = torch.zeros(1, 1, 4, 4)
    logits[..., 0, 0] = math.nan
    loss = total_loss(logits, torch.ones(1, 1, 4, 4), ALL)
    assert loss.total.isnan()
    assert all(part.isnan() for part in loss.parts.values())


@pytest.mark.parametrize(
    ("logits", "target"),
    [((1, 1, 4, 4), (1, 1, 4, 5)), ((1, 4, 4), (1, 4, 4)), ((1, 2, 4, 4), (1, 2, 4, 4)), ((2, 1, 4, 4), (1, 1, 4, 4))],
)
def test_wrong_shapes_are_refused(logits, target):
    with pytest.raises(ValueError, match="both must be"):
        total_loss(torch.zeros(logits), torch.zeros(target), LossConfig())


def test_8_bit_targets_are_refused():
    with pytest.raises(ValueError, match="divide 8-bit alphas by 255"):
        total_loss(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.uint8), LossConfig())


def test_a_whole_photo_at_native_size():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 1, 1728, 1152, generator=generator, requires_grad=True)
    target = torch.zeros(1, 1, 1728, 1152)
    target[..., 400:1200, 300:800] = 1
    loss = total_loss(logits, target, ALL)
    loss.total.backward()
    assert loss.total.isfinite()
    assert logits.grad.isfinite().all()


def iou_loss(wrong, garment):
    """1 - IoU of the mask that is wrong in the pixels of `wrong`."""
    predicted = garment ^ wrong
    union = garment | predicted
    return 1 - len(garment & predicted) / len(union) if union else 0.0


def oracle(logits, mask):
    """The Lovasz extension by its definition: sets of pixels, one added at a time, the largest error first."""
    garment = {i for i, inside in enumerate(mask) if inside}
    errors = [max(0.0, 1 - x * (1 if i in garment else -1)) for i, x in enumerate(logits)]
    total, wrong = 0.0, set()
    for pixel in sorted(range(len(errors)), key=lambda i: -errors[i]):
        before = iou_loss(wrong, garment)
        wrong = wrong | {pixel}
        total += errors[pixel] * (iou_loss(wrong, garment) - before)
    return total


@pytest.mark.parametrize("seed", range(8))
def test_equals_its_definition(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(3, 1, 4, 5, dtype=torch.float64, generator=generator)
    mask = torch.rand(3, 1, 4, 5, generator=generator) < torch.tensor([0.0, 0.3, 0.9])[:, None, None, None]
    expected = [oracle(x.flatten().tolist(), m.flatten().tolist()) for x, m in zip(logits, mask, strict=True)]
    assert lovasz_hinge(logits, mask.double()).item() == pytest.approx(sum(expected) / 3)


def test_by_hand():
    # garment: the first two of four; errors 2, 0, 2, 0: one missed, one too much, IoU 1/3
    logits = torch.tensor([-1.0, 1.0, 1.0, -1.0]).view(1, 1, 2, 2)
    mask = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2)
    assert lovasz_hinge(logits, mask).item() == pytest.approx(2 * (1 - 1 / 3))


def test_a_photo_without_garment_costs_its_largest_error():
    logits = torch.tensor([-3.0, 0.5, -0.5, -2.0]).view(1, 1, 2, 2)
    assert lovasz_hinge(logits, torch.zeros(1, 1, 2, 2)).item() == pytest.approx(1.5)


def test_soft_targets_are_cut_at_one_half():
    logits = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    soft = torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    assert torch.equal(lovasz_hinge(logits, soft), lovasz_hinge(logits, (soft >= 0.5).float()))


def test_two_million_pixels_keep_their_digits():
    """All wrong by the same: the loss is that error, whatever the number of pixels."""
    target = torch.zeros(1, 1, 1728, 1152)
    target[..., 400:1200, 300:800] = 1
    logits = ((1 - target * 2) * 0.5).requires_grad_()
    loss = lovasz_hinge(logits, target)
    assert loss.item() == pytest.approx(1.5, rel=1e-5)
    loss.backward()
    garment = target.bool()
    # The sum of all slopes is 1, and pixels of one kind that were sorted next to each other cost nearly the same.
    assert logits.grad.abs().sum().item() == pytest.approx(1, rel=1e-5)
    assert logits.grad[garment].max() < 0 <= logits.grad[~garment].min()


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
    weights = edge_weights(target, weight=4, edge_px=2)
    near = near_edge(target, 2)
    assert (weights[near] == 4).all()
    assert (weights[~near] == 1).all()
    assert weights.dtype == target.dtype


def test_thin_parts_are_those_that_evaluation_counts():
    target = square(90, 20, 70)
    target[..., 5:70, 2:9] = 1  # a strap of 7 px beside the square
    target[..., 40:45, 9:20] = 1
    garment = (target[0, 0] >= 0.5).numpy()
    near = thin_weights(target, weight=3, thin_px=17) == 3
    counted = thin_parts(garment, garment)
    assert counted[0] > 400
    assert np.count_nonzero(near[0, 0].numpy() & garment) >= counted[0]
    assert near[0, 0, 5:65, 2:9].all()  # the whole strap
    assert near[0, 0, 5:35, 10:13].all()  # and 4 px beside it
    assert not near[0, 0, 5:35, 14:].any()  # nothing of the square, nor of its corners


def test_what_the_frame_cuts_is_not_thin_for_that():
    target = torch.zeros(1, 1, 60, 60)
    target[..., 54:] = 1  # the left edge of a body
    assert (thin_weights(target, weight=3, thin_px=17) == 1).all()


def test_thin_parts_and_edges_weigh_as_the_heavier_does():
    target = square(60, 20, 26)
    loss = LossConfig(bce=1, dice=0, edge_weight=2, edge_px=2, thin_weight=5, thin_px=16)
    logits = torch.zeros_like(target)
    logits[..., 22, 22] = -9  # a miss inside the thin part
    weights = torch.maximum(edge_weights(target, weight=2, edge_px=2), thin_weights(target, weight=5, thin_px=17))
    assert total_loss(logits, target, loss).total == bce_loss(logits, target, weight=weights)
