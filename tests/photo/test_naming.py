import pytest

from garmentcut.config import ConfigError
from garmentcut.photo.naming import FilledPattern, Subject, check_pattern, fill_pattern

DRESS = Subject("12_34", "Front", "12_34_Front")


@pytest.mark.parametrize(
    ("pattern", "counter", "name"),
    [
        ("{stem}", 1, "12_34_Front"),
        ("{garment}/{garment}_{view}", 1, "12_34/12_34_Front"),
        ("{garment}_{counter}", 12, "12_34_12"),
        ("shop-{counter:03}-{view}", 7, "shop-007-Front"),
        ("{counter:02}", 100, "100"),
        ("{{x}}{view}", 1, "{x}Front"),
        ("plain", 1, "plain"),
    ],
)
def test_fields(pattern, counter, name):
    check_pattern(pattern, "a.toml")
    assert fill_pattern(pattern, DRESS).numbered(counter) == name


def test_a_photo_without_view():
    assert fill_pattern("{garment}_{view}", Subject("IMG_0001", "", "IMG_0001")).numbered(1) == "IMG_0001_unknown"


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{garmet}", r"unknown field \{garmet\}; fields are \{garment\}, \{view\}, \{stem\}, \{counter\}"),
        ("{}", r"unknown field \{\}"),
        ("{stem.x}", "unknown field"),
        ("{0}", "unknown field"),
        ("{stem", "expected '}'"),
        ("stem}", "fields are"),
        ("{stem:03}", r"only \{counter\} has a width"),
        ("{counter!r}", "only {counter} has a width"),
        ("{counter:>9}", "only {counter} has a width"),
        ("{counter}{counter}", "at most once"),
        ("a:{stem}", "refuse"),
        ("a\\{stem}", "refuse"),
        ("{stem}\0", "refuse"),
        ("", "no empty part"),
        ("/{stem}", "no empty part"),
        ("../{stem}", "no empty part"),
        ("a//{stem}", "no empty part"),
        ("{stem}/", "no empty part"),
        ("{stem}.", "no empty part"),
        (" {stem}", "no empty part"),
    ],
)
def test_patterns_that_name_no_file(pattern, message):
    with pytest.raises(ConfigError, match=message) as caught:
        check_pattern(pattern, "a.toml")
    assert str(caught.value).startswith("a.toml: file.name = ")


def test_the_counter_in_a_name():
    filled = FilledPattern("a_", "_z", 3)
    assert [filled.counter_of(name) for name in ("a_007_z", "a_1000_z", "a_7_z", "b_007_z", "a_007", "a_x07_z")] == [
        7,
        1000,
        None,
        None,
        None,
        None,
    ]
    assert FilledPattern("ab", "ba", 1).counter_of("aba") is None
