import io
import struct

import numpy as np
import pytest
from psd_tools import PSDImage
from psd_tools.constants import BlendMode, Compression

from garmentcut.photo import psd_writer
from garmentcut.photo.clipping_path import Resource
from garmentcut.photo.photo import OutputError
from garmentcut.photo.psd_writer import PsdLayer, pascal_text, psd_bytes, unicode_text

DTYPES = [np.uint8, np.uint16]


def noise(seed, shape, dtype):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.fixture(params=DTYPES, ids=lambda dtype: dtype.__name__)
def drawn(request):
    """Two layers, the upper one masked, a merged picture of its own, and a saved channel."""
    size, dtype = (23, 31), request.param
    mask = noise(2, size, dtype)
    mask[:5], mask[:, :7], mask[20:], mask[:, 30:] = 0, 0, 0, 0
    layers = [
        PsdLayer("Under", noise(0, (*size, 3), dtype)),
        PsdLayer("Kjole æøå 裙子 👗", noise(1, (*size, 3), dtype), mask),
    ]
    merged, saved = noise(3, (*size, 3), dtype), noise(4, size, dtype)
    return layers, [*np.moveaxis(merged, 2, 0), saved]


def opened(data):
    """The document as psd-tools, which we do not write with, reads it."""
    return PSDImage.open(io.BytesIO(data))


def written(drawn, resources=()):
    return opened(psd_bytes(*drawn, list(resources)))


def test_layers_are_found_again(drawn):
    layers, planes = drawn
    document = written(drawn)
    top = np.iinfo(planes[0].dtype).max
    assert (document.width, document.height, document.depth, document.channels) == (31, 23, 8 * planes[0].itemsize, 4)
    assert [layer.name for layer in document] == [layer.name for layer in layers]
    for found, layer in zip(document, layers, strict=True):
        assert (found.visible, found.opacity, found.blend_mode) == (True, 255, BlendMode.NORMAL)
        assert found.bbox == (0, 0, 31, 23)
        np.testing.assert_array_equal(np.rint(found.numpy("color") * top), layer.rgb)
        np.testing.assert_array_equal(found.numpy("shape"), 1)
    assert len({layer.layer_id for layer in document}) == 2


def test_a_mask_is_cropped_and_exact(drawn):
    layers, _ = drawn
    under, over = written(drawn)
    assert not under.has_mask()
    assert over.mask.bbox == (7, 5, 30, 20)
    assert (over.mask.background_color, over.mask.disabled) == (0, False)
    top = np.iinfo(layers[1].mask.dtype).max
    np.testing.assert_array_equal(np.rint(over.numpy("mask")[..., 0] * top), layers[1].mask[5:20, 7:30])


def test_the_merged_picture_and_a_saved_channel(drawn):
    _, planes = drawn
    # With a number, a channel is a saved one: psd-tools would else take it for transparency.
    document = written(drawn, [Resource(1053, "", struct.pack(">I", 1))])
    assert not document.has_thumbnail()
    top = np.iinfo(planes[0].dtype).max
    np.testing.assert_array_equal(np.rint(document.numpy() * top), np.stack(planes, axis=2))


def test_packed_as_photoshop_packs(drawn):
    _, planes = drawn
    document = written(drawn)
    kinds = {channel.compression for layer in document for channel in layer._channels}
    assert kinds == {Compression.RLE if planes[0].itemsize == 1 else Compression.ZIP_WITH_PREDICTION}
    assert document._record.image_data.compression == Compression.RLE


def test_a_mask_that_shows_nothing(drawn):
    layers, planes = drawn
    layers[1] = layers[1]._replace(mask=np.zeros_like(layers[1].mask))
    assert not written((layers, planes))[1].numpy("mask").any()


def test_a_picture_without_layers_masks_or_resources():
    plane = noise(0, (4, 5), np.uint8)
    document = opened(psd_bytes([], [plane, plane, plane], []))
    assert not len(document)
    np.testing.assert_array_equal(np.rint(document.numpy()[..., 0] * 255), plane)


def test_names_of_any_length():
    assert pascal_text("Jakke") == b"\x05Jakke"
    assert pascal_text("Jakke", 4) == b"\x05Jakke\0\0"
    assert pascal_text("å裙") == b"\x02\x8c?"
    assert len(pascal_text("x" * 300, 4)) == 256
    assert unicode_text("å👗") == b"\0\0\0\x03\0\xe5\xd8\x3d\xdc\x57"
    long = PsdLayer("裙" * 300, noise(0, (2, 2, 3), np.uint8))
    document = opened(psd_bytes([long], list(np.moveaxis(long.rgb, 2, 0)), []))
    assert document[0].name == long.name


@pytest.mark.parametrize("size", [(1, 30_001), (30_001, 1)])
def test_over_30000_pixels_psb_is_named(size):
    plane = np.zeros(size, np.uint8)
    with pytest.raises(OutputError, match=r"PSD ends at 30000 pixels a side, .* PSB is not written; use tiff"):
        psd_bytes([], [plane, plane, plane], [])


def test_30000_pixels_are_written():
    plane = np.zeros((1, 30_000), np.uint16)
    plane[0, ::2] = 12_345
    assert opened(psd_bytes([], [plane, plane, plane], [])).width == 30_000


def test_over_2_gigabytes_psb_is_named(drawn, monkeypatch):
    num_bytes = len(psd_bytes(*drawn, []))
    monkeypatch.setattr(psd_writer, "_MOST_BYTES", num_bytes)
    psd_bytes(*drawn, [])
    monkeypatch.setattr(psd_writer, "_MOST_BYTES", num_bytes - 1)
    with pytest.raises(OutputError, match=r"PSD ends at 2 GB, .* PSB is not written; use tiff"):
        psd_bytes(*drawn, [])
