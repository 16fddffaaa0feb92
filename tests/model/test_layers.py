import torch
from torch import nn

from garmentcut.model.layers import enlarge, extend, he_normal


def test_on_extended_sides_bilinear_enlargement_is_exact():
    pixels = torch.arange(24.0).expand(1, 1, 16, 24)
    extended = extend(pixels)
    assert extended.shape == (1, 1, 17, 25)
    assert extended[0, 0, 3, -2:].tolist() == [23, 23]
    on_every_eighth = torch.arange(25.0).expand(1, 1, 17, 25)[:, :, ::8, ::8]
    torch.testing.assert_close(enlarge(on_every_eighth, extended)[:, :, :-1, :-1], pixels)


def test_he_normal_draws_by_fan_in():
    layer = nn.Conv2d(64, 32, 3)
    torch.manual_seed(0)
    he_normal(nn.Sequential(layer))
    assert abs(float(layer.weight.detach().std()) - (2 / (64 * 9)) ** 0.5) < 0.001
    assert not layer.bias.any()
