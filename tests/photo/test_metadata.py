import math
import struct
import threading
import warnings

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from garmentcut.photo.metadata import (
    Resource,
    Tag,
    directory_bytes,
    dpi_of,
    join_resources,
    jpeg_resources,
    parse_exif,
    read_exif,
    silent_pillow,
    split_resources,
    with_dpi,
)

from .made import encoded, exif, exif_bytes, interoperable, pixels
from .made_cutout import box, path_records, path_resources, resource, with_app13


def parsed(exif):
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    return tags


def block_of(tags):
    return tags.tobytes()


def test_what_is_kept_and_what_is_not():
    tags = exif(6, dpi=(300, 300))
    tags[0x0100], tags[0x0111] = 4000, 99  # width, strip offset: true of the old file only
    found = read_exif(block_of(tags))
    assert (found.orientation, found.dpi, found.notes) == (6, (300, 300), ())
    kept = parsed(found.kept)
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
    kept = with_dpi(read_exif(block_of(tags)).kept, (300, 300))
    assert kept[:2] == (b"II" if order == "<" else b"MM")
    assert parsed(kept)[315].encode("latin-1").decode() == "Åse Ødegård"
    source_order, _, before = parse_exif(block_of(tags).removeprefix(b"Exif\0\0"))
    kept_order, _, after = parse_exif(kept)
    assert source_order == kept_order == order
    del before[0x8769][0x9101]
    assert after == before


def test_a_stale_pointer_is_not_copied():
    tags = exif()
    tags[0x8769] = {0x8827: 100, 0xA005: 123_456}
    kept = parsed(read_exif(block_of(tags)).kept)
    assert set(kept.get_ifd(0x8769)) == {0x8827}


def test_nothing_worth_keeping():
    assert read_exif(None) == read_exif(b"") == (None, None, None, False, ())
    only_layout = Image.Exif()
    only_layout[274], only_layout[256] = 8, 100
    assert read_exif(block_of(only_layout)) == (8, None, None, False, ())


@pytest.mark.parametrize(
    "orientation",
    [Tag(3, b"\0\0"), Tag(3, b"\x09\0"), Tag(2, b"6\0"), Tag(5, bytes(8)), Tag(3, b"\6\0\6\0"), Tag(3, b"")],
)
def test_nonsense_orientation_is_not_said(orientation):
    block = b"II*\0\x08\0\0\0" + directory_bytes({274: orientation}, "<", 8)
    assert read_exif(block) == (None, None, None, False, ())


@pytest.mark.parametrize("damaged", [271, 306, 0x8769, 0x9003])
def test_one_damaged_tag_loses_itself_and_nothing_else(damaged):
    """Its place is said to lie beyond the end."""
    tags = exif(3)
    block = bytearray(exif_bytes(3))
    entry = block.index(struct.pack(">H", damaged), 8)
    struct.pack_into(">I", block, entry + 8, 10**6)
    found = read_exif(bytes(block))
    assert (found.orientation, found.notes) == (3, ("damaged EXIF tags left out",))
    kept = parsed(found.kept)
    everything = {271, 274, 306, 315, 0x8769, 0x8825}
    assert set(kept) == everything - {damaged}
    assert kept[315] == tags[315].decode("latin-1")
    if damaged == 0x9003:
        assert {0x829A, 0x8827, 0x927C} == set(kept.get_ifd(0x8769))


@pytest.mark.parametrize("junk", [b"no EXIF", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08"])
def test_unreadable_exif_is_noted(junk):
    assert read_exif(junk) == (None, None, None, False, ("unreadable EXIF left out",))


def test_random_damage_never_fails():
    block, draw = exif_bytes(6, dpi=(300, 300)), np.random.default_rng(0)
    for _ in range(2000):
        damaged = np.frombuffer(block, np.uint8).copy()
        damaged[draw.integers(8, len(damaged), 3)] = draw.integers(0, 256, 3)
        kept = read_exif(damaged.tobytes()[: draw.integers(8, len(damaged) + 1)]).kept
        if kept:
            parse_exif(kept)


def test_cameras_say_adobe_rgb_in_two_ways():
    tags = exif()
    tags[0x8769] = {0xA001: 2}
    found = read_exif(block_of(tags))
    assert found.is_adobe_rgb
    assert parsed(found.kept).get_ifd(0x8769)[0xA001] == 0xFFFF
    tags[0x8769] = {0xA001: 1}
    assert not read_exif(block_of(tags)).is_adobe_rgb
    assert read_exif(interoperable(b"R03\0")).is_adobe_rgb
    assert not read_exif(interoperable(b"R98\0")).is_adobe_rgb


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
        tags = parsed(with_dpi(before, (300, 299.5)))
        assert (tags[282], tags[283], tags[296]) == (300, 299.5, 2)
    assert with_dpi(None, None) is None
    assert parsed(with_dpi(exif_bytes(), (72, 72))).get_ifd(0x8825)[1] == "N"


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


def test_resources_are_split_with_their_names():
    data = resource(1005, b"12345678") + path_resources(b"\0" * 26, "Påth") + resource(1028, b"odd")
    assert [(r.number, r.name, len(r.data)) for r in split_resources(data)] == [
        (1005, "", 8),
        (2000, "Påth", 26),
        (2999, "", 11),
        (1028, "", 3),
    ]


def test_resources_end_at_the_first_damaged():
    data = resource(1005, b"12345678") + resource(2000, b"x" * 26)
    for end in range(len(data)):
        assert len(split_resources(data[:end])) == (end >= 20)
    assert len(split_resources(data + bytes(7))) == 2


@pytest.mark.parametrize("parts", [1, 3])
def test_resources_of_a_jpeg_are_joined(parts):
    jpeg = encoded(Image.fromarray(pixels()), "JPEG", comment=b"8BIM")
    assert jpeg_resources(jpeg) == b""
    resources = path_resources(path_records([box(10, 10, 40, 40)], (80, 60)))
    assert jpeg_resources(with_app13(jpeg, resources, parts=parts)) == resources


def test_resources_are_filled_up_to_even_lengths():
    resources = [Resource(1005, "", b"12345"), Resource(2000, "Path", b"xy"), Resource(1060, "odd", b"")]
    assert split_resources(join_resources(resources)) == resources
    assert len(join_resources(resources[:1])) == 4 + 2 + 2 + 4 + 6
    assert join_resources([]) == b""
