import threading
from concurrent.futures import ThreadPoolExecutor
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from garmentcut.dataset import samples as samples_module
from garmentcut.dataset.samples import Samples
from garmentcut.photo.photo import PhotoError
from garmentcut.recipe import DataConfig

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
