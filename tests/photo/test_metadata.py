import math
import shutil
import struct
import subprocess
import threading
import warnings

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from garmentcut.photo.metadata import (
    Tag,
    directory_bytes,
    dpi_of,
    parse_exif,
    read_exif,
    read_xmp,
    rights_of,
    silent_pillow,
    with_dpi,
)
from garmentcut.photo.png import png_bytes
from garmentcut.photo.read import decode_photo

from .made import encoded, exif, exif_bytes, interoperable, pixels, tiff, xmp_packet


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


SIZES = ' tiff:ImageWidth="4000" xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:PixelXDimension=\'4000\''


def test_a_packet_travels_upright_and_without_a_size():
    assert read_xmp(xmp_packet()) == (xmp_packet(), 1, ())
    assert read_xmp(xmp_packet(6)) == (xmp_packet(1), 6, ())
    kept, orientation, _ = read_xmp(xmp_packet(8, SIZES))
    assert orientation == 8
    assert kept == xmp_packet(1, ' xmlns:exif="http://ns.adobe.com/exif/1.0/"')


def test_as_elements_too():
    elements = b"<tiff:Orientation>6</tiff:Orientation><tiff:ImageLength>4000</tiff:ImageLength><dc:creator>"
    kept, _, notes = read_xmp(xmp_packet().replace(b"<dc:creator>", elements))
    assert b"<tiff:Orientation>1</tiff:Orientation><dc:creator>" in kept
    assert notes == ()


@pytest.mark.parametrize("nothing", [None, b"", b"\0 \n", "text", 7])
def test_nothing_is_nothing(nothing):
    assert read_xmp(nothing) == (None, None, ())


@pytest.mark.parametrize(
    "damaged",
    [
        xmp_packet()[:-80],
        b"\xff\xfe" + xmp_packet(),
        b"no XML",
        b'<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]>' + xmp_packet(),
    ],
)
def test_damage_is_left_out_with_a_note(damaged):
    assert read_xmp(damaged) == (None, None, ("unreadable XMP left out",))


def test_absurd_packets_are_left_out():
    packet = xmp_packet().replace(b"<dc:creator>", b"<!--" + bytes(9_000_000).replace(b"\0", b"x") + b"--><dc:creator>")
    assert read_xmp(packet) == (None, None, ("XMP of 9 MB left out",))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_photos_of_every_format_bring_theirs(format):
    def photo_of(packet):
        if format == "TIFF":
            return decode_photo(tiff(pixels(), extratags=[(700, "B", len(packet), packet, True)]))
        if format == "PNG":
            from PIL import PngImagePlugin

            text = PngImagePlugin.PngInfo()
            text.add_itxt("XML:com.adobe.xmp", packet.decode("utf-8", "surrogateescape"))
            return decode_photo(encoded(pixels(), format, pnginfo=text))
        return decode_photo(encoded(pixels(), format, xmp=packet))

    turned = photo_of(xmp_packet(6))
    assert (turned.xmp, turned.notes) == (xmp_packet(1), ())
    found = photo_of(xmp_packet(1))
    assert turned.rgb.shape != found.rgb.shape, "XMP turns a photo that has no other orientation"
    damaged = photo_of(xmp_packet()[:-70])
    assert (damaged.xmp, damaged.notes) == (None, ("unreadable XMP left out",))
    np.testing.assert_array_equal(damaged.rgb, found.rgb)


RIGHTS = (
    ' xmlns:xmpRights="http://ns.adobe.com/xap/1.0/rights/" xmpRights:Marked="True"'
    ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:City="Oslo"'
)
NOTICE = '<dc:rights><rdf:Alt><rdf:li xml:lang="x-default">© Åse Ødegård</rdf:li></rdf:Alt></dc:rights>'
TERMS = '<xmpRights:UsageTerms><rdf:Alt><rdf:li xml:lang="x-default">ask</rdf:li></rdf:Alt></xmpRights:UsageTerms>'


def test_of_the_rights_nothing_is_lost_and_nothing_else_is_kept():
    packet = (
        xmp_packet(1, RIGHTS).decode().replace("<dc:creator>", f"{NOTICE}{TERMS}<dc:title>X</dc:title><dc:creator>")
    )
    kept = rights_of(packet.encode()).decode()
    for text in ("© Åse Ødegård", "Marked", "True", "UsageTerms", "ask", "x-default", "<dc:creator>"):
        assert text in kept
    for text in ("Oslo", "tiff", "title"):
        assert text not in kept
    again, _, notes = read_xmp(kept.encode())
    assert (again.decode(), notes) == (kept, ())
    assert rights_of(again) == again


@pytest.mark.parametrize("packet", [None, b"", b"no XML", b"\xff", xmp_packet().replace(b"dc:creator", b"dc:title")])
def test_without_rights_there_is_no_packet(packet):
    assert rights_of(packet) is None


def test_exiftool_reads_the_rights(tmp_path):
    if not shutil.which("exiftool"):
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")
    packet = xmp_packet(1, RIGHTS).decode().replace("<dc:creator>", f"{NOTICE}{TERMS}<dc:creator>")
    (tmp_path / "a.png").write_bytes(png_bytes(pixels(), xmp=rights_of(packet.encode())))
    command = ["exiftool", "-s3", "-charset", "utf8", "-Rights", "-Marked", "-UsageTerms", "-Creator", "-Warning"]
    done = subprocess.run([*command, tmp_path / "a.png"], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout.splitlines() == ["© Åse Ødegård", "True", "ask", "Åse Ødegård"]
