import math

import pytest
import torch

from garmentcut.training.errors import LossError
from garmentcut.training.losses import Loss
from garmentcut.training.watch import LossWatch


def loss_of(total, **parts):
    return Loss(torch.tensor(total), {name: torch.tensor(value) for name, value in parts.items()})


def test_the_steps_come_back_with_their_losses(fabric):
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(1, loss_of(0.5, bce=0.25, dice=0.125), norm=torch.tensor(3.0), lr=0.1, names=("a",))
    watch.add(2, loss_of(0.25, bce=0.125, dice=0.0625), norm=torch.tensor(1.0), lr=0.2, names=("b",))
    first, second = watch.read()
    assert (first.step, first.steps, first.loss, first.lr) == (1, 10, 0.5, 0.1)
    assert second.parts == {"bce": 0.125, "dice": 0.0625}
    assert first.photos_s == second.photos_s > 0


def test_each_step_is_read_once(fabric):
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(1, loss_of(0.5, bce=0.5), norm=None, lr=0.1, names=("a",))
    watch.read()
    watch.add(2, loss_of(0.5, bce=0.5), norm=None, lr=0.1, names=("a",))
    assert [done.step for done in watch.read()] == [2]


def test_the_losses_are_no_part_of_a_graph_any_more(fabric):
    weight = torch.ones((), requires_grad=True)
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(1, Loss(weight * 2, {"bce": torch.tensor(2.0)}), norm=None, lr=0.1, names=("a",))
    assert not watch._waiting[0].values.requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_bad_step_is_named_with_its_photos(fabric, bad):
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(4, loss_of(0.5, bce=0.5), norm=None, lr=0.1, names=("good",))
    watch.add(5, loss_of(bad, bce=bad), norm=None, lr=0.25, names=("dress_Front", "vest_Back"))
    watch.add(6, loss_of(math.nan, bce=math.nan), norm=None, lr=0.1, names=("late",))
    with pytest.raises(
        LossError, match=rf"step 5, learning rate 0.25: loss {bad}, .* dress_Front, vest_Back"
    ) as caught:
        watch.read()
    assert "good" not in str(caught.value)


def test_a_gradient_that_is_no_number(fabric):
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(1, loss_of(0.5, bce=0.5), norm=torch.tensor(math.inf), lr=0.1, names=("a",))
    with pytest.raises(LossError, match=r"loss 0\.5, bce 0\.5; its gradient is not finite"):
        watch.read()
