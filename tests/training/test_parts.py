from functools import partial

import pytest
import torch

from garmentcut.recipe import load_recipe
from garmentcut.training.errors import TrainingError
from garmentcut.training.parts import build_parts, shorten_gradient

SIMPLE = {"network.name": "simple", "network.options": {"channels": [4, 8]}, "network.start": "scratch"}


def parts_of(fabric, **knobs):
    return build_parts(load_recipe(None, {**SIMPLE, "data.size_hw": [32, 32], **knobs}), fabric)


def weights(parts):
    return torch.cat([parameter.detach().flatten() for parameter in parts.network.parameters()])


def test_the_seed_decides_on_the_weights(fabric):
    one, same, other = (parts_of(fabric, **{"training.seed": seed}) for seed in (1, 1, 2))
    assert torch.equal(weights(one), weights(same))
    assert not torch.equal(weights(one), weights(other))


def test_a_training_starts_from_a_file(fabric, tmp_path):
    from garmentcut.model.checkpoint import NetworkSpec, save_network

    first = parts_of(fabric, **{"training.seed": 1})
    path = tmp_path / "start.safetensors"
    save_network(path, first.network, NetworkSpec("simple", {"channels": [4, 8]}, (32, 32), "alpha"))
    assert torch.equal(weights(first), weights(parts_of(fabric, **{"network.start": str(path)})))


def test_the_wrapped_parts_are_the_plain_ones(fabric):
    parts = parts_of(fabric)
    photos = torch.rand(1, 3, 32, 32)
    assert torch.equal(parts.module(photos), parts.network(photos))
    before = weights(parts)
    fabric.backward(parts.module(photos).sum())
    parts.optimizer.step()
    assert not torch.equal(before, weights(parts))
    assert parts.plain_optimizer.state_dict()["state"]
    assert parts.network.training


def test_a_compiled_network_has_the_same_weights_under_the_same_names(fabric, monkeypatch):
    plain = parts_of(fabric)
    monkeypatch.setattr("garmentcut.training.parts.compiles", lambda *_: True)
    monkeypatch.setattr("garmentcut.training.parts.torch.compile", partial(torch.compile, backend="eager"))
    compiled, photos = parts_of(fabric), torch.rand(1, 3, 32, 32)
    assert torch.equal(compiled.module(photos), plain.module(photos))
    assert list(compiled.states["network"].state_dict()) == list(plain.network.state_dict())
    fabric.backward(compiled.module(photos).sum())
    assert all(parameter.grad is not None for parameter in compiled.network.parameters())


def test_the_convolutions_are_channels_last(fabric):
    first = next(parts_of(fabric).network.parameters())
    assert first.is_contiguous(memory_format=torch.channels_last)


def test_what_is_kept_is_the_average_if_there_is_one(fabric):
    with_average, without = parts_of(fabric, **{"training.ema": 0.9}), parts_of(fabric, **{"training.ema": 0.0})
    assert with_average.kept is not with_average.network
    assert without.kept is without.network
    without.follow()
    assert set(with_average.states) - set(without.states) == {"average"}


def test_a_long_gradient_is_shortened_and_its_length_told(fabric):
    parts = parts_of(fabric)
    fabric.backward(1e3 * parts.module(torch.rand(1, 3, 32, 32)).sum())
    before = torch.cat([parameter.grad.flatten() for parameter in parts.network.parameters()]).norm()
    assert shorten_gradient(parts, 0.0) is None
    assert float(shorten_gradient(parts, 0.5)) == pytest.approx(float(before), rel=1e-5)
    after = torch.cat([parameter.grad.flatten() for parameter in parts.network.parameters()]).norm()
    assert float(after) == pytest.approx(0.5, rel=1e-4)


def test_a_size_that_does_not_fit_names_one_that_does(fabric):
    with pytest.raises(TrainingError, match=r"\[33, 20\]: simple needs multiples of 2; near is \[3[24], 20\]"):
        parts_of(fabric, **{"data.size_hw": [33, 20]})
