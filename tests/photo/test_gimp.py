"""Another program opens our documents, paints in them and saves them; what it saved is read back."""

import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import OutputConfig
from garmentcut.photo.compose import Preparation
from garmentcut.photo.photo import Cutout
from garmentcut.photo.truth import read_cutout
from garmentcut.photo.write import encode_prepared

from .made_corrected import Written

PAINT = """
(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "{there}" "a")))
       (layer (aref (cadr (gimp-image-get-layers image)) 0))
       (mask (car (gimp-layer-get-mask layer))))
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE 20 30 40 50)
  (gimp-context-set-foreground '(255 255 255))
  (gimp-drawable-edit-fill mask FILL-FOREGROUND)
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE 90 130 20 25)
  (gimp-context-set-foreground '(0 0 0))
  (gimp-drawable-edit-fill mask FILL-FOREGROUND)
  (gimp-selection-none image)
  (gimp-item-set-name layer "Ebene 1")
  (gimp-file-save RUN-NONINTERACTIVE image layer "{back}" "a")
  (gimp-quit 0))
"""
DRAW_PATH = """
(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "{there}" "a")))
       (path (aref (cadr (gimp-image-get-vectors image)) 0))
       (size (list (car (gimp-image-width image)) (car (gimp-image-height image))))
       (layer (car (gimp-layer-new image (car size) (cadr size) RGBA-IMAGE "drawn" 100 LAYER-MODE-NORMAL))))
  (gimp-image-insert-layer image layer 0 0)
  (gimp-image-select-item image CHANNEL-OP-REPLACE path)
  (gimp-drawable-edit-fill layer FILL-WHITE)
  (file-png-save RUN-NONINTERACTIVE image layer "{back}" "a" 0 1 0 0 0 0 0)
  (gimp-quit 0))
"""


def run_gimp(script, there, back):
    """The file `back` that a script makes of the file `there`."""
    if not shutil.which("gimp"):
        pytest.skip("gimp is not installed (Debian: gimp)")
    # The second script ends a program that stumbled over the first, which would wait for ever.
    command = ["gimp", "-i", "-d", "-f", "-b", script.format(there=there, back=back), "-b", "(gimp-quit 1)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if not back.exists():
        pytest.skip(f"this gimp does not run the script: {done.stderr.strip()[-200:]}")


def test_a_mask_painted_in_gimp_is_read_back_to_the_level(studio, tmp_path):
    drawn = studio()
    written = Written(Cutout(drawn.photo, drawn.alpha))
    there, back = tmp_path / "a.psd", tmp_path / "b.psd"
    there.write_bytes(written.data)
    run_gimp(PAINT, there, back)
    mask = written.mask.copy()
    mask[30:80, 20:60], mask[130:155, 90:110] = 255, 0
    found = read_cutout(back)
    np.testing.assert_array_equal(np.rint(found.alpha * 255), mask)
    np.testing.assert_array_equal(found.rgb, drawn.photo)
    photo = found.read_original()
    np.testing.assert_array_equal(photo.rgb, drawn.photo)
    assert photo.notes[0] == "out of the layer 'Ebene 1'"


@pytest.mark.parametrize("format", ["psd", "tiff"])  # gimp 2.10 reads no path out of a JPEG
def test_gimp_draws_the_path_where_the_alpha_is(format, tmp_path):
    y, x = np.indices((288, 192)) + 0.5
    body = 100 - np.hypot((x - 90) * 1.2, y - 150) + 0.5
    alpha = np.minimum(body, np.hypot(x - 90, y - 130) - 25 + 0.5).clip(0, 1).astype(np.float32)  # with a hole
    there, back = tmp_path / f"a.{format}", tmp_path / "b.png"
    cutout = Cutout(np.full((*alpha.shape, 3), 128, np.uint8), alpha)
    there.write_bytes(encode_prepared(Preparation(cutout, OutputConfig(formats=(format,), path="editable")), format))
    run_gimp(DRAW_PATH, there, back)
    with Image.open(back) as image:
        drawn = np.asarray(image.getchannel("A"), np.float32) / 255
    assert drawn[130, 90] == 0
    assert np.minimum(drawn, alpha).sum() / np.maximum(drawn, alpha).sum() >= 0.998
