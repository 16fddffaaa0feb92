from pathlib import Path

import pytest

from garmentcut.dataset.pairing import find_candidates, sides_of
from garmentcut.errors import DatasetError
from garmentcut.naming import DEFAULT_PATTERN


@pytest.fixture
def pair(tmp_path):
    """A function that makes empty files and pairs them."""

    def call(originals, cutouts, *, patterns=(DEFAULT_PATTERN, DEFAULT_PATTERN), cutouts_dir="cutouts"):
        for root, names in (("originals", originals), (cutouts_dir, cutouts)):
            (tmp_path / root).mkdir(parents=True, exist_ok=True)
            for name in names:
                (tmp_path / root / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / root / name).touch()
        sides = sides_of(tmp_path / "originals", tmp_path / cutouts_dir, patterns)
        return find_candidates(*sides, {}, out_dir=tmp_path / "originals/dataset")

    return call


def codes(candidates):
    return {candidate.name: [fault.code for fault in candidate.faults] for candidate in candidates}


def test_pairs_of_other_suffixes_and_folders(pair):
    found = pair(["a_Front.jpg", "day 2/b_x_back.tif"], ["final/A_front.PSD", "b_x_Back.png"])
    assert [(c.name, c.garment, c.view, c.photo.name, c.cutout.name, c.faults) for c in found] == [
        ("a_Front", "a", "Front", "a_Front.jpg", "A_front.PSD", ()),
        ("b_x_Back", "b_x", "Back", "b_x_back.tif", "b_x_Back.png", ()),
    ]


def test_every_file_that_cannot_be_paired_is_refused_with_a_reason(pair):
    found = pair(
        ["a_Front.jpg", "b_Front.jpg", "b_Front.tif", "dress.jpg", "e_Front.jpg"],
        ["b_Front.png", "c_Back.png", "d_Back.psd", "e_Front.png", "e_Front.psd"],
    )
    assert codes(found) == {
        "a_Front": ["no_cutout"],
        "b_Front": ["ambiguous"],
        "c_Back": ["no_photo"],
        "d_Back": [],
        "e_Front": ["ambiguous"],
        next(c.name for c in found if c.name.startswith("photos_dress.jpg-")): ["name"],
    }
    (document,) = (c for c in found if c.name == "d_Back")
    assert document.inside and [fault.code for fault in document.unless_inside] == ["no_photo"]
    found.remove(document)
    texts = {c.name: c.faults[0].text for c in found}
    assert "2 photos of one name: b_Front.jpg, b_Front.tif; keep one" in texts["b_Front"]
    assert "--cutout-pattern" in texts["a_Front"]
    assert all(c.refused for c in found)


def test_documents_in_one_folder_are_named_by_the_option_that_also_names_their_photos(tmp_path):
    (tmp_path / "IMG_1.psd").touch()
    sides = sides_of(tmp_path, None, (DEFAULT_PATTERN, DEFAULT_PATTERN))
    (found,) = find_candidates(*sides, {}, out_dir=tmp_path / "out")
    assert found.faults[0].text.endswith("it is not named <garment>_<view>; rename it, or give --pattern")


def test_names_that_a_camera_used_again_are_told_apart_by_their_folders(pair):
    names = [f"{job}/IMG_1{place}" for job in ("a", "b") for place in ("", "_cut")]
    photos, cutouts = [f"{name}.jpg" for name in names[::2]], [f"{name}.png" for name in names[1::2]]
    (found,) = pair(photos, cutouts, patterns=("<garment>", "<garment>_cut"))
    fixes = "--pattern '<garment>/<garment>'", "--cutout-pattern '<garment>/<garment>_cut'"
    for fault, fix in zip(found.faults, fixes, strict=True):
        assert f"tell them apart by their folder: {fix}" in fault.text
    found = pair(photos, cutouts, patterns=("<garment>/<garment>", "<garment>/<garment>_cut"))
    assert codes(found) == {"a_IMG_1_unknown": [], "b_IMG_1_unknown": []}


def test_what_is_passed_over_is_listed(pair, tmp_path):
    pair(["a_Front.jpg", "b_Front.CR2", "Thumbs.db", "b_Front.psd"], ["a_Front.png", "b_Front.bmp", "done/c_Front.png"])
    (tmp_path / "cutouts/done/.garmentcut.lock").touch()
    passed_over = []
    sides = sides_of(tmp_path / "originals", tmp_path / "cutouts", (DEFAULT_PATTERN, DEFAULT_PATTERN))
    find_candidates(*sides, {}, out_dir=tmp_path, skipped=passed_over)
    assert {path.removeprefix(f"{tmp_path}/"): code for path, code in passed_over} == {
        "originals/b_Front.CR2": "suffix",
        "originals/b_Front.psd": "suffix",
        "originals/Thumbs.db": "junk",
        "cutouts/b_Front.bmp": "suffix",
        "cutouts/done": "cutouts",
    }
    passed_over = []
    sides = sides_of(tmp_path / "originals", None, (DEFAULT_PATTERN, DEFAULT_PATTERN))
    find_candidates(*sides, {}, out_dir=tmp_path, skipped=passed_over)
    assert [Path(path).name for path, _ in passed_over] == ["Thumbs.db", "b_Front.CR2"]


def test_one_folder_of_documents_with_what_lies_beside_them(pair, tmp_path):
    names = ["a_Front.psd", "a_Front.JPG", "b_Back.PSD", "c_Front.psd", "c_Front.jpg", "c_Front.tif", "d_Front.jpg"]
    pair([*names, "sheet.jpg", "e.psd"], ["x_Front.png"])
    sides = sides_of(tmp_path / "originals", None, (DEFAULT_PATTERN, DEFAULT_PATTERN))
    found = {c.name: c for c in find_candidates(*sides, {}, out_dir=tmp_path)}
    misfit = next(name for name in found if name.startswith("cutouts_e.psd-"))
    assert codes(found.values()) == {"a_Front": [], "b_Back": [], "c_Front": [], misfit: ["name"]}
    assert found["a_Front"].photo.name == "a_Front.JPG"
    assert (found["b_Back"].photo, found["c_Front"].photo) == (None, None)
    later = {name: [fault.code for fault in c.unless_inside] for name, c in found.items()}
    assert later == {"a_Front": [], "b_Back": ["no_photo"], "c_Front": ["ambiguous"], misfit: []}
    assert all(c.inside for name, c in found.items() if name != misfit)


def test_other_views_are_unknown_and_stay_apart(pair):
    left, right = pair(["a_Left.jpg", "a_Top.jpg"], ["a_left.png", "a_top.png"])
    assert (left.name, left.view, left.refused) == ("a_Left", "unknown", False)
    assert "'Left' is none of Front, FrontRight, Back" in left.faults[0].text
    assert right.name == "a_Top"


def test_without_views(pair):
    (found,) = pair(["a_1.jpg"], ["a_1.png"], patterns=("<garment>", "<garment>"))
    assert (found.name, found.garment, found.view, found.faults) == ("a_1_unknown", "a_1", "unknown", ())


def test_cutouts_with_a_pattern_of_their_own(pair):
    (found,) = pair(["a_Front.jpg"], ["CUT a_Front v3.psd"], patterns=(DEFAULT_PATTERN, "cut <garment>_<view>*"))
    assert found.faults == ()


def test_a_garment_is_spelt_in_one_way(pair):
    found = pair(["A1_Front.jpg", "a1_Back.jpg"], ["a1_Front.png", "a1_back.png"])
    assert len({candidate.garment for candidate in found}) == 1
    assert [candidate.refused for candidate in found] == [False, False]


def test_what_is_not_searched(pair, tmp_path):
    """Cutouts inside the originals' folder, the data set, outputs of other runs, hidden and foreign files."""
    for folder in ("dataset/alpha", "results", ".trash"):
        (tmp_path / "originals" / folder).mkdir(parents=True)
        (tmp_path / "originals" / folder / "x_Front.jpg").touch()
    (tmp_path / "originals/results/.garmentcut.lock").touch()
    found = pair(["a_Front.jpg", "notes.txt", "._b_Front.jpg"], ["a_Front.png"], cutouts_dir="originals/cutouts")
    assert codes(found) == {"a_Front": []}


def test_names_that_are_no_text(pair, tmp_path):
    try:
        (tmp_path / "originals").mkdir()
        (tmp_path / "originals/b\udcff_Front.jpg").touch()
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    _, bad = pair(["a_Front.jpg"], ["a_Front.png"])
    assert bad.faults[0].text == r"photo b\udcff_Front.jpg: its name is not valid Unicode; rename it"


def test_folders_that_cannot_be_worked_with(pair, tmp_path):
    with pytest.raises(DatasetError, match=r"cutouts: no cutouts there; looked for .*psd"):
        pair(["a_Front.jpg"], [])
    with pytest.raises(DatasetError, match="nowhere: not a folder"):
        sides_of(tmp_path / "nowhere", tmp_path, (DEFAULT_PATTERN, DEFAULT_PATTERN))
    with pytest.raises(DatasetError, match="photos and cutouts in one folder"):
        sides_of(tmp_path, tmp_path / "originals/..", (DEFAULT_PATTERN, DEFAULT_PATTERN))
    with pytest.raises(DatasetError, match="one has <view> and the other has not"):
        sides_of(tmp_path / "originals", tmp_path / "cutouts", (DEFAULT_PATTERN, "<garment>"))
