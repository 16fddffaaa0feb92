from pathlib import PurePosixPath

import pytest

from garmentcut.errors import DatasetError
from garmentcut.naming import VIEWS, Key, NamePattern, safe_name
from garmentcut.synthetic import VIEWS as STUDIO_VIEWS


@pytest.mark.parametrize(
    ("pattern", "path", "key"),
    [
        ("<garment>_<view>", "12_Front.jpg", Key("12", "Front")),
        ("<garment>_<view>", "day 1/12_34_back.tif", Key("12_34", "Back")),
        ("<garment>_<view>", "a_front_right.png", Key("a", "FrontRight")),  # not the view "right" of "a_front"
        ("<garment>_<view>", "a_FRONT-RIGHT.png", Key("a", "FrontRight")),
        ("<garment>_<view>", "a_b_Left.png", Key("a_b", "Left")),
        ("<garment>_<view>", "back_front.png", Key("back", "Front")),
        ("<garment>_<view>", "a.b_Front.v2.png", None),
        ("<garment>_<view>", "IMG_0001.jpg", None),
        ("<garment>_<view>", "dress.jpg", None),
        ("<garment>_<view>", "_Front.jpg", None),
        ("<view>-<garment>", "front-right-12.jpg", Key("12", "FrontRight")),
        ("<view>-<garment>", "Front-12.jpg", Key("12", "Front")),
        ("<garment>", "12_Front.jpg", Key("12_Front")),
        ("<garment>_<view>_cutout", "12_front_CUTOUT.psd", Key("12", "Front")),
        ("<garment>_<view>*", "12_front_right_final 2.psd", Key("12", "FrontRight")),
        ("*-<garment>_<view>", "2026-11-12_Front.psd", Key("11-12", "Front")),
        ("<garment>/<view>", "day/12/Back.jpg", Key("12", "Back")),
        ("<garment>/<view>", "Back.jpg", None),
        ("<garment>/*/<garment>_cutout", "all/Job0/raw/IMG_1_cutout.psd", Key("Job0_IMG_1")),
        ("<garment>/<garment>_<view>", "job 1/12_back.jpg", Key("job 1_12", "Back")),
        ("(<garment>)[<view>]", "(1.5)[back].jpg", Key("1.5", "Back")),
        ("<garment>_<view>", "cafe\u0301_Front.jpg", Key("caf\u00e9", "Front")),
    ],
)
def test_what_names_tell(pattern, path, key):
    assert NamePattern(pattern).read(PurePosixPath(path)) == key


@pytest.mark.parametrize("pattern", ["", "<view>", "<garment><garment>", "<garment>_<view>_<view>", "<garmet>", "<>"])
def test_patterns_that_make_no_sense(pattern):
    with pytest.raises(DatasetError, match="needs <garment> once"):
        NamePattern(pattern)


def test_names_differ_not_by_case():
    assert Key("A1", "Front").folded == Key("a1", "front").folded


def test_names_are_safe_and_stay_different():
    names = [
        "12_Front",
        "a:b",
        "a?b",
        "a/b",
        "..",
        ".hidden",
        "x" * 300,
        "x" * 301,
        "\u00e9" * 100,
        "tail.",
        "a\nb",
        "\udcff",
    ]
    safe = [safe_name(name) for name in names]
    assert safe[0] == "12_Front"
    assert len({name.casefold() for name in safe}) == len(names)
    for name in safe:
        assert len(name.encode()) <= 120
        assert not name.startswith(".") and not name.endswith(".") and not set(name) & set('/\\:*?"<>|\n')


def test_the_studio_draws_the_views_that_are_known():
    assert VIEWS == STUDIO_VIEWS
