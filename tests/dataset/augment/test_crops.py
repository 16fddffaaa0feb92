import pytest
import torch

from garmentcut.dataset.augment.crops import augment_crops, damage_maps
from garmentcut.dataset.augment.draws import Draws
from garmentcut.recipe import AugmentConfig, CropsConfig, Strength

OFF = Strength(0.0, 0.0)


def crops():
    alphas = torch.zeros(4, 1, 64, 48)
    alphas[:, :, 16:48, 12:36] = 1
    photos = torch.cat([torch.rand(4, 3, 64, 48, generator=torch.Generator().manual_seed(0)), alphas], dim=1)
    return photos, alphas


def changed(config=None, damage=OFF, seed=0):
    photos, alphas = crops()
    return augment_crops(
        photos,
        alphas,
        views=["Front"] * 4,
        config=config or AugmentConfig(),
        crops=CropsConfig(damage=damage),
        generator=torch.Generator().manual_seed(seed),
    )


def test_nothing_asked_is_nothing_changed():
    photos, alphas = changed()
    assert torch.equal(photos, crops()[0])
    assert torch.equal(alphas, crops()[1])


def test_map_and_target_move_together():
    config = AugmentConfig(
        shift=Strength(1, 0.2), zoom=Strength(1, 0.3), rotation=Strength(1, 20), flip=Strength(0.5, 1)
    )
    photos, alphas = changed(config)
    assert not torch.equal(alphas, crops()[1])
    assert torch.equal(photos[:, 3:], alphas)  # the map was the target: it still is


def test_colours_leave_the_map_alone():
    config = AugmentConfig(
        brightness=Strength(1, 0.5), noise=Strength(1, 0.2), recolor=Strength(1, 1), blur=Strength(1, 2)
    )
    photos, _ = changed(config)
    assert torch.equal(photos[:, 3:], crops()[0][:, 3:])
    assert not torch.equal(photos[:, :3], crops()[0][:, :3])


def test_damage_changes_the_map_and_nothing_else():
    photos, alphas = changed(damage=Strength(1, 12))
    assert torch.equal(photos[:, :3], crops()[0][:, :3])
    assert torch.equal(alphas, crops()[1])
    assert not torch.equal(photos[:, 3:], alphas)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_maps_grow_and_shrink(sign):
    class Fixed(Draws):
        def signed(self, _, *shape):
            return torch.full((self.num, *shape), sign, dtype=torch.float64)

        def chosen(self, _):
            return torch.zeros(self.num, dtype=torch.bool)

    maps = crops()[1]
    damaged = damage_maps(maps, Fixed(torch.Generator(), 4), Strength(1, 8))
    height = (damaged[0, 0, :, 24] > 0.5).sum()
    assert height == pytest.approx(32 + sign * 16, abs=3)
    assert 0 <= damaged.min() <= damaged.max() <= 1


def test_pieces_are_lost_and_invented():
    lost = invented = 0
    for seed in range(12):
        photos, alphas = changed(damage=Strength(1, 0), seed=seed)
        difference = photos[:, 3:] - alphas
        lost += int((difference < -0.5).flatten(1).any(1).sum())
        invented += int((difference > 0.5).flatten(1).any(1).sum())
    assert lost > 3
    assert invented > 3
