import base64
import zlib
from dataclasses import replace

import numpy as np
import pytest

from garmentcut.photo.outline import trace_outline
from garmentcut.photo.psd_mark import checksum_of, mark_of, read_mark, write_mark

from .made import xmp_packet


@pytest.fixture
def mark(studio):
    drawn = studio()
    mask = np.rint(drawn.alpha * 255).astype(np.uint8)
    return mark_of(drawn.photo, mask, trace_outline(drawn.alpha), is_whole=True)


@pytest.mark.parametrize("packet", [None, xmp_packet()], ids=["no XMP", "XMP"])
def test_a_mark_is_read_back(mark, packet):
    found = read_mark(write_mark(packet, mark))
    assert replace(found, path=None) == replace(mark, path=None)
    assert (found.size_hw, found.is_whole) == ((288, 192), True)
    for own, read in zip(mark.path.subpaths, found.path.subpaths, strict=True):
        np.testing.assert_allclose(read.knots, own.knots, atol=1e-7)


def test_what_the_photo_said_stays(mark):
    packet = write_mark(xmp_packet(), mark)
    before, end, behind = xmp_packet().rpartition(b"</rdf:RDF>")
    assert packet.startswith(before) and packet.endswith(end + behind)


def test_a_later_mark_takes_the_place_of_an_earlier_one(mark):
    once = write_mark(xmp_packet(), mark)
    assert write_mark(once, mark) == once
    assert read_mark(write_mark(once, replace(mark, is_whole=False))).is_whole is False


def test_16_bits_have_no_checksums(mark):
    assert checksum_of(np.zeros((2, 2), np.uint16)) is None
    bare = replace(mark, photo_sum=None, mask_sum=None, path=None)
    assert read_mark(write_mark(None, bare)) == bare


def test_the_properties_may_become_elements_under_another_prefix(mark):
    """XMP allows it, and programs write a packet anew as they like."""
    text = write_mark(None, replace(mark, path=None)).decode()
    start, end = text.index("<rdf:Description"), text.index("/>", text.index("<rdf:Description"))
    fields = dict(part.split("=") for part in text[start:end].split()[3:])
    inner = "".join(f"<own:{key.partition(':')[2]}>{value.strip(chr(34))}</own:{key.partition(':')[2]}>\n"
                    for key, value in fields.items())  # fmt: skip
    head = '<rdf:Description rdf:about="" xmlns:own="http://ns.garmentcut.org/psd/1.0/">'
    other = f"{text[:start]}{head}{inner}</rdf:Description>{text[end + 2 :]}"
    assert read_mark(other.encode() + bytes(40)) == replace(mark, path=None)


def test_a_packet_without_the_usual_end_stays_as_it_is(mark):
    packet = xmp_packet().replace(b"rdf:", b"r:").replace(b"xmlns:rdf", b"xmlns:r")
    assert write_mark(packet, mark) == packet


def bomb(size):
    path = base64.b64encode(zlib.compress(bytes(size))).decode()
    return f'garmentcut:Path="{path}"'


@pytest.mark.parametrize(
    "change",
    [
        (b'Size="192x288"', b'Size="large"'),
        (b'Size="192x288"', b""),
        (b"<x:xmpmeta", b"<!DOCTYPE a><x:xmpmeta"),
        (b"</x:xmpmeta>", b""),
        (b'Frame="whole"', b'Frame="whole" garmentcut:Path="!"'),
        (b'Frame="whole"', b'Frame="whole" garmentcut:Path="AAAA"'),
        (b'Photo="', b'Photo="zz'),
    ],
)
def test_a_damaged_mark_is_none(mark, change):
    packet = write_mark(None, replace(mark, path=None))
    assert change[0] in packet
    assert read_mark(packet.replace(*change)) is None


def test_nothing_and_foreign_packets_have_no_mark():
    for packet in (None, b"", xmp_packet(), b"http://ns.garmentcut.org/psd/1.0/"):
        assert read_mark(packet) is None


def test_a_path_that_unpacks_to_gigabytes_is_cut_off(mark):
    packet = write_mark(None, replace(mark, path=None)).replace(
        b'Frame="whole"', f'Frame="whole" {bomb(1 << 26)}'.encode()
    )
    found = read_mark(packet)
    assert found is None or not found.path.subpaths
