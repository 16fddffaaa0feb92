import numpy as np

from garmentcut.dataset.studio.noise import lattice, sample
from garmentcut.dataset.studio.streams import named_stream


def test_noise_meets_its_lattice_repeats_around_and_stays_beyond_its_ends():
    heights = lattice(named_stream(1, "noise"), 4, 6)
    columns = np.arange(6) / 6
    np.testing.assert_allclose(sample(heights, columns, np.full(6, 1 / 3)), heights[1], atol=1e-5)
    anywhere = np.linspace(-1.3, 1.3, 40)
    np.testing.assert_allclose(sample(heights, anywhere, anywhere), sample(heights, anywhere + 1, anywhere), atol=1e-4)
    np.testing.assert_array_equal(sample(heights, columns, np.full(6, 5.0)), sample(heights, columns, np.ones(6)))


def test_noise_stays_between_its_heights():
    heights = lattice(named_stream(2, "noise"), 5, 5)
    place = named_stream(3, "places").random((2, 500))
    values = sample(heights, *place)
    assert heights.min() <= values.min() and values.max() <= heights.max()
