import numpy as np

from garmentcut.prediction.cleaning import clean


def looks():
    """A dress that both looks agree on."""
    fine = np.zeros((200, 160), np.float32)
    fine[40:180, 40:120] = 1
    return fine, fine * 0.97


def test_what_agrees_is_not_touched():
    fine, coarse = looks()
    assert clean(fine, coarse) is fine


def test_a_brass_button_is_no_hole():
    fine, coarse = looks()
    fine[100:105, 80:84] = 0.05
    fine[99, 80:84] = 0.7  # its soft rim
    assert (clean(fine, coarse)[41:179, 41:119] == 1).all()


def test_a_gap_that_the_first_look_sees_stays_open():
    fine, coarse = looks()
    fine[100:110, 80:84], coarse[98:112, 78:86] = 0, 0.4
    assert clean(fine, coarse) is fine


def test_a_large_hole_is_not_filled():
    fine, coarse = looks()
    fine[80:120, 60:100] = 0
    assert clean(fine, coarse) is fine


def test_a_notch_at_the_edge_is_no_hole():
    fine, coarse = looks()
    fine[100:104, 36:46] = 0
    assert clean(fine, coarse) is fine


def test_lace_stays_lace():
    fine, coarse = looks()
    fine[60:100:4, 60:100:4], coarse[55:105, 55:105] = 0.1, 0.8
    assert clean(fine, coarse) is fine


def test_a_speck_is_taken_off_with_its_rim():
    fine, coarse = looks()
    fine[10:14, 10:14] = 0.9
    fine[9, 10:14] = 0.3
    cleaned = clean(fine, coarse)
    assert cleaned[:30].max() == 0
    assert np.array_equal(cleaned[30:], fine[30:])


def test_a_strap_too_thin_for_the_first_look_is_no_speck():
    fine, coarse = looks()
    fine[4:36, 60:63] = 0.9  # it hangs by threads that neither saw
    assert clean(fine, coarse) is fine


def test_fringe_that_hangs_on_is_no_speck():
    fine, coarse = looks()
    fine[180:195, 60:62] = 0.9  # longer than the first look saw
    assert clean(fine, coarse) is fine


def test_a_second_piece_that_the_first_look_missed_is_no_speck():
    fine, coarse = looks()
    fine[2:36, 40:120] = 1
    assert clean(fine, coarse)[20, 80] == 1
