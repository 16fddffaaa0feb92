"""Two tabs on one photo: nobody overwrites anybody."""

import pytest
from playwright.sync_api import expect

PLACE, OTHER = (60, 300), (60, 500)


@pytest.fixture
def two(edit, site):
    """Anna and Ben, each with a browser of their own, on the last photo of the queue."""
    pair = [edit(site, 4, tolerates={409}) for _ in range(2)]
    for editor, name in zip(pair, ("Anna", "Ben"), strict=True):
        editor.tab.evaluate("name => localStorage.setItem('garmentcut-person', name)", name)
    return pair


def accept(editor):
    """Store; the last photo of a queue stays open."""
    editor.keys.press("a")
    editor.stored()


def test_the_second_is_informed_and_sees_theirs_with_its_own_one_redo_away(two, gray):
    anna, ben = two
    anna.stroke((40, 300), (80, 300))
    ben.stroke((40, 500), (80, 500))
    accept(anna)
    ben.keys.press("a")
    dialog = ben.tab.locator("#conflict")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("Anna")
    ben.keys.press("Escape")  # is no answer
    expect(dialog).to_be_visible()
    ben.tab.locator("#conflict-theirs").click()
    ben.message("This is theirs")
    assert (ben.alpha(*PLACE), ben.alpha(*OTHER)) == (255, 0)
    stored = ben.stored_alpha(4, gray)
    assert (stored[300, 60], stored[500, 60]) == (255, 0)  # what Anna stored
    ben.keys.press("Shift+Z")
    assert (ben.alpha(*PLACE), ben.alpha(*OTHER)) == (255, 255)


def test_the_second_may_lay_its_own_over_theirs(two, gray):
    anna, ben = two
    anna.stroke((40, 300), (80, 300))
    ben.stroke((40, 500), (80, 500))
    accept(anna)
    ben.keys.press("a")
    ben.tab.locator("#conflict-mine").click()
    ben.message("Press A to save")
    assert ben.item(4)["changed_by"] == "Anna"
    accept(ben)
    ben.message("Corrected and accepted")
    stored = ben.stored_alpha(4, gray)
    assert (stored[300, 60], stored[500, 60]) == (255, 255)
    assert ben.item(4)["changed_by"] == "Ben"


def test_a_decision_without_strokes_is_not_overwritten_either(two):
    anna, ben = two
    anna.keys.press("r")
    anna.stored()
    ben.keys.press("a")
    ben.message("Your decision was not saved: Rejected by Anna")
    ben.shows("#photo-state", "Rejected")
    assert ben.item(4)["state"] == "rejected"


def test_tabs_of_one_browser_keep_their_strokes_apart(edit, open_tab, site):
    first = edit(site, 4)
    first.stroke((40, 300), (80, 300))
    second = type(first)(open_tab(first.tab.context), site).open(4)
    assert second.alpha(*PLACE) == 0  # the first tab is alive: its strokes are its own
    second.stroke((40, 500), (80, 500))
    first.tab.reload()
    first.wait(4)
    first.message("have been restored")
    assert (first.alpha(*PLACE), first.alpha(*OTHER)) == (255, 0)


def test_strokes_of_a_tab_that_is_gone_come_back_in_the_next(edit, open_tab, site):
    first = edit(site, 4)
    first.stroke((40, 300), (80, 300))
    context = first.tab.context
    first.tab.goto("about:blank")
    first.tab.close()
    second = type(first)(open_tab(context), site).open(4)
    second.message("have been restored")
    assert second.alpha(*PLACE) == 255
