import pytest
import torch

from garmentcut.training.lovasz import lovasz_hinge


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
