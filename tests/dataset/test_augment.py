from dataclasses import fields

import numpy as np
import pytest
import torch

from garmentcut.dataset.augment import augment, augmentation_page
from garmentcut.dataset.samples import Sample
from garmentcut.recipe import AugmentConfig, Strength

VIEWS = ("Front", "FrontRight", "Back", "unknown", "Front")
OPTIONS = [field.name for field in fields(AugmentConfig) if field.name != "map_corruption"]
GEOMETRY = ("shift", "zoom", "aspect", "rotation", "perspective", "flip", "flip_front_right")
MOVES = (*GEOMETRY, "paste")


def varied(batch, config, seed=0, **options):
    return augment(*batch, views=VIEWS, config=config, key=(seed, 0), **options)


@pytest.mark.parametrize("option", OPTIONS)
def test_off_is_off_and_on_is_on(batch, only, option):
    photos, alphas = varied(batch, only(option, p=0))
    assert torch.equal(photos, batch[0])
    assert torch.equal(alphas, batch[1])
    photos, alphas = varied(batch, only(option, p=1))
    for row, view in enumerate(VIEWS):
        hit = not option.startswith("flip") or (option == "flip_front_right") == (view == "FrontRight")
        assert torch.equal(photos[row], batch[0][row]) != hit
    assert torch.equal(alphas, batch[1]) == (option not in MOVES)


@pytest.mark.parametrize("option", OPTIONS)
def test_it_happens_to_the_share_it_says(batch, only, option):
    photos, alphas = (part[:1].expand(200, -1, -1, -1)[..., 24:72, :] for part in batch)
    view = "FrontRight" if option == "flip_front_right" else "Front"
    if option == "paste":  # all the same photos: another garment must differ
        photos, alphas = photos.clone(), alphas.clone()
        alphas[:, :, :, 30:] *= torch.linspace(0.5, 1, 200).view(-1, 1, 1, 1)
    after, targets = augment(photos, alphas, views=[view] * 200, config=only(option, p=0.4), key=(5, 0))
    hit = ((after != photos) | (targets != alphas)).flatten(1).any(dim=1)
    assert hit.double().mean() == pytest.approx(0.4, abs=0.12)


def test_whatever_is_on_stays_in_range_and_leaves_its_inputs_alone(batch, only):
    before = [part.clone() for part in batch]
    photos, alphas = varied(batch, only(*OPTIONS), strongest=True)
    for part, old, given in zip((photos, alphas), before, batch, strict=True):
        assert part.shape == old.shape
        assert part.dtype == torch.float32
        assert part.isfinite().all()
        assert part.min() >= 0
        assert part.max() <= 1
        assert torch.equal(given, old)


def test_the_same_key_gives_the_same_pictures(batch, only):
    config = only(*OPTIONS, p=0.5)
    first, again, other = varied(batch, config, 1), varied(batch, config, 1), varied(batch, config, 2)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_what_else_is_drawn_does_not_depend_on_what_is_on(batch, only):
    alone, together = varied(batch, only("shift")), varied(batch, only("shift", "noise", "recolor", "jpeg"))
    assert torch.equal(alone[1], together[1])


def test_each_sample_draws_its_own(batch, only):
    photos = batch[0][:1].expand(5, -1, -1, -1)
    after = varied((photos, batch[1][:1].expand(5, -1, -1, -1)), only(*OPTIONS))[0]
    assert all(not torch.equal(after[row], after[row - 1]) for row in range(5))


def test_a_mixed_precision_step_around_it_changes_nothing(batch, only):
    config = only(*OPTIONS)
    plain = varied(batch, config)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = varied(batch, config)
    assert all(torch.equal(*pair) for pair in zip(plain, mixed, strict=True))


def test_a_pasted_garment_is_flipped_by_its_own_view(batch, only):
    """A front garment on a turned mannequin's photo follows `flip`."""
    config = only("paste", "flip")
    views = ("Front", "FrontRight")
    pair = tuple(part[:2] for part in batch)
    pasted = augment(*pair, views=views, config=only("paste"), key=(0,))[1]
    flipped = augment(*pair, views=views, config=config, key=(0,))[1]
    assert torch.equal(flipped[0], pasted[0])
    assert torch.allclose(flipped[1], pasted[1].flip(2), atol=1e-3)


@pytest.mark.parametrize(
    ("photos", "alphas", "views"),
    [
        (torch.zeros(2, 3, 8, 8), torch.zeros(2, 1, 8, 8), ["Front"]),
        (torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 6), ["Front"]),
        (torch.zeros(1, 4, 8, 8), torch.zeros(1, 1, 8, 8), ["Front"]),
        (torch.zeros(3, 8, 8), torch.zeros(1, 8, 8), ["Front"]),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1, 1, 8, 8), ["Front"]),
    ],
)
def test_other_inputs_are_refused(photos, alphas, views):
    with pytest.raises(ValueError, match=r"photos .*not"):
        augment(photos, alphas, views=views, config=AugmentConfig(), key=(0,))


@pytest.mark.gpu
def test_a_gpu_draws_the_same_pictures(batch, only):
    # JPEG rounds: a hair's difference is a step's. Noise is the device's own.
    config = only(*(option for option in OPTIONS if option not in ("jpeg", "noise")), p=0.5)
    there = [part.cuda() for part in batch]
    for on_gpu, on_cpu in zip(varied(there, config), varied(batch, config), strict=True):
        assert torch.allclose(on_gpu.cpu(), on_cpu, atol=2e-3)


OFF = Strength(0.0, 0.0)


def windows(config):
    photos, alphas = torch.rand(3, 4, 24, 16), torch.zeros(3, 1, 24, 16)
    alphas[:, :, 6:18, 4:12] = 1
    seen = photos.clone()
    varied = augment(photos, alphas, views=["Front"] * 3, config=config, key=(0, 0), moves=False)
    assert torch.equal(photos, seen)
    return photos, alphas, *varied


def test_windows_do_not_move(only):
    photos, alphas, varied, varied_alphas = windows(only(*MOVES))
    assert torch.equal(varied, photos)
    assert torch.equal(varied_alphas, alphas)


def test_colours_of_windows_change_but_not_their_maps(only):
    photos, alphas, varied, varied_alphas = windows(only("brightness"))
    assert not torch.equal(varied[:, :3], photos[:, :3])
    assert torch.equal(varied[:, 3:], photos[:, 3:])
    assert torch.equal(varied_alphas, alphas)


RIM = np.array([255, 0, 255], np.uint8)


@pytest.fixture
def shown(batch):
    photos, alphas = ((part * 255).round().to(torch.uint8) for part in batch)
    return [Sample(photos[row], alphas[row], "Front", f"{row}") for row in range(3)]


def test_a_row_for_each_option_that_is_on(shown, only):
    bare = augmentation_page(shown, AugmentConfig())
    page = augmentation_page(shown, only("shift", "noise", "recolor", p=0.5))
    assert page.dtype == np.uint8
    assert page.shape == (7 * bare.shape[0], bare.shape[1], 3)  # as they are, three alone, three of all together
    assert bare.shape[1] >= 3 * 240


def test_the_edge_of_the_target_is_drawn(shown, only):
    page = augmentation_page(shown, only("rotation", "blur"))
    rows = np.split((page == RIM).all(axis=2), 6)
    assert all(row.sum() > 300 for row in rows)


def test_labels_name_the_options(shown, only):
    label_rows = augmentation_page(shown, only("shift"))[:22], augmentation_page(shown, only("zoom"))[:22]
    assert np.array_equal(*label_rows)
    shift, zoom = (augmentation_page(shown, only(name)) for name in ("shift", "zoom"))
    height = len(shift) // 5
    assert not np.array_equal(shift[height : height + 22], zoom[height : height + 22])


def test_the_seed_decides(shown, only):
    pages = [augmentation_page(shown, only("shift"), seed) for seed in (1, 1, 2)]
    assert np.array_equal(pages[0], pages[1])
    assert not np.array_equal(pages[0], pages[2])


def test_a_photo_without_a_garment_can_be_shown(shown, only):
    bare = [Sample(shown[0].photo, torch.zeros_like(shown[0].alpha), "Front", "bare")]
    assert augmentation_page(bare, only("noise", "recolor", "paste", "rotation")).shape[1] >= 240
