import io

import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.sheet_file import SHEET_SUFFIXES, encode_sheet, is_contact_sheet

PAGE = np.full((40, 60, 3), (255, 0, 170), np.uint8)
PAGE[10:20, 10:20] = (10, 120, 130)


@pytest.mark.parametrize("suffix", [*SHEET_SUFFIXES, ".PNG"])
def test_a_sheet_knows_itself(tmp_path, suffix):
    path = tmp_path / f"sheet{suffix}"
    path.write_bytes(encode_sheet(PAGE, suffix))
    assert is_contact_sheet(path)
    with Image.open(path) as image:
        assert image.format == ("PNG" if suffix.lower() == ".png" else "JPEG")
        assert np.abs(np.asarray(image).astype(int) - PAGE).max() <= (0 if image.format == "PNG" else 24)


def test_the_strong_ground_does_not_bleed():
    with Image.open(io.BytesIO(encode_sheet(PAGE, ".jpg"))) as image:
        assert image.layer[0][1:3] == image.layer[1][1:3] == (1, 1)  # no chroma subsampling


def test_others_are_not_taken_for_sheets(tmp_path):
    Image.fromarray(PAGE).save(tmp_path / "photo.jpg")
    assert not is_contact_sheet(tmp_path / "photo.jpg")
    assert not is_contact_sheet(tmp_path / "none.jpg")
    assert not is_contact_sheet(tmp_path)
