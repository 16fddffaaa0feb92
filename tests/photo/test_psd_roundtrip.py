import base64
import io
import struct
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import Tag
from psd_tools.psd.layer_and_mask import ChannelDataList
from psd_tools.psd.tagged_blocks import TaggedBlock
from psd_tools.psd.vector import VectorMaskSetting

from garmentcut.errors import PhotoError
from garmentcut.photo.compose import lay_on_canvas
from garmentcut.photo.layout import Placement
from garmentcut.photo.path import draw_path
from garmentcut.photo.photo import Cutout
from garmentcut.photo.psd_format import PsdLayer
from garmentcut.photo.psd_roundtrip import _NAMESPACE, Mark, checksum_of, layered_psd, read_mark, write_mark
from garmentcut.photo.trace import trace_outline
from garmentcut.photo.truth import read_cutout
from garmentcut.photo.xmp import read_xmp

from .made import pixels, rgb_profile, xmp_packet
from .made_corrected import Written, deep, of_15_bits, painted, with_mask
from .made_cutout import add_layer, box, layered, path_records, psd_bytes, put, put_path, soft_disc


@pytest.fixture
def mark(studio):
    drawn = studio()
    mask = np.rint(drawn.alpha * 255).astype(np.uint8)
    return Mark(mask.shape, True, checksum_of(drawn.photo), checksum_of(mask), trace_outline(drawn.alpha))


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


def test_prefixes_may_be_any(mark):
    packet = xmp_packet().replace(b"rdf:", b"r:").replace(b"xmlns:rdf", b"xmlns:r")
    written = write_mark(packet, mark)
    assert read_mark(written).size_hw == mark.size_hw
    assert write_mark(written, mark) == written, "one mark is enough"


@pytest.mark.parametrize("packet", [b"<x/>", b"no XML", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'></x:xmpmeta>"])
def test_a_packet_without_rdf_stays_as_it_is(mark, packet):
    assert write_mark(packet, mark) == packet


@pytest.mark.parametrize(
    "part", [b"<rdf:Description", b"tiff:ImageWidth='", b"<tiff:ImageWidth>", b"tiff:Orientation ="]
)
def test_hostile_packets_take_no_time(mark, part):
    """What regular expressions with two stars would have read for minutes."""
    for packet in (part * 60_000, xmp_packet().replace(b"<dc:creator>", b"<!--" + part * 60_000 + b"--><dc:creator>")):
        start = time.process_time()
        read_mark(packet + _NAMESPACE.encode())
        write_mark(packet, mark)
        read_xmp(packet)
        assert time.process_time() - start < 2


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


AS_WRITTEN = "out of the layer 'Ebene 1', as garmentcut wrote it"
RETOUCHED = ("out of the layer 'Ebene 1'", "not as garmentcut wrote it: retouched, perhaps")
GONE = "no longer holds the whole photo: its layer was erased in, scaled or removed"


@pytest.fixture
def original_of(tmp_path):
    def read(document):
        path = tmp_path / "IMG_1.psd"
        path.write_bytes(document if isinstance(document, bytes) else psd_bytes(document))
        return read_cutout(path).read_original()

    return read


@pytest.fixture
def cutout(studio):
    drawn = studio()
    return Cutout(drawn.photo, drawn.alpha, rgb_profile())


@pytest.mark.parametrize("background", [None, "#30c0ff"])
@pytest.mark.parametrize("num_bits", [8, 16])
def test_it_is_the_photo_bit_for_bit(original_of, cutout, num_bits, background):
    cutout = cutout if num_bits == 8 else deep(cutout)
    photo = original_of(layered_psd(cutout, background=background, name="Kjole æ"))
    np.testing.assert_array_equal(photo.rgb, cutout.rgb)
    assert photo.rgb.dtype == cutout.rgb.dtype
    assert photo.profile == cutout.profile
    known = ", as garmentcut wrote it" if num_bits == 8 else ""
    assert photo.notes == (f"out of the layer 'Kjole æ'{known}",)


def test_a_retouched_layer_is_reported(original_of, cutout):
    rgb = cutout.rgb.copy()
    rgb[10:20, 10:20] = 0
    photo = original_of(Written(cutout).saved(rgb=rgb, mask=painted(cutout.rounded_alpha())))
    np.testing.assert_array_equal(photo.rgb, rgb)
    assert photo.notes == RETOUCHED


def test_of_two_layers_the_untouched_one(original_of, cutout):
    """Photographers duplicate the layer before they retouch."""
    written = Written(cutout)
    retouched = cutout.rgb[::-1].copy()
    below = [PsdLayer("Ebene 0", cutout.rgb)]
    photo = original_of(written.saved(rgb=retouched, below=below))
    np.testing.assert_array_equal(photo.rgb, cutout.rgb)
    assert photo.notes == ("out of the layer 'Ebene 0', as garmentcut wrote it",)
    both = original_of(written.saved(rgb=retouched, below=[PsdLayer("Ebene 0", cutout.rgb // 2)]))
    np.testing.assert_array_equal(both.rgb, retouched), "the one with the mask"


def test_what_is_no_whole_photo_is_refused_with_the_reason(original_of, cutout):
    part = "trimmed, laid on another canvas or with its hidden pixels cleared"
    canvas = lay_on_canvas(cutout, Placement((300, 300), (100, 50, 220, 260)))
    for picture in (cutout.trimmed(5), cutout.cleaned, canvas):
        with pytest.raises(PhotoError, match=part):
            original_of(layered_psd(picture))


def test_cropped_and_scaled_documents_are_refused_with_the_reason(original_of, cutout):
    mark = Written(cutout).opened().image_resources.get_data(1060)
    small = layered((144, 96))
    add_layer(small, cutout.rgb[:144, :96], mask=cutout.rounded_alpha()[:144, :96])
    put(small, 1060, mark)
    with pytest.raises(PhotoError, match="cropped or scaled from 192x288 to 96x144 pixels"):
        original_of(small)


def test_erased_pixels_are_refused_with_the_reason(original_of, cutout):
    document = Written(cutout).opened()
    document.remove(document[0])
    add_layer(document, np.dstack([cutout.rgb, cutout.rounded_alpha()]))
    with pytest.raises(PhotoError, match=GONE):
        original_of(document)


def test_of_other_documents_the_lowest_layer_that_covers_all(original_of):
    size, rgb = (40, 30), pixels(40, 30)
    document = layered(size)
    add_layer(document, np.full((*size, 3), 255, np.uint8), "White")
    add_layer(document, rgb, "Photo")
    add_layer(document, rgb[::-1], "Garment", mask=soft_disc(*size))
    photo = original_of(document)
    np.testing.assert_array_equal(photo.rgb, rgb)
    assert photo.notes == ("out of the layer 'Photo'",)


def test_a_layer_larger_than_the_picture_is_cut_to_it(original_of):
    rgb = pixels(60, 50)
    document = layered((40, 30))
    add_layer(document, rgb, "Photo", at=(-5, -8), mask=soft_disc())
    np.testing.assert_array_equal(original_of(document).rgb, rgb[5:45, 8:38])


def test_documents_without_a_photo(original_of):
    document = layered((40, 30))
    add_layer(document, np.dstack([pixels(40, 30), soft_disc()]))
    with pytest.raises(PhotoError, match="no layer that covers the image without a hole"):
        original_of(document)
    gray = layered((40, 30), mode="L")
    add_layer(gray, np.dstack([pixels(40, 30, 1), soft_disc()]))
    with pytest.raises(PhotoError, match="not in RGB"):
        original_of(gray)


def test_other_files_are_never_looked_into(tmp_path):
    Image.fromarray(np.dstack([pixels(40, 30), soft_disc()])).save(tmp_path / "a.png")
    assert read_cutout(tmp_path / "a.png").read_original is None
    PSDImage.frompil(Image.fromarray(soft_disc())).save(tmp_path / "a.psd")
    with pytest.raises(PhotoError):
        read_cutout(tmp_path / "a.psd").read_original()


@pytest.fixture
def read(tmp_path):
    def read_document(document):
        path = tmp_path / "IMG_1.psd"
        path.write_bytes(document if isinstance(document, bytes) else psd_bytes(document))
        return read_cutout(path)

    return read_document


@pytest.fixture(params=["8 bit", "16 bit"])
def written(studio, request):
    drawn = studio()
    cutout = Cutout(drawn.photo, drawn.alpha, rgb_profile())
    return Written(cutout if request.param == "8 bit" else deep(cutout))


@pytest.fixture
def shallow(studio):
    drawn = studio()
    return Written(Cutout(drawn.photo, drawn.alpha))


def levels(cutout, like):
    return np.rint(cutout.alpha.astype(np.float64) * np.iinfo(like.dtype).max)


def test_untouched_is_known_as_such(read, written):
    for data in (written.data, written.saved()):
        found = read(data)
        assert found.is_unchanged
        np.testing.assert_array_equal(levels(found, written.mask), written.mask)


def test_a_painted_mask_counts_to_the_level(read, written):
    mask = painted(written.mask)
    found = read(written.saved(mask=mask))
    assert (found.source, found.is_unchanged) == ("layer mask", False)
    np.testing.assert_array_equal(levels(found, mask), mask)
    np.testing.assert_array_equal(found.rgb, written.cutout.rgb)
    (note,) = found.notes
    assert note.startswith("the clipping path was left as garmentcut wrote it and differs from the layer mask (IoU 0.9")


def test_one_level_of_one_pixel_is_a_change_at_8_bits(read, shallow):
    mask = shallow.mask.copy()
    mask[144, 96] -= 1
    found = read(shallow.saved(mask=mask))
    assert not found.is_unchanged
    assert found.notes == (), "a stale path that still fits needs no word"


def test_photoshops_own_rounding_of_16_bits_is_no_change(read, studio):
    drawn = studio(sigma=3)
    written = Written(deep(Cutout(drawn.photo, drawn.alpha)))
    rounded = of_15_bits(written.mask)
    found = read(written.saved(mask=rounded, channel=rounded, rgb=of_15_bits(written.cutout.rgb)))
    assert found.is_unchanged
    assert read(written.saved(mask=rounded)).is_unchanged
    painted_over = painted(rounded)
    found = read(written.saved(mask=painted_over, channel=rounded))
    assert not found.is_unchanged
    np.testing.assert_array_equal(levels(found, rounded), painted_over)
    assert not read(written.saved(channel=None)).is_unchanged, "nothing left to compare with"


def test_a_moved_path_counts_where_it_was_moved(read, written):
    path = written.moved_path(by_px=(8, 0))
    found = read(written.saved(path=path))
    assert (found.source, found.is_unchanged) == ("clipping path", False)
    assert "it counts where it was moved, elsewhere the mask" in found.notes[0]
    size = written.cutout.alpha.shape
    new, old = draw_path(path, size), draw_path(written.path, size)
    changed = np.abs(new - old) > 1 / 255
    assert 30 < changed.sum() < 0.1 * changed.size
    np.testing.assert_allclose(found.alpha[changed], new[changed], atol=1e-4)
    far = np.asarray(Image.fromarray(changed).convert("L").resize(size[::-1])) == 0
    far[np.abs(np.gradient(changed.astype(float))).max(axis=0) > 0] = False
    kept = np.abs(found.alpha - written.mask / np.iinfo(written.mask.dtype).max) < 1e-6
    assert kept.mean() > 0.9 and kept[:20].all() and kept[-20:].all()
    assert np.abs(found.alpha - new).mean() < 0.01


def test_soft_parts_survive_a_moved_path(read, studio):
    """A sheer panel inside the garment: the path knows nothing of it."""
    drawn = studio()
    alpha = drawn.alpha.copy()
    alpha[130:160, 80:110] = np.float32(102 / 255)
    written = Written(Cutout(drawn.photo, alpha))
    knot = int(np.argmin(written.path.subpaths[0].knots[:, 1, 1]))  # the topmost
    found = read(written.saved(path=written.moved_path(knot, by_px=(0, -5))))
    assert found.source == "clipping path"
    np.testing.assert_array_equal(levels(found, written.mask)[130:160, 80:110], 102)


def test_a_path_drawn_by_hand_counts_whole(read, studio):
    drawn = studio()
    written = Written(Cutout(drawn.photo, drawn.alpha), path=None)
    found = read(written.saved(path=written.moved_path()))
    assert found.notes == ("the clipping path was changed, the layer mask was not: it counts",)
    np.testing.assert_allclose(found.alpha, draw_path(written.moved_path(), drawn.alpha.shape), atol=1e-4)


def test_of_both_changed_the_mask_counts_and_a_note_says_so(read, written):
    mask = painted(written.mask)
    found = read(written.saved(mask=mask, path=written.moved_path(by_px=(9, 9))))
    assert found.source == "layer mask"
    np.testing.assert_array_equal(levels(found, mask), mask)
    assert "the clipping path was changed too, but differs from the layer mask (IoU 0." in found.notes[0]


def test_a_removed_or_renumbered_path_is_no_correction(read, shallow):
    assert read(shallow.saved(path=None)).is_unchanged
    first = shallow.path.subpaths[0]
    turned = first._replace(knots=np.roll(first.knots, 3, axis=0))  # the same outline from another knot on
    assert read(shallow.saved(path=shallow.path._replace(subpaths=(turned,)))).is_unchanged


def test_without_a_mask_what_else_was_changed_counts(read, written):
    for gone in (written.saved(mask="none"), written.saved(mask="none", channel=None)):
        found = read(gone)
        assert found.is_unchanged
    channel = painted(written.mask)
    found = read(written.saved(mask="none", path=written.moved_path()))
    assert (found.source, found.is_unchanged) == ("clipping path", False)
    if channel.dtype == np.uint8:  # at 16 bits nothing tells whether a channel was painted
        found = read(written.saved(mask="none", channel=channel))
        assert (found.source, found.is_unchanged) == ("saved channel", False)
        np.testing.assert_array_equal(levels(found, channel), channel)


def test_a_switched_off_mask_is_no_mask(read, shallow):
    document = shallow.opened()
    document[0].mask.disabled = True
    assert read(document).is_unchanged


def test_layers_above_are_retouching(read, shallow):
    """Cloned spots on a layer of their own must not be taken for the garment."""
    rgb, mask = shallow.cutout.rgb, painted(shallow.mask)
    spots = np.zeros_like(mask)
    spots[100:160, 60:120] = 255
    found = read(shallow.saved(mask=mask, above=[PsdLayer("Retusche", rgb[::-1])]))
    np.testing.assert_array_equal(levels(found, mask), mask)
    document = shallow.opened()
    with_mask(document[0], mask)
    document.create_pixel_layer_from_array(np.dstack([rgb, spots]), name="Stempel")
    found = read(document)
    np.testing.assert_array_equal(levels(found, mask), mask)


@pytest.mark.parametrize("at", [(10, -7), (-30, 40)])
def test_a_layer_moved_with_its_mask_is_read_in_its_own_frame(read, shallow, at):
    document, mask = shallow.opened(), painted(shallow.mask)
    layer = with_mask(document[0], mask)
    layer.top, layer.left = at
    layer.mask._data.top += at[0]
    layer.mask._data.bottom += at[0]
    layer.mask._data.left += at[1]
    layer.mask._data.right += at[1]
    found = read(document)
    np.testing.assert_array_equal(levels(found, mask), mask)
    np.testing.assert_array_equal(found.rgb, shallow.cutout.rgb)
    np.testing.assert_array_equal(found.read_original().rgb, shallow.cutout.rgb)


def test_a_vector_mask_multiplies(read, shallow):
    document, size = shallow.opened(), shallow.mask.shape
    data = struct.pack(">II", 3, 0) + path_records([box(0, 0, 96, 288)], size)
    setting = VectorMaskSetting.frombytes(data)
    document[0]._record.tagged_blocks[Tag.VECTOR_MASK_SETTING1] = TaggedBlock(
        key=Tag.VECTOR_MASK_SETTING1, data=setting
    )
    found = read(document)
    assert not found.is_unchanged
    np.testing.assert_allclose(found.alpha[:, :96], shallow.mask[:, :96] / 255, atol=1e-4)
    assert not found.alpha[:, 96:].any()


def test_the_mask_of_a_group_counts(read, shallow):
    document, mask = shallow.opened(), painted(shallow.mask)
    layer = document[0]
    layer.remove_mask()
    group = document.create_group(name="Garment")
    group.create_mask(Image.fromarray(mask), top=0, left=0)
    group._bounding_channels = ChannelDataList(list(group._channels)[:-1])  # psd-tools 1.26: see test_cutout_psd
    group.append(layer)
    found = read(document)
    np.testing.assert_array_equal(levels(found, mask), mask)


@pytest.mark.parametrize("compression", [0, 2, 3], ids=["raw", "zip", "zip with prediction"])
def test_every_way_of_packing(read, shallow, compression):
    document, mask = shallow.opened(), painted(shallow.mask)
    layer = with_mask(document[0], mask)
    height, width = mask.shape
    for info, channel in zip(layer._record.channel_info, layer._channels, strict=True):
        is_mask = int(info.id) == -2
        size = layer.mask.size if is_mask else (width, height)
        plane = channel.get_data(*size, 8)
        channel.compression = type(channel.compression)(compression)
        channel.set_data(plane, *size, 8)
    found = read(document)
    np.testing.assert_array_equal(levels(found, mask), mask)
    np.testing.assert_array_equal(found.read_original().rgb, shallow.cutout.rgb)


def test_a_missing_merged_picture_costs_nothing(read, shallow):
    document = shallow.opened()
    with_mask(document[0], painted(shallow.mask))
    header = document._record.header
    header.channels = 3
    document._record.image_data.set_data([bytes(header.width * header.height)] * 3, header)
    put(document, 1057, struct.pack(">I?IIII", 1, False, 0, 0, 1, 0)[:17])
    found = read(document)
    np.testing.assert_array_equal(levels(found, shallow.mask), painted(shallow.mask))
    np.testing.assert_array_equal(found.read_original().rgb, shallow.cutout.rgb)


def test_psd_tools_saves_what_is_read_again(read, shallow):
    """psd-tools 1.26 cuts resource 2999 short, and cannot read that itself."""
    file = io.BytesIO()
    document = shallow.opened()
    document.save(file)
    assert read(file.getvalue()).is_unchanged


def test_a_document_without_the_mark_is_read_as_any_other(read, shallow):
    document = shallow.opened()
    del document.image_resources[1060]
    put_path(document, path_records([box(0, 0, 20, 20)], shallow.mask.shape))
    found = read(document)
    assert (found.source, found.is_unchanged) == ("layer mask", False)
    assert "the clipping path 'Path 1' means another cutout" in found.notes[-1]
