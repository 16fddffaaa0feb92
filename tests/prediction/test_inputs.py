import copy
import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from garmentcut import PhotoError, read_photo, remove
from garmentcut.photo.color import srgb_profile
from garmentcut.photo.photo import Photo
from garmentcut.prediction import inputs
from garmentcut.prediction.inputs import Result, photo_of

RED = np.full((96, 64, 3), 200, np.uint8)
RED[20:70, 20:44] = 255, 0, 0


@pytest.fixture
def path(tmp_path):
    Image.fromarray(RED).save(tmp_path / "dress.png", dpi=(300, 300))
    return tmp_path / "dress.png"


def test_the_same_photo_in_every_form(path):
    forms = [path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes()), Image.open(path), RED, Photo(RED)]
    for form in forms:
        np.testing.assert_array_equal(photo_of(form).rgb, RED)
    with path.open("rb") as file:
        np.testing.assert_array_equal(photo_of(file).rgb, RED)
    with pytest.raises(TypeError, match="not list"):
        photo_of([1, 2])
    for text in (path.open(), path.open(encoding="latin-1"), io.StringIO("a.png")):
        with text, pytest.raises(TypeError, match="must give bytes, not text: open it with mode 'rb'"):
            photo_of(text)


def test_what_goes_in_is_what_comes_out(path, red_cutter):
    expected = red_cutter(RED).rgba()
    for form in (path, str(path), path.read_bytes(), io.BytesIO(path.read_bytes())):
        png = remove(form, cutter=red_cutter)
        assert isinstance(png, bytes)
        with Image.open(io.BytesIO(png)) as image:
            np.testing.assert_array_equal(np.asarray(image), expected)
    image = remove(Image.open(path), cutter=red_cutter)
    assert (image.mode, image.size) == ("RGBA", (64, 96))
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    np.testing.assert_array_equal(np.asarray(image), expected)
    np.testing.assert_array_equal(remove(RED, cutter=red_cutter), expected)
    deep = remove(RED.astype(np.uint16) * 257, cutter=red_cutter)
    assert (deep.dtype, deep.shape) == (np.uint16, (96, 64, 4))


def test_a_photo_given_as_bytes_does_not_fill_the_screen(path, red_cutter):
    for source in (path.read_bytes(), b"no photo", RED):
        (result,) = red_cutter.map([source]) if not isinstance(source, np.ndarray) else [Result(source)]
        assert len(repr(result)) < 200 and result.source is source


def test_what_is_shown_of_a_cutter_and_a_photo_is_short(red_cutter, path):
    assert repr(red_cutter).startswith(f"<Cutter {red_cutter.card.label}, ") and len(repr(red_cutter)) < 100
    assert repr(read_photo(path)) == "<Photo 64x96 uint8>"


def test_a_cutter_that_is_sent_to_another_process_says_what_to_do_instead(red_cutter):
    with pytest.raises(TypeError, match="load one in each"):
        pickle.dumps(red_cutter)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_cutter_runs_the_same_networks(red_cutter, duplicate):
    assert duplicate([red_cutter])[0] is red_cutter and duplicate(red_cutter) is red_cutter


def test_one_photo_is_not_taken_for_several(red_cutter, path):
    photo = read_photo(path)
    for source in (
        path,
        str(path),
        path.read_bytes(),
        bytearray(b"x"),
        io.BytesIO(b"x"),
        photo,
        Image.fromarray(RED),
        RED,
    ):
        with pytest.raises(TypeError, match="map takes several photos"):
            next(red_cutter.map(source))


def test_a_crash_of_the_network_is_that_photos_result(cutter_failing_once):
    found = list(cutter_failing_once.map([RED, RED]))
    assert [(one.ok, one.code) for one in found] == [(False, "internal"), (True, "")]
    assert found[0].reason == "out of memory on the device"


def test_limits_that_are_no_settings_are_refused_by_name(path):
    with pytest.raises(TypeError, match=r"give a garmentcut\.config.ReadConfig, not dict"):
        read_photo(path, limits={"max_mb": 1})


def test_a_file_is_encoded_by_the_suffix_that_is_asked_for(red_cutter):
    assert red_cutter(RED).to_bytes("jpg") == red_cutter(RED).to_bytes("jpeg")


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "RGB"])
def test_pil_images_are_read_as_their_files_are(mode, tmp_path):
    image = Image.fromarray(RED).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    if mode == "RGBA":
        image.putalpha(Image.fromarray((RED[..., 0] > 200).astype(np.uint8) * 100))
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    image.save(path)
    np.testing.assert_array_equal(photo_of(image).rgb, read_photo(path).rgb)


@pytest.mark.parametrize("mode", ["L", "1", "I;16", "P"])
def test_a_transparent_level_of_a_pil_image_is_laid_on_white_as_in_its_file(mode, tmp_path):
    image = Image.fromarray(np.where(RED[..., :1] > 200, RED, 0)).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    image.info["transparency"] = 0
    image.save(tmp_path / "a.png")
    photo, read = photo_of(image), read_photo(tmp_path / "a.png")
    np.testing.assert_array_equal(photo.rgb, read.rgb)
    assert (photo.rgb[0, 0] == np.iinfo(photo.rgb.dtype).max).all()
    assert photo.notes == read.notes == ("transparent parts laid on white",)


@pytest.mark.parametrize("dpi", [(0, 0), (float("nan"), 300), (1e9, 1e9)])
def test_a_resolution_that_makes_no_sense_is_dropped_from_pil_images_as_from_files(dpi):
    image = Image.fromarray(RED)
    image.info["dpi"] = dpi
    assert photo_of(image).dpi is None


def test_pil_images_that_are_in_no_file():
    sheer = Image.fromarray(RED).convert("LA")
    sheer.putalpha(100)
    np.testing.assert_allclose(photo_of(sheer.convert("La")).rgb, photo_of(sheer).rgb.astype(int), atol=2)
    deep = np.arange(96 * 64, dtype=np.uint16).reshape(96, 64)
    swapped = Image.frombytes("I;16B", (64, 96), deep.astype(">u2").tobytes())
    np.testing.assert_array_equal(photo_of(swapped).rgb, photo_of(deep).rgb)
    for mode in ("I", "F"):  # their levels would be cut off at 255
        with pytest.raises(PhotoError, match=f"mode {mode} does not say which level is white; convert"):
            photo_of(Image.fromarray(RED).convert(mode))


def test_a_pil_image_of_a_damaged_file_is_a_bad_photo(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:9000])
    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(PhotoError, match="truncated"):
        photo_of(image)


def test_pil_images_are_turned_upright_and_keep_their_profile():
    exif = Image.Exif()
    exif[274] = 6
    file = io.BytesIO()
    Image.fromarray(RED).save(file, "JPEG", exif=exif, icc_profile=srgb_profile(), quality=95)
    photo = photo_of(Image.open(file))
    assert photo.size_hw == (64, 96)
    assert photo.profile == srgb_profile()


def test_arrays_of_one_and_four_channels():
    gray = RED[..., 1]
    np.testing.assert_array_equal(photo_of(gray).rgb, np.dstack([gray] * 3))
    sheer = np.dstack([RED, np.zeros((96, 64), np.uint8)])
    assert (photo_of(sheer).rgb == 255).all()
    for wrong in (np.zeros((4, 4, 5), np.uint8), RED / 255, RED[None], RED[:0], np.zeros(4, np.uint8)):
        with pytest.raises(PhotoError, match=r"\(H, W\), \(H, W, 3\) or \(H, W, 4\) of uint8, where white is 255"):
            photo_of(wrong)


@pytest.mark.parametrize("channels", [slice(0, 3), 0, slice(0, 1), [0, 1, 2, 0]])
def test_arrays_of_either_byte_order(channels):
    native = RED[..., channels].astype(np.uint16) * 257
    swapped = photo_of(native.astype(native.dtype.newbyteorder())).rgb
    assert swapped.dtype == np.uint16
    np.testing.assert_array_equal(swapped, photo_of(native).rgb)


def test_many_photos_in_order_and_a_bad_one_stops_none(path, red_cutter, tmp_path):
    (tmp_path / "junk.jpg").write_bytes(b"junk")
    sources = [path, tmp_path / "junk.jpg", np.full_like(RED, 200), tmp_path / "gone.jpg", RED / 255, RED]
    results = list(red_cutter.map(sources))
    assert [result.source is source for result, source in zip(results, sources, strict=True)] == [True] * 6
    assert [result.code for result in results] == ["", "unsupported", "no_garment", "missing", "unsupported", ""]
    assert [result.ok for result in results] == [True, False, False, False, False, True]
    assert all(bool(result.reason) != result.ok for result in results)


class BrokenFile(io.BytesIO):
    def read(self, _size=-1):
        raise EOFError


def test_a_file_that_cannot_be_read_stops_no_other(path, red_cutter):
    closed, picture = path.open("rb"), Image.open(path)
    closed.close()
    picture.close()
    with path.open() as text:
        results = list(red_cutter.map([closed, text, BrokenFile(), picture, None, f"{path}\0", RED]))
    assert [result.code for result in results] == [
        *("unreadable", "unsupported", "unreadable"),
        *("damaged", "unsupported", "unreadable", ""),
    ]
    assert "closed file" in results[0].reason and "mode 'rb'" in results[1].reason and "EOFError" in results[2].reason
    with pytest.raises(PhotoError, match="the open file cannot be read"):
        photo_of(closed)


def test_an_array_of_paths_is_many_photos(path, red_cutter):
    assert [result.ok for result in red_cutter.map(np.array([str(path), "gone.jpg"]))] == [True, False]


def test_what_is_given_in_place_of_photos_or_a_cutter_is_refused(path, red_cutter):
    for one in (str(path), path.read_bytes(), RED):
        with pytest.raises(TypeError, match="several photos, for example a list; for one call the cutter itself"):
            next(red_cutter.map(one))
    with pytest.raises(TypeError, match=r"give a garmentcut\.prediction\.cutter\.Cutter, not str"):
        remove(RED, cutter="model.onnx")


def test_photos_are_drawn_as_they_are_needed(red_cutter):
    drawn = []

    def draw():
        for number in range(100):
            drawn.append(number)
            yield RED

    results = red_cutter.map(draw())
    next(results)
    assert len(drawn) < 10


def test_a_cutout_knows_its_doubt(red_cutter, make_doubt, make_acceptance):
    assert (red_cutter(RED).doubt, red_cutter(RED).reasons) == (None, ())
    torn = RED.copy()
    torn[40:50, 28:36] = 200
    doubt, acceptance = make_doubt(bias=-2.0, holes=4.0), make_acceptance(r05=0.5)
    doubting = replace(red_cutter, card=replace(red_cutter.card, doubt=doubt, acceptance=acceptance))
    whole, holed = doubting(RED), doubting(torn)
    assert 0 <= whole.doubt < holed.doubt <= 1
    assert holed.reasons


def test_the_embedded_model_is_loaded_once(monkeypatch):
    loaded = []

    def load():
        loaded.append(1)
        return lambda _photo: None

    inputs._load_default.cache_clear()
    monkeypatch.setattr("garmentcut.prediction.cutter.Cutter.load", load)
    assert inputs.default_cutter() is inputs.default_cutter()
    assert loaded == [1]
    inputs._load_default.cache_clear()
