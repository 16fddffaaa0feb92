import io
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from garmentcut.recipe import OptimizerConfig
from garmentcut.training.optimizers import build_optimizer

NAMES = get_args(get_type_hints(OptimizerConfig)["name"])
RATES = {"adadelta": 1.0, "lion": 3e-3, "muon": 0.02, "sgd": 0.1, "nesterov": 0.1}


class Toy(nn.Module):
    """A convolution of each kind, a norm, and a weight that two layers share."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 1)
        self.again = nn.Conv2d(8, 8, 1)
        self.again.weight = self.second.weight
        self.head = nn.Conv2d(8, 4, 3, padding=1)

    def forward(self, x):
        x = self.depthwise(self.first(x)).relu()
        return self.head(self.again(self.second(self.norm(x))).relu())


def toy():
    torch.manual_seed(0)
    return Toy()


def problem():
    generator = torch.Generator().manual_seed(1)
    photos = torch.rand(4, 3, 8, 8, generator=generator)
    return photos, (photos.mean(1, keepdim=True) > 0.5).float().expand(-1, 4, -1, -1)


def train(network, optimizer, steps):
    photos, target = problem()
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(network(photos), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def config_of(name, **fields):
    return OptimizerConfig(name=name, lr=RATES.get(name, 0.01), **fields)


@pytest.mark.parametrize("name", NAMES)
def test_it_learns(name):
    network = toy()
    losses = train(network, build_optimizer(network, config_of(name)), 60)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_resumed_training_is_bit_equal(name):
    straight = toy()
    expected = train(straight, build_optimizer(straight, config_of(name)), 8)
    network = toy()
    optimizer = build_optimizer(network, config_of(name))
    begun = train(network, optimizer, 5)
    file = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = toy()
    resumed.load_state_dict(saved["network"])
    optimizer = build_optimizer(resumed, config_of(name))
    optimizer.load_state_dict(saved["optimizer"])
    assert begun + train(resumed, optimizer, 3) == expected
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_there_once_and_none_that_is_frozen(name):
    network = toy()
    network.first.weight.requires_grad_(requires_grad=False)
    optimizer = build_optimizer(network, config_of(name))
    inside = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(inside) == len({id(parameter) for parameter in inside})
    assert {id(p) for p in inside} == {id(p) for p in network.parameters() if p.requires_grad}


@pytest.mark.parametrize("name", NAMES)
def test_biases_and_norms_do_not_decay(name):
    network = toy()
    optimizer = build_optimizer(network, config_of(name, weight_decay=0.3))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for parameter_name, parameter in network.named_parameters():
        is_weight = parameter_name.endswith("weight") and not parameter_name.startswith("norm")
        assert decay[id(parameter)] == (0.3 if is_weight else 0.0), parameter_name


@pytest.mark.parametrize("name", ["adamw", "lion", "muon"])
def test_decoupled_decay_by_hand(name):
    """Without a gradient, a step shrinks a weight by lr times the decay, and nothing else."""
    network = nn.Conv2d(4, 4, 1)
    before = network.weight.detach().clone()
    optimizer = build_optimizer(network, OptimizerConfig(name=name, lr=0.1, weight_decay=0.5))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(network.weight.detach(), before * 0.95)


def one_step(gradient, **fields):
    """How far one weight of a 1-pixel network moves."""
    network = nn.Linear(1, 1, bias=False)
    before = network.weight.item()
    optimizer = build_optimizer(network, OptimizerConfig(weight_decay=0, **fields))
    moves = []
    for value in gradient:
        network.weight.grad = torch.full((1, 1), value)
        optimizer.step()
        moves.append(before - network.weight.item())
        before = network.weight.item()
    return moves


def test_first_steps_by_hand():
    assert one_step([3.0], name="adam", lr=0.1) == pytest.approx([0.1], rel=1e-5)
    assert one_step([3.0], name="adamw", lr=0.1) == pytest.approx([0.1], rel=1e-5)
    assert one_step([-3.0], name="lion", lr=0.1) == pytest.approx([-0.1], rel=1e-5)
    assert one_step([2.0, 2.0], name="sgd", lr=0.1, momentum=0.5) == pytest.approx([0.2, 0.3], rel=1e-5)
    # looked ahead: g + momentum (momentum m + g)
    assert one_step([2.0, 2.0], name="nesterov", lr=0.1, momentum=0.5) == pytest.approx([0.3, 0.35], rel=1e-5)
    # v = 0.1 g^2
    assert one_step([2.0], name="rmsprop", lr=0.1, momentum=0) == pytest.approx([0.1 / 0.1**0.5], rel=1e-5)
    # sqrt(eps) / sqrt(0.05 g^2 + eps) g
    assert one_step([2.0], name="adadelta", lr=1.0) == pytest.approx([1e-3 / 0.2**0.5 * 2], rel=1e-4)


def test_muon_turns_matrices_and_leaves_the_rest_to_adamw():
    network = toy()
    optimizer = build_optimizer(network, OptimizerConfig(name="muon", lr=1e-3))
    train(network, optimizer, 1)
    kinds = {name: optimizer.state[parameter]["use_muon"] for name, parameter in network.named_parameters()}
    assert {name for name, by_muon in kinds.items() if by_muon} == {"first.weight", "second.weight", "head.weight"}
    assert "exp_avg_sq" in optimizer.state[network.depthwise.weight]


def test_muons_step_is_orthogonal():
    network = nn.Conv2d(4, 8, 3, bias=False)
    before = network.weight.detach().clone()
    optimizer = build_optimizer(network, OptimizerConfig(name="muon", lr=0.1, weight_decay=0))
    network.weight.grad = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    moved = (before - network.weight.detach()).flatten(1) / (0.1 * 0.2 * 36**0.5)  # lr, and scaled like AdamW's
    singular = torch.linalg.svdvals(moved)
    assert singular.min() > 0.6
    assert singular.max() < 1.4


def test_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="no parameters to train"):
        build_optimizer(nn.ReLU(), OptimizerConfig())


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValueError, match="nesterov needs momentum above 0"):
        OptimizerConfig(name="nesterov", momentum=0)
