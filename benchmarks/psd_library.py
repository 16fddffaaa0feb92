"""How long psd-tools would take to write garmentcut's PSDs, and to walk nested groups.

    python benchmarks/psd_library.py PHOTO CUTOUT

Writes PHOTO with the alpha of CUTOUT as a layer mask, with psd-tools and with `Cutout.save`, and walks 20, 40 and 60
nested groups around one layer. Prints processor milliseconds, and the size of the files in MB.
"""

import io
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from garmentcut.config import ReadConfig
from garmentcut.photo.photo import Cutout
from garmentcut.photo.psd_format import read_document
from garmentcut.photo.read import read_photo
from garmentcut.photo.truth import read_cutout


def milliseconds(run: Callable[[], Any], times: int = 5) -> str:
    """Milliseconds of the first run, and the median of the others."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        run()
        taken.append(1000 * (time.process_time() - began))
    return f"the first {taken[0]:.0f} ms, then {np.median(taken[1:]):.0f} ms"


def _walk(document: Any) -> None:
    list(document.descendants())


if __name__ == "__main__":
    photo = read_photo(Path(sys.argv[1]))
    cutout = Cutout.of(photo, read_cutout(sys.argv[2]).alpha)
    began = time.process_time()
    from psd_tools import PSDImage

    print(f"load psd-tools: {1000 * (time.process_time() - began):.0f} ms")
    mask = np.rint(cutout.alpha * 255).astype(np.uint8)
    with TemporaryDirectory() as folder:
        theirs, ours = Path(folder, "theirs.psd"), Path(folder, "ours.psd")

        def write() -> None:
            """As `psd_roundtrip` does, but without saved channel, clipping path and mark."""
            made: Any = PSDImage.new("RGB", cutout.alpha.shape[::-1])
            layer = made.create_pixel_layer(Image.fromarray(cutout.rgb), name="photo")
            layer.create_mask(Image.fromarray(mask), top=0, left=0)
            made.save(theirs)

        print("write with psd-tools:", milliseconds(write))
        print("write here:", milliseconds(lambda: Cutout.of(photo, cutout.alpha).save(ours)))
        print(*(f"{file.name} {file.stat().st_size / 1e6:.1f} MB" for file in (theirs, ours)))
    for num in (20, 40, 60):
        made: Any = PSDImage.new("RGB", (64, 64))
        layers: Any = [made.create_pixel_layer(Image.new("RGB", (8, 8)))]
        for _ in range(num):
            layers = [made.create_group(layers)]
        content = io.BytesIO()
        made.save(content)
        nested = PSDImage.open(io.BytesIO(content.getvalue()))
        print(f"{num} groups, descendants:", milliseconds(partial(_walk, nested)))
        document = read_document(content.getvalue(), ReadConfig())
        print(f"{num} groups, leaves:", milliseconds(partial(getattr, document, "leaves")))
