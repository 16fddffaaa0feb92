"""The curve through errors over numbers of garments."""

import numpy as np
import pytest

from garmentcut.study.growth import fit_growth, fit_power_law
from garmentcut.study.plan import Choice

SIZES = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "all"
seeds = [0, 1]
folds = [0, 1]
[arms.all]
[arms.one]
garments = 1
[arms.two]
garments = 2
[arms.four]
garments = 4
[curve]
at = [100]
"""


@pytest.mark.parametrize(("floor", "factor", "exponent"), [(0.01, 0.3, 0.7), (0.0, 0.2, 0.4), (0.005, 1.0, 1.5)])
def test_a_power_law_is_found_again(floor, factor, exponent):
    sizes = np.array([10.0, 20.0, 40.0, 80.0, 130.0])
    errors = floor + factor * sizes**-exponent
    found = [float(part[0]) for part in fit_power_law(sizes, errors[:, None])]
    predicted = found[0] + found[1] * 1000.0 ** -found[2]
    assert predicted == pytest.approx(floor + factor * 1000.0**-exponent, rel=0.02)


def test_it_never_falls_below_0_nor_rises():
    sizes = np.array([10.0, 20.0, 40.0, 80.0])
    steep = 10.0 * sizes**-4.0  # steeper than any exponent tried: a would be below 0
    rising = 0.01 + 0.001 * sizes
    floor, factor, _ = fit_power_law(sizes, np.stack([steep, rising], axis=1))
    assert (floor >= 0).all()
    assert (factor >= 0).all()


def test_it_is_fitted_to_what_the_arms_learned_from(make_study, results_of):
    study, rng = make_study(SIZES), np.random.default_rng(0)

    def dice(cell, _):
        garments = cell.arm.garments or 6
        return 1 - (0.01 + 0.2 * garments**-0.5) * rng.uniform(0.95, 1.05)

    growth = fit_growth(results_of(study, dice), (100,))
    assert [point.garments for point in growth.measured] == [1, 2, 4, 6]
    (point,) = growth.beyond
    assert point.garments == 100
    assert point.low <= point.error <= point.high
    assert point.error == pytest.approx(0.03, abs=0.02)
    assert growth(100) == pytest.approx(point.error)


def test_too_few_sizes_make_no_curve(make_study, results_of):
    study = make_study(SIZES, Choice(arms=("two", "four")))
    assert fit_growth(results_of(study, lambda *_: 0.9), (100,)) is None
    study = make_study(SIZES)
    assert fit_growth(results_of(study, lambda cell, _: None if cell.arm.name == "two" else 0.9), (100,)) is None
