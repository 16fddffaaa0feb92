import io

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import ReadConfig
from garmentcut.observe.failures import FAILURE_CLASSES, failure_class
from garmentcut.photo.photo import PhotoError
from garmentcut.photo.read import read_photo


@pytest.fixture
def reason_of(tmp_path):
    """reason_of(content): why the reader refuses a file of this content."""

    def read(content, **limits):
        (tmp_path / "photo").write_bytes(content)
        with pytest.raises(PhotoError) as refused:
            read_photo(tmp_path / "photo", limits=ReadConfig(**limits))
        return str(refused.value).removeprefix(f"{tmp_path / 'photo'}: ")

    return read


@pytest.fixture
def draw_png():
    def draw(format="PNG"):
        file = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 255, (60, 40, 3), np.uint8)
        Image.fromarray(noise).save(file, format)
        return file.getvalue()

    return draw


def test_the_readers_own_words(reason_of, draw_png):
    png, jpeg = draw_png(), draw_png("JPEG")
    assert failure_class(reason_of(png[:-20])) == "truncated"
    assert failure_class(reason_of(b"")) == "truncated"
    assert failure_class(reason_of(png[:200] + b"\xff" * 50 + png[250:])) == "damaged"
    assert failure_class(reason_of(jpeg[: len(jpeg) // 2])) in ("damaged", "truncated")
    for junk in (b"junk", b"GIF89a" + bytes(20), b"%PDF-1.4", b"\0\0\0\x18ftypheic"):
        assert failure_class(reason_of(junk)) == "unsupported"
    assert failure_class(reason_of(png, max_megapixels=0.001)) == "too_large"
    assert failure_class(reason_of(png, max_side_px=10)) == "too_large"


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("no such file; check the path", "unreadable"),
        ("cannot be read: Stale file handle", "unreadable"),
        ("not a regular file; name a photo file", "unreadable"),
        ("not enough memory", "no_memory"),
        ("not enough memory to decode it", "no_memory"),
        ("no garment found; check that it is a studio photo of a dressed mannequin", "no_garment"),
        ("8x9000 pixels: too small or too narrow for a studio photo", "no_garment"),
        ("changed while its garment's photos were cut; run again", "changed"),
        ("/out/a.png is there already and not as garmentcut wrote it; move it or use --overwrite", "output"),
        ("/out/a.png is itself one of the photos; choose another --out", "output"),
        ("WebP ends at 16383 pixels a side, this has 20000; use png", "output"),
        ("[Errno 13] Permission denied: '/out/a.png'", "output"),
        ("CMYK without a usable CMYK profile, so its colours are not defined; convert it to RGB", "unsupported"),
        ("a TIFF of 32-bit floats is not read; save it with 8 or 16 bits", "unsupported"),
        ("ZeroDivisionError", "other"),
        ("", "other"),
    ],
)
def test_classes(reason, name):
    assert failure_class(reason) == name
    assert name in FAILURE_CLASSES


def test_there_are_few():
    assert len(FAILURE_CLASSES) == len(set(FAILURE_CLASSES)) <= 12
