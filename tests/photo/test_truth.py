"""Cutouts as PNG, WebP, TIFF and JPEG; Photoshop documents: test_truth_psd.py."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError
from garmentcut.photo.truth import CUTOUT_SUFFIXES, read_cutout
from garmentcut.photo.write import png_bytes

from .made import chunk, cmyk_profile, encoded, exif, exif_bytes, gray_profile, pixels, rgb_profile, tiff, with_chunks
from .made_cutout import (
    add_layer,
    box,
    circle,
    layered,
    path_records,
    path_resources,
    psd_bytes,
    put,
    soft_disc,
    with_app13,
)

SIZE = HEIGHT, WIDTH = 40, 30
GARMENTS = Path(__file__).parents[3] / "shared" / "garments"
TURNS = [
    lambda x: x,
    lambda x: x[:, ::-1],
    lambda x: x[::-1, ::-1],
    lambda x: x[::-1],
    lambda x: x.swapaxes(0, 1),
    lambda x: np.rot90(x, -1),
    lambda x: np.rot90(x, 2).swapaxes(0, 1),
    lambda x: np.rot90(x),
]


@pytest.fixture
def read(tmp_path):
    def read_bytes(data, name="cutout.bin", **options):
        path = tmp_path / name
        path.write_bytes(data)
        return read_cutout(path, **options)

    return read_bytes


def colors(channels=3, dtype=np.uint8):
    return pixels(HEIGHT, WIDTH, channels, dtype)


def cut(dtype=np.uint8, channels=3):
    """Colours and a soft alpha behind them."""
    return np.dstack([colors(channels, dtype), soft_disc(*SIZE, dtype=dtype)])


def as_alpha(plane):
    return plane.astype(np.float32) / np.float32(np.iinfo(plane.dtype).max)


def check(cutout, stored, source="transparency", notes=()):
    """Alpha and colours are the stored ones, exactly."""
    assert cutout.alpha.dtype == np.float32
    assert cutout.alpha.flags.c_contiguous
    np.testing.assert_array_equal(cutout.alpha, as_alpha(stored[..., -1]))
    rgb = stored[..., :-1] if stored.shape[2] == 4 else np.repeat(stored[..., :1], 3, axis=2)
    assert cutout.rgb.dtype == stored.dtype
    assert cutout.rgb.dtype.isnative
    assert cutout.rgb.flags.c_contiguous
    np.testing.assert_array_equal(cutout.rgb, rgb)
    assert (cutout.source, cutout.notes) == (source, notes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3])
def test_png_with_alpha_is_exact(read, dtype, channels):
    stored = cut(dtype, channels)
    check(read(png_bytes(stored)), stored)


def test_soft_16_bit_alpha_keeps_its_levels(read):
    ramp = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(SIZE)
    alpha = read(png_bytes(np.dstack([colors(dtype=np.uint16), ramp]))).alpha
    assert len(np.unique(alpha)) == HEIGHT * WIDTH
    np.testing.assert_array_equal(np.rint(alpha * 65535), ramp)


def test_webp_with_alpha_is_exact(read):
    stored = cut()
    check(read(encoded(stored, "WEBP", lossless=True, exact=True)), stored)


def test_palette_with_transparency(read):
    image = Image.new("P", (4, 2))
    image.putpalette([200, 0, 0, 0, 100, 0, 0, 0, 50])
    image.putdata([0, 1, 2, 0, 1, 2, 0, 1])
    cutout = read(encoded(image, "PNG", transparency=bytes([0, 128, 255])))
    np.testing.assert_array_equal(cutout.alpha * 255, [[0, 128, 255, 0], [128, 255, 0, 128]])
    assert cutout.rgb[0, 1].tolist() == [0, 100, 0]
    assert cutout.source == "transparency"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_alpha_and_colours_are_turned_upright_together(read, orientation):
    stored, turn = cut(), TURNS[orientation - 1]
    upright = np.ascontiguousarray(turn(stored))
    png = with_chunks(png_bytes(stored), chunk(b"eXIf", exif_bytes(orientation)))
    check(read(png), upright)
    check(read(tiff(stored, extrasamples=[2], extratags=[(274, "H", 1, orientation, True)])), upright)


@pytest.mark.parametrize("level", [0, 255])
def test_alpha_that_is_the_same_everywhere_is_given_back(read, level):
    """What is wrong with it is told by those who know what it should be."""
    stored = np.dstack([colors(), np.full(SIZE, level, np.uint8)])
    check(read(png_bytes(stored)), stored)


def test_a_plain_photo_is_refused_with_advice(read):
    for data in (png_bytes(colors()), tiff(colors()), encoded(colors(), "JPEG"), encoded(colors(), "WEBP")):
        with pytest.raises(PhotoError, match=r"cutout\.bin: has no transparency, .* save the cutout as PNG or PSD"):
            read(data)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("compression", [None, "lzw"])
def test_tiff_with_straight_alpha_is_exact(read, dtype, byteorder, channels, compression):
    stored = cut(dtype, channels)
    photometric = "rgb" if channels == 3 else "minisblack"
    options = {"byteorder": byteorder, "compression": compression, "photometric": photometric}
    check(read(tiff(stored, extrasamples=[2], **options)), stored)


def test_tiff_in_separate_planes(read):
    stored = cut()
    check(read(tiff(np.moveaxis(stored, -1, 0), extrasamples=[2], planarconfig="separate")), stored)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tiff_with_premultiplied_alpha_is_divided_out(read, dtype):
    stored = cut(dtype)
    share = as_alpha(stored[..., 3:])
    premultiplied = np.dstack([np.rint(stored[..., :3] * share), stored[..., 3]]).astype(dtype)
    cutout = read(tiff(premultiplied, extrasamples=[1]))
    np.testing.assert_array_equal(cutout.alpha, as_alpha(stored[..., 3]))
    assert not cutout.rgb[stored[..., 3] == 0].any()
    firm = stored[..., 3] > np.iinfo(dtype).max // 2
    assert np.abs(cutout.rgb[firm].astype(int) - stored[firm, :3]).max() <= 1
    assert cutout.source == "transparency"


def test_tiff_with_a_channel_of_unspecified_use(read):
    stored = cut()
    check(read(tiff(stored, extrasamples=[0])), stored, "extra channel")


def test_transparency_goes_before_other_channels_and_a_difference_is_reported(read):
    other = soft_disc(*SIZE, center=(10, 10))
    cutout = read(tiff(np.dstack([colors(), other, soft_disc(*SIZE)]), extrasamples=[0, 2]))
    check(cutout, cut(), notes=("the extra channel means another cutout (IoU 0.20) and is left out",))
    agreeing = read(tiff(np.dstack([colors(), soft_disc(*SIZE), soft_disc(*SIZE)]), extrasamples=[0, 2]))
    assert agreeing.notes == ()


def test_a_channel_that_says_nothing_is_passed_over(read):
    flat = np.full(SIZE, 255, np.uint8)
    cutout = read(tiff(np.dstack([colors(), flat, soft_disc(*SIZE)]), extrasamples=[2, 0]))
    check(cutout, cut(), "extra channel", ("the transparency is the same everywhere",))
    cutout = read(tiff(np.dstack([colors(), flat, soft_disc(*SIZE)]), extrasamples=[0, 0]))
    check(cutout, cut(), "extra channel", ("the extra channel is the same everywhere",))


def test_cmyk_tiff_is_converted_if_it_can_be(read):
    ink = np.dstack([colors(4), soft_disc(*SIZE)])
    options = {"photometric": "separated", "extrasamples": [2]}
    cutout = read(tiff(ink, **options))
    np.testing.assert_array_equal(cutout.alpha, as_alpha(ink[..., 4]))
    assert (cutout.rgb, cutout.notes) == (None, ("CMYK colours without a usable profile left out",))
    cutout = read(tiff(ink, extratags=[(34675, 7, None, cmyk_profile(), True)], **options))
    assert cutout.rgb.shape == (*SIZE, 3)
    assert cutout.notes == ("CMYK converted to sRGB",)


def clipped(size_hw=SIZE, **options):
    height, width = size_hw
    return path_resources(path_records([circle(width / 2, height / 2, 10), box(13, 18, 17, 22)], size_hw), **options)


def check_clipped(cutout, notes=()):
    assert cutout.source == "clipping path"
    assert cutout.notes == notes
    assert cutout.alpha.sum() == pytest.approx(np.pi * 100 * 1.00028 - 16, abs=0.05)
    assert not cutout.alpha[18:22, 13:17].any()


def test_clipping_path_of_a_tiff(read):
    data = clipped()
    cutout = read(tiff(colors(), extratags=[(34377, 1, len(data), data, True)]))
    check_clipped(cutout)
    np.testing.assert_array_equal(cutout.rgb, colors())


def test_clipping_path_of_a_jpeg(read):
    jpeg = encoded(colors(), "JPEG", quality=95)
    cutout = read(with_app13(jpeg, clipped(), parts=2))
    check_clipped(cutout)
    assert np.abs(cutout.rgb.astype(int) - colors()).mean() < 3


def test_a_clipping_path_is_turned_with_its_photo(read):
    size_hw = WIDTH, HEIGHT  # as stored
    corner = path_resources(path_records([box(0, 0, 10, 5)], size_hw))
    jpeg = encoded(pixels(*size_hw), "JPEG", exif=exif(6))
    cutout = read(with_app13(jpeg, corner))
    assert cutout.alpha.shape == cutout.rgb.shape[:2] == SIZE
    assert cutout.alpha[:10, -5:].min() > 0.999  # orientation 6: the stored upper left corner belongs upper right
    assert cutout.alpha.sum() == pytest.approx(50, abs=0.01)


def test_transparency_goes_before_a_clipping_path(read):
    data = path_resources(path_records([box(0, 0, 5, 5)], SIZE))
    cutout = read(tiff(cut(), extrasamples=[2], extratags=[(34377, 1, len(data), data, True)]))
    check(cutout, cut(), notes=("the clipping path 'Path 1' means another cutout (IoU 0.00) and is left out",))


def test_a_clipping_path_counts_where_the_transparency_is_opaque(read):
    stored, data = np.dstack([colors(), np.full(SIZE, 255, np.uint8)]), clipped()
    cutout = read(tiff(stored, extrasamples=[2], extratags=[(34377, 1, len(data), data, True)]))
    check_clipped(cutout, ("the transparency is the same everywhere",))


def test_layers_in_a_tiff_are_named_when_nothing_else_is_there(read):
    with pytest.raises(PhotoError, match=r"clipping path \(its Photoshop layers are not read from TIFF\); save"):
        read(tiff(colors(), extratags=[(37724, 7, 12, b"Adobe Photos", True)]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_mask_images(read, dtype):
    mask = soft_disc(*SIZE, dtype=dtype)
    for data in (
        png_bytes(mask),
        png_bytes(np.dstack([mask] * 3)),
        tiff(mask, photometric="minisblack"),
        tiff(np.dstack([mask] * 3)),
        tiff(np.iinfo(dtype).max - mask, photometric="miniswhite"),
        png_bytes(np.dstack([mask] * 3 + [np.full_like(mask, np.iinfo(dtype).max)])),
    ):
        cutout = read(data)
        np.testing.assert_array_equal(cutout.alpha, as_alpha(mask))
        assert cutout.rgb is None
        assert cutout.source == "mask image"


def test_masks_of_sheer_garments(read):
    """Hardly anything of them is white; a gray photo has no black all around."""
    sheer = np.rint(soft_disc(*SIZE) * 0.4).astype(np.uint8)
    for data in (png_bytes(sheer), encoded(sheer, "JPEG", quality=95)):
        cutout = read(data)
        assert cutout.source == "mask image"
        assert np.abs(cutout.alpha - as_alpha(sheer)).max() < 0.02
    gray = np.linspace(10, 240, 1200).reshape(SIZE).astype(np.uint8)
    dark = gray // 3
    dark[2:-2] = sheer[2:-2]
    for photo in (gray, dark):
        with pytest.raises(PhotoError, match="no transparency"):
            read(png_bytes(photo))


def test_masks_of_one_bit(read):
    mask = soft_disc(*SIZE) > 127
    image = Image.fromarray(mask)
    for data in (encoded(image, "PNG"), encoded(image, "TIFF"), encoded(image, "TIFF", compression="group4")[:0]):
        if data:
            np.testing.assert_array_equal(read(data).alpha, mask)


def test_mask_as_jpeg(read):
    mask = soft_disc(*SIZE)
    for array in (mask, np.dstack([mask] * 3)):
        cutout = read(encoded(array, "JPEG", quality=95))
        assert cutout.source == "mask image"
        assert np.abs(cutout.alpha - as_alpha(mask)).max() < 0.1


def test_a_gray_profile_does_not_bend_a_mask(read):
    mask = soft_disc(*SIZE)
    np.testing.assert_array_equal(read(png_bytes(mask, profile=gray_profile())).alpha, as_alpha(mask))


def test_an_inverted_mask_is_suspected(read):
    cutout = read(png_bytes(255 - soft_disc(*SIZE)))
    assert cutout.notes == ("the mask's border is white: it may be inverted",)
    assert read(png_bytes(np.full(SIZE, 255, np.uint8))).notes == ()


def test_a_gray_photo_is_no_mask(read):
    with pytest.raises(PhotoError, match="no transparency"):
        read(png_bytes(colors(1)))
    packshot = np.where(soft_disc(*SIZE) > 0, colors(1), 255).astype(np.uint8)  # on white, with some black
    packshot[20, 12:16] = 0
    with pytest.raises(PhotoError, match="no transparency"):
        read(png_bytes(packshot))


def test_limits_are_those_of_photos(read):
    with pytest.raises(PhotoError, match="max_megapixels"):
        read(png_bytes(cut()), config=ReadConfig(max_megapixels=0.001))
    with pytest.raises(PhotoError, match="max_side_px"):
        read(tiff(cut(), extrasamples=[2]), config=ReadConfig(max_side_px=39))


def test_what_cannot_be_opened_is_named(tmp_path, read):
    assert issubclass(PhotoError, PhotoError)
    with pytest.raises(PhotoError, match=r"nowhere\.psd: no such file"):
        read_cutout(tmp_path / "nowhere.psd")
    with pytest.raises(PhotoError, match="a GIF"):
        read(encoded(Image.new("L", (4, 4)), "GIF"))


def test_suffixes_hold_photos_and_documents():
    assert {".psd", ".png", ".tif", ".jpg", ".webp"} <= CUTOUT_SUFFIXES
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in CUTOUT_SUFFIXES)


def test_pngs_are_read_without_loading_psd_tools(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png_bytes(cut()))
    code = f"import sys; from garmentcut.photo.truth import read_cutout; read_cutout({str(path)!r})\n"
    code += "assert not {'psd_tools', 'tifffile'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_real_cutouts():
    paths = sorted((GARMENTS / "cutout").glob("*.png"))[::60]
    if not paths:
        pytest.skip("the studio's photos are not beside the checkout")
    for path in paths:
        stored = np.asarray(Image.open(io.BytesIO(path.read_bytes())))
        check(read_cutout(path), stored)


def test_of_many_channels_only_the_first_are_looked_at(read):
    """Twenty channels of a large picture would take more memory than there is."""
    stored = np.dstack([colors(), soft_disc(*SIZE), *[np.zeros(SIZE, np.uint8)] * 16])
    data = tiff(stored, extrasamples=[0] * 17)
    check(read(data), stored[..., :4], "extra channel", tuple(["the extra channel is the same everywhere"] * 3))
    large = tiff(np.zeros((200, 200, 20), np.uint8), extrasamples=[0] * 17)
    with pytest.raises(PhotoError, match="GB of memory"):
        read(large, config=ReadConfig(max_memory_mb=1))


PROFILE = rgb_profile()
CLIPPED = path_resources(path_records([box(5, 5, 9, 9)], SIZE))


def psd(profile):
    document = layered((12, 20))
    add_layer(document, pixels(channels=4))
    put(document, 1039, profile)
    return psd_bytes(document)


@pytest.mark.parametrize(
    "content",
    [
        encoded(cut(), "PNG", icc_profile=PROFILE),
        encoded(cut(), "WEBP", icc_profile=PROFILE, lossless=True),
        with_app13(
            encoded(colors(), "JPEG", icc_profile=PROFILE), path_resources(path_records([box(5, 5, 9, 9)], SIZE))
        ),
        tiff(cut(np.uint16), iccprofile=PROFILE, extrasamples=["unassalpha"]),
        psd(PROFILE),
    ],
    ids=["png", "webp", "jpeg", "tiff of 16 bits", "psd"],
)
def test_the_profile_is_found_in_every_format(read, content):
    assert read(content).profile == PROFILE


@pytest.mark.parametrize("profile", [None, b"broken", gray_profile(), cmyk_profile()])
def test_no_profile_where_rgb_pixels_cannot_be_in_it(read, profile):
    assert read(encoded(cut(), "PNG", **({"icc_profile": profile} if profile else {}))).profile is None


def test_cmyk_has_been_converted_by_its_own_profile(read):
    inks = np.dstack([np.zeros((*SIZE, 4), np.uint8), soft_disc(*SIZE)])
    cutout = read(tiff(inks, photometric="separated", iccprofile=cmyk_profile(), extrasamples=["unassalpha"]))
    assert cutout.rgb is not None
    assert cutout.profile is None
