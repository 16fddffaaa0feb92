import io
import math
import shutil
import subprocess
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, TiffTags
from PIL.TiffImagePlugin import IFDRational

from garmentcut.photo.metadata import dpi_of, parse_exif, read_exif, read_xmp, rights_of, silent_pillow, with_dpi
from garmentcut.photo.png import png_bytes
from garmentcut.photo.read import decode_photo

from .made import encoded, exif, exif_bytes, pixels, tiff, xmp_packet


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


SIZES = ' tiff:ImageWidth="4000" xmlns:exif="http://ns.adobe.com/exif/1.0/" exif:PixelXDimension=\'4000\''


def test_a_packet_travels_upright_and_without_a_size():
    assert read_xmp(xmp_packet()) == (xmp_packet(), ())
    assert read_xmp(xmp_packet(6)) == (xmp_packet(1), ())
    kept, _ = read_xmp(xmp_packet(8, SIZES))
    assert kept == xmp_packet(1, ' xmlns:exif="http://ns.adobe.com/exif/1.0/"')


def test_as_elements_too():
    elements = b"<tiff:Orientation>6</tiff:Orientation><tiff:ImageLength>4000</tiff:ImageLength><dc:creator>"
    kept, notes = read_xmp(xmp_packet().replace(b"<dc:creator>", elements))
    assert b"<tiff:Orientation>1</tiff:Orientation><dc:creator>" in kept
    assert notes == ()


@pytest.mark.parametrize("nothing", [None, b"", b"\0 \n", "text", 7])
def test_nothing_is_nothing(nothing):
    assert read_xmp(nothing) == (None, ())


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
    assert read_xmp(damaged) == (None, ("unreadable XMP left out",))


def test_absurd_packets_are_left_out():
    packet = xmp_packet().replace(b"<dc:creator>", b"<!--" + bytes(9_000_000).replace(b"\0", b"x") + b"--><dc:creator>")
    assert read_xmp(packet) == (None, ("XMP of 9 MB left out",))


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
    # XMP turns a photo that has no EXIF; a TIFF has a tag of its own that says it.
    found = photo_of(xmp_packet(1))
    assert (turned.rgb.shape == found.rgb.shape) == (format == "TIFF")
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
    again, notes = read_xmp(kept.encode())
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
