import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from garmentcut.evaluation.pictures import EXTRA_RGB, MISSING_RGB, Gallery, draw_choice, draw_choices, draw_pictures
from garmentcut.evaluation.predict import plan_trials
from garmentcut.photo.photo import Photo


def pixels(picture):
    with Image.open(io.BytesIO(picture.jpeg)) as image:
        assert image.format == "JPEG"
        assert image.size == picture.size_hw[::-1]
        return np.asarray(image.convert("RGB"), np.int16)


def is_near(rgb, color, limit=60):
    return np.abs(rgb - np.array(color)).max(axis=-1) < limit


@pytest.fixture
def drawn(studio):
    """The cutout lacks the garment's left quarter and has a block too much at its right."""
    shot = studio(288, 192)
    prediction = shot.alpha.copy()
    prediction[:, :60] = 0
    prediction[130:160, 150:175] = 1
    return draw_pictures(Photo(shot.photo), shot.alpha, prediction)


def test_the_captions(drawn):
    assert [picture.caption for picture in drawn] == [
        "photo",
        "ground truth",
        "cutout",
        "difference",
        "where it differs most",
    ]
    assert all(max(picture.size_hw) <= 480 for picture in drawn)
    assert len({picture.size_hw for picture in drawn[:4]}) == 1


def test_missing_and_extra_have_their_colours_on_their_sides(drawn):
    difference = pixels(drawn[3])
    missing, extra = is_near(difference, MISSING_RGB), is_near(difference, EXTRA_RGB)
    assert missing.sum() > 1000
    assert extra.sum() > 300
    assert np.flatnonzero(missing.any(axis=0)).max() < np.flatnonzero(extra.any(axis=0)).min()


def test_the_garment_keeps_its_colour_and_the_rest_does_not(drawn):
    photo, truth, cutout = (pixels(picture) for picture in drawn[:3])
    middle = photo.shape[0] // 2, photo.shape[1] // 2
    assert np.abs(truth[middle] - photo[middle]).max() < 12
    assert np.abs(cutout[middle] - photo[middle]).max() < 12
    assert np.abs(truth[2, 2] - photo[2, 2]).max() > 40


def test_the_detail_shows_the_largest_error(drawn):
    detail = pixels(drawn[4])
    assert detail.shape[0] <= 400
    assert is_near(detail, MISSING_RGB).any()


def test_thin_errors_stay_visible_in_a_large_photo():
    rgb = np.full((1200, 800, 3), 128, np.uint8)
    target = np.zeros((1200, 800), np.float32)
    target[100:1100, 100:700] = 1
    prediction = target.copy()
    prediction[:, 698:700] = 0  # two of 1200 pixels, half a pixel in the picture
    difference = pixels(draw_pictures(Photo(rgb), target, prediction)[3])
    column = difference[difference.shape[0] // 2]
    assert (column[:, 0] - column[:, 2]).max() > 60  # orange


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nothing_cut_out_and_nothing_wrong(dtype):
    rgb = np.full((40, 30, 3), np.iinfo(dtype).max, dtype)
    nothing = np.zeros((40, 30), np.float32)
    for target, prediction in ((nothing, nothing), (nothing, nothing + 1), (nothing + 1, nothing + 1)):
        assert all(pixels(picture).size for picture in draw_pictures(Photo(rgb), target, prediction))


def test_a_box_is_outlined_and_enlarged(studio):
    shown = studio(864, 576)
    target = shown.alpha.copy()
    target[600:610, 270:290] = 0  # what the box is about
    target[200:240, 260:300] = 0  # more, elsewhere
    box = (270, 600, 290, 610)
    plain = draw_pictures(Photo(shown.photo), target, shown.alpha)
    outlined = draw_pictures(Photo(shown.photo), target, shown.alpha, outlined_xyxy=box)
    assert [picture.caption for picture in plain] == [picture.caption for picture in outlined]
    assert [one.jpeg == other.jpeg for one, other in zip(plain, outlined, strict=True)] == [True, *[False] * 4]
    drawn = pixels(outlined[3])
    assert (drawn < 90).all(axis=-1).sum() > 40  # a black line on a pale picture
    assert (pixels(plain[3]) < 90).all(axis=-1).sum() == 0


@pytest.fixture
def shown(make_score, failed_score):
    """shown(gallery, dices): photos of that Dice, from several threads."""
    photo = Photo(np.zeros((40, 30, 3), np.uint8))
    alpha = np.zeros((40, 30), np.float32)
    alpha[10:20, 10:20] = 1

    def show(gallery, dices):
        scores = [make_score(f"g{number:03d}_Front", dice) for number, dice in enumerate(dices)]
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda score: gallery(score, photo, alpha, alpha), scores))
        gallery(failed_score, photo, alpha, alpha)
        return [(photo.score.name, photo.score.measures.dice) for photo in gallery.worst_photos]

    return show


def test_the_worst_are_kept_worst_first(shown):
    dices = [float(dice) for dice in np.random.default_rng(0).permutation(30) / 30]
    kept = shown(Gallery(5), dices)
    assert [dice for _, dice in kept] == sorted(dices)[:5]


def test_the_same_dice_goes_by_name(shown):
    assert shown(Gallery(9), [0.5, 0.4, 0.5]) == [("g001_Front", 0.4), ("g000_Front", 0.5), ("g002_Front", 0.5)]


def test_none_wanted_none_drawn(shown, monkeypatch):
    monkeypatch.setattr("garmentcut.evaluation.pictures.draw_pictures", None)
    assert shown(Gallery(0), [0.1, 0.2]) == []


def test_good_photos_cost_nothing(shown, monkeypatch):
    gallery = Gallery(1)
    shown(gallery, [0.1])
    monkeypatch.setattr("garmentcut.evaluation.pictures.draw_pictures", None)
    assert shown(gallery, [0.2, 0.3]) == [("g000_Front", 0.1)]


def test_cutouts_to_choose_among(studio):
    shown = studio(288, 192)
    drawn = draw_choice(Photo(shown.photo), shown.alpha, {"before": shown.alpha * 0, "now": shown.alpha})
    assert [picture.caption for picture in drawn] == ["photo", "ground truth", "before", "now"]
    photo, truth, before, now = (pixels(picture) for picture in drawn)
    middle = photo.shape[0] // 2, photo.shape[1] // 2
    assert np.abs(now[middle] - photo[middle]).max() < 12
    assert np.abs(before[middle] - photo[middle]).max() > 20
    assert np.abs(truth - now).max() < 30


def test_photos_are_cut_again_by_both_models(tmp_path, red_model, red_dataset):
    ours, theirs = (
        plan_trials(red_model(tmp_path / f"{name}.onnx", name=name), red_dataset) for name in ("new", "old")
    )
    drawn = draw_choices(ours, theirs, red_dataset, ["g1_Back", "g0_Front", "no such"])
    assert set(drawn) == {"g1_Back", "g0_Front"}
    captions = [picture.caption for picture in drawn["g0_Front"]]
    assert captions[:2] == ["photo", "ground truth"]
    assert captions[2].startswith("before: old@")
    assert captions[3].startswith("now: new@")
