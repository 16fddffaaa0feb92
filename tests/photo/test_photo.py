from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage

from garmentcut.config import ReadConfig
from garmentcut.errors import ConfigError, OutputError, PhotoError
from garmentcut.photo.photo import Cutout, Photo, _cgroup_limits, memory_limit, resize_alpha, resize_rgb
from garmentcut.photo.read import read_photo

from .made import exif_bytes, pixels, rgb_profile


@pytest.fixture
def two_by_two():
    rgb = np.array([[[200, 100, 0], [10, 20, 30]], [[255, 255, 255], [1, 2, 3]]], np.uint8)
    return Cutout(rgb, np.array([[1, 0.5], [0, 0.25]], np.float32))


@pytest.fixture
def cutout(studio):
    drawn = studio()
    photo = Photo(drawn.photo, rgb_profile(), (300, 300), exif_bytes())
    return Cutout.of(photo, drawn.alpha)


def test_everything_of_the_photo_goes_along(cutout):
    assert (cutout.profile, cutout.dpi, cutout.exif) == (rgb_profile(), (300, 300), exif_bytes())


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_rgba_by_hand(two_by_two, depth):
    top = np.iinfo(depth).max
    cutout = Cutout(two_by_two.rgb.astype(depth), two_by_two.alpha)
    assert cutout.rgba().dtype == depth
    assert cutout.rgba()[..., 3].tolist() == [[top, round(top / 2)], [0, round(top / 4)]]
    np.testing.assert_array_equal(cutout.rgba(clean=False)[..., :3], cutout.rgb)
    assert cutout.rgba()[1, 0].tolist() == [0, 0, 0, 0], "hidden pixels are black, as in a file"


def test_bytes_and_pil_are_what_a_file_holds(cutout, tmp_path):
    cutout.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        pixels, profile = np.asarray(saved), saved.info["icc_profile"]
    image = cutout.to_pil()
    assert (image.mode, image.info["icc_profile"], image.info["dpi"]) == ("RGBA", profile, (300, 300))
    np.testing.assert_array_equal(np.asarray(image), pixels)
    np.testing.assert_array_equal(np.asarray(image), cutout.rgba())
    assert cutout.to_bytes() == (tmp_path / "a.png").read_bytes()
    assert cutout.to_bytes("jpeg", background="#ffffff", trim=True)[:2] == b"\xff\xd8"
    with pytest.raises(ConfigError, match="formats"):
        cutout.to_bytes("gif")
    with pytest.raises(ConfigError, match="'gif' is not a format"):
        cutout.save(tmp_path / "a.png", format="gif")


def test_save_takes_a_format_by_the_names_that_to_bytes_takes(cutout, tmp_path):
    for format in ("jpg", ".JPG", "JPEG"):
        cutout.save(tmp_path / "a.jpeg", format=format)
        assert (tmp_path / "a.jpeg").read_bytes() == cutout.to_bytes(format)


def test_what_is_shown_of_a_cutout_is_short(cutout):
    cutout = replace(cutout, doubt=0.1234)
    left, top, right, bottom = cutout.garment_box_xyxy
    height, width = cutout.alpha.shape
    box = f"({left}, {top}, {right}, {bottom})"
    assert repr(cutout) == f"<Cutout {width}x{height} uint8, garment at {box}, doubt 0.123>"
    assert cutout.trimmed().doubt == cutout.cleaned.doubt == 0.1234


def test_over_by_hand(two_by_two):
    assert two_by_two.over("#ffffff").tolist() == [
        [[200, 100, 0], [132, 138, 142]],
        [[255, 255, 255], [192, 192, 192]],
    ]
    assert two_by_two.over("#102030")[1, 0].tolist() == [16, 32, 48]
    np.testing.assert_array_equal(two_by_two.over("white"), two_by_two.over("#ffffff"))
    for wrong in ("wite", (255, 255, 255)):
        with pytest.raises(ConfigError, match="background"):
            two_by_two.over(wrong)


def test_over_at_16_bits():
    rgb = np.full((1, 3, 3), 1000, np.uint16)
    cutout = Cutout(rgb, np.array([[1, 0.5, 0]], np.float32))
    flat = cutout.over("#ff8000")
    assert flat[0].tolist() == [[1000] * 3, [33268, 16948, 500], [65535, 128 * 257, 0]]


def test_over_in_another_profile_looks_the_same(two_by_two):
    cutout = Cutout(two_by_two.rgb, two_by_two.alpha, rgb_profile())
    assert cutout.over("#408020")[1, 0].tolist() != [64, 128, 32]
    assert cutout.over("#ffffff")[1, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("rgb", "alpha", "message"),
    [
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2)), "alpha must be float32"),
        (np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3), np.float32), "alpha must be float32"),
        (np.zeros((2, 2, 3), np.uint8), np.full((2, 2), 1.01, np.float32), r"alpha must be in \[0, 1\]"),
        (np.zeros((2, 2, 3), np.uint8), np.full((2, 2), -0.01, np.float32), r"alpha must be in \[0, 1\]"),
        (np.zeros((2, 2, 3), np.uint8), np.full((2, 2), np.nan, np.float32), r"alpha must be in \[0, 1\]"),
        (np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2), np.float32), "rgb must be"),
        (np.zeros((2, 2, 3), np.float32), np.zeros((2, 2), np.float32), "rgb must be"),
        (np.zeros((0, 2, 3), np.uint8), np.zeros((0, 2), np.float32), "rgb must be"),
    ],
)
def test_wrong_arrays_are_refused_at_the_edge(rgb, alpha, message):
    with pytest.raises(ValueError, match=message):
        Cutout(rgb, alpha)


def test_what_is_no_array_or_of_another_byte_order_is_refused_with_a_way_out():
    for wrong in ([[[0, 0, 0]]], "dress.jpg", Image.new("RGB", (1, 1))):
        with pytest.raises(TypeError, match="read_photo makes a Photo of a file"):
            Photo(wrong)
    swapped = np.dtype(np.uint16).newbyteorder()
    with pytest.raises(ValueError, match=r"native by rgb.astype\(np.uint16\)"):
        Photo(np.zeros((2, 2, 3), swapped))


def test_box(two_by_two):
    alpha = np.zeros((50, 40), np.float32)
    cutout = Cutout(np.zeros((50, 40, 3), np.uint8), alpha)
    assert cutout.box_xyxy is None
    alpha[10:20, 5] = 1
    alpha[30, 25] = 0.01
    alpha[49, 39] = 0.001  # invisible: rounds to 0 of 255
    assert cutout.box_xyxy == (5, 10, 26, 31)
    assert two_by_two.box_xyxy == (0, 0, 2, 2)


def test_a_margin_that_is_no_number_of_pixels_is_refused(two_by_two):
    for margin in (-1, 1.5, "3"):
        with pytest.raises(ValueError, match="use a whole number of pixels, 0 or more"):
            two_by_two.trimmed(margin)


def test_trimmed_inside_the_frame():
    rgb = pixels(50, 40)
    alpha = np.zeros((50, 40), np.float32)
    alpha[10:20, 5:9] = 1
    trimmed = Cutout(rgb, alpha, dpi=(72, 72)).trimmed(3)
    assert trimmed.alpha.shape == (16, 10)
    np.testing.assert_array_equal(trimmed.rgb, rgb[7:23, 2:12])
    np.testing.assert_array_equal(trimmed.alpha, alpha[7:23, 2:12])
    assert trimmed.dpi == (72, 72)
    assert trimmed.trimmed().alpha.shape == (10, 4)


def test_a_speck_that_nobody_sees_leaves_no_empty_picture():
    alpha = np.zeros((300, 200), np.float32)
    alpha[150:280, 50:150] = 1
    alpha[3:5, 20:25] = 4 / 255
    cutout = Cutout(pixels(300, 200), alpha)
    assert cutout.trimmed(10).alpha.shape == (150, 120)
    assert cutout.box_xyxy == (20, 3, 150, 280)


def test_trimmed_beyond_the_frame():
    rgb = np.full((10, 10, 3), 7, np.uint8)
    alpha = np.zeros((10, 10), np.float32)
    alpha[0:2, 8:10] = 1
    trimmed = Cutout(rgb, alpha).trimmed(4)
    assert trimmed.alpha.shape == (10, 10)
    assert trimmed.box_xyxy == (4, 4, 6, 6)
    assert (trimmed.rgb[:4] == 0).all()
    assert (trimmed.rgb[:, 6:] == 0).all()
    assert (trimmed.rgb[4:, :6] == 7).all()


def test_trimming_nothing_or_by_less_than_nothing(two_by_two):
    with pytest.raises(ValueError, match="nothing to trim to"):
        Cutout(np.zeros((2, 2, 3), np.uint8), np.zeros((2, 2), np.float32)).trimmed()
    with pytest.raises(ValueError, match="margin_px is -1"):
        two_by_two.trimmed(-1)


def test_cleaned_by_the_alpha_that_is_written(studio):
    drawn = studio()
    alpha = drawn.alpha.copy()
    alpha[drawn.alpha == 0] = 0.001  # rounds to 0: hidden
    alpha[drawn.alpha == 1] = 0.999  # rounds to 255: opaque
    cleaned = Cutout(drawn.photo, alpha).cleaned
    assert (cleaned.rgb[drawn.alpha == 0] == 0).all()
    np.testing.assert_array_equal(cleaned.rgb[drawn.alpha == 1], drawn.photo[drawn.alpha == 1])


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".TIFF"])
def test_saved_by_the_suffix(cutout, tmp_path, suffix):
    path = tmp_path / f"dress{suffix}"
    cutout.save(path)
    photo = read_photo(path)
    assert photo.size_hw == cutout.alpha.shape
    assert photo.profile == cutout.profile
    assert photo.dpi == pytest.approx((300, 300), abs=0.01)
    assert b"Camera Maker" in photo.exif
    assert photo.notes == ("transparent parts laid on white",)
    assert list(tmp_path.iterdir()) == [path]


def test_saved_with_each_option(cutout, tmp_path):
    path = tmp_path / "dress.png"

    def saved(**options):
        cutout.save(str(path), **options)
        with Image.open(path) as image:
            return np.asarray(image)

    left, top, right, bottom = cutout.box_xyxy
    assert saved(format="mask").shape == cutout.alpha.shape
    assert saved(background="#ffffff").shape == (*cutout.alpha.shape, 3)
    assert saved(each=False, quality=None).shape == (*cutout.alpha.shape, 4)  # their defaults
    assert saved(trim=True).shape == (bottom - top, right - left, 4)
    assert saved(trim=True, margin_px=200).shape == (bottom - top + 400, right - left + 400, 4)
    np.testing.assert_array_equal(saved(hidden="keep")[..., :3], cutout.rgb)
    assert (saved(hidden="clear")[cutout.alpha == 0] == 0).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dress.gif", {}, "no format has the suffix '.gif'; use one of .png"),
        ("dress", {}, "no format has the suffix ''"),
        ("dress", {"format": ""}, "no format has the suffix ''"),
        ("dress.png", {"format": "gif"}, "'gif' is not a format; use one of png, mask, webp, tiff, psd, jpeg"),
        ("dress.png", {"path": "exact"}, "^output.path: png cannot hold one; write tiff, psd or jpeg too"),
        ("dress.jpg", {"hidden": "keep"}, "jpeg holds no alpha: output.hidden keep needs a path"),
        ("dress.jpg", {"quality": 101}, "less than or equal to 100"),
        ("dress.png", {"format": "tiff"}, "the suffix says png, the format tiff"),
        ("dress.tif", {"format": "mask"}, "the suffix says tiff, the format mask"),
        ("dress.png", {"margin_px": 5}, "output.margin_px needs a trimmed cutout: set output.trim too"),
        ("dress.png", {"margin_px": -5, "trim": True}, "greater than or equal to 0, not -5"),
        ("dress.png", {"background": "blanc"}, "'blanc' is not a colour such as '#ffffff'"),
        ("dress.png", {"background": "#ffffff", "hidden": "keep"}, "covers the hidden pixels"),
        ("dress.png", {"margins": 5}, "unknown key; did you mean output.margin_px"),
        ("dress.png", {"formats": ["tiff"]}, "use format, not formats"),
        ("dress.png", {"each": True}, "cut a folder, not each"),
        ("dress.png", {"quality": 90}, "quality is for jpeg and webp, not png"),
    ],
)
def test_contradictions_write_nothing(cutout, tmp_path, name, options, message):
    with pytest.raises(ConfigError, match=message):
        cutout.save(tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_says_why(tmp_path):
    empty = Cutout(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32))
    with pytest.raises(OutputError, match="nothing to trim to"):
        empty.save(tmp_path / "dress.png", trim=True)
    long = Cutout(np.zeros((1, 16_384, 3), np.uint8), np.zeros((1, 16_384), np.float32))
    with pytest.raises(OutputError, match="WebP holds 16383 pixels per side, not 16384; use png"):
        long.save(tmp_path / "dress.webp")
    one_way = rgb_profile().replace(b"rTRC", b"xTRC")
    with pytest.raises(PhotoError, match="convert"):
        Cutout(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.float32), one_way).over("#ffffff")
    assert not list(tmp_path.iterdir())


def test_a_psd_is_named_after_its_file(cutout, tmp_path):
    cutout.save(tmp_path / "Kjole æøå.psd", path="none", background="#ffffff", hidden="keep")
    assert [layer.name for layer in PSDImage.open(tmp_path / "Kjole æøå.psd")] == ["Background", "Kjole æøå"]


def test_an_empty_cutout_is_written_all_the_same(tmp_path):
    Cutout(np.full((4, 4, 3), 9, np.uint8), np.zeros((4, 4), np.float32)).save(tmp_path / "dress.png")
    assert (read_photo(tmp_path / "dress.png").rgb == 255).all()


def test_cleaning_is_worked_out_once_for_all_formats(studio):
    drawn = studio()
    cutout = Cutout(drawn.photo, drawn.alpha)
    assert cutout.cleaned is cutout.cleaned
    assert cutout.rgb is drawn.photo


def shrunk(alpha, factor):
    size = round(alpha.shape[1] / factor), round(alpha.shape[0] / factor)
    return np.array(Image.fromarray(alpha).resize(size, Image.Resampling.BOX))


def plain(alpha, size_hw, *, steepness):
    """Cubic, steepened about 0.5: the method to match or beat."""
    large = np.asarray(Image.fromarray(alpha).resize(size_hw[::-1], Image.Resampling.BICUBIC))
    return ((large - 0.5) * steepness + 0.5).clip(0, 1)


def band_of(alpha):
    """Pixels near an edge: a window of 9 sees more than one level."""
    image = Image.fromarray(np.rint(alpha * 255).astype(np.uint8))
    windows = [
        np.pad(np.asarray(image), 4, mode="edge")[dy : dy + alpha.shape[0], dx : dx + alpha.shape[1]]
        for dy in range(0, 9, 2)
        for dx in range(0, 9, 2)
    ]
    return np.ptp(np.stack(windows), axis=0) > 0


def error(found, truth):
    return 255 * np.abs(found - truth)[band_of(truth)].mean()


@pytest.mark.parametrize("factor", [2, 3, 4.5])
def test_hard_edges_come_back_as_crisp_as_steepening_makes_them(studio, factor):
    truth = studio(864, 576, sigma=0.4).alpha
    small = shrunk(truth, factor)
    found = resize_alpha(small, truth.shape)
    cubic, steep = (plain(small, truth.shape, steepness=k) for k in (1, factor))
    assert error(found, truth) <= error(steep, truth) * 1.01
    assert error(found, truth) < error(cubic, truth) / 1.8
    wrong = ((found >= 0.5) != (truth >= 0.5))[band_of(truth)].mean()
    assert wrong <= ((cubic >= 0.5) != (truth >= 0.5))[band_of(truth)].mean() + 0.001


@pytest.mark.parametrize("factor", [2, 3])
def test_sheer_garments_get_crisp_edges_and_keep_their_level(studio, factor):
    truth = studio(864, 576, sigma=0.4).alpha * np.float32(0.4)
    small = shrunk(truth, factor)
    found = resize_alpha(small, truth.shape)
    assert found[400:460, 250:320] == pytest.approx(0.4, abs=1e-6)
    assert error(found, truth) < error(plain(small, truth.shape, steepness=1), truth) / 2
    assert error(found, truth) < error(plain(small, truth.shape, steepness=factor), truth) / 5


@pytest.mark.parametrize("factor", [2, 3])
def test_truly_soft_edges_stay_soft(studio, factor):
    truth = studio(864, 576, sigma=10).alpha
    found = resize_alpha(shrunk(truth, factor), truth.shape)
    assert error(found, truth) < 1


@pytest.mark.parametrize("size_hw", [(400, 400), (300, 500), (211, 307), (101, 100), (100, 333)])
def test_nothing_is_shifted(size_hw):
    y, x = np.mgrid[:100, :100] + 0.5
    disc = np.clip(30.5 - np.hypot(y - 48.3, x - 53.8), 0, 1).astype(np.float32)
    large = resize_alpha(disc, size_hw)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]] + 0.5
    center = np.array([(large * y).sum(), (large * x).sum()]) / large.sum() * 100 / size_hw
    assert center == pytest.approx([48.3, 53.8], abs=0.03)
    assert large.sum() / (size_hw[0] * size_hw[1]) == pytest.approx(disc.mean(), rel=0.01)


def test_tiles_leave_no_seam(studio, monkeypatch):
    small = shrunk(studio(288, 192, sigma=1).alpha, 2)
    whole = {}
    for tile in (10_000, 192, 37):
        monkeypatch.setattr("garmentcut.photo.photo._TILE_PX", tile)
        whole[tile] = resize_alpha(small, (501, 333))
    np.testing.assert_allclose(whole[192], whole[10_000], atol=1e-5)
    np.testing.assert_allclose(whole[37], whole[10_000], atol=1e-5)


@pytest.mark.parametrize("size_hw", [(6000, 4000), (97, 1), (1, 97), (33, 40), (1729, 1153)])
def test_every_size_and_empty_and_full(size_hw):
    for level in (0, 0.4, 1):
        np.testing.assert_array_equal(resize_alpha(np.full((31, 23), level, np.float32), size_hw), np.float32(level))


def test_garment_touching_the_frame():
    alpha = np.zeros((60, 40), np.float32)
    alpha[20:, :25] = 1
    large = resize_alpha(alpha, (180, 120))
    expected = np.zeros((180, 120), np.float32)
    expected[60:, :75] = 1
    expected[60, 74] = large[60, 74]  # the corner is rounded
    np.testing.assert_allclose(large, expected, atol=0.01)


def test_many_odd_sizes_stay_in_range():
    chance = np.random.default_rng(3)
    for _ in range(60):
        h, w, height, width = chance.integers(1, 90, 4)
        alpha = chance.random((h, w), np.float32)
        found = resize_alpha(alpha, (height, width))
        assert found.shape == (height, width)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 1


def test_same_size_is_the_same_and_smaller_keeps_the_mean(studio):
    alpha = studio().alpha
    assert resize_alpha(alpha, alpha.shape) is alpha
    assert resize_alpha(alpha, (96, 64)).mean() == pytest.approx(alpha.mean(), rel=1e-4)
    assert resize_alpha(alpha, (97, 61)).mean() == pytest.approx(alpha.mean(), rel=0.01)


def test_rgb(studio):
    photo = studio().photo
    assert resize_rgb(photo, photo.shape[:2]) is photo
    small = resize_rgb(photo, (96, 64))
    assert small.shape == (96, 64, 3)
    assert small.dtype == np.uint8
    assert small.mean() == pytest.approx(photo.mean(), abs=0.5)
    assert resize_rgb(photo[:, ::-1], (300, 200)).shape == (300, 200, 3)


def test_memory_limits_of_control_groups(tmp_path):
    membership, root = tmp_path / "cgroup", tmp_path / "fs"
    (root / "a/b").mkdir(parents=True)
    (root / "a/memory.max").write_text("3000\n")
    (root / "a/b/memory.max").write_text("max\n")
    (root / "a/b/memory.high").write_text("2500\n")
    membership.write_text("0::/a/b\n")
    assert sorted(_cgroup_limits(membership, root)) == [2500, 3000]
    (root / "memory/c").mkdir(parents=True)
    (root / "memory/c/memory.limit_in_bytes").write_text("77\n")
    membership.write_text("5:cpu:/c\n7:memory:/c\nodd\n")
    assert list(_cgroup_limits(membership, root)) == [77]
    assert list(_cgroup_limits(tmp_path / "none", root)) == []


def test_the_users_own_memory_limit_counts():
    assert memory_limit(ReadConfig(max_memory_mb=5)) == 5_000_000
    assert memory_limit(ReadConfig()) > 10**8
