import pytest

from garmentcut.photo.lettering import fit_line, legible, width_of, wrap_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dress_Front 12 … ·", "dress_Front 12 … ·"),
        ("Åse", "Ase"),  # the base letter, where the font lacks the accent
        ("A\N{COMBINING RING ABOVE}se", "Ase"),  # as macOS hands it over
        ("中文.psd", "??.psd"),
        ("a\nb\tc", "a b c"),
        ("bad\udcff\x00", "bad??"),  # a file name need not be Unicode
        ("\N{DRESS}", "?"),
    ],
)
def test_what_the_font_lacks_is_replaced(text, shown):
    assert legible(text) == shown
    assert width_of(legible(text), 14) > 0


def test_a_long_name_keeps_its_beginning_and_its_end():
    name = "15d4c04f-e650-59a6-8218-e85a82fe1bfa_FrontRight"
    short = fit_line(name, 200, 14)
    head, _, tail = short.partition("…")
    assert width_of(short, 14) <= 200 < width_of(name, 14)
    assert name.startswith(head)
    assert name.endswith(tail)
    assert "FrontRight" in tail
    assert 0 <= len(head) - len(tail) <= 1
    assert fit_line(name, 1000, 14) == name
    assert fit_line("wide", 1, 14) == ""


def test_words_are_wrapped_and_the_rest_is_hinted_at():
    text = "sheer rim;  garment like\nbackground at the left sleeve"
    lines = wrap_lines(text, 150, 13, max_lines=9)
    assert len(lines) > 1
    assert " ".join(lines) == "sheer rim; garment like background at the left sleeve"
    assert all(width_of(line, 13) <= 150 for line in lines)
    short = wrap_lines(text, 150, 13, max_lines=2)
    assert short[0] == lines[0]
    assert short[1].endswith("…")
    assert width_of(short[1], 13) <= 150


def test_a_word_longer_than_a_line_is_broken():
    lines = wrap_lines("x" * 100, 100, 13, max_lines=99)
    assert "".join(lines) == "x" * 100
    assert all(width_of(line, 13) <= 100 for line in lines)
    assert wrap_lines("", 100, 13, max_lines=2) == []
