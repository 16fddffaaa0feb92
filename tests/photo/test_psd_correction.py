"""What counts of a corrected document: the layer mask, the clipping path, or that nobody touched it."""

import io
import struct

import numpy as np
import pytest
from PIL import Image
from psd_tools.constants import Tag
from psd_tools.psd.layer_and_mask import ChannelDataList
from psd_tools.psd.tagged_blocks import TaggedBlock
from psd_tools.psd.vector import VectorMaskSetting

from garmentcut.photo.clipping_path import draw_path
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.photoshop import read_cutout
from garmentcut.photo.psd_writer import PsdLayer

from .made import rgb_profile
from .made_corrected import Written, deep, of_15_bits, painted, with_mask
from .made_cutout import box, path_records, psd_bytes, put, put_path


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
