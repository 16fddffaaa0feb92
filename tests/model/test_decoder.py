import pytest
import torch

from garmentcut.model.decoder import Block, Decoder, LightBlock, double


def test_doubling_by_hand():
    line = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)
    assert double(line)[0, 0, 0].tolist() == [0.0, 1.0, 3.0, 4.0]


@pytest.mark.parametrize("kind", [Block, LightBlock])
def test_a_block_joins_at_twice_the_size(kind):
    block = kind(6, 3, 5)
    assert block(torch.rand(2, 6, 4, 3), torch.rand(2, 3, 8, 6)).shape == (2, 5, 8, 6)


def test_light_narrows_before_it_enlarges_and_the_order_does_not_matter():
    narrow, x = torch.nn.Conv2d(6, 2, 1, bias=False), torch.rand(1, 6, 5, 4)
    torch.testing.assert_close(double(narrow(x)), narrow(double(x)))


def test_light_has_a_tenth_of_the_weights():
    heavy, light = (
        sum(weight.numel() for weight in Decoder([320, 128, 96], [112, 40], light=light).parameters())
        for light in (False, True)
    )
    assert 5 * light < heavy < 12 * light
