"""What training on composites and drawn photos costs on a studio's own photos, and gains on others.

    garmentcut train default --data DATASET --fold none --out RUN
    python benchmarks/composites.py DATASET RUN OUT [NUM [STEPS]]
    garmentcut evaluate OUT/with DATASET --against OUT/without

Continues training the first fold's segment network of RUN for 300 (or STEPS) steps, once with 20 (or NUM) composites of
the fold's photos and as many drawn ones, and once without. OUT/with and OUT/without become runs of this fold, and both
cut 60 other generated photos, of garments that the fold has not seen. Prints Dice (`alpha >= 128`) and surface Dice at
2 px of both, and the mean over the photos of "with" minus "without", with its 95 % bootstrap interval.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import bootstrap

from garmentcut.dataset.manifest import Manifest, read_manifest
from garmentcut.evaluation.metrics import measure
from garmentcut.evaluation.predict import plan_trials, predict, trials_elsewhere
from garmentcut.export.model_file import export_folds
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import load_recipe
from garmentcut.training.devices import Devices
from garmentcut.training.loop import train_runs
from garmentcut.training.run import Run, training_split
from garmentcut.training.stages import StagePlan, fold_runs


def train(manifest: Manifest, trained: Path, out: Path, num: int, steps: int) -> None:
    """Continue training the fold's segment network, with and without the extra photos."""
    recipe = load_recipe(trained / "recipe.toml", {"stages.fold_steps": 1.0})
    for name, extra in (("without", 0), ("with", num)):
        run = Run(out / name, recipe, manifest, training_split(manifest, "none"))
        fold = fold_runs(run, StagePlan(dict.fromkeys(("locate", "segment", "refine"), steps), {}))[0]
        for stage in ("locate", "refine"):
            shutil.copytree(trained / "folds/0" / stage, out / name / "folds/0" / stage, dirs_exist_ok=True)
        start = str(trained / "folds/0/segment/best.safetensors")
        own = fold["segment"].recipe
        data = replace(own.data, composites=extra, varied=extra)
        own = replace(own, network=replace(own.network, start=start), data=data)
        for _, event in train_runs([replace(fold["segment"], recipe=own)], Devices()):
            print(name, event, flush=True)
        for path, content in export_folds(out / name).items():
            write_atomic(path, content)


def compare_elsewhere(manifest: Manifest, out: Path, num: int = 60) -> None:
    """Print how both do on photos unlike the studio's."""
    scores: dict[str, dict[str, tuple[float, float]]] = {}
    for name in ("without", "with"):
        with TemporaryDirectory() as folder:
            trials = trials_elsewhere(plan_trials(out / name, manifest), manifest, Path(folder), num)
            found = predict(trials, manifest, lambda cut: measure(cut.alpha, cut.target))
            scores[name] = {one.pair.name: (one.found.dice, one.found.surface_dice_2px) for one in found if one.found}
    for kind, prefix in (("drawn", "synthetic"), ("composites", "composite")):
        names = [one for one in scores["without"] if one.startswith(prefix) and one in scores["with"]]
        pairs = np.array([[scores[name][one] for one in names] for name in ("without", "with")])
        for metric, (without, extra) in zip(("Dice", "surface Dice"), pairs.transpose(2, 0, 1), strict=True):
            low, high = bootstrap((extra - without,), np.mean, method="percentile", rng=0).confidence_interval
            change = f"{(extra - without).mean():+.4f} [{low:.4f}, {high:.4f}]"
            print(f"{kind}, {len(names)}: {metric} {without.mean():.4f} to {extra.mean():.4f}, {change}")


if __name__ == "__main__":
    dataset, run, target = read_manifest(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
    num_extra, num_steps = [*map(int, sys.argv[4:]), *(20, 300)[len(sys.argv) - 4 :]]
    train(dataset, run, target, num_extra, num_steps)
    compare_elsewhere(dataset, target)
