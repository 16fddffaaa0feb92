import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from garmentcut.model.cutnet import Context, CutNet, Detail

SMALL = {"encoder": "resnet10t", "channels": (8, 8, 8, 8)}


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("options", "num_parameters", "gflop"),
    [
        ({"context": False, "detail": False}, 3_976_196, 116.2),
        ({}, 4_078_133, 117.9),
        ({"light": True}, 3_245_109, 44.4),
    ],
    ids=["plain", "default", "light"],
)
def test_size_and_work_at_native_size(options, num_parameters, gflop):
    with torch.device("meta"):
        network = CutNet(**options).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            logits = network(torch.empty(1, 3, 1728, 1152))
    assert logits.shape == (1, 1, 1728, 1152)
    assert sum(parameter.numel() for parameter in network.parameters()) == num_parameters
    assert counter.get_total_flops() / 1e9 == pytest.approx(gflop, abs=0.05)


def logits_of(network, photo):
    with torch.no_grad():
        return network.eval()(photo).numpy()


def test_new_parts_start_at_adding_nothing():
    plain, full = CutNet(**SMALL, context=False, detail=False).eval(), CutNet(**SMALL).eval()
    full.load_state_dict(plain.state_dict(), strict=False)
    photos = torch.rand(1, 3, 64, 96)
    assert np.array_equal(logits_of(full, photos), logits_of(plain, photos))


def test_new_parts_learn():
    network, photos = CutNet(**SMALL), torch.rand(2, 3, 64, 64)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (network(photos) - photos.mean(dim=1, keepdim=True)).square().mean().backward()
        optimizer.step()
    for part in (network.context, network.detail):
        assert all(parameter.grad.any() for parameter in part.parameters() if parameter.ndim == 4)


def reach_of(module, *inputs, at):
    """Positions of the first input that a result depends on: rows."""
    inputs[0].requires_grad_()
    module(*inputs)[0, 0, at, at].backward()
    return inputs[0].grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten().tolist()


def test_context_sees_the_whole_frame():
    context = Context(4).eval()
    torch.nn.init.ones_(context.widen.weight)
    assert reach_of(context, torch.rand(1, 4, 40, 40), at=20) == list(range(40))


def test_detail_sees_five_by_five():
    detail = Detail()
    torch.nn.init.ones_(detail.correct.weight)
    torch.nn.init.ones_(detail.look.weight)
    assert reach_of(detail, torch.rand(1, 1, 16, 16), torch.rand(1, 3, 16, 16), at=8) == [6, 7, 8, 9, 10]


def test_other_numbers_of_channels():
    network = CutNet(**SMALL, in_channels=4)
    assert network(torch.rand(2, 4, 64, 64)).shape == (2, 1, 64, 64)
    with pytest.raises(ValueError, match=r"\(N, 4, H, W\)"):
        network(torch.rand(1, 3, 64, 64))
