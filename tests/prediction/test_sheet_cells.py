import numpy as np
import pytest
from PIL import Image

from garmentcut.prediction.sheet_cells import read_cell
from garmentcut.prediction.sheet_entries import Entry

RED, WALL = (200, 30, 40), (190, 190, 190)
BOX = (slice(20, 60), slice(15, 45))


def photo(path):
    pixels = np.full((80, 60, 3), WALL, np.uint8)
    pixels[BOX] = RED
    Image.fromarray(pixels).save(path)
    return path


def cutout(path, *, box=BOX, size_hw=(80, 60)):
    pixels = np.zeros((*size_hw, 4), np.uint8)
    pixels[box] = (*RED, 255)
    Image.fromarray(pixels).save(path, lossless=True)
    return path


def mask(path, size_hw=(80, 60)):
    alpha = np.zeros(size_hw, np.uint8)
    alpha[BOX] = 255
    Image.fromarray(alpha).save(path)
    return path


def read(**entry):
    return read_cell(Entry("x_Front", **entry), (400, 400))


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_a_cutout_and_its_caption(tmp_path, suffix):
    cell = read(file=cutout(tmp_path / f"x_Front.{suffix}"), doubt=0.034, notes=("broken colour profile dropped",))
    assert np.array_equal(cell.thumbnail, np.full((40, 30, 4), (*RED, 255)))
    assert (cell.title, cell.garment, cell.mark, cell.reason) == ("x_Front", "x", "", "")
    assert cell.facts == f"60 x 80 px · {suffix} · doubt 0.03"
    assert cell.notes == "broken colour profile dropped"


def test_the_whole_frame_if_wanted(tmp_path):
    cell = read_cell(Entry("x", cutout(tmp_path / "x.png")), (400, 400), trim=False)
    assert cell.thumbnail.shape == (80, 60, 4)
    assert cell.thumbnail[..., 3].sum() == 40 * 30 * 255


def test_a_mask_is_laid_on_its_photo(tmp_path):
    cell = read(file=mask(tmp_path / "x_mask.png"), photo=photo(tmp_path / "x.png"))
    assert np.array_equal(cell.thumbnail, np.full((40, 30, 4), (*RED, 255)))
    assert cell.notes == "its photo under the mask"


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ("gone", "mask alone: its photo cannot be read any more"),
        ("other size", "mask alone: its photo has another size"),
        ("unknown", "mask alone: its photo is not known"),
    ],
)
def test_a_mask_without_its_photo_is_shown_itself(tmp_path, changed, note):
    original = photo(tmp_path / "x.png")
    if changed == "gone":
        original.unlink()
    size_hw = (70, 60) if changed == "other size" else (80, 60)
    cell = read(file=mask(tmp_path / "x_mask.png", size_hw), photo=None if changed == "unknown" else original)
    expected = np.zeros((*size_hw, 4), np.uint8)
    expected[..., 3], expected[BOX] = 255, 255
    assert np.array_equal(cell.thumbnail, expected)
    assert (cell.notes, cell.mark) == (note, "")


@pytest.mark.parametrize(
    ("box", "suspicion"),
    [
        ((slice(0, 0), slice(0, 0)), "empty: nothing is visible"),
        ((slice(None), slice(None)), "nothing is cut out: no pixel is transparent"),
    ],
)
def test_what_cannot_be_a_cutout_is_doubtful(tmp_path, box, suspicion):
    cell = read(file=cutout(tmp_path / "x.png", box=box))
    assert (cell.mark, cell.reason) == ("doubtful", suspicion)
    assert cell.thumbnail.shape == (80, 60, 4)
    known = read(file=tmp_path / "x.png", mark="doubtful", reason="two parts")
    assert known.reason == f"two parts; {suspicion}"


def test_without_transparency(tmp_path):
    lost = read(file=photo(tmp_path / "lost.png"))
    assert (lost.mark, lost.reason) == ("doubtful", "nothing in the file says what is cut out")
    assert (lost.thumbnail[0, 0] == (*WALL, 255)).all()
    assert (lost.thumbnail[30, 30] == (*RED, 255)).all()
    meant = read(file=tmp_path / "lost.png", photo=tmp_path / "x.jpg")  # the run's own: cut --background
    assert (meant.mark, meant.notes) == ("", "on a background, not transparent")


def test_a_broken_file_is_a_cell_with_the_reason(tmp_path):
    broken = tmp_path / "x.png"
    broken.write_bytes(cutout(broken).read_bytes()[:60])
    cell = read(file=broken, mark="doubtful", reason="two parts")
    assert (cell.mark, cell.thumbnail, cell.facts) == ("failed", None, "x.png")
    assert cell.reason == "truncated PNG; copy or export it again"  # without the path: the title has it


def test_what_is_known_to_have_failed_is_not_read():
    cell = read(mark="failed", reason="truncated PNG", notes=("a note",))
    assert (cell.mark, cell.reason, cell.thumbnail, cell.notes) == ("failed", "truncated PNG", None, "a note")
