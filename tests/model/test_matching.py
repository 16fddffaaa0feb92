import torch

from garmentcut.model.matching import Mismatch

OWN = {"a": torch.zeros(2), "b": torch.zeros(3, 1), "norm.num_batches_tracked": torch.zeros(())}


def test_equal_shapes_fit_and_counters_may_lack():
    assert not Mismatch.between(OWN, {"a": torch.ones(2), "b": torch.ones(3, 1)})


def test_every_kind_is_named():
    mismatch = Mismatch.between(OWN, {"b": torch.ones(1, 3), "c": torch.ones(1)})
    assert str(mismatch) == "missing: a; unknown: c; of another shape: b (1, 3) for (3, 1)"


def test_hundreds_are_counted():
    given = {f"key{number}": torch.ones(1) for number in range(100)}
    assert str(Mismatch.between({}, given)) == "unknown: key0, key1, key2 and 97 more"
