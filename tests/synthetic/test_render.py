import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.synthetic import (
    VIEWS,
    StudioPhoto,
    Variation,
    draw_studio_photo,
    draw_variation,
    write_studio_photos,
)
from garmentcut.synthetic.garment import KINDS
from garmentcut.synthetic.mannequin import MAKES, design_mannequin
from garmentcut.synthetic.render import DETAILS

SEEDS = range(8)


def digest(photo: StudioPhoto) -> str:
    return hashlib.sha256(photo.rgb.tobytes() + photo.alpha.tobytes()).hexdigest()


def test_the_same_seed_gives_the_same_photo_bit_for_bit():
    first, second = (draw_studio_photo(11, view="FrontRight", size_hw=(216, 144)) for _ in range(2))
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.alpha, second.alpha)
    assert (first.garment, first.traits) == (second.garment, second.traits)


def test_a_fresh_process_gives_the_same_photo_bit_for_bit():
    script = (
        "import hashlib; from garmentcut.synthetic import draw_studio_photo\n"
        "p = draw_studio_photo(11, view='Back', size_hw=(216, 144))\n"
        "print(hashlib.sha256(p.rgb.tobytes() + p.alpha.tobytes()).hexdigest(), p.garment, sorted(p.traits))"
    )
    here = draw_studio_photo(11, view="Back", size_hw=(216, 144))
    env = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.pathsep.join(sys.path)}  # here it is another
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{digest(here)} {here.garment} {sorted(here.traits)}"


def test_the_global_random_state_neither_matters_nor_changes():
    np.random.seed(1)  # noqa: NPY002 -- the state under test
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = draw_studio_photo(2, size_hw=(96, 64))
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    np.testing.assert_array_equal(first.rgb, draw_studio_photo(2, size_hw=(96, 64)).rgb)


@pytest.mark.parametrize("seed", [0, 3, 5])
def test_the_size_changes_the_sampling_and_not_the_design(draw, seed):
    small, large = draw(seed), draw(seed, size_hw=(576, 384))
    reduced = large.alpha.reshape(288, 2, 192, 2).mean(axis=(1, 3))
    assert np.abs(reduced - small.alpha).mean() < 0.002
    assert small.alpha.sum() * 4 == pytest.approx(large.alpha.sum(), rel=0.01)
    smaller_rgb = large.rgb.astype(float).reshape(288, 2, 192, 2, 3).mean(axis=(1, 3))
    assert np.abs(smaller_rgb - small.rgb).mean() < 4
    assert (small.garment, small.traits) == (large.garment, large.traits)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("view", VIEWS)
def test_every_kind_stands_whole_inside_the_frame_in_every_view(draw, kind, view):
    photo = draw(4, view=view, garment_kind=kind)
    assert photo.rgb.shape == (288, 192, 3) and photo.rgb.dtype == np.uint8
    assert photo.alpha.shape == (288, 192) and photo.alpha.dtype == np.float32
    assert photo.alpha.min() == 0 and photo.alpha.max() <= 1
    assert 0.015 < photo.alpha.mean() < 0.25
    border = np.concatenate([photo.alpha[0], photo.alpha[-1], photo.alpha[:, 0], photo.alpha[:, -1]])
    assert border.max() == 0
    assert kind in photo.traits and photo.view == view


@pytest.mark.parametrize("seed", SEEDS)
def test_only_the_edge_band_opaque_cloth_is_soft(draw, seed):
    photo = draw(seed, print_name="plain")
    if "sheer" in photo.traits:
        return
    soft = (photo.alpha > 0.02) & (photo.alpha < 0.98)
    assert soft.mean() < 0.02
    solid = photo.alpha >= 0.98
    near_solid = solid.copy()
    for _ in range(3):
        near_solid[1:-1, 1:-1] |= (
            near_solid[:-2, 1:-1] | near_solid[2:, 1:-1] | near_solid[1:-1, :-2] | near_solid[1:-1, 2:]
        )
    stray = soft & ~near_solid  # thin straps never fill a pixel
    assert stray.mean() < (0.004 if "straps" in photo.traits else 0.001)


def test_views_share_garment_traits_and_studio(draw):
    for seed in (1, 6):
        front, turned, back = (draw(seed, view=view) for view in VIEWS)
        assert front.garment == turned.garment == back.garment
        assert front.traits == turned.traits == back.traits
        corner = (slice(0, 40), slice(0, 40))
        assert np.abs(front.rgb[corner].astype(int) - back.rgb[corner]).mean() < 4  # the studio stays, but for noise
        assert not np.array_equal(front.alpha, back.alpha)


def test_the_turned_mannequin_is_narrower_than_from_the_front(draw, seeds_with):
    def width(photo):
        return np.flatnonzero((photo.alpha > 0.5).any(axis=0)).size

    for seed in seeds_with("pencil", kind="skirt")[:2]:
        turned, front = (draw(seed, view=view, garment_kind="skirt") for view in ("FrontRight", "Front"))
        assert width(turned) < width(front)


def test_different_seeds_give_different_garments_and_scenes(draw):
    photos = [draw(seed) for seed in SEEDS]
    assert len({photo.garment for photo in photos}) == len(photos)
    assert len({digest(photo) for photo in photos}) == len(photos)


def test_alpha_weighs_the_garments_colour_in_every_pixel(draw):
    """Two photos that differ in the fabric's colour alone differ by alpha times that colour's difference."""
    dark, light = (draw(10, garment_kind="dress", print_name="plain", fabric_rgb=(level,) * 3) for level in (0.1, 0.9))
    np.testing.assert_array_equal(dark.alpha, light.alpha)
    change = (light.rgb.astype(float) - dark.rgb).mean(axis=-1)
    assert np.abs(change[dark.alpha == 0]).max() == 0
    inside, rim = dark.alpha > 0.99, (dark.alpha > 0.2) & (dark.alpha < 0.8)
    typical = np.median(change[inside])
    assert typical > 80
    # Shading makes the rim darker than the middle, never brighter; what matters is that it follows alpha.
    assert np.corrcoef(change[rim], dark.alpha[rim])[0, 1] > 0.8


def test_sheer_cloth_is_truly_partial_over_a_large_part(draw, seeds_with):
    for seed in seeds_with("sheer all", kind="dress")[:2]:
        photo = draw(seed, garment_kind="dress")
        partial = (photo.alpha > 0.25) & (photo.alpha < 0.97)
        assert partial.sum() > 0.25 * (photo.alpha > 0.05).sum()


def test_colour_and_kind_can_be_chosen_and_name_another_garment(draw):
    own, red = draw(5, garment_kind="dress"), draw(5, garment_kind="dress", print_name="plain", fabric_rgb=(0.8, 0, 0))
    assert own.garment != red.garment
    inside = red.rgb[red.alpha > 0.99].astype(float).mean(axis=0)
    assert inside[0] > 2 * inside[1] and inside[0] > 2 * inside[2]


@pytest.mark.parametrize(
    "wrong", [{"view": "Left"}, {"garment_kind": "hat"}, {"print_name": "tartan"}, {"size_hw": (16, 16)}]
)
def test_unknown_words_and_tiny_sizes_are_refused(wrong):
    with pytest.raises(ValueError):
        draw_studio_photo(1, **wrong)


def test_a_seed_draws_what_it_always_drew(draw):
    """Pins the design, not the pixels: these words change only when the tables or the order of draws do."""
    photo = draw(3)
    assert {"skirt", "dip hem", "full", "knee", "plain", "satin", "paper roll"} <= photo.traits


PHOTOS = Path(__file__).parents[2] / "examples" / "photos"


@pytest.mark.parametrize("make", MAKES)
def test_whatever_wears_it_the_garment_is_whole_and_nothing_else_is_in_the_alpha(draw, make):
    own, other = draw(4), draw_studio_photo(4, size_hw=(288, 192), variation=Variation(make=make))
    assert make in other.traits
    near = np.abs(own.alpha - other.alpha)
    assert (near > 0.02).mean() < 0.03  # where the inside of the cloth shows beside other limbs
    assert not np.array_equal(own.rgb, other.rgb)


def test_no_variation_is_the_studio_itself(draw):
    plain = draw_studio_photo(6, size_hw=(288, 192), variation=Variation())
    np.testing.assert_array_equal(draw(6).rgb, plain.rgb)
    assert draw(6).garment == plain.garment


LIMBS = {"sleeves": Variation(arms="sleeves"), "trousers": Variation(trousers=True)}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("trait", LIMBS)
def test_sleeves_and_legs_are_cloth_as_far_as_they_cover_a_pixel(trait, view):
    own = {"view": view, "garment_kind": "dress", "print_name": "plain", "variation": LIMBS[trait]}
    dark, light = (draw_studio_photo(7, size_hw=(288, 192), fabric_rgb=(grey,) * 3, **own) for grey in (0.1, 0.9))
    np.testing.assert_array_equal(dark.alpha, light.alpha)
    plain = draw_studio_photo(7, size_hw=(288, 192), fabric_rgb=(0.1,) * 3, **own | {"variation": None})
    assert trait in dark.traits - plain.traits and dark.garment != plain.garment
    change = (light.rgb.astype(float) - dark.rgb).mean(axis=-1)
    limbs = (dark.alpha > 0.1) & (plain.alpha == 0)
    assert limbs.sum() > 100
    assert np.abs(change[dark.alpha == 0]).max() == 0
    assert np.all(change[limbs] > 60 * dark.alpha[limbs])


def test_trousers_have_two_legs_apart_from_each_other():
    """Whatever the kind of garment, there are two runs of cloth above the hem of some trousers, and one at the hip."""
    counts = set()
    for seed in range(3):
        alpha = draw_studio_photo(seed, size_hw=(288, 192), variation=Variation(trousers=True)).alpha
        rows = np.flatnonzero((alpha >= 0.5).any(axis=1))
        for share in (0.05, 0.85):
            row = alpha[rows[0] + round(share * (rows[-1] - rows[0]))] >= 0.5
            counts.add((share, int((np.diff(row.astype(int)) == 1).sum())))
    assert (0.85, 2) in counts and (0.85, 3) not in counts


def test_bare_arms_are_no_garment_and_forms_and_hangers_have_none(draw):
    own = draw_studio_photo(4, size_hw=(288, 192), variation=Variation(arms="bare"))
    assert own.garment == draw(4).garment
    assert (np.abs(own.alpha - draw(4).alpha) > 0.02).mean() < 0.01  # where an arm hides the inside of the cloth
    assert (np.abs(own.rgb.astype(int) - draw(4).rgb).max(axis=-1) > 20).mean() > 0.01
    for make, has_arms in (("grey", True), ("black form", False), ("hanger", False)):
        assert design_mannequin(4, make, has_arms=True).has_arms is has_arms


@pytest.mark.parametrize(("seed", "kind", "grows"), [(7, "dress", True), (7, "skirt", False), (8, "dress", False)])
def test_only_what_covers_the_shoulders_gets_sleeves(seed, kind, grows):
    photo = draw_studio_photo(seed, size_hw=(96, 64), garment_kind=kind, variation=Variation(arms="sleeves"))
    assert ("sleeves" in photo.traits) is grows


@pytest.mark.parametrize("detail", DETAILS)
def test_thin_details_belong_to_the_garment_as_far_as_they_cover_a_pixel(draw, detail):
    own = {"variation": Variation(details=(detail,)), "garment_kind": "dress", "print_name": "plain"}
    dark, light = (draw_studio_photo(10, size_hw=(288, 192), fabric_rgb=(grey,) * 3, **own) for grey in (0.1, 0.9))
    np.testing.assert_array_equal(dark.alpha, light.alpha)
    without = draw(10, garment_kind="dress", print_name="plain", fabric_rgb=(0.1,) * 3)
    added = dark.alpha - without.alpha
    assert added.min() > -1e-6 and dark.garment != without.garment
    change = (light.rgb.astype(float) - dark.rgb).mean(axis=-1)
    assert np.abs(change[dark.alpha == 0]).max() == 0
    thin = (added > 0.1) & (without.alpha == 0)
    assert thin.any() or detail != "fringe"  # the others may lie on the dress alone
    assert np.all(change[thin] > 60 * added[thin])


def test_cloth_can_have_the_colour_of_the_skin_beside_it():
    photo = draw_studio_photo(5, size_hw=(288, 192), print_name="plain", variation=Variation("grey", "white", (), True))
    cloth = np.median(photo.rgb[photo.alpha > 0.99], axis=0)
    assert {"grey", "white"} <= photo.traits
    assert np.abs(cloth - design_mannequin(5, "grey").skin * 255).max() < 60


def test_a_seed_draws_the_same_variation_and_they_differ():
    drawn = [draw_variation(seed) for seed in range(40)]
    assert drawn == [draw_variation(seed) for seed in range(40)]
    assert len(set(drawn)) > 20


@pytest.mark.parametrize("wrong", [{"make": "robot"}, {"ground": "moon"}, {"details": ("wings",)}, {"arms": "short"}])
def test_unknown_variations_are_refused(wrong):
    with pytest.raises(ValueError, match="is none of"):
        draw_studio_photo(1, size_hw=(64, 48), variation=Variation(**wrong))


EXAMPLE_SEEDS = (209, 706)


def test_there_are_three_views_of_each_example_and_they_are_small():
    paths = sorted(PHOTOS.glob("*.jpg"))
    garments = [draw_studio_photo(seed, size_hw=(96, 64)).garment for seed in EXAMPLE_SEEDS]
    assert [path.stem for path in paths] == sorted(f"{garment}_{view}" for garment in garments for view in VIEWS)
    assert sum(path.stat().st_size for path in paths) < 4_000_000


@pytest.mark.parametrize(("seed", "view"), [(209, "FrontRight"), (706, "Back")])
def test_the_examples_are_what_their_seeds_draw(seed, view):
    """A change of the drawing asks for new examples; examples/README.md says how."""
    garment = draw_studio_photo(seed, size_hw=(96, 64)).garment
    with Image.open(PHOTOS / f"{garment}_{view}.jpg") as image:
        reduced = np.asarray(image.reduce(12), np.float64)
    again = Image.fromarray(draw_studio_photo(seed, view=view, size_hw=(432, 288)).rgb)
    assert np.abs(reduced - np.asarray(again.reduce(3))).mean() < 1.5


def test_photos_and_their_exact_cutouts(tmp_path):
    paths = list(write_studio_photos(tmp_path / "p", [7], size_hw=(192, 128), cutouts_dir=tmp_path / "c"))
    shots = [draw_studio_photo(7, view=view, size_hw=(192, 128)) for view in VIEWS]
    assert [path.name for path in paths] == [f"{shot.garment}_{shot.view}.jpg" for shot in shots]
    for path, shot in zip(paths, shots, strict=True):
        with Image.open(path) as photo, Image.open(tmp_path / "c" / f"{path.stem}.png") as cutout:
            assert photo.size == cutout.size == (128, 192)
            alpha = np.asarray(cutout.getchannel("A"))
        assert np.array_equal(alpha, np.rint(shot.alpha * 255).astype(np.uint8))


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    once, again = (list(write_studio_photos(tmp_path / name, [3], size_hw=(96, 64))) for name in "ab")
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]
