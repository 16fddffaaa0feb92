"""Broken and hostile cutout files: refused by name, with nothing but PhotoError, and in little memory."""

import random
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from psd_tools.constants import ChannelID, Compression, SectionDivider, Tag
from psd_tools.psd.layer_and_mask import MaskParameters
from psd_tools.psd.tagged_blocks import TaggedBlock

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError
from garmentcut.photo import psd_format
from garmentcut.photo.truth import read_cutout
from garmentcut.photo.write import png_bytes

from .made import encoded, pixels, png_of_header, tiff
from .made_cutout import (
    add_layer,
    circle,
    layered,
    path_records,
    path_resources,
    psd_bytes,
    put_path,
    save_channels,
    soft_disc,
    with_app13,
)

SIZE = HEIGHT, WIDTH = 24, 18
ADVICE = ("again", "save it", "save the", "raise the limit", "simplify", "flatten", "convert it", "develop")


def colors():
    return pixels(*SIZE)


def cut():
    return np.dstack([colors(), soft_disc(*SIZE, radius=6)])


def records():
    return path_records([circle(9, 12, 6)], SIZE)


def document(compression=Compression.RLE):
    """With everything: an opaque layer, a mask with parameters in a group, a saved channel, a clipping path."""
    made = layered(SIZE)
    add_layer(made, colors(), "Background")
    group = made.create_group(name="Group")
    layer = made.create_pixel_layer_from_array(cut(), name="Garment", compression=compression)
    layer.create_mask(Image.fromarray(soft_disc(*SIZE, radius=7)), top=0, left=0)
    layer._record.mask_data.flags.parameters_applied = True
    layer._record.mask_data.parameters = MaskParameters(user_mask_density=200)
    group.append(layer)
    save_channels(made, colors(), soft_disc(*SIZE, radius=5))
    put_path(made, records())
    return made


def with_path():
    data = path_resources(records())
    return [(34377, 1, len(data), data, True)]


FILES = {
    "psd": lambda: psd_bytes(document()),
    "psd-zip": lambda: psd_bytes(document(Compression.ZIP_WITH_PREDICTION)),
    "png": lambda: png_bytes(cut()),
    "tiff": lambda: tiff(cut(), extrasamples=[2], compression="lzw", extratags=with_path()),
    "tiff-path": lambda: tiff(colors(), extratags=with_path()),
    "jpeg": lambda: with_app13(encoded(colors(), "JPEG"), path_resources(records())),
    "webp": lambda: encoded(cut(), "WEBP", lossless=True),
}


@pytest.fixture
def attempt(tmp_path):
    """Read bytes; None: refused, with advice."""

    def attempt_bytes(data, **limits):
        path = tmp_path / "cutout.bin"
        path.write_bytes(data)
        try:
            cutout = read_cutout(path, ReadConfig(**limits))
        except PhotoError as error:
            assert str(error).startswith(f"{path}: ")
            assert any(words in str(error) for words in ADVICE), error
            return None
        assert cutout.alpha.dtype == np.float32
        assert np.isfinite(cutout.alpha).all()
        assert 0 <= cutout.alpha.min() <= cutout.alpha.max() <= 1
        assert cutout.rgb is None or cutout.rgb.shape == (*cutout.alpha.shape, 3)
        return cutout

    return attempt_bytes


@pytest.mark.parametrize("kind", FILES)
def test_whole_files_are_read(attempt, kind):
    assert attempt(FILES[kind]()).alpha.max() > 0.7


@pytest.mark.parametrize("kind", FILES)
def test_files_cut_anywhere_are_refused(attempt, kind):
    data = FILES[kind]()
    ends = {*np.linspace(1, len(data) - 1, 60).astype(int), *range(1, 40), len(data) - 2}
    if kind == "jpeg":  # the last two bytes, which end it, are not missed
        ends = {end for end in ends if end < len(data) - 2}
    if kind == "tiff-path":  # the path stands in front of the pixels, the tags before it
        ends = {end for end in ends if end < len(data) - 1}
    assert [end for end in sorted(ends) if attempt(data[:end]) is not None] == []


@pytest.mark.parametrize("kind", FILES)
def test_flipped_bytes_never_raise_anything_else(attempt, kind):
    data, chance = FILES[kind](), random.Random(kind)
    for _ in range(120):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            broken[chance.randrange(len(broken))] = chance.choice([0, 255, chance.randrange(256)])
        attempt(bytes(broken), max_megapixels=1)


@pytest.mark.parametrize("seed", range(4))
def test_flipped_lengths_in_a_document_never_raise_anything_else(attempt, seed):
    """Four bytes at a time, as lengths and sides stand in it."""
    data, chance = psd_bytes(document()), random.Random(seed)
    for _ in range(60):
        broken = bytearray(data)
        value = chance.choice([0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFF, chance.randrange(1 << 32)])
        struct.pack_into(">I", broken, chance.randrange(len(broken) - 4), value)
        attempt(bytes(broken), max_megapixels=1)


def peak_mb(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def refused(tmp_path, data, match, **limits):
    path = tmp_path / "cutout.psd"
    path.write_bytes(data)
    with pytest.raises(PhotoError, match=match):
        read_cutout(path, ReadConfig(**limits))


def header(width=WIDTH, height=HEIGHT, *, version=1, channels=3, depth=8, mode=3):
    return struct.pack(">4sH6xHIIHH", b"8BPS", version, channels, height, width, depth, mode)


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (header(300_000, 300_000), "max_side_px"),
        (header(29_000, 29_000), "max_megapixels"),
        (header(0, 5), "0x5 pixels"),
        (header(version=2), r"PSB\); save it as PSD"),
        (header(version=7), "header makes no sense"),
        (header(channels=2), "header makes no sense"),
        (header(mode=6), "header makes no sense"),
        (header(depth=32), "32 bits; save it with 8 or 16 bits"),
        (header()[:20], "truncated"),
        (header(), "damaged or unreadable"),
        (header() + bytes(12), "damaged or unreadable"),
        (header() + bytes(14), "truncated"),
    ],
    ids=str,
)
def test_documents_are_refused_by_their_header(tmp_path, made, match):
    assert peak_mb(lambda: refused(tmp_path, made, match)) < 20


def with_layer_box(box):
    made = layered(SIZE)
    record = add_layer(made, cut(), "Garment")._record
    record.top, record.left, record.bottom, record.right = box
    return psd_bytes(made)


def test_absurd_layer_boxes_are_refused(tmp_path):
    far = 1 << 30
    for box in ((0, 0, far, far), (-far, -far, 5, 5), (0, 0, 12_000, 12_000), (0, 0, 25, 19)):
        made = with_layer_box(box)
        assert peak_mb(lambda made=made: refused(tmp_path, made, "max_side_px|cut off")) < 20


def bomb_layer(size_hw, compression):
    """A layer whose packed planes are zeros, tiny on disk."""
    made = layered(SIZE)
    layer = add_layer(made, cut(), "Garment")
    record = layer._record
    record.top, record.left, record.bottom, record.right = 0, 0, *size_hw
    row = b"\x81\0" * (size_hw[1] // 128)
    packer = zlib.compressobj(9)
    packed = {
        Compression.RLE: lambda: struct.pack(">H", len(row)) * size_hw[0] + row * size_hw[0],
        Compression.ZIP: lambda: packer.compress(bytes(size_hw[0] * size_hw[1])) + packer.flush(),
    }[compression]()
    for info, channel in zip(record.channel_info, layer._channels, strict=True):
        channel.compression, channel.data = compression, packed if info.id == ChannelID.TRANSPARENCY_MASK else b""
    return made, layer


def test_a_pack_that_unpacks_to_more_than_its_box_is_refused(tmp_path):
    made, layer = bomb_layer((4096, 8192), Compression.ZIP)
    layer._record.bottom, layer._record.right = 64, 64
    assert peak_mb(lambda: refused(tmp_path, psd_bytes(made), "cut off")) < 20


def repeat_layer(made, layer, times):
    info = made._record.layer_and_mask_information.layer_info
    for _ in range(times):
        info.layer_records.append(layer._record)
        info.channel_image_data.append(layer._channels)
    info.layer_count = len(info.layer_records)


def test_layers_that_unpack_to_far_more_than_the_file_are_refused(tmp_path):
    made, layer = bomb_layer((4096, 8192), Compression.ZIP)
    repeat_layer(made, layer, 40)
    refused(tmp_path, psd_bytes(made), "far more than such a file can hold; flatten it")


@pytest.mark.parametrize("compression", [2, 3])
def test_merged_planes_that_unpack_to_far_more_than_the_file_are_refused(tmp_path, monkeypatch, compression):
    """They lie deflated in one stream, which is unpacked for each: a file of 0.2 MB took half a minute."""
    monkeypatch.setattr(psd_format, "_SPARE_BYTES", 1 << 23)
    head = struct.pack(">4sH6xHIIHH12xH", b"8BPS", 1, 30, 512, 1024, 8, 3, compression)
    refused(tmp_path, head + zlib.compress(bytes(30 * 512 * 1024)), "far more than such a file can hold; flatten it")


def test_groups_nested_too_deeply_are_refused(tmp_path):
    made = layered(SIZE)
    layer = add_layer(made, cut(), "Group")
    layer._record.tagged_blocks.set_data(Tag.SECTION_DIVIDER_SETTING, SectionDivider.BOUNDING_SECTION_DIVIDER)
    repeat_layer(made, layer, 80)
    refused(tmp_path, psd_bytes(made), "nested too deeply")


def test_an_endless_path_is_refused(tmp_path):
    made = layered(SIZE)
    add_layer(made, colors(), "Background")
    put_path(made, records() + records()[-26:] * 60_000)
    refused(tmp_path, psd_bytes(made), "50000 knots; simplify")


def test_what_psd_tools_cannot_read_of_a_text_layer_does_not_stop_the_alpha(tmp_path):
    made = layered(SIZE)
    layer = add_layer(made, cut(), "Garment")
    for key in (Tag.TYPE_TOOL_OBJECT_SETTING, Tag.EFFECTS_LAYER):
        other = add_layer(made, colors(), "Text")
        other.visible = False
        other._record.tagged_blocks[key] = TaggedBlock(key=key, data=b"nonsense")
    layer._record.tagged_blocks[Tag.EFFECTS_LAYER] = TaggedBlock(key=Tag.EFFECTS_LAYER, data=b"nonsense")
    path = tmp_path / "cutout.psd"
    path.write_bytes(psd_bytes(made))
    assert read_cutout(path).alpha.max() == 1


def test_nothing_is_printed_about_odd_parts(tmp_path):
    made = layered(SIZE)
    layer = add_layer(made, cut(), "Garment")
    layer._record.tagged_blocks[Tag.EFFECTS_LAYER] = TaggedBlock(key=Tag.EFFECTS_LAYER, data=b"nonsense")
    path = tmp_path / "cutout.psd"
    path.write_bytes(psd_bytes(made))
    code = f"from garmentcut.photo.truth import read_cutout; read_cutout({str(path)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout + done.stderr == b""


def test_a_huge_png_is_refused_before_it_is_decoded(tmp_path):
    assert peak_mb(lambda: refused(tmp_path, png_of_header(29_000, 29_000, color_type=6), "max_megapixels")) < 20


def test_a_mode_of_inks_has_an_alpha_but_no_colours(tmp_path):
    made = layered(SIZE)
    add_layer(made, cut(), "Garment")
    data = bytearray(psd_bytes(made))
    struct.pack_into(">H", data, 24, 9)  # Lab
    path = tmp_path / "cutout.psd"
    path.write_bytes(bytes(data))
    cutout = read_cutout(path)
    assert cutout.rgb is None
    assert cutout.notes == ("no colours: neither gray, RGB nor CMYK",)
