from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from garmentcut.config import RuntimeConfig
from garmentcut.errors import ModelError
from garmentcut.model.card import first_network_of, read_model
from garmentcut.photo.photo import Photo
from garmentcut.prediction.cutter import Cutter, default_model
from garmentcut.prediction.int8 import calculate_in_int8, convolutions_of
from garmentcut.prediction.runtime import load_runtime
from garmentcut.synthetic import draw_studio_photo

ON_CPU = RuntimeConfig(backend="openvino", threads=2)


@pytest.fixture(scope="module")
def default():
    return read_model(default_model())


@pytest.fixture(scope="module")
def photo():
    return draw_studio_photo(3, size_hw=(1152, 768)).rgb


def test_the_embedded_network_calculates_in_8_bits_and_gives_the_same_garment(default, photo):
    content, card = default
    assert card.int8_ranges
    small = load_runtime(content, card, ON_CPU)(photo)
    plain = load_runtime(content, card, replace(ON_CPU, int8=False))(photo)
    first, second = small >= 0.5, plain >= 0.5
    assert 2 * (first & second).sum() / (first.sum() + second.sum()) > 0.998
    assert 0 < np.abs(small - plain).mean() < 2e-3


def test_float32_can_be_asked_for(default, photo):
    content, card = default
    asked = load_runtime(content, card, replace(ON_CPU, int8=False))(photo)
    assert np.array_equal(asked, load_runtime(content, replace(card, int8_ranges={}), ON_CPU)(photo))


def test_weights_that_are_stored_in_8_bits_are_found_too(default):
    """The first look's are whole numbers times a scale."""
    import openvino

    content, card = default
    network = openvino.Core().read_model(first_network_of(content, card))
    [name, *_] = [node.get_friendly_name() for node in convolutions_of(network)]
    calculate_in_int8(network, {name: (0.0, 1.0)})
    kinds = [node.get_type_name() for node in network.get_ordered_ops()]
    assert kinds.count("FakeQuantize") == 2


def test_two_streams_see_what_one_sees(default):
    """With weights that OpenVINO made float32 itself, the first look missed whole garments in most processes."""
    content, card = default
    photos = [draw_studio_photo(seed, size_hw=(384, 256)).rgb for seed in range(4)]
    one, two = (
        load_runtime(first_network_of(content, card), card.first_card, replace(ON_CPU, streams=streams))
        for streams in (1, 2)
    )
    expected = [one(photo) for photo in photos]
    assert max(alpha.max() for alpha in expected) > 0.9
    with ThreadPoolExecutor(2) as pool:
        for alpha, answer in zip(expected, pool.map(two, photos), strict=True):
            assert np.abs(alpha - answer).max() < 1e-3


def test_names_of_another_network_are_refused(default):
    content, card = default
    with pytest.raises(ModelError, match="its card names convolutions that it has not: elsewhere"):
        load_runtime(content, replace(card, int8_ranges={"elsewhere": (0.0, 1.0)}), ON_CPU)


def test_a_garment_in_a_lying_frame_is_found():
    """No photo that a model learned from lies; ranges of a first look, found on upright ones, lost it there."""
    upright = draw_studio_photo(3, size_hw=(576, 384)).rgb
    lying = np.empty((576, 864, 3), np.uint8)
    lying[:] = upright[2, 2]
    lying[:, 240:624] = upright
    cutter, photo = Cutter.load(config=ON_CPU), Photo(lying)
    assert cutter.predict(photo, cutter.frame(photo)).agreement > 0.95
