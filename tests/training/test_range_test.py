import copy
import math

import pytest
import torch
from torch import nn

from garmentcut.recipe import OptimizerConfig
from garmentcut.training.optimizers import build_optimizer
from garmentcut.training.range_test import RangePoint, range_test, smoothed_losses, suggested_lr


class Bowl:
    """A network with BatchNorm and dropout on a fixed problem, trained by SGD."""

    def __init__(self, name="sgd"):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 1))
        self.optimizer = build_optimizer(self.network, OptimizerConfig(name=name, lr=0.05))
        self.inputs = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
        self.rates = []

    def step(self):
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.optimizer.zero_grad()
        loss = (self.network(self.inputs) - self.inputs.sum(1, keepdim=True)).square().mean()
        loss.backward()
        self.optimizer.step()
        return loss.item()


def flat(*parts):
    return [(key, value.tolist() if torch.is_tensor(value) else value) for part in parts for key, value in walk(part)]


def walk(tree, path=()):
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from walk(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from walk(value, (*path, index))
    else:
        yield path, tree


@pytest.mark.parametrize("name", ["sgd", "adamw", "rmsprop", "muon"])
@pytest.mark.parametrize("before", [0, 3])
def test_it_leaves_no_trace(name, before):
    bowl = Bowl(name)
    for _ in range(before):
        bowl.step()
    weights, state = copy.deepcopy(bowl.network.state_dict()), copy.deepcopy(bowl.optimizer.state_dict())
    random = torch.get_rng_state()
    range_test(bowl.step, bowl.network, bowl.optimizer, low=1e-4, high=1e3, num_steps=20)
    assert flat(bowl.network.state_dict()) == flat(weights)
    assert flat(bowl.optimizer.state_dict()) == flat(state)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(parameter.grad is None for parameter in bowl.network.parameters())


def test_a_training_goes_on_as_if_it_had_not_been():
    straight = Bowl("adamw")
    torch.manual_seed(5)  # of the dropout
    expected = [straight.step() for _ in range(4)]
    tested = Bowl("adamw")
    torch.manual_seed(5)
    begun = [tested.step()]
    range_test(tested.step, tested.network, tested.optimizer, num_steps=5)
    assert begun + [tested.step() for _ in range(3)] == expected


def test_it_is_undone_when_a_step_fails():
    bowl = Bowl()
    weights = copy.deepcopy(bowl.network.state_dict())

    def step():
        if len(bowl.rates) == 3:
            raise RuntimeError("out of memory")
        return bowl.step()

    with pytest.raises(RuntimeError, match="out of memory"):
        range_test(step, bowl.network, bowl.optimizer)
    assert flat(bowl.network.state_dict()) == flat(weights)
    assert bowl.optimizer.param_groups[0]["lr"] == 0.05


def test_the_rate_climbs_evenly_in_all_groups():
    bowl = Bowl()
    points = range_test(bowl.step, bowl.network, bowl.optimizer, low=1e-5, high=1e-1, num_steps=5)
    assert [point.lr for point in points] == pytest.approx([1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
    assert bowl.rates == [point.lr for point in points]


def given(losses):
    bowl = Bowl()
    values = iter(losses)
    return range_test(lambda: next(values), bowl.network, bowl.optimizer, num_steps=len(losses))


def test_it_stops_when_the_loss_diverges():
    assert len(given([1.0] * 10 + [50.0] * 10)) == 11
    assert len(given([1.0] * 10 + [3.0] * 10)) == 20


def test_one_bad_batch_is_no_divergence():
    assert len(given([1.0] * 10 + [6.0] + [1.0] * 9)) == 20


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_it_stops_when_the_loss_is_no_number(loss):
    points = given([1.0, 0.9, loss, 0.8])
    assert [point.loss for point in points] == [1.0, 0.9]


@pytest.mark.parametrize("fields", [{"low": 0.0}, {"low": 1.0, "high": 0.1}, {"num_steps": 1}])
def test_a_range_that_does_not_climb_is_refused(fields):
    bowl = Bowl()
    with pytest.raises(ValueError, match="must climb"):
        range_test(bowl.step, bowl.network, bowl.optimizer, **fields)


def valley(count=121, noise=0.0):
    """Falls fastest at 1e-3, is lowest at 1e-2, rises after."""
    generator = torch.Generator().manual_seed(0)
    points = []
    for index in range(count):
        exponent = -6 + 6 * index / (count - 1)
        loss = 1 / (1 + math.exp(4 * (exponent + 3))) + (max(exponent + 2, 0)) ** 2
        points.append(RangePoint(10**exponent, loss + noise * torch.randn(1, generator=generator).item()))
    return points


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_it_suggests_where_the_loss_falls_fastest(noise):
    assert math.log10(suggested_lr(valley(noise=noise))) == pytest.approx(-3, abs=0.25)


def test_it_suggests_nothing_where_there_is_nothing_to_see():
    assert suggested_lr([RangePoint(10.0**-k, 1.0) for k in range(9, 0, -1)]) is None
    assert suggested_lr([RangePoint(10.0**-k, 10.0 - k) for k in range(9, 0, -1)]) is None
    assert suggested_lr(valley()[:4]) is None


def test_smoothing_by_hand():
    # up to 20 points: the neighbours count half
    points = [RangePoint(lr, loss) for lr, loss in [(1, 4.0), (2, 0.0), (3, 8.0)]]
    assert smoothed_losses(points).tolist() == pytest.approx([4 / 1.5, (2 + 0 + 4) / 2, 8 / 1.5])


def test_a_real_training_gets_a_rate_that_works():
    bowl = Bowl()
    points = range_test(bowl.step, bowl.network, bowl.optimizer, low=1e-5, high=100, num_steps=80)
    lr = suggested_lr(points)
    assert len(points) < 80
    assert 1e-3 < lr < 1
    for group in bowl.optimizer.param_groups:
        group["lr"] = lr
    losses = [bowl.step() for _ in range(100)]
    assert losses[-1] < losses[0] / 2
