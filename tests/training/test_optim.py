import io
import itertools
import math
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from garmentcut.recipe import OptimizerConfig, ScheduleConfig
from garmentcut.training.optim import Schedule, build_optimizer, factor_at, follow, open_ema_model

OPTIMIZERS = get_args(get_type_hints(OptimizerConfig)["name"])
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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_it_learns(name):
    network = toy()
    losses = train(network, build_optimizer(network, config_of(name)), 60)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
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


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_parameter_is_there_once_and_none_that_is_frozen(name):
    network = toy()
    network.first.weight.requires_grad_(requires_grad=False)
    optimizer = build_optimizer(network, config_of(name))
    inside = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    assert len(inside) == len({id(parameter) for parameter in inside})
    assert {id(p) for p in inside} == {id(p) for p in network.parameters() if p.requires_grad}


@pytest.mark.parametrize("name", OPTIMIZERS)
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


class Encoded(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 1, 1)


def test_an_encoder_learns_at_its_own_share_of_the_rate():
    network = Encoded()
    optimizer = build_optimizer(network, OptimizerConfig(lr=0.1, weight_decay=0.5, encoder_factor=0.3))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: rates[id(p)] for name, p in network.named_parameters()} == pytest.approx(
        {"encoder.weight": 0.03, "encoder.bias": 0.03, "head.weight": 0.1, "head.bias": 0.1}
    )
    schedule = Schedule(optimizer, ScheduleConfig(name="step", warmup=0, cycles=2, factor=0.5), 2)
    assert schedule.lr == 0.1
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.05, 0.015, 0.015])


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


SCHEDULES = get_args(get_type_hints(ScheduleConfig)["name"])


def factors(steps, **fields):
    config = ScheduleConfig(**{"warmup": 0.0, **fields})
    return [factor_at(step, config, steps) for step in range(steps + 1)]


def test_constant():
    assert factors(5, name="constant") == [1] * 6


def test_warm_up_climbs_from_nothing_without_a_wasted_step():
    assert factors(10, name="constant", warmup=0.4) == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 1])


def test_cosine_by_hand():
    assert factors(4, name="cosine") == pytest.approx([1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2, 0])
    assert factors(4, name="cosine", floor=0.2)[2:] == pytest.approx([0.6, 0.6 - 0.4 * 0.5**0.5, 0.2])
    # after a warm-up of 2 steps, the cosine has 4 steps left
    assert factors(6, name="cosine", warmup=1 / 3) == pytest.approx([0.5, 1, *factors(4, name="cosine")])


def test_step_by_hand():
    assert factors(6, name="step", cycles=3, factor=0.5) == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25]
    assert factors(6, name="step", cycles=3, factor=0.5, floor=0.4) == [1, 1, 0.5, 0.5, 0.4, 0.4, 0.4]


def test_one_cycle_by_hand():
    values = factors(100, name="one_cycle")
    assert values[0] == pytest.approx(1 / 25)
    assert values[15] == pytest.approx((1 + 1 / 25) / 2)
    assert values[30] == 1
    assert values[65] == pytest.approx((1 + 1e-4) / 2)
    assert values[100] == pytest.approx(1e-4)


def test_one_cycle_is_pytorchs():
    """Its curve ends on the last step, ours one later; and its end is a share of its start."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=101, pct_start=0.31, final_div_factor=1e4 / 25, cycle_momentum=False
    )
    expected = []
    for _ in range(100):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    # pct_start * total_steps - 1 is where its peak lies: 30.31 steps, not 30
    assert factors(100, name="one_cycle")[:100] == pytest.approx(expected, abs=0.02)


def test_triangular_by_hand():
    assert factors(8, name="triangular", cycles=2, factor=1) == [0, 0.5, 1, 0.5, 0, 0.5, 1, 0.5, 0]
    assert factors(8, name="triangular", cycles=2, factor=0.5) == [0, 0.5, 1, 0.5, 0, 0.25, 0.5, 0.25, 0]
    assert factors(4, name="triangular", cycles=1, floor=0.2) == pytest.approx([0.2, 0.6, 1, 0.6, 0.2])
    # a peak that has fallen below the floor stays on it
    assert factors(8, name="triangular", cycles=2, factor=0.1, floor=0.2)[4:] == pytest.approx([0.2] * 5)


def test_the_proposals_declining_cycles():
    """5e-5 to 5e-4, each peak lower than the last."""
    values = factors(400, name="triangular", cycles=4, factor=0.6, floor=0.1)
    peaks = [max(values[start : start + 100]) for start in range(0, 400, 100)]
    assert peaks == pytest.approx([1, 0.6, 0.36, 0.216])
    assert min(values) == pytest.approx(0.1)


def test_warm_up_lies_over_the_curves_that_begin_low():
    plain, warmed = factors(100, name="triangular"), factors(100, name="triangular", warmup=0.08)
    assert warmed[:8] == pytest.approx([value * (step + 1) / 8 for step, value in enumerate(plain[:8])])
    assert warmed[8:] == plain[8:]


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_bounds(name, steps):
    for warmup, floor, cycles in itertools.product((0.0, 0.08, 1.0), (0.0, 0.3, 1.0), (1, 4, 50)):
        values = factors(steps, name=name, warmup=warmup, floor=floor, cycles=cycles)
        assert all(0 <= value <= 1 for value in values)
        warm = round(warmup * steps)
        assert min(values[warm:]) >= floor - 1e-12
        config = ScheduleConfig(name=name, warmup=warmup, floor=floor, cycles=cycles)
        assert factor_at(steps + 10, config, steps) == pytest.approx(values[-1])


@pytest.mark.parametrize("name", ["constant", "step", "cosine", "plateau"])
def test_after_the_warm_up_it_never_rises(name):
    values = factors(500, name=name, warmup=0.1)
    assert values[:50] == sorted(values[:50])
    assert values[49] == max(values) == 1
    assert values[50:] == sorted(values[50:], reverse=True)


@pytest.mark.parametrize("name", ["cosine", "one_cycle", "triangular"])
def test_no_jumps(name):
    values = factors(1000, name=name, warmup=0.08, cycles=2)
    assert max(abs(b - a) for a, b in itertools.pairwise(values)) < 0.014


def network_and_optimizer(lr=0.1):
    torch.manual_seed(0)
    network = nn.Linear(4, 2)
    return network, build_optimizer(network, OptimizerConfig(lr=lr))


def test_it_sets_all_groups():
    _, optimizer = network_and_optimizer(lr=0.5)
    schedule = Schedule(optimizer, ScheduleConfig(name="cosine", warmup=0), 4)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
    for _ in range(2):
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.25, 0.25])
    assert schedule.lr == pytest.approx(0.25)


def test_plateau():
    _, optimizer = network_and_optimizer(lr=1.0)
    config = ScheduleConfig(name="plateau", warmup=0, patience=2, factor=0.1, floor=0.05)
    schedule = Schedule(optimizer, config, 100)
    rates = []
    for score in [0.5, 0.6, 0.6, 0.55, 0.59, 0.7, 0.7, math.nan, 0.6, 0.6]:
        schedule.evaluated(score)
        schedule.step()
        rates.append(schedule.lr)
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05])


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "plateau"])
def test_the_others_take_no_notice_of_scores(name):
    _, optimizer = network_and_optimizer()
    schedule = Schedule(optimizer, ScheduleConfig(name=name, patience=1), 10)
    before = schedule.lr
    schedule.evaluated(0.5)
    schedule.evaluated(0.4)
    assert schedule.lr == before


def train_by(network, optimizer, schedule, steps):
    rates = []
    for step in steps:
        rates.append(schedule.lr)
        optimizer.zero_grad()
        network(torch.full((1, 4), float(step))).square().sum().backward()
        optimizer.step()
        schedule.step()
        schedule.evaluated(math.sin(step))
    return rates


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_interrupted_equals_uninterrupted(name, optimizer_first):
    config = ScheduleConfig(name=name, patience=2, floor=0.01)
    straight, optimizer = network_and_optimizer()
    expected = train_by(straight, optimizer, Schedule(optimizer, config, 20), range(20))

    network, optimizer = network_and_optimizer()
    schedule = Schedule(optimizer, config, 20)
    begun = train_by(network, optimizer, schedule, range(9))
    saved = network.state_dict(), optimizer.state_dict(), schedule.state_dict()

    resumed, optimizer = network_and_optimizer()
    resumed.load_state_dict(saved[0])
    if optimizer_first:
        optimizer.load_state_dict(saved[1])
    schedule = Schedule(optimizer, config, 20)
    schedule.load_state_dict(saved[2])
    if not optimizer_first:
        optimizer.load_state_dict(saved[1])
    assert begun + train_by(resumed, optimizer, schedule, range(9, 20)) == expected
    assert torch.equal(resumed.weight, straight.weight)


def network_of(value):
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    network[0].weight.data.fill_(value)
    return network


def test_by_hand():
    network = network_of(1.0)
    average = open_ema_model(network, 0.25)
    expected = 1.0
    # decay: 1/10, 2/11, then 3/12 = 0.25 and no more
    for step, (value, decay) in enumerate([(2.0, 1 / 10), (4.0, 2 / 11), (3.0, 0.25), (5.0, 0.25)], 1):
        network[0].weight.data.fill_(value)
        follow(average, network, step)
        expected = decay * expected + (1 - decay) * value
        assert average.module[0].weight.item() == pytest.approx(expected)


def test_the_start_is_soon_forgotten():
    network = network_of(1000.0)
    average = open_ema_model(network, 0.998)
    network[0].weight.data.fill_(1.0)
    for step in range(1, 61):
        follow(average, network, step)
    assert average.module[0].weight.item() == pytest.approx(1, abs=1e-3)


def test_statistics_of_batches_are_averaged_too_and_counts_copied():
    network = network_of(1.0)
    average = open_ema_model(network, 0.9)
    network[1].running_mean.fill_(10.0)
    network[1].num_batches_tracked.fill_(7)
    follow(average, network, 1)
    assert average.module[1].running_mean.item() == pytest.approx(9.0)
    assert average.module[1].num_batches_tracked.item() == 7


def test_it_is_a_copy_for_looking_only():
    network = network_of(1.0)
    average = open_ema_model(network, 0.9)
    assert not average.module.training
    assert network.training
    assert not any(parameter.requires_grad for parameter in average.module.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    network[0].weight.data.fill_(5.0)
    assert average.module[0].weight.item() == 1.0


def test_a_resumed_average_is_bit_equal():
    values = torch.rand(12, generator=torch.Generator().manual_seed(0)).tolist()

    def follow_all(average, network, steps):
        for step in steps:
            network[0].weight.data.fill_(values[step])
            network[1].running_var.fill_(values[step] * 3)
            follow(average, network, step + 1)

    network = network_of(0.3)
    straight = open_ema_model(network, 0.998)
    follow_all(straight, network, range(12))

    network = network_of(0.3)
    begun = open_ema_model(network, 0.998)
    follow_all(begun, network, range(5))
    file = io.BytesIO()
    torch.save(begun.state_dict(), file)
    file.seek(0)
    resumed = open_ema_model(network_of(9.0), 0.998)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    follow_all(resumed, network, range(5, 12))
    for name, value in straight.module.state_dict().items():
        assert torch.equal(value, resumed.module.state_dict()[name]), name


def test_no_decay_no_average():
    assert open_ema_model(network_of(1.0), 0) is None
    assert open_ema_model(network_of(1.0), 0.99) is not None
