import pytest
import torch

from garmentcut.training.feed import augmented, open_feed, open_samples

VARIED = {"augment.zoom": {"p": 1.0, "amount": 0.3}, "augment.noise": {"p": 1.0, "amount": 0.1}}


class Other:
    """Another device's view of the devices."""

    device, world_size = torch.device("cpu"), 2

    def __init__(self, rank):
        self.global_rank = rank


def first_batch(run, fabric, *, step=0):
    return next(open_feed(open_samples(run)[0], run.recipe, range(step, step + 1), fabric=fabric))[1]


def test_a_steps_photos_follow_from_its_number_alone(small_run, fabric):
    run = small_run(knobs=VARIED)
    whole = dict(open_feed(open_samples(run)[0], run.recipe, range(5), fabric=fabric))
    later = first_batch(run, fabric, step=3)
    assert whole[3].names == later.names
    one, two = (augmented(batch, run.recipe, 3, fabric=fabric) for batch in (whole[3], later))
    assert torch.equal(one[0], two[0])
    assert torch.equal(one[1], two[1])


def test_steps_devices_and_seeds_differ(small_run, fabric):
    run, batch = small_run(knobs=VARIED), first_batch(small_run(), fabric)
    seen = [
        augmented(batch, run.recipe, 0, fabric=fabric),
        augmented(batch, run.recipe, 1, fabric=fabric),
        augmented(batch, run.recipe, 0, fabric=Other(1)),
        augmented(batch, small_run(knobs={**VARIED, "training.seed": 1}).recipe, 0, fabric=fabric),
    ]
    for index, (photos, _) in enumerate(seen):
        assert not any(torch.equal(photos, other) for other, _ in seen[:index])


def test_what_the_network_draws_is_seeded_too(small_run, fabric):
    run, batch = small_run(), first_batch(small_run(), fabric)
    drawn = []
    for step, rank in ((0, 0), (0, 0), (1, 0), (0, 1)):
        augmented(batch, run.recipe, step, fabric=Other(rank))
        drawn.append(torch.rand(()).item())
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_the_devices_share_a_batch(small_run, fabric):
    run = small_run(knobs={"training.batch": 4})
    whole = first_batch(run, fabric).names
    assert first_batch(run, Other(0)).names + first_batch(run, Other(1)).names == whole


def test_channels_last_and_in_range(small_run, fabric):
    photos, targets = augmented(first_batch(small_run(), fabric), small_run().recipe, 0, fabric=fabric)
    assert photos.is_contiguous(memory_format=torch.channels_last)
    assert (photos.shape, targets.shape) == ((2, 3, 96, 64), (2, 1, 96, 64))
    assert 0 <= float(photos.min()) < float(photos.max()) <= 1


def test_both_sides_share_the_memory(small_run):
    run = small_run(knobs={"data.cache_gb": 6 * 4 * 96 * 64 / 1e9})  # room for six photos: four and two
    learn_from, measure_on = open_samples(run)
    assert learn_from.data.cache_gb + measure_on.data.cache_gb == pytest.approx(run.recipe.data.cache_gb)
    assert learn_from.data.cache_gb == pytest.approx(2 * measure_on.data.cache_gb)


def test_drawn_photos_are_learned_from_beside_the_others_and_not_measured_on(small_run, fabric):
    run = small_run(knobs={"data.synthetic": 2, "training.batch": 6})
    learn_from, measure_on = open_samples(run)
    assert len(learn_from) == len(run.division.train) + 2
    assert len(measure_on) == len(run.division.validation)
    names = first_batch(run, fabric).names
    assert sum(name.startswith("synthetic-") for name in names) == 2
    assert len(names) == len(learn_from) == 6
