import numpy as np
import pytest

from garmentcut.dataset.target import read_target, target_bytes
from garmentcut.photo.photo import PhotoError
from garmentcut.photo.png import png_bytes


@pytest.mark.parametrize(("levels", "depth"), [(255, 8), (65535, 16)])
def test_alphas_survive_exactly(levels, depth, tmp_path):
    alpha = np.linspace(0, levels, 257 * 3).round().reshape(3, 257).astype(np.float32) / np.float32(levels)
    content = target_bytes(alpha)
    (tmp_path / "a.png").write_bytes(content)
    assert content[24] == depth  # IHDR's bit depth
    assert np.array_equal(read_target(tmp_path / "a.png", (3, 257)), alpha)


def test_finer_alphas_are_off_by_half_a_16_bit_level(tmp_path):
    alpha = np.random.default_rng(0).random((50, 40), np.float32)
    (tmp_path / "a.png").write_bytes(target_bytes(alpha))
    assert np.abs(read_target(tmp_path / "a.png", (50, 40)) - alpha).max() <= 0.51 / 65535


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "empty file"),
        (b"GIF89a", "not a PNG"),
        (png_bytes(np.zeros((4, 4), np.uint8))[:-20], "damaged"),
        (png_bytes(np.zeros((4, 5), np.uint8)), r"\(4, 5\) where the photo has \(4, 4\)"),
        (png_bytes(np.zeros((4, 4, 3), np.uint8)), r"\(4, 4, 3\) where"),
    ],
)
def test_targets_that_cannot_be_used(content, says, tmp_path):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PhotoError, match=f"a.png: .*{says}.*ingest` again"):
        read_target(tmp_path / "a.png", (4, 4))
