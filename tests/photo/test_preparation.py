import numpy as np
import pytest

from garmentcut.config import OutputConfig
from garmentcut.photo import path
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.path import draw_path
from garmentcut.photo.photo import OutputError
from garmentcut.photo.preparation import Preparation


@pytest.fixture
def cutout(studio):
    drawn = studio()
    return Cutout(drawn.photo, drawn.alpha)


def prepare(cutout, **output):
    return Preparation(cutout, OutputConfig(**{"formats": ("psd", "mask"), **output}))


def test_each_thing_is_worked_out_once(cutout):
    prepared = prepare(cutout, trim=True, path="exact")
    assert prepared.untouched is prepared.untouched
    assert prepared.cleaned is prepared.cleaned
    assert prepared.path("none") is prepared.path("editable")


@pytest.mark.parametrize(
    ("hidden", "auto", "is_kept"),
    [("auto", "keep", True), ("auto", "clear", False), ("keep", "clear", True), ("clear", "keep", False)],
)
def test_hidden_pixels_as_asked_or_as_the_format_does(cutout, hidden, auto, is_kept):
    wanted = prepare(cutout, hidden=hidden).wanted(auto)
    np.testing.assert_array_equal(wanted.rgb, cutout.rgb if is_kept else cutout.cleaned.rgb)


def test_a_background_takes_clean_rims_and_no_alpha(cutout):
    flat = prepare(cutout, background="#102030").flat("keep")
    np.testing.assert_array_equal(flat, cutout.cleaned.over("#102030"))


@pytest.mark.parametrize(
    ("path", "auto", "has_path"),
    [("auto", "none", False), ("auto", "editable", True), ("none", "editable", False), ("exact", "none", True)],
)
def test_a_path_as_asked_or_as_the_format_does(cutout, path, auto, has_path):
    prepared = prepare(cutout, path=path)
    assert (prepared.path(auto) is not None) == has_path
    assert bool(prepared.resources(auto)) == has_path


def test_the_path_is_that_of_the_trimmed_picture(cutout):
    prepared = prepare(cutout, trim=True, margin_px=11, path="exact")
    drawn = draw_path(prepared.path("none"), prepared.untouched.alpha.shape)
    inside = prepared.untouched.alpha >= 0.5
    assert ((drawn >= 0.5) == inside).mean() > 0.999


def test_exact_is_nearer_than_editable(cutout):
    def knots(kind):
        return sum(len(outline.knots) for outline in prepare(cutout, path=kind).path("none").subpaths)

    assert knots("exact") >= knots("editable")


def test_no_outline_is_an_error_only_where_one_was_asked_for(cutout):
    sheer = Cutout(cutout.rgb, cutout.alpha * np.float32(0.4))
    assert prepare(sheer).path("editable") is None
    assert prepare(sheer).resources("editable") == []
    with pytest.raises(OutputError, match="no outline for a path: nothing is half opaque"):
        prepare(sheer, path="editable").path("none")


def test_a_ragged_outline_is_an_error_only_where_one_was_asked_for(cutout, monkeypatch):
    monkeypatch.setattr(path, "MOST_KNOTS", 1)
    assert prepare(cutout).path("editable") is None
    with pytest.raises(OutputError, match=r"too ragged for a path \(.+ knots\); use path = 'none'"):
        prepare(cutout, path="exact").path("none")


def test_nothing_to_trim_to_and_too_much_margin(cutout):
    empty = Cutout(cutout.rgb, np.zeros_like(cutout.alpha))
    with pytest.raises(OutputError, match="nothing to trim to"):
        _ = prepare(empty, trim=True).untouched
    with pytest.raises(OutputError, match=r"a margin of 20000 pixels makes 16.. megapixels; use a smaller one"):
        _ = prepare(cutout, trim=True, margin_px=20_000).cleaned
