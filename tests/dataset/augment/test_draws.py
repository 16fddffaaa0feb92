import pytest
import torch

from garmentcut.dataset.augment.draws import Draws, put, rows_of, take

MANY = 20_000


@pytest.fixture
def draws(seeded):
    return Draws(seeded(3), MANY)


def test_it_happens_as_often_as_asked(draws):
    assert draws.chosen(0.3).double().mean() == pytest.approx(0.3, abs=0.015)
    assert not draws.chosen(0).any()
    assert draws.chosen(1).all()


def test_each_sample_may_have_its_own_chance(seeded):
    chosen = Draws(seeded(), 4).chosen([0.0, 1.0, 0.0, 1.0])
    assert chosen.tolist() == [False, True, False, True]


def test_strengths_are_even_and_signed_ones_symmetric(draws):
    share, signed = draws.share(0.5), draws.signed(0.5)
    assert (share > 0).double().mean() == pytest.approx(0.5, abs=0.015)
    for values, low in ((share[share != 0], 0), (signed[signed != 0], -1)):
        assert values.min() >= low
        assert values.max() <= 1
        assert values.mean() == pytest.approx((low + 1) / 2, abs=0.02)
        assert values.std() == pytest.approx((1 - low) / 12**0.5, rel=0.02)


def test_several_numbers_of_a_sample_happen_together(draws):
    signed = draws.signed(0.5, 4, 2)
    assert signed.shape == (MANY, 4, 2)
    happened = (signed != 0).flatten(1)
    assert (happened.all(dim=1) | ~happened.any(dim=1)).all()


def test_the_strongest_are_at_the_limits(seeded):
    draws = Draws(seeded(), 200, strongest=True)
    assert set(draws.signed(1).tolist()) == {-1, 1}
    assert set(draws.share(0.5).tolist()) == {0, 1}


def test_what_is_off_draws_as_much_as_what_is_on(seeded):
    after = []
    for p in (0.0, 1.0):
        draws = Draws(seeded(), 3)
        draws.signed(p, 4), draws.share(p), draws.chosen(p)
        after.append(draws.uniform())
    assert torch.equal(*after)


def test_rows_taken_and_put_back():
    pictures = torch.arange(12.0).view(4, 3, 1, 1)
    rows = rows_of(torch.tensor([[0, 0], [0, 2], [0, 0], [1, 0]]))
    assert rows.tolist() == [1, 3]
    changed = put(pictures, rows, take(pictures, rows) + 100)
    assert torch.equal(changed[[0, 2]], pictures[[0, 2]])
    assert torch.equal(changed[[1, 3]], pictures[[1, 3]] + 100)
    assert take(pictures, torch.arange(4)) is pictures
