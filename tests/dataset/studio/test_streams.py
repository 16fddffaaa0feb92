import pytest

from garmentcut.dataset.studio.streams import happens, named_stream, pick


def test_a_stream_depends_on_seed_and_name_only():
    def draws(seed, *names):
        return named_stream(seed, *names).random(4).tolist()

    assert draws(3, "folds") == draws(3, "folds")
    assert draws(3, "folds") != draws(4, "folds")
    assert draws(3, "folds") != draws(3, "scene")
    assert draws(3, "cut", "vest") != draws(3, "cut", "dress")


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError):
        named_stream(-1, "folds")


def test_pick_follows_the_weights():
    rng = named_stream(0, "pick")
    names = [pick(rng, {"often": 3.0, "seldom": 1.0, "never": 0.0}) for _ in range(2000)]
    assert names.count("often") == pytest.approx(1500, abs=100)
    assert "never" not in names


def test_happens_is_certain_at_one_and_impossible_at_zero():
    rng = named_stream(0, "happens")
    assert all(happens(rng, 1.0) for _ in range(20))
    assert not any(happens(rng, 0.0) for _ in range(20))
