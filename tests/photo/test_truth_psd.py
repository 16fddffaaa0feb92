"""Cutouts as Photoshop documents, made by psd-tools and by hand."""

import io
import itertools
import struct
import time

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.constants import BlendMode, ChannelID, Clipping, Compression, Tag
from psd_tools.psd.layer_and_mask import ChannelData, ChannelDataList, ChannelInfo, MaskFlags, MaskParameters
from psd_tools.psd.tagged_blocks import TaggedBlock
from psd_tools.psd.vector import VectorMaskSetting

from garmentcut.errors import PhotoError
from garmentcut.photo import psd_format
from garmentcut.photo.truth import read_cutout

from .made import cmyk_profile, pixels
from .made_cutout import (
    add_layer,
    box,
    circle,
    layered,
    path_records,
    psd_bytes,
    put,
    put_path,
    save_channels,
    soft_disc,
)

SIZE = HEIGHT, WIDTH = 40, 30
BELOW = "the opaque layer 'Background' left out"
MERGED_COLORS = "colours of the merged image"


@pytest.fixture
def read(tmp_path):
    def read_document(document):
        path = tmp_path / "cutout.psd"
        path.write_bytes(document if isinstance(document, bytes) else psd_bytes(document))
        return read_cutout(path)

    return read_document


def colors(dtype=np.uint8):
    return pixels(*SIZE, dtype=dtype)


def disc(**options):
    return soft_disc(*SIZE, **options)


def cut(alpha=None, dtype=np.uint8):
    return np.dstack([colors(dtype), disc(dtype=dtype) if alpha is None else alpha])


def over_photo():
    """The photo stays at the bottom."""
    document = layered(SIZE)
    add_layer(document, colors(), "Background")
    return document


def check(cutout, alpha, source, notes=(), *, rgb=None):
    np.testing.assert_array_equal(cutout.alpha, alpha.astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max))
    assert cutout.alpha.dtype == np.float32
    np.testing.assert_array_equal(cutout.rgb, colors(alpha.dtype) if rgb is None else rgb)
    assert cutout.rgb.dtype == alpha.dtype
    assert (cutout.source, cutout.notes) == (source, notes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_transparency_of_a_layer_is_exact(read, dtype):
    document = layered(SIZE, depth=8 * np.dtype(dtype).itemsize)
    add_layer(document, cut(dtype=dtype))
    check(read(document), disc(dtype=dtype), "transparency")


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_way_of_packing(read, dtype, compression):
    document = layered(SIZE, depth=8 * np.dtype(dtype).itemsize)
    document.create_pixel_layer_from_array(cut(dtype=dtype), name="Garment", compression=compression)
    check(read(document), disc(dtype=dtype), "transparency")


def test_16_bit_layers_in_their_block(read):
    """As Photoshop writes them: the section for 8 bits stays empty."""
    document = layered(SIZE, depth=16)
    add_layer(document, cut(dtype=np.uint16))
    section = document._record.layer_and_mask_information
    info, section.layer_info = section.layer_info, None
    file = io.BytesIO()
    info._write_body(file, "macroman", 1, 4)
    section.layer_info = type(info)()
    section.tagged_blocks[Tag.LAYER_16] = TaggedBlock(key=Tag.LAYER_16, data=file.getvalue())
    check(read(document), disc(dtype=np.uint16), "transparency")


def test_a_layer_smaller_than_the_document(read):
    document = layered(SIZE)
    add_layer(document, cut()[8:32, 4:26], at=(8, 4))
    cutout = read(document)
    np.testing.assert_array_equal(np.rint(cutout.alpha * 255), disc())
    np.testing.assert_array_equal(cutout.rgb[8:32, 4:26], colors()[8:32, 4:26])
    assert not cutout.rgb[:8].any()


@pytest.mark.parametrize("at", [(-7, -5), (6, 9), (-50, 0), (0, 50)])
def test_a_layer_that_reaches_outside_the_document(read, at):
    document = over_photo()
    add_layer(document, cut(), at=at)
    expected = np.zeros((3 * HEIGHT, 3 * WIDTH), np.uint8)
    top, left = HEIGHT + at[0], WIDTH + at[1]
    if abs(at[0]) < HEIGHT and abs(at[1]) < WIDTH:
        expected[top : top + HEIGHT, left : left + WIDTH] = disc()
        cutout = read(document)
        np.testing.assert_array_equal(np.rint(cutout.alpha * 255), expected[HEIGHT:-HEIGHT, WIDTH:-WIDTH])
    else:
        with pytest.raises(PhotoError, match="no transparency"):
            read(document)


def test_mask_over_the_photo_is_exact(read):
    document = over_photo()
    add_layer(document, colors(), mask=disc())
    check(read(document), disc(), "layer mask", (BELOW,))


@pytest.mark.parametrize("outside", [0, 255])
def test_a_mask_has_a_colour_outside_its_box(read, outside):
    mask = disc() if outside == 0 else 255 - disc()
    document = layered(SIZE)
    layer = add_layer(document, colors(), mask=mask[8:32, 4:26], mask_at=(8, 4))
    layer._record.mask_data.background_color = outside
    check(read(document), mask, "layer mask")


def test_a_mask_without_a_box_is_its_colour_everywhere(read):
    document = over_photo()
    layer = add_layer(document, cut(), mask=disc())
    data = layer._record.mask_data
    data.bottom, data.right, data.background_color = data.top, data.left, 255
    layer._channels[-1] = ChannelData()
    check(read(document), disc(), "transparency", (BELOW,))
    data.background_color = 0
    with pytest.raises(PhotoError, match="no transparency"):
        read(document)


def test_mask_and_transparency_multiply(read):
    document = layered(SIZE)
    add_layer(document, cut(), mask=disc(center=(20, 20)))
    cutout = read(document)
    np.testing.assert_allclose(cutout.alpha, disc() / 255 * (disc(center=(20, 20)) / 255), atol=1e-6)
    assert cutout.source == "transparency"


def test_a_switched_off_mask_does_not_count(read):
    document = layered(SIZE)
    add_layer(document, cut(), mask=disc(center=(20, 20))).mask.disabled = True
    check(read(document), disc(), "transparency", ("a switched-off layer mask left out",))
    document = over_photo()
    add_layer(document, colors(), mask=disc()).mask.disabled = True
    with pytest.raises(PhotoError, match=r"clipping path \(a switched-off layer mask left out\); save"):
        read(document)


def with_parameters(layer, **parameters):
    data = layer._record.mask_data
    data.flags.parameters_applied, data.parameters = True, MaskParameters(**parameters)
    return data


def test_density_weakens_a_mask(read):
    document = layered(SIZE)
    with_parameters(add_layer(document, colors(), mask=disc()), user_mask_density=102)
    np.testing.assert_allclose(read(document).alpha, 1 - 0.4 * (1 - disc() / 255), atol=1e-6)


def add_channel(layer, number, plane):
    data = ChannelData(compression=Compression.RLE)
    data.set_data(plane.tobytes(), plane.shape[1], plane.shape[0], 8)
    layer._record.channel_info.append(ChannelInfo(id=number, length=data._length))
    layer._channels.append(data)


def test_a_feathered_mask_is_taken_as_photoshop_drew_it(read):
    document = layered(SIZE)
    layer = add_layer(document, colors(), mask=disc())
    data = with_parameters(layer, user_mask_feather=3.0)
    assert read(document).alpha[20, 15] == pytest.approx(blurred(disc(), 3)[20, 15], abs=0.01)
    data.flags.user_mask_from_render = True
    np.testing.assert_array_equal(read(document).alpha, np.float32(disc() / np.float32(255)))


def blurred(mask, sigma):
    """By the sum of a Gaussian's weights, one axis after the other; the border repeats."""
    reach = 4 * sigma
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    alpha = np.pad(mask / 255, reach, mode="edge")
    for axis in (0, 1):
        alpha = np.apply_along_axis(np.convolve, axis, alpha, weights / weights.sum(), mode="valid")
    return alpha


@pytest.mark.parametrize("sigma", [1, 3])
def test_a_feather_that_photoshop_keeps_beside_the_mask_is_applied(read, sigma):
    document = layered(SIZE)
    with_parameters(add_layer(document, colors(), mask=disc()), user_mask_feather=float(sigma))
    np.testing.assert_allclose(read(document).alpha, blurred(disc(), sigma), atol=0.01)


def test_a_wide_feather_is_a_gaussian_too(read):
    size_hw = 300, 200
    document = layered(size_hw)
    square = np.zeros(size_hw, np.uint8)
    square[100:200, 60:140] = 255
    layer = add_layer(document, np.zeros((*size_hw, 3), np.uint8), mask=square)
    with_parameters(layer, user_mask_feather=20.0)
    np.testing.assert_allclose(read(document).alpha, blurred(square, 20), atol=0.03)


@pytest.mark.parametrize("is_vector", [False, True])
def test_masks_drawn_of_a_few_numbers_are_counted(read, is_vector, monkeypatch):
    """Each of a thousand takes as long as the whole picture, and a file of thousands is small."""
    monkeypatch.setattr(psd_format, "_SPARE_BYTES", 0)
    document = layered((400, 300))
    for _ in range(100):
        layer = add_layer(document, np.full((2, 2, 4), 200, np.uint8), mask=np.full((2, 2), 255, np.uint8))
        if is_vector:
            add_vector_mask(layer, [circle(15, 20, 10)])
        else:
            with_parameters(layer, user_mask_feather=900.0)
    with pytest.raises(PhotoError, match="far more than such a file can hold") as refused:
        read(document)
    assert refused.value.code == "damaged"


@pytest.mark.parametrize(("num_layers", "num_blocks"), [(8001, 0), (1, 150_000)])
def test_very_many_layers_and_parts_are_refused_soon(read, num_layers, num_blocks):
    """A file of 2 MB took ten seconds."""
    extra = bytes(12) + b"8BIMabcd\0\0\0\0" * num_blocks
    record = (
        struct.pack(">iiiiHhI", 0, 0, 1, 1, 1, -1, 3) + b"8BIMnorm\xff\0\0\0" + struct.pack(">I", len(extra)) + extra
    )
    layers = struct.pack(">h", num_layers) + record * num_layers + b"\0\0\xff" * num_layers
    layers += bytes(len(layers) % 2)
    section = struct.pack(">I", len(layers)) + layers + bytes(4)
    head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, HEIGHT, WIDTH, 8, 3) + bytes(8)
    start = time.process_time()
    with pytest.raises(PhotoError, match=r"over 8000 layers|very many parts") as refused:
        read(head + struct.pack(">I", len(section)) + section + bytes(2 + 3 * HEIGHT * WIDTH))
    assert refused.value.code == "too_large" and time.process_time() - start < 5


def add_vector_mask(layer, subpaths, *, flags=0, **options):
    data = struct.pack(">II", 3, flags) + path_records(subpaths, SIZE, **options)
    setting = VectorMaskSetting.frombytes(data)
    layer._record.tagged_blocks[Tag.VECTOR_MASK_SETTING1] = TaggedBlock(key=Tag.VECTOR_MASK_SETTING1, data=setting)


def test_a_vector_mask_is_drawn(read):
    document = over_photo()
    add_vector_mask(add_layer(document, colors()), [circle(15, 20, 10), circle(15, 20, 4)])
    cutout = read(document)
    assert cutout.alpha.sum() == pytest.approx(np.pi * (100 - 16) * 1.00028, abs=0.05)
    assert cutout.source == "layer mask"


def test_vector_masks_inverted_switched_off_and_empty(read):
    for flags, options, expected in ((1, {}, 1200 - 314.2), (4, {}, 314.2), (0, {"initial_fill": 1}, 314.2)):
        document = layered(SIZE)
        layer = add_layer(document, colors() if flags == 1 else cut())
        add_vector_mask(layer, [] if options else [circle(15, 20, 10)], flags=flags, **options)
        assert read(document).alpha.sum() == pytest.approx(expected, abs=1)


def test_painted_and_vector_masks_multiply_and_what_photoshop_drew_of_them_is_passed_over(read):
    document = layered(SIZE)
    layer = add_layer(document, colors(), mask=np.full(SIZE, 77, np.uint8))
    add_vector_mask(layer, [box(0, 0, 15, 40)])
    data = layer._record.mask_data
    data.flags.user_mask_from_render = True
    assert read(document).alpha.sum() == pytest.approx(15 * 40, abs=0.01)
    data.real_flags, data.real_background_color = MaskFlags(), 0
    data.real_top, data.real_left, data.real_bottom, data.real_right = 0, 0, HEIGHT, WIDTH
    add_channel(layer, ChannelID.REAL_USER_LAYER_MASK, disc())
    cutout = read(document)
    np.testing.assert_allclose(cutout.alpha[:, :15], disc()[:, :15] / 255, atol=1e-4)
    assert not cutout.alpha[:, 16:].any()
    data.real_flags.mask_disabled = True
    assert read(document).alpha.sum() == pytest.approx(15 * 40, abs=0.01)


def softened(mask, feather, density):
    mask = blurred(255 * mask, feather) if feather else mask
    return mask if density is None else 1 - (1 - mask) * density / 255


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("is_grouped", [False, True])
@pytest.mark.parametrize("feather", [0, 2])
def test_every_combination_of_masks_is_their_product(read, dtype, is_grouped, feather):
    """Density, feather, a vector mask upright or inverted, either switched off, a group's mask around them."""
    round_one = [circle(15, 20, 10)]
    painted, of_group = disc(center=(18, 12)), disc(center=(24, 18), radius=14)
    document = layered(SIZE)
    add_vector_mask(add_layer(document, colors()), round_one)
    drawn = read(document).alpha
    for density, flags, is_off in itertools.product((None, 0, 128), (None, 0, 1, 4, 5), (False, True)):
        document = layered(SIZE, depth=8 * np.dtype(dtype).itemsize)
        layer = add_layer(document, cut(dtype=dtype), mask=painted)
        parameters = {"user_mask_density": density, "vector_mask_density": density and density + 60}
        if feather:
            parameters |= {"user_mask_feather": float(feather), "vector_mask_feather": float(feather + 1)}
        if set(parameters.values()) - {None}:
            with_parameters(layer, **parameters)
        layer.mask.disabled = is_off
        expected = disc() / 255 * (1 if is_off else softened(painted / 255, feather, density))
        if flags is not None:
            add_vector_mask(layer, round_one, flags=flags)
            vector = 1 - drawn if flags & 1 else drawn
            vector = softened(vector, feather and feather + 1, density and density + 60)
            expected = expected * (1 if flags & 4 else vector)
        if is_grouped:
            group = masked_group(document, of_group)
            group.append(layer)
            expected = expected * (of_group / 255)
        np.testing.assert_allclose(
            read(document).alpha, expected, atol=0.012, err_msg=f"density {density}, flags {flags}, off {is_off}"
        )


def test_opacity_counts(read):
    document = layered(SIZE)
    layer = add_layer(document, cut())
    layer.opacity = 51
    layer._record.tagged_blocks.set_data(Tag.BLEND_FILL_OPACITY, 127.5 * 2)
    np.testing.assert_allclose(read(document).alpha, disc() / 255 * 0.2, atol=1e-6)


def test_layers_without_a_backdrop_are_laid_over_each_other(read):
    document = layered(SIZE)
    left, right = disc(center=(20, 10)), disc(center=(20, 20))
    add_layer(document, cut(left), "Sleeve")
    add_layer(document, cut(right), "Dress")
    save_channels(document, colors())
    cutout = read(document)
    np.testing.assert_allclose(cutout.alpha, 1 - (1 - left / 255) * (1 - right / 255), atol=1e-6)
    assert cutout.notes == ("the alpha of 2 layers laid over each other", MERGED_COLORS)
    np.testing.assert_array_equal(cutout.rgb, colors())


def test_a_painted_shadow_below_the_cutout_is_no_garment(read):
    document = layered(SIZE)
    shadow = np.dstack([np.zeros((*SIZE, 3), np.uint8), disc(center=(24, 18)) // 2])
    add_layer(document, shadow, "Shadow")
    assert read(document).alpha.max() == np.float32(127 / 255)  # alone, it counts
    group = document.create_group(name="Effects")
    group.append(add_layer(document, np.dstack([shadow[..., :3], disc(center=(24, 4)) // 2]), "Glow"))
    add_layer(document, cut(), "Garment")
    notes = ("layers 'Glow', 'Shadow' left out: shadow or tint",)
    check(read(document), disc(), "transparency", notes)


@pytest.mark.parametrize("level", [0, 90])
def test_a_part_of_one_colour_below_the_cutout_is_garment(read, level):
    """Before, a belt of plain colour, and black cloth without any detail, were taken for shadows."""
    document, belt = layered(SIZE), np.zeros(SIZE, np.uint8)
    belt[30:36, 4:26] = 255
    add_layer(document, np.dstack([np.full((*SIZE, 3), level, np.uint8), belt]), "Belt")
    add_layer(document, cut(), "Garment")
    np.testing.assert_array_equal(read(document).alpha[30:36, 4:26], 1)


def test_over_a_backdrop_the_topmost_cut_layer_counts(read):
    document = over_photo()
    add_layer(document, cut(disc(center=(30, 15))), "Cleaned wall")
    add_layer(document, cut(), "Garment")
    notes = (BELOW, "layer 'Cleaned wall' left out: the topmost cut layer counts")
    check(read(document), disc(), "transparency", notes)


def union(*alphas):
    """The alpha of layers laid over each other."""
    return 1 - np.prod([1 - alpha / 255 for alpha in alphas], axis=0)


def add_fill(document):
    """A solid colour, as Photoshop's fill layers store it: without pixels, under an empty white mask."""
    layer = add_layer(document, cut()[:1, :1], "Color Fill 1", mask=np.full((1, 1), 255, np.uint8))
    layer._record.tagged_blocks[Tag.SOLID_COLOR_SHEET_SETTING] = TaggedBlock(
        key=Tag.SOLID_COLOR_SHEET_SETTING, data=b""
    )
    layer._record.top = layer._record.left = layer._record.bottom = layer._record.right = 0
    layer._record.mask_data.background_color = 255


def add_white(document):
    add_layer(document, np.full((*SIZE, 3), 255, np.uint8), "White")


@pytest.mark.parametrize("add_backdrop", [add_white, add_fill])
def test_over_a_plain_backdrop_every_part_of_the_garment_counts(read, add_backdrop):
    """The inside of a collar, from another photo, below the front of the garment."""
    document = over_photo()
    add_layer(document, cut(disc(center=(10, 20))), "Old cutout, hidden by the backdrop")
    add_backdrop(document)
    soft, paint = disc(center=(30, 15)) // 3, np.full((*SIZE, 3), 250, np.uint8)
    add_layer(document, np.dstack([colors(), soft]), "Soft shadow")
    add_layer(document, np.dstack([paint, disc(center=(33, 15), radius=4)]), "Painted over")
    collar = disc(center=(8, 15), radius=4)
    add_layer(document, cut(collar), "Collar")
    add_layer(document, cut(), "Front")
    add_layer(document, np.full((*SIZE, 3), 128, np.uint8), "Dodge").blend_mode = BlendMode.SOFT_LIGHT
    cutout = read(document)
    np.testing.assert_allclose(cutout.alpha, union(disc(), collar), atol=1e-6)
    left_out = "layers 'Painted over', 'Soft shadow', 'Old cutout, hidden by the backdrop' left out"
    assert cutout.notes[-2] == f"{left_out}: shadow or retouching"


@pytest.mark.parametrize("is_plain", [False, True])
def test_a_retouched_part_on_top_is_not_the_cutout(read, is_plain):
    """A sleeve whose colour was corrected under a mask of its own, over the garment under its mask."""
    document = over_photo()
    if is_plain:
        add_white(document)
    add_layer(document, colors(), "Garment", mask=disc())
    add_layer(document, colors(), "Sleeve", mask=disc(radius=5, center=(22, 15)))
    add_layer(document, colors(), "Spot", mask=disc(radius=2, center=(15, 15)))
    cutout = read(document)
    np.testing.assert_allclose(
        cutout.alpha, union(disc(), disc(radius=5, center=(22, 15)), disc(radius=2, center=(15, 15))), atol=1e-6
    )
    assert cutout.source == "layer mask"


def test_a_tighter_copy_on_top_is_the_cutout(read):
    document = over_photo()
    add_layer(document, cut(), "First try")
    add_layer(document, cut(disc(radius=9.8)), "Garment")
    np.testing.assert_array_equal(read(document).alpha, disc(radius=9.8) / np.float32(255))


def test_a_layer_that_is_left_out_does_not_change_the_group_above_it(read):
    """Before, whatever lay below it within its box was added to its alpha, although the notes said that it was not."""
    document = over_photo()
    add_layer(document, cut(disc(radius=6, center=(14, 15))), "Cleaned wall")
    group = document.create_group(name="Garment")
    parts = [disc(radius=radius, center=(24, 15)) for radius in (9, 6)]
    for part in parts:
        group.append(add_layer(document, cut(part)))
    np.testing.assert_allclose(read(document).alpha, union(*parts), atol=1e-6)


def test_groups_are_units_with_masks_and_opacity(read):
    document = over_photo()
    group = document.create_group(name="Garment")
    parts = disc(center=(20, 10)), disc(center=(20, 20))
    for part, name in zip(parts, ("Sleeve", "Dress"), strict=True):
        group.append(add_layer(document, cut(part), name))
    group.opacity = 51
    cutout = read(document)
    np.testing.assert_allclose(cutout.alpha, 0.2 * (1 - (1 - parts[0] / 255) * (1 - parts[1] / 255)), atol=1e-6)
    assert cutout.notes[:2] == ("the alpha of 2 layers laid over each other", BELOW)
    group.visible = False
    with pytest.raises(PhotoError, match="hidden layers left out"):
        read(document)


def masked_group(document, mask):
    group = document.create_group(name="Garment")
    group.create_mask(Image.fromarray(mask), top=0, left=0)
    # psd-tools 1.26 lets a new group share its planes with the divider below it, which has no mask.
    group._bounding_channels = ChannelDataList(list(group._channels)[:-1])
    return group


def test_the_mask_of_a_group_cuts_all_of_it(read):
    document = over_photo()
    group = masked_group(document, disc())
    group.append(add_layer(document, colors(), "Photo"))
    group.append(add_layer(document, cut(disc(radius=3)), "Retouching"))
    cutout = read(document)
    np.testing.assert_array_equal(cutout.alpha, disc() / np.float32(255))
    assert (cutout.source, cutout.notes) == ("layer mask", (BELOW, MERGED_COLORS))


def test_masks_of_groups_within_groups_multiply(read):
    document = layered(SIZE)
    outer, inner = masked_group(document, disc(center=(20, 10))), masked_group(document, disc(center=(20, 20)))
    inner.append(add_layer(document, colors()))
    outer.append(inner)
    expected = disc(center=(20, 10)) / 255 * (disc(center=(20, 20)) / 255)
    cutout = read(document)
    np.testing.assert_allclose(cutout.alpha, expected, atol=1e-6)
    assert cutout.source == "layer mask"


def test_an_opaque_group_is_a_backdrop(read):
    document = layered(SIZE)
    group = document.create_group(name="Photo")
    group.append(add_layer(document, colors(), "Background"))
    group.append(add_layer(document, cut(disc(radius=1)), "Spot"))
    add_layer(document, cut(), "Garment")
    check(read(document), disc(), "transparency", (BELOW,))


def test_clipped_hidden_and_text_layers_do_not_count(read):
    document = over_photo()
    add_layer(document, cut(), "Garment")
    add_layer(document, cut(disc(center=(5, 5))), "Tint").clipping = True
    add_layer(document, cut(disc(center=(35, 25))), "Draft").visible = False
    for key in (Tag.SOLID_COLOR_SHEET_SETTING, Tag.TYPE_TOOL_OBJECT_SETTING):
        layer = add_layer(document, cut(disc(center=(5, 25))), "Fill or text")
        layer._record.tagged_blocks[key] = TaggedBlock(key=key, data=b"")
    notes = ("hidden layers left out", "layers clipped to others left out", BELOW)
    check(read(document), disc(), "transparency", notes)


def test_layers_that_only_tint_count_last(read):
    document = layered(SIZE)
    add_layer(document, cut())
    add_layer(document, cut(disc(center=(5, 5))), "Dodge").blend_mode = BlendMode.SOFT_LIGHT
    check(read(document), disc(), "transparency", ("layer 'Dodge' left out: shadow or tint",))
    document = layered(SIZE)
    add_layer(document, cut()).blend_mode = BlendMode.MULTIPLY
    check(read(document), disc(), "transparency")


def test_spots_over_the_photo_are_retouching_unless_there_is_nothing_else(read):
    document = over_photo()
    spot = disc(radius=1, center=(5, 5))
    add_layer(document, cut(spot), "Spot")
    guess = "only small or tinting layers over an opaque one: perhaps retouching, no cutout"
    check(read(document), spot, "transparency", (BELOW, guess))
    put_path(document, path_records([circle(15, 20, 10)], SIZE))
    cutout = read(document)
    assert cutout.source == "clipping path"
    assert cutout.notes == ("the transparency of its layers means another cutout (IoU 0.00) and is left out",)


def test_layers_all_opaque_leave_the_clipping_path(read):
    document = over_photo()
    save_channels(document, colors())
    put_path(document, path_records([circle(15, 20, 10)], SIZE))
    cutout = read(document)
    assert cutout.alpha.sum() == pytest.approx(np.pi * 100 * 1.00028, abs=0.05)
    assert (cutout.source, cutout.notes) == ("clipping path", ())
    np.testing.assert_array_equal(cutout.rgb, colors())


def test_without_a_merged_picture_a_path_has_no_colours(read):
    document = over_photo()
    put_path(document, path_records([circle(15, 20, 10)], SIZE))
    put(document, 1057, struct.pack(">I?IIII", 1, False, 0, 0, 1, 0)[:17])
    cutout = read(document)
    assert cutout.rgb is None
    assert cutout.notes == ("no colours: the document holds no merged image",)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [Compression.RAW, Compression.RLE, Compression.ZIP])
def test_a_saved_channel_is_exact(read, dtype, compression):
    document = layered(SIZE, depth=8 * np.dtype(dtype).itemsize)
    add_layer(document, colors(dtype), "Background")
    document._record.image_data.compression = compression
    save_channels(document, colors(dtype), disc(dtype=dtype))
    check(read(document), disc(dtype=dtype), "saved channel")


def test_the_first_saved_channel_that_says_something_counts(read):
    document = over_photo()
    save_channels(document, colors(), np.zeros(SIZE, np.uint8), disc(), disc(center=(5, 5)))
    check(read(document), disc(), "saved channel", ("the saved channel 'Alpha 2' is one of 3",))
    save_channels(document, colors(), np.zeros(SIZE, np.uint8))
    cutout = read(document)
    assert not cutout.alpha.any()


def test_the_transparency_of_the_merged_picture_is_no_saved_channel(read):
    document = layered(SIZE)
    add_layer(document, cut())
    save_channels(document, colors(), disc(center=(5, 5)))
    document._record.layer_and_mask_information.layer_info.layer_count = -1
    check(read(document), disc(), "transparency")


def test_layers_go_before_channels_and_paths_and_differences_are_reported(read):
    document = over_photo()
    add_layer(document, colors(), mask=disc())
    save_channels(document, colors(), disc(center=(20, 10)))
    put_path(document, path_records([circle(15, 20, 10)], SIZE), "Dress")
    notes = (BELOW, "the saved channel 'Alpha 1' means another cutout (IoU 0.52) and is left out")
    check(read(document), disc(), "layer mask", notes)


def test_gray_and_cmyk_documents(read):
    document = layered(SIZE, mode="L")
    gray = pixels(*SIZE, channels=1)
    add_layer(document, np.dstack([gray, disc()]))
    check(read(document), disc(), "transparency", rgb=np.dstack([gray] * 3))
    document = layered(SIZE, mode="CMYK")
    add_layer(document, np.dstack([pixels(*SIZE, channels=4), disc()]))
    cutout = read(document)
    assert (cutout.rgb, cutout.notes) == (None, ("CMYK colours without a usable profile left out",))
    put(document, 1039, cmyk_profile())
    cutout = read(document)
    np.testing.assert_array_equal(np.rint(cutout.alpha * 255), disc())
    assert cutout.notes == ("CMYK converted to sRGB",)
    assert cutout.rgb.shape == (*SIZE, 3)


def test_a_document_that_is_a_mask(read):
    for image in (Image.fromarray(disc()), Image.fromarray(np.dstack([disc()] * 3)), Image.fromarray(disc() > 127)):
        cutout = read(PSDImage.frompil(image))
        assert cutout.source == "mask image"
        assert np.abs(cutout.alpha - disc() / 255).max() <= (0.5 if image.mode == "1" else 1e-6)
        assert cutout.rgb is None
    with pytest.raises(PhotoError, match="no transparency"):
        read(PSDImage.frompil(Image.new("RGB", (30, 40), "white")))


def test_the_recommended_hand_off_is_read_back(read):
    """A photo under a mask, the path as well, as garmentcut's own PSD writer is meant to write it."""
    document = PSDImage.frompil(Image.fromarray(colors()))
    layer = add_layer(document, colors())
    layer.name = "Kjole æøå"
    layer.create_mask(Image.fromarray(disc()[8:32, 4:26]), top=8, left=4)
    put_path(document, path_records([circle(15, 20, 10)], SIZE))
    check(read(document), disc(), "layer mask")


def test_names_come_from_the_layers_panel(read):
    document = over_photo()
    add_layer(document, cut(), "Skygge").name = "Skygge æ"
    add_layer(document, cut(), "Garment")
    assert read(document).notes[1] == "layer 'Skygge æ' left out: the topmost cut layer counts"


def test_a_clipping_record_that_clips_nothing_is_left_out(read):
    document = layered(SIZE)
    add_layer(document, cut())._record.clipping = Clipping.NON_BASE
    with pytest.raises(PhotoError, match="layers clipped to others left out"):
        read(document)


def test_many_small_layers_cost_no_planes_of_their_own(read):
    """A hundred retouched spots over the cutout, in a document of six megapixels."""
    document = layered((3000, 2000))
    add_layer(document, np.dstack([pixels(3000, 2000), soft_disc(3000, 2000)]))
    spot = np.full((1, 1, 4), 255, np.uint8)
    for number in range(100):
        add_layer(document, spot, at=(29 * number, 19 * number))
    start = time.process_time()
    alpha = read(document).alpha
    assert time.process_time() - start < 4
    expected = soft_disc(3000, 2000).astype(np.float32) / np.float32(255)
    expected[29 * np.arange(100), 19 * np.arange(100)] = 1
    np.testing.assert_allclose(alpha, expected, atol=1e-6)
