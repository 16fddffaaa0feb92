from dataclasses import replace

import numpy as np
import pytest

from garmentcut.errors import EvaluationError
from garmentcut.evaluation.edge import Edge, EdgeFit, EdgeScore, edge_sample, fit_edge
from garmentcut.photo.compose import choke_alpha


def distance(seed, size=160):
    """Signed distance in pixels from a round garment's edge, inside above 0."""
    draws = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    middle, radius = draws.uniform(70, 90, 2), draws.uniform(35, 55)
    return radius - np.hypot(y - middle[0], x - middle[1])


def samples_of(*, network_edge, target_of, num=6):
    """Photos of a network whose logits climb by 1.5 a pixel, and what a studio would have cut."""
    made = []
    for seed in range(num):
        logits = distance(seed) * 1.5
        scaled = (logits - network_edge.edge_bias) * network_edge.edge_gain
        alpha = (1 / (1 + np.exp(-scaled.clip(-60, 60)))).astype(np.float32)
        made.append(edge_sample(f"g{seed}", alpha, target_of(distance(seed)).astype(np.float32), network_edge))
    return made


def crisp(apart, inwards_px=0.0):
    return (apart - inwards_px + 0.5).clip(0, 1)


@pytest.mark.parametrize("inwards_px", [-0.6, 0.0, 0.8])
@pytest.mark.parametrize("network_edge", [Edge(), Edge(0.7, 2.0)])
def test_the_studios_edge_is_found(inwards_px, network_edge):
    found = fit_edge(samples_of(network_edge=network_edge, target_of=lambda d: crisp(d, inwards_px)), network_edge)
    moved_px = found.edge.edge_bias / 1.5 + found.edge.choke_px
    assert moved_px == pytest.approx(inwards_px, abs=0.12)
    assert found.edge.edge_gain > 1.5  # an edge of one pixel is steeper than this network's
    assert found.after.edge_error_px < 0.12
    assert found.after.edge_error_px <= found.before.edge_error_px + 0.01
    assert (found.num_photos, found.num_garments) == (6, 6)


def test_an_edge_that_no_threshold_reaches_is_choked():
    """Logits that are flat beside the edge: a threshold cannot move it."""

    def sample(seed):
        alpha = crisp(distance(seed)).astype(np.float32)
        return edge_sample(f"g{seed}", alpha, choke_alpha(alpha, 1.5), Edge())

    found = fit_edge([sample(seed) for seed in range(4)], Edge())
    assert found.edge.choke_px == pytest.approx(1.5, abs=0.3)
    assert found.after.dice > found.before.dice
    assert found.after.edge_error_px < 0.5 * found.before.edge_error_px


def test_a_choke_is_in_pixels_of_the_photo_however_small_the_network_sees_it():
    made = []
    for seed in range(4):
        photo = np.kron(crisp(distance(seed)), np.ones((3, 3))).astype(np.float32)
        made.append(edge_sample(f"g{seed}", photo[1::3, 1::3], choke_alpha(photo, 4.5), Edge()))
    found = fit_edge(made, Edge(choke_px=4.5))
    assert found.edge.choke_px == pytest.approx(4.5, abs=0.9)
    assert found.before.edge_error_px < 1  # the card's own is read in the same pixels


def test_the_result_is_measured_on_garments_that_had_no_part_in_it():
    """Two studios that cut differently: what fits one half does not fit the other, and the fit must say so."""
    inside = samples_of(network_edge=Edge(), target_of=lambda d: crisp(d, 1.2), num=3)
    outside = samples_of(network_edge=Edge(), target_of=lambda d: crisp(d, -1.2), num=3)
    halves = [s for pair in zip(inside, outside, strict=True) for s in pair]
    named = [type(s)(f"g{number}", s.logits, s.target) for number, s in enumerate(halves)]
    found = fit_edge(named, own := Edge(0.1, 1.5))
    assert found.after.edge_error_px > 2
    assert not found.is_better
    assert found.edge == own  # a fit that does harm elsewhere changes nothing


def test_an_edge_that_lowers_dice_is_not_taken():
    score = EdgeScore(edge_error_px=2.0, dice=0.95)
    closer = EdgeScore(edge_error_px=1.9, dice=0.94)
    assert not EdgeFit(Edge(), before=score, after=closer, num_photos=4, num_garments=4).is_better
    assert EdgeFit(
        Edge(), before=closer, after=replace(score, edge_error_px=1.8), num_photos=4, num_garments=4
    ).is_better


def test_too_few_garments_are_refused():
    [one] = samples_of(network_edge=Edge(), target_of=crisp, num=1)
    with pytest.raises(EvaluationError, match="two garments"):
        fit_edge([one], Edge())


def test_a_photo_without_an_edge_is_left_out():
    nothing = np.zeros((32, 32), np.float32)
    for alpha, target in ((nothing, nothing + 1), (nothing + 1, nothing)):
        with pytest.raises(EvaluationError, match="no edge in common"):
            edge_sample("g", alpha, target, Edge())
