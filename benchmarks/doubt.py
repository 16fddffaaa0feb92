"""Doubt and its guarantee, on photos whose cutouts are known.

    python benchmarks/doubt.py RUNS DATASET [--cost PHOTO]

RUNS is as for `garmentcut evaluate`, preferably a folder of fold runs, so that each photo is cut by a model that has
not seen its garment. Prints the rank correlation of cross-fitted doubt with the true surface Dice at 2 px, next to
those of single features and of gradient boosting on the same features; then, for some risks and qualities, the share
accepted at 90 % confidence with its interval, and whether the guarantee holds on 200 random halves of the garments.
With `--cost`, prints the time for doubt compared with that of the embedded model.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.model_selection import GroupKFold, cross_val_predict

from garmentcut import Cutter, read_photo
from garmentcut.config import RuntimeConfig
from garmentcut.dataset.manifest import read_manifest
from garmentcut.evaluation.intervals import Bootstrap
from garmentcut.evaluation.predict import plan_trials, predict
from garmentcut.evaluation.uncertainty import (
    Experience,
    cross_fitted,
    experience_of,
    find_threshold,
    fit_doubt,
    rank_correlation,
)
from garmentcut.photo.write import png_bytes
from garmentcut.prediction.doubt import FEATURES, doubt_of, observe_prediction
from garmentcut.prediction.verdict import heat_of, reasons_of

QUALITIES = (0.95, 0.9, 0.8, 0.7, 0.6, 0.5)
RISKS, CONFIDENCE = (0.05, 0.1, 0.2), 0.9


def gather(runs: Path, dataset: Path) -> list[Experience]:
    """Cut each photo and collect the experience with it."""
    manifest = read_manifest(dataset)
    outcomes = predict(plan_trials(runs, manifest), manifest, experience_of)
    return [outcome.found for outcome in outcomes if outcome.found is not None]


def correlations(known: list[Experience], doubts: np.ndarray) -> None:
    """Spearman's rank correlation with 1 - surface Dice."""
    truth = np.array([1 - one.quality for one in known])
    garments = [one.garment for one in known]
    ranks = [np.argsort(np.argsort(values)) for values in (doubts, truth)]
    draws = Bootstrap.of(garments)
    sampled = []
    for draw in draws.draws.T[:500]:
        chosen = np.repeat(np.arange(len(known)), draw[draws.clusters])
        sampled.append(np.corrcoef(ranks[0][chosen], ranks[1][chosen])[0, 1])
    low, high = np.percentile(sampled, (2.5, 97.5))
    quantiles = np.quantile(1 - truth, (0.05, 0.25, 0.5, 0.75, 0.95)).round(3)
    print(f"{len(known)} photos, {len(set(garments))} garments; surface Dice, 5 25 50 75 95 %: {quantiles}")
    print(f"doubt, cross-fitted: rank correlation {rank_correlation(doubts, known):.3f} [{low:.2f}, {high:.2f}]")
    print(f"mean doubt {doubts.mean():.3f}, mean of 1 - surface Dice {truth.mean():.3f}")
    seen = [index for index, one in enumerate(known) if one.features is not None]
    features = np.array([known[index].features for index in seen])
    for place, name in enumerate(FEATURES):
        if np.ptp(features[:, place]) > 0:
            print(f"  feature {name:14} {spearmanr(features[:, place], truth[seen]).statistic:6.2f}")
    boosting = GradientBoostingRegressor(n_estimators=60, max_depth=2, subsample=0.7, random_state=0)
    folds = GroupKFold(5, shuffle=True, random_state=0)
    guessed = cross_val_predict(boosting, features, truth[seen], groups=[garments[index] for index in seen], cv=folds)
    print(f"gradient boosting on the same features: {spearmanr(guessed, truth[seen]).statistic:.3f}")


def guarantees(known: list[Experience], doubts: np.ndarray, risk: float) -> None:
    """Print what can be guaranteed at each quality, and whether it holds on random halves."""
    garments = [one.garment for one in known]
    print(f"\nrisk {risk:g}, confidence {CONFIDENCE:g}; halves: found on one half of the garments, tried on the other")
    for quality in QUALITIES:
        is_short = np.array([one.quality < quality for one in known])
        found = find_threshold(garments, doubts, is_short, risk=risk, confidence=CONFIDENCE)
        check = check_on_splits(garments, doubts, is_short, risk=risk, confidence=CONFIDENCE)
        halves = f"{check.num_guaranteed} of {check.num_splits} halves could guarantee, {check.num_held} held"
        if found.share_accepted is None:
            print(f"quality {quality:.2f}: {100 * is_short.mean():3.0f} % short; {found.reason}; {halves}")
        else:
            share, low, high = (100 * value for value in found.share_accepted)
            print(
                f"quality {quality:.2f}: {100 * is_short.mean():3.0f} % short; accept doubt <= {found.max_doubt:.3f}:"
                f" {share:.0f} % [{low:.0f}, {high:.0f}], {found.num_short} of {found.num_accepted} short; {halves}"
            )


@dataclass(frozen=True)
class SplitCheck:
    """Whether a guarantee that was found on one random half of the garments held on the other.

    Attributes:
        num_splits: number of splits.
        num_guaranteed: splits whose first half could guarantee something; in the others nothing is accepted.
        num_held: splits in whose second half no more than the guaranteed share of accepted garments fell short,
            including splits where nothing is accepted.
        mean_accepted: mean share of the second half's garments that was accepted, over the splits that guaranteed
            something.
    """

    num_splits: int
    num_guaranteed: int
    num_held: int
    mean_accepted: float


def check_on_splits(
    garments: Sequence[str],
    doubts: NDArray[np.float64],
    is_short: NDArray[np.bool_],
    *,
    risk: float = 0.05,
    confidence: float = 0.9,
    num_splits: int = 200,
) -> SplitCheck:
    """Find the threshold on a random half of the garments and test it on the other, many times (seed 0).

    The second half is itself a sample, whose share varies around the true one. So some of the splits fail by chance
    and do not violate the guarantee.
    """
    rng, names = np.random.default_rng(0), np.unique(np.asarray(garments))
    num_guaranteed = num_held = 0
    accepted = []
    for _ in range(num_splits):
        first = np.isin(garments, rng.permutation(names)[: len(names) // 2])
        chosen = [garment for garment, is_first in zip(garments, first, strict=True) if is_first]
        found = find_threshold(chosen, doubts[first], is_short[first], risk=risk, confidence=confidence)
        if found.max_doubt is None:
            num_held += 1
            continue
        num_guaranteed += 1
        others = np.asarray(garments)[~first]
        taken = doubts[~first] <= found.max_doubt
        num_taken, num_short = len(set(others[taken])), len(set(others[taken & is_short[~first]]))
        num_held += num_short <= risk * num_taken
        accepted.append(num_taken / len(set(others)))
    return SplitCheck(num_splits, num_guaranteed, num_held, float(np.mean(accepted)) if accepted else 0.0)


def cost(photo_path: Path, known: list[Experience]) -> None:
    """Print the times for doubt, reasons and heat map, and that of the network; medians of seven, on one thread."""
    cutter = Cutter.load(config=RuntimeConfig(threads=1, streams=1))
    photo, model = read_photo(photo_path), fit_doubt(known)
    frame = cutter.frame(photo)
    prediction = cutter.predict(photo, frame)
    observation = observe_prediction(prediction)
    assert observation is not None
    steps: dict[str, Callable[[], object]] = {
        "network": lambda: cutter.predict(photo, frame),
        "alpha at full size": lambda: cutter.finish(photo, prediction),
        "features": lambda: observe_prediction(prediction),
        "doubt": lambda: doubt_of(model, observation),
        "reasons": lambda: reasons_of(model, observation),
        "heat map": lambda: png_bytes(heat_of(observation.maps)),
    }
    print(f"\n{photo.size_hw[1]}x{photo.size_hw[0]}, processor time")
    for name, step in steps.items():
        times = []
        for _ in range(7):
            start = time.process_time()
            step()
            times.append(1000 * (time.process_time() - start))
        print(f"  {name:20} {np.median(times):8.1f} ms")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--cost", type=Path)
    arguments = parser.parse_args()
    known = gather(arguments.runs, arguments.dataset)
    doubts = cross_fitted(known).doubts
    correlations(known, doubts)
    for risk in RISKS:
        guarantees(known, doubts, risk)
    if arguments.cost is not None:
        cost(arguments.cost, known)


if __name__ == "__main__":
    main()
