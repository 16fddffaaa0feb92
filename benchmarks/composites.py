"""What composites and drawn photos from elsewhere, learned from beside a studio's own, cost on its own.

    garmentcut train default --data DATASET --fold none --out RUN
    python benchmarks/composites.py DATASET RUN OUT [NUM [STEPS]]
    garmentcut evaluate OUT/with DATASET --against OUT/without

Trains the first fold's segment network of RUN on, for 300 (or STEPS) steps, once with 20 (or NUM) composites of the
fold's photos and as many drawn ones, and once without. OUT/with and OUT/without become runs of this one fold.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from garmentcut.dataset.manifest import read_manifest
from garmentcut.export.model_file import export_folds
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import load_recipe
from garmentcut.training.devices import Devices
from garmentcut.training.loop import train_runs
from garmentcut.training.run import Run, training_split
from garmentcut.training.stages import StagePlan, fold_runs

if __name__ == "__main__":
    manifest, trained, out = read_manifest(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
    num, steps = int([*sys.argv, "20"][4]), int([*sys.argv, "20", "300"][5])
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
