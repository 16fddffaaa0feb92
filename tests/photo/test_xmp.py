import shutil
import subprocess

import numpy as np
import pytest

from garmentcut.photo.read import decode_photo
from garmentcut.photo.write import png_bytes
from garmentcut.photo.xmp import read_xmp, rights_of

from .made import encoded, pixels, tiff, xmp_packet

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


def test_a_size_within_a_size_leaves_a_packet_that_can_be_read():
    extra = ' xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    width = b'<tiff:ImageWidth exif:PixelXDimension="5">3</tiff:ImageWidth>'
    packet = xmp_packet(1, extra)
    assert read_xmp(packet.replace(b"<dc:creator>", width + b"<dc:creator>")).packet == packet


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
