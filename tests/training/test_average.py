import io

import pytest
import torch
from torch import nn

from garmentcut.recipe import TrainingConfig
from garmentcut.training.average import WeightAverage, average_weights


def network_of(value):
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, affine=False))
    network[0].weight.data.fill_(value)
    return network


def test_by_hand():
    network = network_of(1.0)
    average = WeightAverage(network, 0.25)
    expected = 1.0
    # decay: 1/10, 2/11, then 3/12 = 0.25 and no more
    for value, decay in [(2.0, 1 / 10), (4.0, 2 / 11), (3.0, 0.25), (5.0, 0.25)]:
        network[0].weight.data.fill_(value)
        average.update(network)
        expected = decay * expected + (1 - decay) * value
        assert average.network[0].weight.item() == pytest.approx(expected)


def test_the_start_is_soon_forgotten():
    network = network_of(1000.0)
    average = WeightAverage(network, 0.998)
    network[0].weight.data.fill_(1.0)
    for _ in range(60):
        average.update(network)
    assert average.network[0].weight.item() == pytest.approx(1, abs=1e-3)


def test_statistics_of_batches_are_averaged_too_and_counts_copied():
    network = network_of(1.0)
    average = WeightAverage(network, 0.9)
    network[1].running_mean.fill_(10.0)
    network[1].num_batches_tracked.fill_(7)
    average.update(network)
    assert average.network[1].running_mean.item() == pytest.approx(9.0)
    assert average.network[1].num_batches_tracked.item() == 7


def test_it_is_a_copy_for_looking_only():
    network = network_of(1.0)
    average = WeightAverage(network, 0.9)
    assert not average.network.training
    assert network.training
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    network[0].weight.data.fill_(5.0)
    assert average.network[0].weight.item() == 1.0


def test_a_resumed_average_is_bit_equal():
    values = torch.rand(12, generator=torch.Generator().manual_seed(0)).tolist()

    def follow(average, network, part):
        for value in part:
            network[0].weight.data.fill_(value)
            network[1].running_var.fill_(value * 3)
            average.update(network)

    network = network_of(0.3)
    straight = WeightAverage(network, 0.998)
    follow(straight, network, values)

    network = network_of(0.3)
    begun = WeightAverage(network, 0.998)
    follow(begun, network, values[:5])
    file = io.BytesIO()
    torch.save(begun.state_dict(), file)
    file.seek(0)
    resumed = WeightAverage(network_of(9.0), 0.998)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    follow(resumed, network, values[5:])
    for name, value in straight.network.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name


def test_no_decay_no_average():
    assert average_weights(network_of(1.0), TrainingConfig(ema=0)) is None
    assert isinstance(average_weights(network_of(1.0), TrainingConfig(ema=0.99)), WeightAverage)
