import numpy as np
import pytest
from PIL import Image

from garmentcut.photo.clipping_path import (
    draw_path,
    find_clipping_path,
    jpeg_resources,
    parse_path,
    split_resources,
)
from garmentcut.photo.photo import PhotoError

from .made import encoded, pixels
from .made_cutout import (
    COMBINE,
    EXCLUDE,
    INTERSECT,
    MERGED,
    SUBTRACT,
    box,
    circle,
    clipping_name,
    path_records,
    path_resources,
    resource,
    with_app13,
)

SIZE = (80, 60)
CIRCLE_SHARE = 1.00028001  # what four cubic curves enclose of pi * r * r, by integration


def drawn(subpaths, size_hw=SIZE, **options):
    return draw_path(parse_path(path_records(subpaths, size_hw, **options)), size_hw)


def test_a_circle_has_its_area_and_place():
    alpha = drawn([circle(30.3, 40.7, 25)])
    assert alpha.sum() == pytest.approx(np.pi * 25**2 * CIRCLE_SHARE, rel=3e-5)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    assert (alpha * x).sum() / alpha.sum() == pytest.approx(30.3, abs=1e-3)
    assert (alpha * y).sum() / alpha.sum() == pytest.approx(40.7, abs=1e-3)
    distance = np.hypot(x - 30.3, y - 40.7)
    assert (alpha[distance < 24] == 1).all()
    assert not alpha[distance > 26].any()


def test_knots_stand_y_first_as_shares_of_the_sides():
    path = parse_path(path_records([box(6, 20, 45, 60)], SIZE))
    assert path.subpaths[0].knots.shape == (4, 3, 2)
    np.testing.assert_allclose(path.subpaths[0].knots[0, 1], [0.1, 0.25], atol=1e-7)
    alpha = drawn([box(6, 20, 45, 60)])
    assert alpha[20:60, 6:45].min() > 0.9999
    assert alpha.sum() == pytest.approx(40 * 39, abs=0.01)


A, B = box(10, 10, 40, 40), box(30, 10, 50, 40)  # 900 and 600, 300 in both
AREAS = {
    (EXCLUDE, EXCLUDE): 900,
    (COMBINE, EXCLUDE): 900,
    (COMBINE, COMBINE): 1200,
    (COMBINE, SUBTRACT): 600,
    (COMBINE, INTERSECT): 300,
    (COMBINE, MERGED): 900,
    (SUBTRACT, COMBINE): 4800 - 900 + 300,
    (SUBTRACT, SUBTRACT): 4800 - 1200,
    (INTERSECT, EXCLUDE): 900,
}


@pytest.mark.parametrize("operations", AREAS, ids=str)
def test_operations_of_subpaths(operations):
    assert drawn([A, B], operations=operations).sum() == pytest.approx(AREAS[operations], abs=0.1)


def test_operations_apply_in_order():
    """Two united, then a third excluded: not the even-odd fill of the three."""
    alpha = drawn([A, B, box(35, 15, 45, 20)], operations=(COMBINE, COMBINE, EXCLUDE))
    assert alpha.sum() == pytest.approx(1200 - 50, abs=0.1)


@pytest.mark.parametrize("turn", [1, -1])
def test_a_hole_is_a_hole_whatever_its_direction(turn):
    alpha = drawn([circle(30, 40, 25), circle(30, 40, 10, turn=turn)])
    assert alpha.sum() == pytest.approx(np.pi * (25**2 - 10**2) * CIRCLE_SHARE, rel=3e-5)


def test_shapes_that_touch_leave_no_seam():
    """Merged into one fill: laid over each other, each would give half a border pixel, together 0.75."""
    alpha = drawn([box(10, 10, 20.5, 40), box(20.5, 10, 40, 40)])
    assert alpha[15:30, 20].min() > 0.9999


def test_an_open_path_is_closed_by_a_straight_line():
    knots = circle(30, 40, 20)[:3]  # right, lower, left: the half below the line back
    alpha = drawn([knots], closed=False)
    assert alpha.sum() == pytest.approx(np.pi * 20**2 * CIRCLE_SHARE / 2, rel=1e-4)


def test_without_an_outline_the_initial_fill_counts():
    assert not drawn([]).any()
    assert (drawn([], initial_fill=1) == 1).all()


def test_a_path_beyond_the_borders_is_cut_off():
    alpha = drawn([box(-20, -20, 30, 40)])
    assert alpha.sum() == pytest.approx(30 * 40, abs=0.1)


def test_resources_are_split_with_their_names():
    data = resource(1005, b"12345678") + path_resources(b"\0" * 26, "Påth") + resource(1028, b"odd")
    assert [(r.number, r.name, len(r.data)) for r in split_resources(data)] == [
        (1005, "", 8),
        (2000, "Påth", 26),
        (2999, "", 11),
        (1028, "", 3),
    ]


def test_resources_end_at_the_first_damaged():
    data = resource(1005, b"12345678") + resource(2000, b"x" * 26)
    for end in range(len(data)):
        assert len(split_resources(data[:end])) == (end >= 20)
    assert len(split_resources(data + bytes(7))) == 2


@pytest.mark.parametrize("parts", [1, 3])
def test_resources_of_a_jpeg_are_joined(parts):
    jpeg = encoded(Image.fromarray(pixels()), "JPEG", comment=b"8BIM")
    assert jpeg_resources(jpeg) == b""
    resources = path_resources(path_records([A], SIZE))
    assert jpeg_resources(with_app13(jpeg, resources, parts=parts)) == resources


def saved(*paths, clips=None):
    records = [resource(2000 + k, path_records([box(0, 0, 10, 10 + k)], SIZE), name) for k, name in enumerate(paths)]
    named = [resource(2999, clipping_name(clips))] if clips else []
    return split_resources(b"".join(records + named))


def test_the_named_path_clips():
    path, notes = find_clipping_path(saved("Path 1", "Dress", "Path 3", clips="Dress"))
    assert (path.name, notes) == ("Dress", ())


def test_without_a_name_the_first_path_clips():
    path, notes = find_clipping_path(saved("Path 1"))
    assert (path.name, notes) == ("Path 1", ())
    path, notes = find_clipping_path(saved("Path 1", "Dress"))
    assert (path.name, notes) == ("Path 1", ("no path is set as clipping path: the first of 2, 'Path 1', used",))


def test_a_named_path_that_is_missing_is_told():
    path, notes = find_clipping_path(saved("Path 1", clips="Dress"))
    assert (path.name, notes) == ("Path 1", ("the clipping path 'Dress' is missing: 'Path 1' used",))


def test_paths_without_outlines_do_not_count():
    assert find_clipping_path([]) is None
    assert find_clipping_path(split_resources(path_resources(path_records([], SIZE)))) is None


def test_a_damaged_path_ends_where_it_is_cut():
    records = path_records([A], SIZE)
    for end in range(len(records)):
        alpha = draw_path(parse_path(records[:end]), SIZE)
        assert 0 <= alpha.min() <= alpha.max() <= 1


def test_absurdly_many_knots_are_refused():
    with pytest.raises(PhotoError, match="50000 knots"):
        parse_path(path_records([A], SIZE) + path_records([A * 1], SIZE)[-26:] * 50_001)
