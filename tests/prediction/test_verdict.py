from dataclasses import replace

import numpy as np
import pytest

from garmentcut.config import ConfigError, CutConfig
from garmentcut.prediction.frame import Frame
from garmentcut.prediction.looks import Looks
from garmentcut.prediction.verdict import Judge


def looks_of(shown):
    size = shown.alpha.shape
    return Looks.of_frame(shown.alpha, Frame(shown.photo, size, size))


def test_a_card_without_doubt_says_nothing(card, studio):
    judge = Judge.of(card)
    assert judge.verdict_of(0.5) == ""
    assert judge(looks_of(studio())).doubt is None
    with pytest.raises(ConfigError, match="run `garmentcut calibrate`"):
        Judge.of(card, 0.05)


def test_without_a_threshold_there_is_doubt_and_no_verdict_and_only_the_unusual_is_told(card, studio, make_doubt):
    model = make_doubt(rim=1.0)
    found = Judge.of(replace(card, doubt=model))(looks_of(studio()))
    assert 0 < found.doubt < 1
    assert (found.verdict, found.reasons, found.heat) == ("", (), None)
    unusual = replace(model, limits=(-9.0, *model.limits[1:]), center=(-9.0, *model.center[1:]))
    found = Judge.of(replace(card, doubt=unusual))(looks_of(studio()))
    assert found.verdict == ""
    assert [reason.partition(" at ")[0] for reason in found.reasons] == ["soft or sheer rim"]
    assert found.heat
    trusted = replace(unusual, center=(9.0, *model.center[1:]))  # unusual it is, but doubted less than most
    assert Judge.of(replace(card, doubt=trusted))(looks_of(studio())).reasons == ()


@pytest.mark.parametrize("cut", [CutConfig("fast"), CutConfig("best"), CutConfig(choke_px=1.0)])
def test_what_was_not_calibrated_is_promised_nothing(card, studio, make_doubt, make_acceptance, cut):
    told = replace(card, doubt=make_doubt(rim=1.0), acceptance=make_acceptance(r05=0.99))
    assert Judge.of(told, cut=CutConfig())(looks_of(studio())).verdict == "accept"
    found = Judge.of(told, cut=cut)(looks_of(studio()))
    assert found.verdict == ""
    assert (found.doubt is None) == (cut.effort == "fast")  # another network's cutout
    with pytest.raises(ConfigError, match="normal effort and its own edge only"):
        Judge.of(told, 0.05, cut=cut)


def test_the_threshold_divides(card, studio, make_doubt, make_acceptance):
    told = replace(card, doubt=make_doubt(rim=2.0, bias=-6.0), acceptance=make_acceptance(r05=0.5))
    judge = Judge.of(told)
    sharp, soft = judge(looks_of(studio())), judge(looks_of(studio(sigma=9)))
    assert (sharp.verdict, sharp.reasons, sharp.heat) == ("accept", (), None)
    assert (soft.verdict, bool(soft.reasons), bool(soft.heat)) == ("review", True, True)
    assert len(soft.looks) == 11


def test_a_risk_is_chosen_and_never_made_up(card, make_doubt, make_acceptance):
    told = replace(card, doubt=make_doubt(), acceptance=make_acceptance(r05=0.2, r10=0.4, r01=None))
    assert Judge.of(told).max_doubt == 0.2
    assert Judge.of(told, 0.1).max_doubt == 0.4
    assert Judge.of(told, 0.07).max_doubt == 0.2  # promised for less risk, so for this too
    with pytest.raises(ConfigError, match=r"cannot promise a risk of 0.01: cannot: too few garments"):
        Judge.of(told, 0.01)
    with pytest.raises(ConfigError, match=r"the least risk it was calibrated for is 0.01"):
        Judge.of(told, 0.001)
    assert Judge.of(replace(told, acceptance=make_acceptance(r05=None))).max_doubt is None


def test_nothing_cut_out_is_not_judged(card, make_doubt):
    nothing = np.zeros((96, 64), np.float32)
    judge = Judge.of(replace(card, doubt=make_doubt()))
    assert judge(Looks.of_frame(nothing, Frame(np.zeros((96, 64, 3), np.uint8), (96, 64), (96, 64)))).doubt is None
