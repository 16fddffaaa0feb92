import numpy as np
from PIL import Image

from garmentcut.dataset.studio import VIEWS, draw_studio_photo
from garmentcut.dataset.studio.files import write_studio_photos


def test_photos_and_their_exact_cutouts(tmp_path):
    paths = list(write_studio_photos(tmp_path / "p", [7], size_hw=(192, 128), cutouts_dir=tmp_path / "c"))
    shots = [draw_studio_photo(7, view=view, size_hw=(192, 128)) for view in VIEWS]
    assert [path.name for path in paths] == [f"{shot.garment}_{shot.view}.jpg" for shot in shots]
    for path, shot in zip(paths, shots, strict=True):
        with Image.open(path) as photo, Image.open(tmp_path / "c" / f"{path.stem}.png") as cutout:
            assert photo.size == cutout.size == (128, 192)
            alpha = np.asarray(cutout.getchannel("A"))
        assert np.array_equal(alpha, np.rint(shot.alpha * 255).astype(np.uint8))


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    once, again = (list(write_studio_photos(tmp_path / name, [3], size_hw=(96, 64))) for name in "ab")
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in again]
