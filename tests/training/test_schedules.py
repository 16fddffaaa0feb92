import itertools
import math
from typing import get_args, get_type_hints

import pytest
import torch
from torch import nn

from garmentcut.recipe import OptimizerConfig, ScheduleConfig
from garmentcut.training.optimizers import build_optimizer
from garmentcut.training.schedules import build_schedule, factor_at

NAMES = get_args(get_type_hints(ScheduleConfig)["name"])


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


@pytest.mark.parametrize("name", NAMES)
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
    schedule = build_schedule(optimizer, ScheduleConfig(name="cosine", warmup=0), 4)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
    for _ in range(2):
        schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.25, 0.25])
    assert schedule.lr == pytest.approx(0.25)


def test_plateau():
    _, optimizer = network_and_optimizer(lr=1.0)
    config = ScheduleConfig(name="plateau", warmup=0, patience=2, factor=0.1, floor=0.05)
    schedule = build_schedule(optimizer, config, 100)
    rates = []
    for score in [0.5, 0.6, 0.6, 0.55, 0.59, 0.7, 0.7, math.nan, 0.6, 0.6]:
        schedule.evaluated(score)
        schedule.step()
        rates.append(schedule.lr)
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.05])


@pytest.mark.parametrize("name", [name for name in NAMES if name != "plateau"])
def test_the_others_take_no_notice_of_scores(name):
    _, optimizer = network_and_optimizer()
    schedule = build_schedule(optimizer, ScheduleConfig(name=name, patience=1), 10)
    before = schedule.lr
    schedule.evaluated(0.5)
    schedule.evaluated(0.4)
    assert schedule.lr == before


def train(network, optimizer, schedule, steps):
    rates = []
    for step in steps:
        rates.append(schedule.lr)
        optimizer.zero_grad()
        network(torch.full((1, 4), float(step))).square().sum().backward()
        optimizer.step()
        schedule.step()
        schedule.evaluated(math.sin(step))
    return rates


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_interrupted_equals_uninterrupted(name, optimizer_first):
    config = ScheduleConfig(name=name, patience=2, floor=0.01)
    straight, optimizer = network_and_optimizer()
    expected = train(straight, optimizer, build_schedule(optimizer, config, 20), range(20))

    network, optimizer = network_and_optimizer()
    schedule = build_schedule(optimizer, config, 20)
    begun = train(network, optimizer, schedule, range(9))
    saved = network.state_dict(), optimizer.state_dict(), schedule.state_dict()

    resumed, optimizer = network_and_optimizer()
    resumed.load_state_dict(saved[0])
    if optimizer_first:
        optimizer.load_state_dict(saved[1])
    schedule = build_schedule(optimizer, config, 20)
    schedule.load_state_dict(saved[2])
    if not optimizer_first:
        optimizer.load_state_dict(saved[1])
    assert begun + train(resumed, optimizer, schedule, range(9, 20)) == expected
    assert torch.equal(resumed.weight, straight.weight)
