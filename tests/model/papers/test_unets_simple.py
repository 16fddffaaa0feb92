import torch

from garmentcut.model.papers.unets import Simple


def test_it_is_small():
    assert sum(parameter.numel() for parameter in Simple().parameters()) == 69_985
    assert Simple().multiple_of == 4


def test_it_sees_nineteen_pixels_around():
    network = Simple().eval()
    network.pool = torch.nn.AvgPool2d(2)  # any of the four may win
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.1)  # no ReLU closes
    photos = (0.6 + 0.4 * torch.rand(1, 3, 96, 96)).requires_grad_()
    network(photos)[0, 0, 48, 48].backward()
    for places in photos.grad.abs().sum(dim=(0, 1)).nonzero().T:
        assert (int(places.min()), int(places.max())) == (48 - 19, 48 + 18)
