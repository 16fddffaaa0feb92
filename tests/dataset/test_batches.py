import threading
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest
import torch

from garmentcut.dataset.batches import THREAD_NAME, batches
from garmentcut.dataset.manifest import DatasetError
from garmentcut.dataset.samples import Samples
from garmentcut.photo.photo import PhotoError
from garmentcut.recipe import DataConfig


@pytest.fixture
def samples(small_dataset):
    return Samples(small_dataset, small_dataset.usable, DataConfig(size_hw=(48, 32)))


def names_of(samples, steps, *, seed=0, batch=2, **options):
    return [each.names for each in batches(samples, steps, batch=batch, seed=seed, workers=2, **options)]


def loader_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)]


def test_a_batch_holds_its_samples(samples):
    (batch,) = batches(samples, range(1), batch=4, seed=0)
    assert batch.photos.shape == (4, 3, 48, 32)
    assert batch.alphas.shape == (4, 1, 48, 32)
    assert batch.photos.dtype == batch.alphas.dtype == torch.uint8
    by_name = {pair.name: samples[index] for index, pair in enumerate(samples.pairs)}
    for row, (name, view) in enumerate(zip(batch.names, batch.views, strict=True)):
        assert torch.equal(batch.photos[row], by_name[name].photo)
        assert torch.equal(batch.alphas[row], by_name[name].alpha)
        assert view == by_name[name].view


def test_on_a_device_it_is_float(samples):
    (batch,) = batches(samples, range(1), batch=2, seed=0)
    photos, alphas = batch.on("cpu")
    assert photos.dtype == alphas.dtype == torch.float32
    assert torch.equal((photos * 255).round().to(torch.uint8), batch.photos)
    assert alphas.max() == 1


def test_each_epoch_has_every_sample_once_in_another_order(samples):
    rows = [name for names in names_of(samples, range(60), batch=1) for name in names]
    epochs = [tuple(rows[start : start + 3]) for start in range(0, 60, 3)]
    assert all(len(set(epoch)) == 3 for epoch in epochs)
    assert len(set(epochs)) > 3


def test_a_step_has_the_same_samples_wherever_a_training_starts(samples):
    whole = names_of(samples, range(20))
    assert names_of(samples, range(7, 20)) == whole[7:]
    assert names_of(samples, range(20), seed=1) != whole


def test_a_batch_larger_than_the_data_set_is_several_epochs(samples):
    (names,) = names_of(samples, range(1), batch=7)
    assert sorted(Counter(names).values()) == [2, 2, 3]


def test_devices_share_a_step(samples):
    whole = names_of(samples, range(9), batch=4)
    shares = [names_of(samples, range(9), batch=4, rank=rank, world_size=2) for rank in (0, 1)]
    assert [first + second for first, second in zip(*shares, strict=True)] == whole


def test_a_batch_that_cannot_be_shared_is_refused_at_once(samples):
    with pytest.raises(DatasetError, match="batch of 6 cannot be shared evenly by 4 devices; use 4"):
        batches(samples, range(1), batch=6, seed=0, world_size=4)


def test_no_pairs_are_refused_at_once(small_dataset):
    with pytest.raises(DatasetError, match="no pairs"):
        batches(Samples(small_dataset, (), DataConfig(size_hw=(48, 32))), range(1), batch=1, seed=0)


def test_threads_end_with_the_last_batch(samples):
    assert len(names_of(samples, range(5))) == 5
    assert not loader_threads()


def test_threads_end_when_the_consumer_stops_early(samples):
    running = batches(samples, range(10**9), batch=2, seed=0, workers=3)
    next(running)
    assert loader_threads()
    running.close()
    assert not loader_threads()
    for _ in islice(batches(samples, range(10**9), batch=2, seed=0, workers=3), 2):
        pass
    assert not loader_threads()


def test_only_so_much_is_prepared_ahead(samples, monkeypatch):
    asked = []
    planes = Samples.planes
    monkeypatch.setattr(Samples, "planes", lambda self, index: asked.append(index) or planes(self, index))
    running = batches(samples, range(10**9), batch=2, seed=0, workers=2)
    next(running)
    running.close()
    assert len(asked) <= 2 * 3


def test_a_photo_that_cannot_be_read_is_named_and_ends_the_threads(samples, small_dataset):
    small_dataset.path_of(small_dataset.usable[1].photo).write_bytes(b"\x89PNG\r\n\x1a\ntorn")
    with pytest.raises(PhotoError, match=r"g1_Back\.png"):
        names_of(samples, range(10))
    assert not loader_threads()


def marked(samples, weight, name="g1_Back"):
    """The same samples, one of them marked wrong."""
    pairs = [replace(pair, verdict="wrong" if pair.name == name else "") for pair in samples.pairs]
    return Samples(samples.manifest, pairs, replace(samples.data, wrong_weight=weight))


def share_of(samples, name="g1_Back"):
    counts = Counter(names for step in names_of(samples, range(100), batch=len(samples)) for names in step)
    return counts[name] / 100


def test_what_is_marked_wrong_is_learned_from_less_often(samples):
    assert share_of(samples) == 1.0
    assert share_of(marked(samples, 1.0)) == 1.0
    assert 0.3 < share_of(marked(samples, 0.5)) < 0.7
    assert share_of(marked(samples, 0.0)) == 0.0


def test_the_others_keep_their_places_and_a_resume_its_samples(samples):
    plain, fewer = names_of(samples, range(30)), names_of(marked(samples, 0.0), range(30))
    for before, after in zip(plain, fewer, strict=True):
        assert all(was == now for was, now in zip(before, after, strict=True) if was != "g1_Back")
        assert "g1_Back" not in after
    half = marked(samples, 0.5)
    assert names_of(half, range(10, 20)) == names_of(half, range(20))[10:]


def test_all_marked_wrong_is_no_endless_search(samples):
    pairs = [replace(pair, verdict="wrong") for pair in samples.pairs]
    assert names_of(Samples(samples.manifest, pairs, samples.data), range(2))
