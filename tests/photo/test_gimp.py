"""Another program opens our documents, paints in them and saves them; what it saved is read back."""

import shutil
import subprocess

import numpy as np
import pytest

from garmentcut.photo.cutout import Cutout
from garmentcut.photo.photoshop import read_cutout

from .made_corrected import Written

SCRIPT = """
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


def test_a_mask_painted_in_gimp_is_read_back_to_the_level(studio, tmp_path):
    if not shutil.which("gimp"):
        pytest.skip("gimp is not installed (Debian: gimp)")
    drawn = studio()
    written = Written(Cutout(drawn.photo, drawn.alpha))
    there, back = tmp_path / "a.psd", tmp_path / "b.psd"
    there.write_bytes(written.data)
    script = SCRIPT.format(there=there, back=back)
    done = subprocess.run(["gimp", "-i", "-d", "-f", "-b", script], capture_output=True, text=True, timeout=300)
    if not back.exists():
        pytest.skip(f"this gimp does not run the script: {done.stderr.strip()[-200:]}")
    mask = written.mask.copy()
    mask[30:80, 20:60], mask[130:155, 90:110] = 255, 0
    found = read_cutout(back)
    np.testing.assert_array_equal(np.rint(found.alpha * 255), mask)
    np.testing.assert_array_equal(found.rgb, drawn.photo)
    photo = found.read_original()
    np.testing.assert_array_equal(photo.rgb, drawn.photo)
    assert photo.notes[0] == "out of the layer 'Ebene 1'"
