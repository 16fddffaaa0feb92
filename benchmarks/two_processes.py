"""Does training on two processes give the same result as on one? Compares losses and evaluations, also after a resume.

    python benchmarks/two_processes.py                      the small network of the proposal, float32: minutes on a CPU
    python benchmarks/two_processes.py --augment            with everything random in it

Draws a dataset (`garmentcut studio`, `ingest`), runs `garmentcut train` on the CPU with `--devices 1`, with `--devices
2`, and with `--devices 2` stopped after a step and resumed, and compares what they wrote for TensorBoard, which has the
exact float32 values (journal.jsonl has six digits). In float32 each step amplifies rounding errors, large steps most.
Networks with batch norm differ, because processes on a CPU do not synchronise its statistics.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_RANDOM = {
    "shift": "{ p = 0.7, amount = 0.06 }",
    "zoom": "{ p = 0.7, amount = 0.3 }",
    "rotation": "{ p = 0.5, amount = 7.0 }",
    "flip": "{ p = 0.5, amount = 1.0 }",
    "brightness": "{ p = 0.5, amount = 0.15 }",
    "hue": "{ p = 0.3, amount = 0.03 }",
    "noise": "{ p = 0.2, amount = 0.02 }",
    "jpeg": "{ p = 0.15, amount = 40.0 }",
    "recolor": "{ p = 0.5, amount = 1.0 }",
}


def command(*args: object) -> str:
    """Output of a garmentcut command."""
    done = subprocess.run(
        [sys.executable, "-m", "garmentcut", *map(str, args)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        sys.exit(done.stderr)
    return done.stdout


def train(work: Path, name: str, *args: object) -> None:
    """Train the recipe in its own folder."""
    command("train", work / "recipe.toml", "--data", work / "dataset", "--out", work / name, *args)


def scalars(work: Path, name: str) -> Any:
    """The scalars that a run has written for TensorBoard."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(str(work / name / "tensorboard"), size_guidance={"scalars": 0})
    return read.Reload()


def values(read: Any, kind: str, key: str) -> list[float]:
    """A value of all steps or evaluations in their order; if a step was done twice, the later one counts."""
    return list({event.step: event.value for event in read.Scalars(f"{kind}/{key}")}.values())


def prepare(work: Path, options: argparse.Namespace) -> None:
    """Draw the dataset and write the recipe."""
    command("studio", "--out", work / "photos", "--cutouts", work / "cutouts", "--garments", 6, "--height", 384)
    command("ingest", work / "photos", work / "cutouts", "--out", work / "dataset", "--folds", 3)
    lines = [f'[network]\nname = "{options.network}"\nstart = "scratch"', "[augment]"]
    lines += [f"{key} = {value}" for key, value in _RANDOM.items() if options.augment]
    lines += [f"[data]\nsize_hw = [{options.height}, {options.height * 2 // 3}]\nworkers = 1"]
    lines += [f'[optimizer]\nname = "{options.optimizer}"\nlr = {options.lr}']
    lines += [f"[training]\nsteps = {options.steps}\nbatch = 4\nema = 0.9\nevaluate_every = {options.steps // 5}"]
    (work / "recipe.toml").write_text("\n".join(lines))


def compare(work: Path, steps: int) -> None:
    """Train in three ways and print how much they differ."""
    train(work, "one", "--accelerator", "cpu")
    train(work, "two", "--accelerator", "cpu", "--devices", 2)
    train(work, "halves", "--accelerator", "cpu", "--devices", 2, "--minutes", 0)  # one step; resumed below
    train(work, "halves", "--accelerator", "cpu", "--devices", 2)
    rows = {name: scalars(work, name) for name in ("one", "two", "halves")}
    for kind, key in (("step", "loss"), ("evaluation", "loss"), ("evaluation", "mean_dice")):
        one, two, halves = (values(rows[name], kind, key) for name in ("one", "two", "halves"))
        assert len(one) == len(two) == len(halves), (kind, key, len(one), len(two), len(halves))
        apart = max(abs(a - b) for a, b in zip(one, two, strict=True))
        resumed = max(abs(a - b) for a, b in zip(two, halves, strict=True))
        print(f"{kind} {key}: {one[0]:.6f} to {one[-1]:.6f}; two processes at most {apart:.1e} apart", end="")
        print(f", stopped and resumed {resumed:.1e}")
    one, two = (values(rows[name], "step", "loss") for name in ("one", "two"))
    assert len(one) == steps
    growth = {step: max(abs(a - b) for a, b in zip(one[:step], two[:step], strict=True)) for step in (1, 5, 10, 20, 50)}
    print("step loss apart at most, by step: " + ", ".join(f"{step}: {apart:.1e}" for step, apart in growth.items()))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", default="simple")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--augment", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), chosen)
        print(f"{chosen.network}, {chosen.steps} steps of 4 photos {chosen.height}x{chosen.height * 2 // 3}")
        compare(Path(folder), chosen.steps)
