import numpy as np
import pytest

from garmentcut.dataset.studio.folds import design_folds, fold_relief
from garmentcut.dataset.studio.patterns import SILHOUETTES


def relief(name, theta, y, stiffness=1.0):
    folds = design_folds(5, SILHOUETTES[name][0], seam=0.25, hem=0.6, stiffness=stiffness)
    return fold_relief(folds, theta, y)


@pytest.mark.parametrize("name", SILHOUETTES)
def test_folds_close_behind_the_body(name):
    y = np.linspace(0.1, 0.6, 50)
    np.testing.assert_allclose(relief(name, np.full(50, -np.pi), y), relief(name, np.full(50, np.pi), y), atol=1e-5)


def test_hanging_folds_grow_towards_the_hem():
    theta = np.linspace(-np.pi, np.pi, 400)
    near_hem, near_seam = (relief("flared", theta, np.full(400, y)).std() for y in (0.6, 0.4))
    assert near_hem > 1.5 * near_seam


def test_full_skirts_fold_more_than_pencil_skirts_and_stiff_cloth_less():
    theta, y = np.linspace(-np.pi, np.pi, 400), np.full(400, 0.6)
    assert relief("full", theta, y).std() > 3 * relief("pencil", theta, y).std()
    assert relief("full", theta, y, stiffness=1.3).std() < relief("full", theta, y, stiffness=0.7).std()
