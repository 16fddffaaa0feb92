import imagecodecs
import numpy as np

from garmentcut.prediction.doubt_maps import draw_maps
from garmentcut.prediction.heat import heat_bytes, heat_of


def test_heat_is_where_alpha_is_unsure_or_the_edge_has_no_contrast():
    alpha = np.zeros((240, 160), np.float32)
    alpha[60:180, 40:120] = 1
    rgb = np.where(alpha[..., None] > 0, np.uint8(40), np.uint8(200)).repeat(3, axis=2).astype(np.uint8)
    rgb[100:140, 40:60] = 200  # like the wall
    alpha[80:90, 90:100] = 0.5
    heat = heat_of(draw_maps(rgb, alpha))
    assert heat.shape == (240, 160)
    assert heat[85, 95] == 255
    assert heat[120, 40] > 100
    assert heat[160, 40] < 30  # a sharp edge that is well seen
    assert not heat[150, 80]
    assert not heat[:40].any()


def test_the_file_is_an_8_bit_gray_picture(studio):
    shown = studio()
    maps = draw_maps(shown.photo, shown.alpha)
    np.testing.assert_array_equal(imagecodecs.png_decode(heat_bytes(maps)), heat_of(maps))
