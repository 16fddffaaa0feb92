"""Plant wrong cutouts among a dataset's real ones, and see where the audit ranks them.

    python benchmarks/audit.py RUNS DATASET [--seeds 5] [--each 4]

RUNS is a folder of fold runs. For each kind of error, `--each` cutouts are replaced by wrong ones: a side eroded by 8
to 16 pixels over a quarter to nearly a half of the height, the lowest 4 to 8 % missing, shifted by 3 pixels, another
photo's, the inner layer at the neckline removed (an ellipse below it). The photos are cut once; each seed plants errors
in other photos. Prints how many of the planted errors are among the first 30 ranks of the audit, and of the label
quality score of Lad and Mueller (cleanlab's for segmentation) alone. Lengths are for photos 1728 pixels high.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from garmentcut.dataset.manifest import read_manifest, read_target
from garmentcut.evaluation.audit import Examined, rank_suspects
from garmentcut.evaluation.evidence import Evidence, gather_evidence
from garmentcut.evaluation.predict import CutPair, plan_trials, predict
from garmentcut.evaluation.uncertainty import Experience, cross_fitted, experience_of
from garmentcut.photo.color import srgb_of
from garmentcut.photo.photo import to_8_bit

KINDS = ("side", "hem", "shift", "other", "inner")
FIRST = 30

Alpha = NDArray[np.float32]


def plant(kind: str, target: Alpha, other: Alpha, rng: np.random.Generator) -> Alpha | None:
    """A wrong cutout; None: this garment cannot have that error."""
    mask = target >= 0.5
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    height, width, middle = bottom - top, right - left, (left + right) / 2
    y, x = np.mgrid[: mask.shape[0], : mask.shape[1]]
    wrong = target.copy()
    if kind == "side":
        start = top + height * rng.uniform(0.2, 0.4)
        stop = start + height * rng.uniform(0.25, 0.45)
        depth = np.clip(np.minimum(y - start, stop - y) / 30, 0, 1) * rng.uniform(8, 16)
        is_side = x < middle if rng.random() < 0.5 else x > middle
        wrong[(depth > 0) & is_side & (distance_transform_edt(mask) <= depth)] = 0
    elif kind == "hem":
        wrong[int(bottom - height * rng.uniform(0.04, 0.08)) :] = 0
    elif kind == "shift":
        wrong = np.roll(target, ((3, 0), (-3, 0), (0, 3), (0, -3))[rng.integers(4)], axis=(0, 1))
    elif kind == "other":
        wrong = other
    else:
        column = np.flatnonzero(mask[:, int(middle)])
        if not column.size:
            return None  # open at the front
        radii = height * rng.uniform(0.05, 0.09), width * rng.uniform(0.12, 0.2)
        wrong[((y - column[0]) / radii[0]) ** 2 + ((x - middle) / radii[1]) ** 2 < 1] = 0
    return wrong


class Look(NamedTuple):
    """What the audit sees of a photo and a cutout, right or wrong."""

    evidence: Evidence
    experience: Experience


def look(rgb: NDArray[np.uint8], prediction: CutPair) -> Look:
    """Examine a photo as the audit does."""
    return Look(gather_evidence(rgb, prediction.target, prediction.alpha), experience_of(prediction))


class Stage:
    """Cuts each photo once, and gathers evidence against its real cutout and against planted ones."""

    def __init__(self, plans: list[dict[str, str]], others: dict[str, Alpha]) -> None:
        self.plans, self.others = plans, others

    def __call__(self, prediction: CutPair) -> tuple[Look, list[Look | None]]:
        """What the audit sees with the real cutout, and with each seed's planted one."""
        photo, name = prediction.photo, prediction.pair.name
        rgb = srgb_of(to_8_bit(photo.rgb), photo.profile)
        planted: list[Look | None] = []
        for seed, plan in enumerate(self.plans):
            wrong = None
            if name in plan:
                rng = np.random.default_rng([seed, *name.encode()])
                wrong = plant(plan[name], prediction.target, self.others[plan[name] + name], rng)
            planted.append(None if wrong is None else look(rgb, replace(prediction, target=wrong)))
        return look(rgb, prediction), planted


def main() -> None:
    """Print a line per seed and the totals by kind."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--each", type=int, default=4)
    arguments = parser.parse_args()
    manifest = read_manifest(arguments.dataset)
    trials = plan_trials(arguments.runs, manifest)
    pairs = [pair for trial in trials for pair in trial.pairs]
    plans: list[dict[str, str]] = []
    others: dict[str, Alpha] = {}
    for seed in range(arguments.seeds):
        chosen = np.random.default_rng(seed).permutation(len(pairs))[: arguments.each * len(KINDS)]
        plans.append({pairs[index].name: KINDS[place % len(KINDS)] for place, index in enumerate(chosen)})
        for index in chosen:
            kind, pair = plans[-1][pairs[index].name], pairs[index]
            donor = next(other for other in pairs[index - 1 :: -1] if other.size_hw == pair.size_hw and other != pair)
            others[kind + pair.name] = (
                read_target(manifest.path_of(donor.alpha), donor.size_hw)
                if kind == "other"
                else np.zeros((1, 1), np.float32)
            )
    looked = [outcome for outcome in predict(trials, manifest, Stage(plans, others)) if outcome.found is not None]
    report(looked, plans)


def report(looked: list[Any], plans: list[dict[str, str]]) -> None:
    """Rank with each seed's planted cutouts instead of the real ones."""
    names = [outcome.pair.name for outcome in looked]
    heights = [outcome.pair.size_hw[0] for outcome in looked]
    found: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for seed, plan in enumerate(plans):
        # The data for the doubt model is changed too: a planted cutout makes its photo look badly cut.
        looks = [outcome.found[1][seed] or outcome.found[0] for outcome in looked]
        evidence = [one.evidence for one in looks]
        planted = {name: plan[name] for name, outcome in zip(names, looked, strict=True) if outcome.found[1][seed]}
        examined = [Examined(*one, "") for one in zip(names, evidence, heights, strict=True)]
        suspects = rank_suspects(examined, cross_fitted([one.experience for one in looks]).doubts)
        first = [suspect.name for suspect in suspects[:FIRST]]
        by_quality = [names[index] for index in np.argsort([one.softmin_confidence for one in evidence])[:FIRST]]
        for name, kind in planted.items():
            found[kind].append(name in first)
        hits, baseline = (sum(name in planted for name in ranked) for ranked in (first, by_quality))
        missed = [f"{kind} {name[:8]}" for name, kind in planted.items() if name not in first]
        print(
            f"seed {seed}: {len(planted)} planted among {len(names)}, {hits} in the first {FIRST}"
            f" (label quality score alone: {baseline}); missed: {', '.join(missed) or 'none'}"
        )
    print("; ".join(f"{kind} {sum(hits)} of {len(hits)}" for kind, hits in found.items()))


if __name__ == "__main__":
    main()
