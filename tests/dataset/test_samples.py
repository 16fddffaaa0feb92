import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from garmentcut.dataset import samples as samples_module
from garmentcut.dataset.samples import (
    DRAW_STEPS,
    THREAD_NAME,
    DrawWeights,
    Samples,
    batches,
    frame_pair,
    seeded_generator,
)
from garmentcut.errors import DatasetError, PhotoError
from garmentcut.photo.photo import Photo
from garmentcut.prediction.locate import frame_photo
from garmentcut.recipe import DataConfig


def drawn(generator):
    return torch.rand(4, generator=generator).tolist()


def test_the_same_names_draw_the_same_and_others_others():
    names = [("a", 0), ("a", 1), ("b", 0), (0, "a"), ("a", "0"), ("a", 0, 0)]
    assert drawn(seeded_generator("a", 0)) == drawn(seeded_generator("a", 0))
    assert len({tuple(drawn(seeded_generator(*each))) for each in names}) == len(names)


def test_what_is_drawn_stays_the_same_between_versions():
    assert seeded_generator("order", 0, 0).initial_seed() == 1260945419


CARD = SimpleNamespace(working_size_hw=(96, 64), multiple_of=32)  # what `frame_photo` asks of a model's card


def framed(photo, alpha, size_hw, *, target="alpha", box_xyxy=(0, 0, 0, 0)):
    photo = photo if isinstance(photo, Photo) else Photo(photo)
    return frame_pair(photo, alpha, box_xyxy=box_xyxy, data=DataConfig(size_hw=size_hw, target=target))


def test_a_photo_of_the_size_is_taken_as_it_is(studio):
    drawn = studio(96, 64)
    rgb, levels = framed(drawn.photo, drawn.alpha, (96, 64))
    assert np.array_equal(rgb, drawn.photo)
    assert np.array_equal(levels / np.float32(255), drawn.alpha)


@pytest.mark.parametrize("photo_hw", [(192, 128), (144, 96), (72, 48), (192, 100)])
def test_it_is_what_prediction_shows_the_network(studio, photo_hw):
    drawn = studio(*photo_hw)
    rgb, levels = framed(drawn.photo, drawn.alpha, (96, 64))
    assert np.array_equal(rgb, frame_photo(Photo(drawn.photo), CARD).rgb)
    assert levels.mean() / 255 == pytest.approx(drawn.alpha.mean() * min(1, 1.5 * photo_hw[1] / photo_hw[0]), abs=0.01)


def test_a_wide_photo_is_cut_about_its_garment():
    photo, alpha = np.zeros((40, 200, 3), np.uint8), np.zeros((40, 200), np.float32)
    photo[:, 150:170], alpha[:, 150:170] = 255, 1
    rgb, levels = framed(photo, alpha, (40, 60), box_xyxy=(150, 0, 170, 40))
    assert rgb.shape == (40, 60, 3)
    assert levels.shape == (40, 60)
    assert (levels[:, 20:40] == 255).all()
    assert levels.sum() == 20 * 40 * 255
    assert np.array_equal(rgb[..., 0], levels)


@pytest.mark.parametrize(("box", "start"), [((190, 0, 200, 40), 45), ((0, 0, 10, 40), 5)])
def test_the_cut_stays_inside_the_photo(box, start):
    photo, alpha = np.zeros((80, 400, 3), np.uint8), np.zeros((80, 400), np.float32)
    alpha[:, box[0] * 2 : box[2] * 2] = 1
    levels = framed(photo, alpha, (40, 50), box_xyxy=tuple(2 * side for side in box))[1]
    middle = np.flatnonzero(levels[0]).mean() + 0.5
    assert middle == pytest.approx(start, abs=0.51)


def test_a_narrow_photo_is_padded_at_the_right_with_its_border():
    photo = np.arange(40 * 20 * 3, dtype=np.uint16).reshape(40, 20, 3).astype(np.uint8)
    alpha = np.zeros((40, 20), np.float32)
    alpha[10:20, 15:] = 1  # runs out of the photo
    rgb, levels = framed(photo, alpha, (40, 32))
    assert np.array_equal(rgb[:, :20], photo)
    assert (rgb[:, 20:] == photo[:, 19:]).all()
    assert (levels[10:20, 15:] == 255).all()
    assert (levels[:10] == 0).all()


@pytest.mark.parametrize(("target", "wanted"), [("alpha", [0, 25, 128, 255]), ("alpha >= 128", [0, 0, 255, 255])])
def test_targets_at_the_photos_size(target, wanted):
    alpha = np.repeat(np.float32([[0, 25, 128, 255]]) / 255, 4, axis=0)
    assert framed(np.zeros((4, 4, 3), np.uint8), alpha, (4, 4), target=target)[1][0].tolist() == wanted


def test_any_alpha_above_zero_counts_before_it_is_scaled():
    alpha = np.zeros((8, 8), np.float32)
    alpha[:, 2:5] = 1 / 255
    photo = np.zeros((8, 8, 3), np.uint8)
    assert framed(photo, alpha, (8, 8), target="alpha > 0")[1][0].tolist() == [0, 0, 255, 255, 255, 0, 0, 0]
    assert framed(photo, alpha, (4, 4), target="alpha > 0")[1][0].tolist() == [0, 255, 255, 0]
    assert not framed(photo, alpha, (4, 4), target="alpha >= 128")[1].any()


def test_16_bits_and_profiles_become_8_bit_srgb(studio):
    drawn = studio(96, 64)
    wide = Photo(drawn.photo.astype(np.uint16) * 257)
    assert np.array_equal(framed(wide, drawn.alpha, (96, 64))[0], drawn.photo)


KILOBYTES = 4 * 48 * 32 / 1e9  # one sample, in gigabytes


@pytest.fixture
def reads(monkeypatch):
    """Names of the pairs read from disk, in order."""
    names, lock = [], threading.Lock()

    def counted(manifest, pair, *, read=samples_module.read_pair):
        with lock:
            names.append(pair.name)
        return read(manifest, pair)

    monkeypatch.setattr(samples_module, "read_pair", counted)
    return names


def opened(manifest, **options):
    return Samples(manifest, manifest.usable, DataConfig(size_hw=(48, 32), **options))


def test_a_sample_is_the_pair_at_the_training_size(small_dataset, studio):
    samples = opened(small_dataset)
    assert len(samples) == 3
    sample = samples[1]
    assert (sample.name, sample.view) == ("g1_Back", "Back")
    assert sample.photo.shape == (3, 48, 32)
    assert sample.alpha.shape == (1, 48, 32)
    assert sample.photo.dtype == sample.alpha.dtype == torch.uint8
    assert sample.photo.is_contiguous()
    drawn = studio(96, 64)
    block = drawn.alpha.reshape(48, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(sample.alpha[0].numpy() / 255 - block).max() <= 0.5 / 255 + 1e-6
    assert sample.photo[:, 24, 16].tolist() == pytest.approx(drawn.garment[48, 32].tolist(), abs=6)


def test_samples_are_read_once(small_dataset, reads):
    samples = opened(small_dataset)
    first = [samples[index] for index in range(3)]
    again = [samples[index] for index in range(3)]
    assert len(reads) == 3
    assert all(torch.equal(one.photo, other.photo) for one, other in zip(first, again, strict=True))


def test_what_does_not_fit_is_read_each_time(small_dataset, reads):
    samples = opened(small_dataset, cache_gb=2.5 * KILOBYTES)
    for _ in range(3):
        for index in range(3):
            assert samples[index].name == small_dataset.usable[index].name
    assert reads == ["g0_Front", "g1_Back", "g2_FrontRight", "g2_FrontRight", "g2_FrontRight"]


def test_many_threads_may_ask(small_dataset):
    samples = opened(small_dataset, cache_gb=2.5 * KILOBYTES)
    with ThreadPoolExecutor(8) as pool:
        names = [sample.name for sample in pool.map(samples.__getitem__, [0, 1, 2] * 40)]
    assert names == ["g0_Front", "g1_Back", "g2_FrontRight"] * 40
    assert len(samples._kept) == 2


def test_a_photo_that_is_gone_is_named(small_dataset):
    small_dataset.path_of(small_dataset.usable[2].photo).unlink()
    with pytest.raises(PhotoError, match=r"g2_FrontRight\.png"):
        opened(small_dataset)[2]


def test_whatever_goes_wrong_the_photo_is_named(small_dataset, monkeypatch):
    monkeypatch.setattr(samples_module, "frame_pair", Mock(side_effect=MemoryError))
    with pytest.raises(PhotoError, match=r"g0_Front\.png: MemoryError"):
        opened(small_dataset)[0]


def test_there_are_no_more_than_there_are(small_dataset):
    with pytest.raises(IndexError):
        opened(small_dataset)[3]


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
    shares = [names_of(samples, range(9), batch=4, shard=(rank, 2)) for rank in (0, 1)]
    assert [first + second for first, second in zip(*shares, strict=True)] == whole


def test_a_batch_that_cannot_be_shared_is_refused_at_once(samples):
    with pytest.raises(DatasetError, match="batch of 6 cannot be shared evenly by 4 devices; use 4"):
        batches(samples, range(1), batch=6, seed=0, shard=(0, 4))


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
    monkeypatch.setattr(Samples, "planes", lambda self, index, _draw: asked.append(index) or planes(self, index))
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


def test_easy_photos_are_drawn_less_often_only_where_hard_ones_are_drawn_more_often(samples):
    def weights_of(most):
        weights = DrawWeights(samples, replace(samples.data, rare_views=2.0, hard_photos=most))
        for _ in range(20):
            weights.note([0, 1], [0.1, 1.0])
        return weights.at(DRAW_STEPS).tolist()

    easy, hard, other = weights_of(3.0)
    assert easy < 0.6 < other == 1 < 1.4 < hard
    assert weights_of(1.0) == [1, 1, 1]


def test_all_marked_wrong_is_no_endless_search(samples):
    pairs = [replace(pair, verdict="wrong") for pair in samples.pairs]
    assert names_of(Samples(samples.manifest, pairs, samples.data), range(2))
