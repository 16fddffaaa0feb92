import errno
import os

import pytest
import torch
from torch import nn

from garmentcut.training.errors import TrainingError
from garmentcut.training.state import Progress, load_state, save_state


def parts_of(seed):
    torch.manual_seed(seed)
    network = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return {"network": network, "optimizer": optimizer}


def test_everything_comes_back(tmp_path):
    path, saved, other = tmp_path / "last.ckpt", parts_of(1), parts_of(2)
    progress = Progress(step=7, seconds=1.5, best_dice=0.9, best_step=5, num_without_gain=2)
    save_state(path, progress, saved)
    assert load_state(path, other) == progress
    assert torch.equal(saved["network"].weight, other["network"].weight)
    before, after = (parts["optimizer"].state_dict()["state"][0] for parts in (saved, other))
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_only_the_numbers(tmp_path):
    save_state(tmp_path / "last.ckpt", Progress(step=7), parts_of(1))
    assert load_state(tmp_path / "last.ckpt", {}).step == 7


def test_no_file_is_a_beginning(tmp_path):
    parts = parts_of(1)
    weight = parts["network"].weight.clone()
    assert load_state(tmp_path / "none.ckpt", parts) == Progress()
    assert torch.equal(parts["network"].weight, weight)


def test_an_interrupted_save_leaves_the_last_one(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    save_state(path, Progress(step=1), parts_of(1))

    def full(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("garmentcut.photo.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_state(path, Progress(step=2), parts_of(1))
    assert load_state(path, {}).step == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"no checkpoint"])
def test_a_damaged_state_says_what_to_do(tmp_path, damage):
    path = tmp_path / "last.ckpt"
    save_state(path, Progress(step=1), parts_of(1))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TrainingError, match=r"last\.ckpt cannot be resumed from .*; delete it to begin again"):
        load_state(path, parts_of(1))


def test_the_state_of_another_network(tmp_path):
    save_state(tmp_path / "last.ckpt", Progress(step=1), parts_of(1))
    with pytest.raises(TrainingError, match="cannot be resumed from"):
        load_state(tmp_path / "last.ckpt", {"network": nn.Linear(4, 4)})


def test_the_best_is_the_highest():
    progress = Progress(step=1)
    assert progress.note(0.5)
    progress.step = 2
    assert not progress.note(0.5)  # no better
    assert not progress.note(0.4)
    assert (progress.best_dice, progress.best_step, progress.num_without_gain) == (0.5, 1, 2)
    progress.step = 3
    assert progress.note(0.6)
    assert (progress.best_dice, progress.best_step, progress.num_without_gain) == (0.6, 3, 0)


def test_the_last_is_the_best_where_nothing_is_held_out():
    progress = Progress(step=1)
    progress.note(0.9)
    progress.step = 2
    assert progress.note(0.1, always_best=True)
    assert (progress.best_dice, progress.best_step) == (0.1, 2)
