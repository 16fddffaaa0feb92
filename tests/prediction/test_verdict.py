import hashlib
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest

from garmentcut.config import CutConfig
from garmentcut.errors import FLAGS, ConfigError
from garmentcut.photo.write import png_bytes
from garmentcut.prediction.cutter import Prediction
from garmentcut.prediction.doubt import ALL_FEATURES, draw_maps, observe
from garmentcut.prediction.locate import Frame
from garmentcut.prediction.results import VIEW_FLAGS, Journal, Row, heat_path, remove_misplaced, write_heat
from garmentcut.prediction.sources import sorted_outputs, unsorted_output
from garmentcut.prediction.verdict import (
    Judge,
    Reason,
    ViewComparison,
    find_odd_views,
    heat_of,
    move_outputs,
    place_of,
    reasons_of,
)


def prediction_of(shown):
    size = shown.alpha.shape
    return Prediction.of_frame(shown.alpha, Frame(shown.photo, size, size))


def test_a_card_without_doubt_says_nothing(card, studio):
    judge = Judge.of(card)
    assert judge.verdict_of(0.5) == ""
    assert judge(prediction_of(studio())).doubt is None
    with pytest.raises(ConfigError, match="run `garmentcut calibrate`"):
        Judge.of(card, 0.05)


def test_without_a_threshold_there_is_doubt_and_no_verdict_and_only_the_unusual_is_reported(card, studio, make_doubt):
    model = make_doubt(edge_softness=1.0)
    found = Judge.of(replace(card, doubt=model))(prediction_of(studio()))
    assert 0 < found.doubt < 1
    assert (found.verdict, found.reasons, found.heat) == ("", (), None)
    unusual = replace(model, limits=(-9.0, *model.limits[1:]), center=(-9.0, *model.center[1:]))
    found = Judge.of(replace(card, doubt=unusual))(prediction_of(studio()))
    assert found.verdict == ""
    assert [reason.partition(" at ")[0] for reason in found.reasons] == ["soft or sheer edge"]
    assert found.heat
    trusted = replace(unusual, center=(9.0, *model.center[1:]))  # unusual it is, but doubted less than most
    assert Judge.of(replace(card, doubt=trusted))(prediction_of(studio())).reasons == ()


def test_a_foreign_photo_is_never_accepted_and_says_so_first(card, studio, make_doubt, make_acceptance):
    model = replace(make_doubt(bias=-9.0), limits=(-9.0, *make_doubt().limits[1:]))
    judge = Judge.of(replace(card, doubt=model, acceptance=make_acceptance(r05=0.99)))
    assert judge(prediction_of(studio())).verdict == "accept"
    foreign = replace(judge, card=replace(judge.card, doubt=replace(model, foreign_distance=1.0)))
    found = foreign(prediction_of(studio()))
    assert (found.verdict, found.flags[0]) == ("review", "foreign")
    assert found.reasons[0] == "unlike the studio this model learned from"
    assert found.heat
    unjudged = replace(foreign, max_doubt=None)(prediction_of(studio()))
    assert (unjudged.verdict, unjudged.flags[0]) == ("", "foreign")


@pytest.mark.parametrize("cut", [CutConfig("fast"), CutConfig(choke_px=1.0)])
def test_what_was_not_calibrated_has_no_guarantee(card, studio, make_doubt, make_acceptance, cut):
    told = replace(card, doubt=make_doubt(edge_softness=1.0), acceptance=make_acceptance(r05=0.99))
    assert Judge.of(told, cut=CutConfig())(prediction_of(studio())).verdict == "accept"
    found = Judge.of(told, cut=cut)(prediction_of(studio()))
    assert found.verdict == ""
    assert (found.doubt is None) == (cut.effort == "fast")  # another network's cutout
    with pytest.raises(ConfigError, match="normal effort and its own edge only"):
        Judge.of(told, 0.05, cut=cut)


def test_the_threshold_divides(card, studio, make_doubt, make_acceptance):
    told = replace(card, doubt=make_doubt(edge_softness=2.0, bias=-6.0), acceptance=make_acceptance(r05=0.5))
    judge = Judge.of(told)
    sharp, soft = judge(prediction_of(studio())), judge(prediction_of(studio(sigma=9)))
    assert (sharp.verdict, sharp.reasons, sharp.heat) == ("accept", (), None)
    assert (soft.verdict, bool(soft.reasons), bool(soft.heat)) == ("review", True, True)
    assert len(soft.appearance) == 11


def test_a_risk_is_chosen_and_never_made_up(card, make_doubt, make_acceptance):
    told = replace(card, doubt=make_doubt(), acceptance=make_acceptance(r05=0.2, r10=0.4, r01=None))
    assert Judge.of(told).max_doubt == 0.2
    assert Judge.of(told, 0.1).max_doubt == 0.4
    assert Judge.of(told, 0.07).max_doubt == 0.2  # guaranteed for less risk, so for this too
    with pytest.raises(ConfigError, match=r"cannot guarantee folder.accept_risk 0.01: cannot: too few garments"):
        Judge.of(told, 0.01)
    with pytest.raises(ConfigError, match=r"the least risk it was calibrated for is 0.01"):
        Judge.of(told, 0.001)
    assert Judge.of(replace(told, acceptance=make_acceptance(r05=None))).max_doubt is None


def test_nothing_cut_out_is_not_judged(card, make_doubt):
    nothing = np.zeros((96, 64), np.float32)
    judge = Judge.of(replace(card, doubt=make_doubt()))
    assert judge(Prediction.of_frame(nothing, Frame(np.zeros((96, 64, 3), np.uint8), (96, 64), (96, 64)))).doubt is None


def test_heat_is_where_alpha_is_unsure_or_the_edge_has_no_contrast():
    alpha = np.zeros((240, 160), np.float32)
    alpha[60:180, 40:120] = 1
    rgb = np.where(alpha[..., None] > 0, np.uint8(40), np.uint8(200)).repeat(3, axis=2).astype(np.uint8)
    rgb[100:140, 40:60] = 200  # like the wall
    alpha[80:90, 90:100] = 0.5
    heat = heat_of(draw_maps(rgb, alpha))
    assert heat.shape == (240, 160)
    assert heat[85, 95] == 255
    assert heat[120, 40] > 100
    assert heat[160, 40] < 30  # a sharp edge that is well seen
    assert not heat[150, 80]
    assert not heat[:40].any()


def test_the_file_is_an_8_bit_gray_picture(studio):
    shown = studio()
    maps = draw_maps(shown.photo, shown.alpha)
    np.testing.assert_array_equal(imagecodecs.png_decode(png_bytes(heat_of(maps))), heat_of(maps))


def dress(height=400, width=260):
    """A gray wall and a dark dress; its alpha."""
    alpha = np.zeros((height, width), np.float32)
    alpha[60:340, 80:180] = 1
    rgb = np.where(alpha[..., None] > 0, np.uint8(40), np.uint8(200)).repeat(3, axis=2).astype(np.uint8)
    return rgb, alpha


def with_limit(model, feature, limit):
    limits = list(model.limits)
    limits[ALL_FEATURES.index(feature)] = limit
    return replace(model, limits=tuple(limits))


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (130, 65, "neckline"),
        (85, 70, "left shoulder"),
        (85, 150, "left sleeve"),
        (175, 150, "right sleeve"),
        (130, 150, "chest"),
        (175, 270, "right side"),
        (130, 335, "hem"),
        (82, 335, "hem on the left"),
    ],
)
def test_places_have_names(x, y, words):
    maps = observe(*dress()).maps
    left, top = maps.corner_xy
    assert place_of(maps, x - left, y - top) == words


def test_a_skirt_has_no_sleeves():
    rgb, alpha = dress()
    alpha[:200] = 0
    maps = observe(rgb, alpha).maps
    left, top = maps.corner_xy
    assert [place_of(maps, 85 - left, y - top) for y in (205, 250, 338)] == [
        "waist on the left",
        "left side",
        "hem on the left",
    ]


def test_a_garment_like_the_background_is_said_where(make_doubt):
    rgb, alpha = dress()
    rgb[140:190, 80:120] = 200
    model = with_limit(make_doubt(), "low_contrast", 0.01)
    assert reasons_of(model, observe(rgb, alpha)) == (
        Reason("low_contrast", "garment like background at the left sleeve"),
    )


def test_a_garment_lies_on_its_side_two_that_stand_beside_each_other_do_not(make_doubt):
    model = replace(make_doubt(), foreign_distance=0.01)
    rgb, alpha = dress()
    lying = reasons_of(model, observe(np.ascontiguousarray(rgb.transpose(1, 0, 2)), np.ascontiguousarray(alpha.T)))
    beside = reasons_of(model, observe(np.hstack([rgb] * 3), np.hstack([alpha] * 3)))
    assert [reason.flag for reason in lying][:2] == ["foreign", "sideways"]
    assert "sideways" not in [reason.flag for reason in beside]


def test_parts_holes_sheer_cloth_and_the_frame(make_doubt):
    rgb, alpha = dress()
    alpha[200:206] = 0
    alpha[300:310, 120:140] = 0
    alpha[250:280, 150:178] = 0.6
    alpha[330:400, 100:160] = 1
    model = make_doubt()
    for feature, limit in (("components", 1.0), ("holes", 0.0), ("sheer", -5.0)):
        model = with_limit(model, feature, limit)
    found = [reason.text for reason in reasons_of(model, observe(rgb, alpha))]
    assert len(found) == 3  # the strongest; more are not read
    assert found[0] == "sheer or unsure inside at the right side"
    assert "touches the frame: bottom" in found
    assert set(found) <= {"two parts", "hole at the middle", "touches the frame: bottom", found[0]}


def test_where_nothing_is_unusual_what_counts_most_is_said(make_doubt):
    rgb, alpha = dress()
    rgb[alpha > 0] = 185
    assert reasons_of(make_doubt(contrast=-1.0), observe(rgb, alpha)) == ()  # much contrast pushes doubt down
    model = replace(make_doubt(contrast=-1.0), center=(9.0,) * len(ALL_FEATURES))
    assert reasons_of(model, observe(rgb, alpha)) == (Reason("low_contrast", "little contrast along the edge"),)
    assert reasons_of(model, observe(rgb, alpha), at_least_one=False) == ()


def put(out, name, content=b"x"):
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_names_go_to_the_verdicts_folder_and_back():
    assert sorted_outputs(["day/a.png"], "accept") == ("accepted/day/a.png",)
    assert sorted_outputs(["a.png"], "review") == ("review/a.png",)
    assert sorted_outputs(["a.png"], "") == ("a.png",)
    assert [unsorted_output(name) for name in ("accepted/day/a.png", "review/a.png", "day/a.png", "review")] == [
        "day/a.png",
        "a.png",
        "day/a.png",
        "review",
    ]


def test_heat_maps_come_and_go(tmp_path):
    write_heat(tmp_path, "day/a", b"png")
    assert heat_path(tmp_path, "day/a").read_bytes() == b"png"
    assert heat_path(tmp_path, "day/a") == tmp_path / ".garmentcut/heat/day/a.png"
    write_heat(tmp_path, "day/a", None)
    write_heat(tmp_path, "day/a", None)
    assert not heat_path(tmp_path, "day/a").exists()


def test_what_an_earlier_verdict_left_goes_unless_somebody_worked_on_it(tmp_path):
    ours, changed = put(tmp_path, "review/a.png"), put(tmp_path, "review/b.png", b"retouched")
    row = Row("/in/a", outputs=("accepted/a.png",), written={"review/a.png": (ours,), "accepted/a.png": ()})
    remove_misplaced(tmp_path, row)
    assert not (tmp_path / "review/a.png").exists()
    remove_misplaced(tmp_path, Row("/in/b", outputs=("accepted/b.png",), written={"review/b.png": ("0" * 64,)}))
    assert hashlib.sha256((tmp_path / "review/b.png").read_bytes()).hexdigest() == changed


def test_outputs_move_together_or_not_at_all(tmp_path):
    hashes = put(tmp_path, "accepted/a.png"), put(tmp_path, "accepted/a_mask.png", b"m")
    names = ("accepted/a.png", "accepted/a_mask.png")
    row = Row(
        "/in/a", outputs=names, verdict="review", written=dict(zip(names, [(one,) for one in hashes], strict=True))
    )
    stranger = put(tmp_path, "review/a_mask.png", b"somebody's")
    assert move_outputs(tmp_path, row).outputs == names
    (tmp_path / "review/a_mask.png").unlink()
    assert stranger
    assert move_outputs(tmp_path, row).outputs == ("review/a.png", "review/a_mask.png")
    assert (tmp_path / "review/a_mask.png").read_bytes() == b"m"
    assert not (tmp_path / "accepted/a.png").exists()


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
    assert odd == {"FrontRight": (Reason("length_unlike_views", "length unlike its Back and Front"),)}


def test_of_two_nobody_knows_which_is_wrong():
    odd = find_odd_views({"Front": appearance(components=2.0), "Back": appearance(cr=180.0)})
    texts = {view: [reason.text for reason in found] for view, found in odd.items()}
    assert texts["Front"] == ["colour unlike its Back", "other number of parts than its Back"]
    assert texts["Back"] == ["colour unlike its Front", "other number of parts than its Front"]
    assert [reason.flag for reason in odd["Front"]] == ["color_unlike_views", "components_unlike_views"]
    assert {reason.flag for reason in odd["Back"]} <= set(VIEW_FLAGS) <= set(FLAGS)


@pytest.mark.parametrize(("own_doubt", "raised"), [(0.0, 0.5), (0.4, 0.7), (1.0, 1.0)])
def test_an_odd_view_is_doubted_more_but_never_beyond_one(card, make_doubt, tmp_path, own_doubt, raised):
    comparison = ViewComparison(Judge.of(replace(card, doubt=make_doubt())), Journal(tmp_path))
    assert comparison._judged(Row("/in/a.jpg", own_doubt=own_doubt), (Reason("holes", "two holes"),)).doubt == raised


def test_that_a_photo_is_foreign_stays_first_among_its_flags(card, make_doubt, tmp_path):
    comparison = ViewComparison(Judge.of(replace(card, doubt=make_doubt())), Journal(tmp_path))
    row = Row("/in/a.jpg", own_doubt=0.2, flags=("foreign", "holes"), reasons=("unlike", "hole"))
    odd = comparison._judged(row, (Reason("color_unlike_views", "colour unlike its Back"),))
    assert odd.flags == ("foreign", "color_unlike_views", "holes")
    assert odd.reasons == ("unlike", "colour unlike its Back", "hole")
    again = comparison._judged(odd, ())
    assert (again.flags, again.reasons) == (row.flags, row.reasons)
