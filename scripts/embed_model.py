"""Make a finished training with stages the embedded model: its file, and the weights that fine-tuning starts from.

    python scripts/embed_model.py RUN DATASET "description of the training data"

RUN holds the three networks and those of the folds (`garmentcut train recipes/default.toml --fold none`). The card gets
the scores of the fold networks on their held-out photos, and doubt and acceptance from the same photos.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

from garmentcut.model.card import Score, read_model, with_card
from garmentcut.model.checkpoint import load_network, save_network
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import STAGES

WEIGHTS = Path(__file__).parents[1] / "src/garmentcut/weights"
EDGE = 0.3, 2.0
"""Threshold and steepness of the edge: as found by `calibrate --edge`, but half as steep to keep soft edges soft."""
CONVENTIONS: tuple[tuple[str, Literal["alpha >= 128", "alpha > 0"]], ...] = (
    ("dice", "alpha >= 128"),
    ("dice_any", "alpha > 0"),
)
LICENCE = (
    "MIT for the weights as trained here; ImageNet start Apache-2.0; the training photos' repository states no licence"
)


def main(run: Path, dataset: Path, words: str) -> None:
    """Export, calibrate and score, then install the files."""
    model = run / "default.onnx"
    on_card = "--name", "default", "--training-data", words, "--licence", LICENCE
    garmentcut("export", run, "--out", model, "--folds", *on_card)
    for path in (model, *run.glob("folds/*/model.onnx")):
        content, card = read_model(path)
        write_atomic(path, with_card(content, replace(card, edge_bias=EDGE[0], edge_gain=EDGE[1])))
    garmentcut("calibrate", run, dataset, "--into", model, "--out", model)
    out = run / "scores"
    garmentcut("evaluate", run, dataset, "--out", out)
    totals = json.loads((out / "totals.json").read_bytes())
    total = totals["by_view"][0]
    data = f"{total['num_photos']} photos, each cut by a fold's networks, which had not seen it"
    scores = tuple(
        Score(
            data,
            convention,
            total["num_photos"],
            *(round(total["figures"][metric][figure]["value"], 4) for figure in ("mean", "median")),
        )
        for metric, convention in CONVENTIONS
    )
    content, card = read_model(model)
    if card.acceptance is not None and all(one.max_doubt is None for one in card.acceptance.thresholds):
        card = replace(card, acceptance=None)  # nothing can be guaranteed
    write_atomic(WEIGHTS / "default.onnx", with_card(content, replace(card, scores=scores)))
    for stage in STAGES:
        halve(run / stage / "best.safetensors", WEIGHTS / f"default-{stage}.safetensors")


def garmentcut(*words: object) -> None:
    """Run a command; exit if it fails."""
    done = subprocess.run([sys.executable, "-m", "garmentcut", *map(str, words)])
    if done.returncode and (words[0], done.returncode) != ("calibrate", 1):  # 1: doubt is fitted, nothing guaranteed
        raise SystemExit(done.returncode)


def halve(source: Path, target: Path) -> None:
    """Store weights in 16 bits; the model's card lists the photos that they have seen."""
    network, spec = load_network(source)
    save_network(target, network, replace(spec, facts={}), half=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
