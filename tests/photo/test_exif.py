import io
import math
import threading
import warnings

import pytest
from PIL import Image, TiffImagePlugin, TiffTags
from PIL.TiffImagePlugin import IFDRational

from garmentcut.photo.exif import dpi_of, parse_exif, read_exif, silent_pillow, with_dpi

from .made import exif, exif_bytes


def test_what_is_kept_and_what_is_not():
    tags = exif(6, dpi=(300, 300))
    tags[0x0100], tags[0x0111] = 4000, 99  # width, strip offset: true of the old file only
    found = read_exif(lambda: parse_exif(tags.tobytes().removeprefix(b"Exif\0\0")))
    assert (found.orientation, found.dpi, found.notes) == (6, (300, 300), ())
    kept = parse_exif(found.kept)
    assert set(kept) == {271, 274, 306, 315, 0x8769, 0x8825}
    assert kept[274] == 1
    camera, place = kept.get_ifd(0x8769), kept.get_ifd(0x8825)
    assert float(camera[0x829A]) == 1 / 125
    assert camera[0x927C] == b"note"
    assert 0xA002 not in camera
    assert place[2] == (59, 54, 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_types_text_and_byte_order_stay_as_they_are(order):
    tags = exif()
    tags.endian = order
    tags[0x8769] = {
        0x9286: b"UNICODE\0h\0i\0",
        0xA430: "Bjørn".encode(),
        0x9204: IFDRational(-1, 3),
        0x9101: b"\1\2\3\0",
    }
    tags[0x8825] = {0: b"\2\3\0\0", 5: b"\0", 27: b"ASCII\0\0\0GPS"}
    source = parse_exif(tags.tobytes())
    kept = with_dpi(read_exif(lambda: source).kept, (300, 300))
    assert kept[:2] == (b"II" if order == "<" else b"MM")
    found = parse_exif(kept)
    camera, place = (TiffImagePlugin.ImageFileDirectory_v2(kept[:8], group=group) for group in (0x8769, 0x8825))
    for directory, pointer in ((camera, 0x8769), (place, 0x8825)):
        file = io.BytesIO(kept)
        file.seek(found[pointer])
        directory.load(file)
    assert camera.tagtype == {0x9286: TiffTags.UNDEFINED, 0xA430: TiffTags.UNDEFINED, 0x9204: TiffTags.SIGNED_RATIONAL}
    assert place.tagtype == {0: TiffTags.BYTE, 5: TiffTags.BYTE, 27: TiffTags.UNDEFINED}
    assert camera[0x9286] == b"UNICODE\0h\0i\0"
    assert found[315].encode("latin-1").decode() == "Åse Ødegård"


def test_a_stale_pointer_is_not_copied():
    tags = exif()
    tags[0x8769] = {0x8827: 100, 0xA005: 123_456}
    tags = parse_exif(tags.tobytes())
    kept = parse_exif(read_exif(lambda: tags).kept)
    assert set(kept.get_ifd(0x8769)) == {0x8827}


def test_nothing_worth_keeping():
    assert read_exif(Image.Exif) == (1, None, None, ())
    only_layout = Image.Exif()
    only_layout[274], only_layout[256] = 8, 100
    assert read_exif(lambda: only_layout) == (8, None, None, ())


@pytest.mark.parametrize("orientation", [0, 9, "6", 2.0, (6, 6)])
def test_nonsense_orientation_is_upright(orientation):
    tags = Image.Exif()
    tags[274] = orientation
    assert read_exif(lambda: tags).orientation == 1


def test_damage_is_noted_and_the_turn_kept():
    class Broken(Image.Exif):
        def get_ifd(self, tag):
            raise SyntaxError(f"{tag} is not a directory")

    tags = Broken()
    tags[274] = 3
    assert read_exif(lambda: tags) == (3, None, None, ("unreadable EXIF left out",))


@pytest.mark.parametrize(
    ("tags", "dpi"),
    [
        ((300, 150, 2), (300, 150)),
        ((300, 150, None), (300, 150)),
        ((100, 50, 3), (254, 127)),
        ((300, 150, 1), None),
        ((0, 0, 2), None),
        ((300, None, 2), None),
        ((math.nan, 300, 2), None),
        ((math.inf, 300, 2), None),
        ((-300, 300, 2), None),
    ],
)
def test_dpi(tags, dpi):
    assert dpi_of(*tags) == (dpi and pytest.approx(dpi))


def test_dpi_is_added_to_exif():
    for before in (None, exif_bytes()):
        tags = parse_exif(with_dpi(before, (300, 299.5)))
        assert (tags[282], tags[283], tags[296]) == (300, 299.5, 2)
    assert with_dpi(None, None) is None
    assert parse_exif(with_dpi(exif_bytes(), (72, 72))).get_ifd(0x8825)[1] == "N"


def test_silence_of_several_threads_leaves_the_filters_as_they_were():
    before = list(warnings.filters)

    def shout():
        for _ in range(200):
            with silent_pillow():
                warnings.warn("odd metadata", stacklevel=1)

    threads = [threading.Thread(target=shout) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before
