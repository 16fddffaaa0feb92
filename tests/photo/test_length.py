import pytest

from garmentcut.photo.length import Length, parse_length


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1700, Length(1700)),
        ("1700", Length(1700)),
        ("1700 px", Length(1700)),
        ("85%", Length(85, is_share=True)),
        ("12.5 %", Length(12.5, is_share=True)),
        (0, Length(0)),
        (None, None),
        (Length(3), Length(3)),
    ],
)
def test_lengths(value, expected):
    assert parse_length(value) == expected


@pytest.mark.parametrize(
    "value", ["", "85 percent", "-5 %", -5, "5cm", 1.5, True, "1e3", [5], "%", "٣", "101 %", 30_001, "30001 px"]
)
def test_anything_else_is_refused(value):
    with pytest.raises(ValueError, match=r"neither pixels such as|is too much"):
        parse_length(value)


def test_pixels_of_a_side():
    assert Length(85, is_share=True).px(2000) == 1700
    assert Length(12.5, is_share=True).px(1001) == 125
    assert Length(70).px(1) == 70
    assert [str(length) for length in (Length(85, is_share=True), Length(70))] == ["85 %", "70 px"]
