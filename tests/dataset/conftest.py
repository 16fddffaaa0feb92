import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from garmentcut.dataset.ingest import Ingest, IngestOptions
from garmentcut.dataset.manifest import Manifest, Pair, target_bytes, write_manifest
from garmentcut.dataset.split import Scheme
from garmentcut.photo.write import png_bytes
from garmentcut.recipe import AugmentConfig, Strength


@pytest.fixture
def small_dataset(studio, tmp_path):
    """A data set of three pairs of 96x64 pixels, one of each view."""
    pairs = []
    for number, view in enumerate(("Front", "Back", "FrontRight")):
        drawn, name = studio(96, 64), f"g{number}_{view}"
        files = {"photo": png_bytes(drawn.photo), "alpha": target_bytes(drawn.alpha)}
        for folder, content in files.items():
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{name}.png").write_bytes(content)
        rows, columns = np.nonzero(drawn.alpha >= 0.5)
        pairs.append(
            Pair(
                name=name,
                garment=f"g{number}",
                view=view,
                photo=f"photo/{name}.png",
                cutout=f"alpha/{name}.png",
                alpha=f"alpha/{name}.png",
                photo_sha256=hashlib.sha256(files["photo"]).hexdigest(),
                cutout_sha256=hashlib.sha256(files["alpha"]).hexdigest(),
                size_hw=(96, 64),
                box_xyxy=(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1),
                split=f"fold{number}",
                source="mask image",
                faults=(),
                group=f"g{number}",
            )
        )
    manifest = Manifest(tmp_path, tuple(pairs))
    write_manifest(manifest)
    return manifest


@pytest.fixture(scope="session")
def draw_pair():
    """A function that draws an ellipse of patterned cloth, which the seed decides: rgb uint8, alpha k / 255."""

    def draw(seed, height=96, width=64):
        random = np.random.default_rng(seed)
        y, x = np.mgrid[:height, :width]
        radii = height * random.uniform(0.2, 0.4), width * random.uniform(0.2, 0.4)
        distance = 1 - np.hypot((y - height / 2) / radii[0], (x - width / 2) / radii[1])
        alpha = np.rint(255 * np.clip(0.5 + distance * min(radii), 0, 1)) / 255
        print_ = Image.fromarray(random.integers(0, 200, (12, 8, 3), np.uint8)).resize((width, height))
        photo = alpha[..., None] * np.asarray(print_) + (1 - alpha[..., None]) * 225
        return np.rint(photo).astype(np.uint8), alpha.astype(np.float32)

    return draw


class Shop:
    """A studio's folders, and the data set made of them."""

    def __init__(self, root, draw):
        self.originals, self.cutouts, self.out = root / "originals", root / "cutouts", root / "dataset"
        self._draw = draw

    def add(self, *names, seed=None, cutout_seed=None, suffix=".png", folder="."):
        """Files for each name; what it looks like is decided by `seed`, else by the name."""
        for name in names:
            own = seed if seed is not None else int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])
            rgb, alpha = self._draw(own)
            other, alpha = (rgb, alpha) if cutout_seed is None else self._draw(cutout_seed)
            photo, cutout = self.originals / folder / f"{name}{suffix}", self.cutouts / folder / f"{name}.png"
            for path in (photo, cutout):
                path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rgb).save(photo)
            cutout.write_bytes(png_bytes(np.dstack([other, np.rint(alpha * 255).astype(np.uint8)])))

    def ingest(self, **options):
        """Run it; two folds where nothing else is said and the data set has no split of its own."""
        if not (self.out / "manifest.jsonl").exists():
            options = {"scheme": Scheme.of_folds(2), **options}
        with Ingest(self.originals, self.cutouts, self.out, IngestOptions(workers=2, **options)) as ingest:
            plan = ingest.plan()
            self.read = [entry.pair.name for entry in ingest.examine(plan)]
            return ingest.finish(ingest.rows(plan))

    def codes(self, **options):
        """Name to fault codes, of a run."""
        return {pair.name: [f.code for f in pair.faults] for pair in self.ingest(**options).manifest.pairs}


@pytest.fixture
def shop(tmp_path, draw_pair):
    return Shop(tmp_path, draw_pair)


AMOUNTS = {"rotation": 8.0, "noise": 0.04, "blur": 2.0, "jpeg": 60.0, "perspective": 0.05, "hue": 0.1}


@pytest.fixture(autouse=True)
def one_thread():
    """Pictures this small are done before a second thread has begun."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def batch(studio):
    """Five photos `(5, 3, 96, 64)` and their alphas, float32; each garment of its own size, colour and place."""
    photos, alphas = [], []
    orders, shifts = [[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1], [1, 2, 0]], [0, 6, -6, 3, -3]
    for row, (order, shift) in enumerate(zip(orders, shifts, strict=True)):
        drawn, top, left = studio(96 + 6 * row, 64 + 4 * row), 3 * row, 2 * row
        photo, alpha = (part[top : top + 96, left : left + 64] for part in (drawn.photo[..., order], drawn.alpha))
        photos.append(torch.from_numpy(np.moveaxis(photo, 2, 0) / np.float32(255)).roll(shift, 2))
        alphas.append(torch.from_numpy(alpha.copy())[None].roll(shift, 2))
    return torch.stack(photos), torch.stack(alphas)


@pytest.fixture
def only():
    """A config with some settings on: `only("shift", "zoom", p=1)`."""

    def call(*names, p=1.0, amount=None):
        strengths = {name: Strength(p, AMOUNTS.get(name, 0.3) if amount is None else amount) for name in names}
        return AugmentConfig(**strengths)

    return call
