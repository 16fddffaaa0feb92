"""How well does fine-tuning adapt a model to a studio whose cutouts all end 1.5 px farther inside?

    python benchmarks/choked.py DATASET MODEL OUT

Takes the pairs of a dataset that MODEL has not seen, chokes their cutouts, and writes 40 of them, with all others of
the same garments, to OUT/learn and the rest to OUT/measure. MODEL is a fold model of a run with stages,
RUN/folds/0/model.onnx, which `garmentcut export RUN --folds` writes, and FOLD is its folder. Then:

    garmentcut ingest OUT/learn/photos OUT/learn/cutouts --out OUT/learn/dataset    # and the same of OUT/measure
    garmentcut train finetune --data OUT/learn/dataset --out OUT/run --fold none --hours 0.5 \
        --set stages.locate.network.start=FOLD/locate/best.safetensors                # and of segment, of refine
    garmentcut export OUT/run --out OUT/model.onnx
    garmentcut evaluate OUT/model.onnx OUT/measure/dataset --against MODEL
"""

import shutil
import sys
from pathlib import Path

import numpy as np

from garmentcut.dataset.manifest import read_manifest, read_pair
from garmentcut.dataset.split import find_met
from garmentcut.model.card import read_model
from garmentcut.photo.compose import choke_alpha
from garmentcut.photo.write import png_bytes

_CHOKE_PX = 1.5
_NUM_TO_LEARN_FROM = 40

if __name__ == "__main__":
    manifest, out = read_manifest(Path(sys.argv[1])), Path(sys.argv[3])
    card = read_model(Path(sys.argv[2]))[1]
    met = find_met(manifest, card.trained_on, card.trained_hashes)
    pairs = sorted((pair for pair in manifest.usable if pair.name not in met), key=lambda pair: pair.photo_sha256)
    groups = [pair.group for pair in pairs[:_NUM_TO_LEARN_FROM]]
    for pair in pairs:
        photos, cutouts = (
            out / ("learn" if pair.group in groups else "measure") / kind for kind in ("photos", "cutouts")
        )
        for folder in (photos, cutouts):
            folder.mkdir(parents=True, exist_ok=True)
        photo, alpha = read_pair(manifest, pair)
        source = manifest.path_of(pair.photo)
        shutil.copyfile(source, photos / f"{pair.name}{source.suffix}")
        choked = np.rint(choke_alpha(alpha, _CHOKE_PX) * 255).astype(np.uint8)
        (cutouts / f"{pair.name}.png").write_bytes(png_bytes(np.dstack([photo.rgb, choked])))
