from dataclasses import replace

from garmentcut.errors import FLAGS
from garmentcut.prediction.results import VIEW_FLAGS, Journal, Row
from garmentcut.prediction.verdict import Judge
from garmentcut.prediction.views import Odd, ViewComparison, find_odd_views, raised

PLAIN = (
    120.0,
    128.0,
    128.0,
    200.0,
    128.0,
    128.0,
    0.1,
    0.5,
    0.2,
    0.5,
    1.0,
)  # Y, Cb, Cr ..., height, width, middle, components


def appearance(**changed):
    places = {"cr": 2, "height": 7, "components": 10}
    return tuple(
        changed.get(next((k for k, p in places.items() if p == index), ""), value) for index, value in enumerate(PLAIN)
    )


def test_views_that_fit_are_not_odd():
    front_right, back = appearance(height=0.45), appearance(cr=140.0)
    assert find_odd_views({"Front": appearance(), "FrontRight": front_right, "Back": back}) == {}
    assert find_odd_views({"Front": appearance()}) == {}
    assert find_odd_views({"Front": appearance(), "Back": ()}) == {}


def test_of_three_the_one_that_differs_from_both_others_is_odd():
    odd = find_odd_views({"Front": appearance(), "FrontRight": appearance(height=0.3), "Back": appearance()})
    assert {view: found.reasons for view, found in odd.items()} == {"FrontRight": ("length unlike its Back and Front",)}


def test_of_two_nobody_knows_which_is_wrong():
    odd = find_odd_views({"Front": appearance(components=2.0), "Back": appearance(cr=180.0)})
    assert odd["Front"].reasons == ("colour unlike its Back", "other number of parts than its Back")
    assert odd["Back"].reasons == ("colour unlike its Front", "other number of parts than its Front")
    assert odd["Front"].flags == ("color_unlike_views", "components_unlike_views")
    assert set(odd["Back"].flags) <= set(VIEW_FLAGS) <= set(FLAGS)


def test_an_odd_view_is_doubted_more_but_never_beyond_one():
    assert raised(0.0) == 0.5
    assert raised(0.4) == 0.7
    assert raised(1.0) == 1.0


def test_that_a_photo_is_foreign_stays_first_among_its_flags(card, make_doubt, tmp_path):
    comparison = ViewComparison(Judge.of(replace(card, doubt=make_doubt())), Journal(tmp_path))
    row = Row("/in/a.jpg", own_doubt=0.2, flags=("foreign", "holes"), reasons=("unlike", "hole"))
    odd = comparison._judged(row, Odd(("color_unlike_views",), ("colour unlike its Back",)))
    assert odd.flags == ("foreign", "color_unlike_views", "holes")
    assert odd.reasons == ("unlike", "colour unlike its Back", "hole")
    again = comparison._judged(odd, Odd((), ()))
    assert (again.flags, again.reasons) == (row.flags, row.reasons)
