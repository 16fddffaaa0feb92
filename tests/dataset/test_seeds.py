import torch

from garmentcut.dataset.seeds import seeded_generator, step_generator


def drawn(generator):
    return torch.rand(4, generator=generator).tolist()


def test_the_same_names_draw_the_same_and_others_others():
    names = [("a", 0), ("a", 1), ("b", 0), (0, "a"), ("a", "0"), ("a", 0, 0)]
    assert drawn(seeded_generator("a", 0)) == drawn(seeded_generator("a", 0))
    assert len({tuple(drawn(seeded_generator(*each))) for each in names}) == len(names)


def test_what_is_drawn_stays_the_same_between_versions():
    assert seeded_generator("order", 0, 0).initial_seed() == 1260945419


def test_steps_ranks_and_seeds_draw_apart():
    keys = [(seed, step, rank) for seed in range(3) for step in range(200) for rank in range(2)]
    assert len({step_generator(*key).initial_seed() for key in keys}) == len(keys)
    assert drawn(step_generator(1, 2)) == drawn(step_generator(1, 2, 0))
