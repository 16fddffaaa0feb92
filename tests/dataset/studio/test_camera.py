import numpy as np

from garmentcut.dataset.studio.camera import expose
from garmentcut.dataset.studio.placement import design_light


def test_the_lens_blurs_photo_and_alpha_alike():
    alpha = np.zeros((200, 120), np.float32)
    alpha[60:140, 30:90] = 1
    grey = np.repeat(alpha[..., None], 3, axis=2) * 0.9
    rgb, blurred = expose(grey, alpha, design_light(4), seed=4, view="Front")
    assert rgb.dtype == np.uint8 and blurred.dtype == np.float32
    assert abs(float(blurred.sum() - alpha.sum())) < 1e-2
    soft = (blurred > 0.001) & (blurred < 0.999)
    assert soft.sum() <= 2 * 2 * (80 + 60) + 8  # one pixel on each side of the edge
    inner = np.median(rgb[80:120, 50:70].astype(float))
    assert abs(np.corrcoef(rgb[55:65, 60, 1] / inner, blurred[55:65, 60])[0, 1]) > 0.99


def test_each_view_has_noise_of_its_own():
    flat = np.full((40, 40, 3), 0.5, np.float32)
    photos = [expose(flat, flat[..., 0], design_light(4), seed=4, view=view)[0] for view in ("Front", "Back", "Front")]
    assert (photos[0] != photos[1]).mean() > 0.2
    np.testing.assert_array_equal(photos[0], photos[2])
    assert photos[0].std() < 6
