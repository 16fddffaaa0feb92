import math

import pytest
import torch

from garmentcut.dataset.augment.draws import Draws
from garmentcut.dataset.augment.geometry import bend, draw_warps

KNOBS = ("shift", "zoom", "aspect", "rotation", "perspective", "flip")
HEIGHT, WIDTH = 40, 30
TOLERANCE = 2e-4  # places are float32: a ten-thousandth of a pixel off


def matrix(*rows):
    return torch.tensor([[*rows, [0, 0, 1]]], dtype=torch.float64)


def dotted(row, column):
    """A black photo with one bright dot of 3x3 pixels in its red channel, and the same as alpha."""
    photo = torch.zeros(1, 3, HEIGHT, WIDTH)
    photo[0, 0, row - 1 : row + 2, column - 1 : column + 2] = 1
    return photo, photo[:, :1].clone()


def centre(alpha):
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    return [float((alpha[0, 0] * places).sum() / alpha.sum()) for places in (rows, columns)]


@pytest.mark.parametrize("knobs", [*[(knob,) for knob in KNOBS], KNOBS], ids="+".join)
@pytest.mark.parametrize("amount", [0.2, 0.9])
def test_photo_and_target_never_part(batch, only, seeded, knobs, amount):
    alphas = batch[1]
    photos = torch.cat([alphas, 1 - alphas, 0.5 * alphas], dim=1)
    config = only(*knobs, amount=amount * (40 if knobs == ("rotation",) else 1))
    warps = draw_warps(Draws(seeded(1), 5), config, ["Front"] * 5, (96, 64))
    moved, targets = bend(photos, alphas, warps)
    assert torch.equal(moved[:, :1], targets)
    assert not torch.equal(targets, alphas)


def test_nothing_drawn_leaves_every_bit(batch, only, seeded):
    warps = draw_warps(Draws(seeded(), 5), only(), ["Front"] * 5, (96, 64))
    assert torch.equal(warps, torch.eye(3, dtype=torch.float64).expand(5, 3, 3))
    assert all(after is before for after, before in zip(bend(*batch, warps), batch, strict=True))


def test_only_those_that_move_are_touched(batch):
    warps = torch.eye(3, dtype=torch.float64).repeat(5, 1, 1)
    warps[3, 0, 2] = 2.5
    photos, alphas = bend(*batch, warps)
    others = [0, 1, 2, 4]
    assert torch.equal(photos[others], batch[0][others])
    assert torch.equal(alphas[others], batch[1][others])
    assert not torch.equal(photos[3], batch[0][3])


def test_a_shift_by_whole_pixels_moves_right_and_down_and_repeats_the_border():
    photo = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    moved, _ = bend(photo, photo[:, :1], matrix([1, 0, 4], [0, 1, 2]))
    assert torch.allclose(moved[..., 2:, 4:], photo[..., :-2, :-4], atol=TOLERANCE)
    assert torch.allclose(moved[..., 2:, :4], photo[..., :-2, :1].expand(-1, -1, -1, 4), atol=TOLERANCE)


def test_a_flip_mirrors_exactly():
    photo = torch.rand(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))
    moved, alpha = bend(photo, photo[:, :1], matrix([-1, 0, 0], [0, 1, 0]))
    assert torch.allclose(moved, photo.flip(3), atol=TOLERANCE)
    assert torch.equal(alpha, moved[:, :1])


def test_a_positive_rotation_turns_clockwise(only, seeded):
    photo, alpha = dotted(10, WIDTH // 2)  # above the middle
    config = only("rotation", amount=90)
    for seed in range(4):
        warp = draw_warps(Draws(seeded(seed), 1, strongest=True), config, ["Front"], (HEIGHT, WIDTH))
        angle = math.atan2(warp[0, 1, 0], warp[0, 0, 0])
        moved, target = bend(photo, alpha, warp)
        assert torch.equal(moved[:, :1], target)
        row, column = centre(target)
        assert abs(angle) == pytest.approx(math.pi / 2)
        # 9.5 rows above and half a column right of the middle.
        assert row == pytest.approx((HEIGHT - 1) / 2 + math.copysign(0.5, angle), abs=0.01)
        assert column == pytest.approx((WIDTH - 1) / 2 + math.copysign(9.5, angle), abs=0.01)


def test_zoom_and_aspect_scale_as_much_as_they_say(only, seeded):
    square = torch.zeros(1, 1, 101, 101)
    square[..., 35:66, 35:66] = 1
    photo = square.expand(-1, 3, -1, -1)
    for seed in range(4):
        for name, power in (("zoom", 2), ("aspect", 1)):
            warp = draw_warps(Draws(seeded(seed), 1), only(name, amount=0.3), ["Back"], (101, 101))
            assert 1 / 1.3 <= warp[0, 0, 0] <= 1.3
            assert warp[0, 1, 1] == (warp[0, 0, 0] if name == "zoom" else 1)
            target = bend(photo, square, warp)[1]
            assert target.sum() == pytest.approx(31**2 * float(warp[0, 0, 0]) ** power, rel=0.02)


def test_perspective_moves_the_corners_and_no_farther(only, seeded):
    warps = draw_warps(Draws(seeded(), 50), only("perspective", amount=0.1), ["Front"] * 50, (HEIGHT, WIDTH))
    corners = torch.tensor([[-15, -20, 1], [15, -20, 1], [15, 20, 1], [-15, 20, 1]], dtype=torch.float64).mT
    placed = warps @ corners
    offsets = (placed[:, :2] / placed[:, 2:] - corners[:2]).abs().amax(dim=(0, 2))
    assert 2.5 < offsets[0] <= 3
    assert 3.3 < offsets[1] <= 4


def test_amounts_and_shares_are_kept(only, seeded):
    warps = draw_warps(Draws(seeded(), 4000), only("shift", p=0.25, amount=0.1), ["Front"] * 4000, (HEIGHT, WIDTH))
    moved = (warps[:, :2, 2] != 0).all(dim=1)
    assert moved.double().mean() == pytest.approx(0.25, abs=0.025)
    assert warps[:, 0, 2].abs().max() == pytest.approx(3, abs=0.02)
    assert warps[:, 1, 2].abs().max() == pytest.approx(4, abs=0.02)
    turned = draw_warps(Draws(seeded(), 4000), only("rotation", amount=7), ["Front"] * 4000, (HEIGHT, WIDTH))
    angles = torch.atan2(turned[:, 1, 0], turned[:, 0, 0]).rad2deg()
    assert angles.abs().max() == pytest.approx(7, abs=0.02)
    assert angles.mean() == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize(
    ("knob", "mirrored"),
    [("flip", [True, False, True, True]), ("flip_front_right", [False, True, False, False])],
)
def test_views_are_flipped_by_their_own_knob(only, seeded, knob, mirrored):
    views = ["Front", "FrontRight", "Back", "unknown"]
    warps = draw_warps(Draws(seeded(), 4), only(knob), views, (HEIGHT, WIDTH))
    assert (warps[:, 0, 0] == -1).tolist() == mirrored


def test_much_reduced_photos_do_not_alias():
    stripes = torch.zeros(1, 3, 240, 240)
    stripes[..., ::2, :] = 1
    moved, target = bend(stripes, stripes[:, :1], matrix([0.38, 0, 0], [0, 0.38, 0]))
    assert torch.equal(moved[:, :1], target)
    assert (moved[..., 100:140, 100:140] - 0.5).abs().max() < 0.1
