from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from garmentcut.evaluation.gallery import Gallery
from garmentcut.photo.photo import Photo


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
        return [(exhibit.score.name, exhibit.score.measures.dice) for exhibit in gallery.exhibits]

    return show


def test_the_worst_are_kept_worst_first(shown):
    dices = [float(dice) for dice in np.random.default_rng(0).permutation(30) / 30]
    kept = shown(Gallery(5), dices)
    assert [dice for _, dice in kept] == sorted(dices)[:5]


def test_the_same_dice_goes_by_name(shown):
    assert shown(Gallery(9), [0.5, 0.4, 0.5]) == [("g001_Front", 0.4), ("g000_Front", 0.5), ("g002_Front", 0.5)]


def test_none_wanted_none_drawn(shown, monkeypatch):
    monkeypatch.setattr("garmentcut.evaluation.gallery.draw_pictures", None)
    assert shown(Gallery(0), [0.1, 0.2]) == []


def test_good_photos_cost_nothing(shown, monkeypatch):
    gallery = Gallery(1)
    shown(gallery, [0.1])
    monkeypatch.setattr("garmentcut.evaluation.gallery.draw_pictures", None)
    assert shown(gallery, [0.2, 0.3]) == [("g000_Front", 0.1)]
