import json
import re

import pytest
from playwright.sync_api import expect

from garmentcut.prediction.results import RESULTS_NAME


@pytest.fixture
def queue(open_tab, batch, own_site):
    """The queue of a batch whose fronts are doubtful."""
    rewrite(batch, lambda row: row | {"doubt": 0.2 if "Front" in row["place"] else 0.01, "verdict": "review"})
    tab = open_tab()
    tab.goto(own_site)
    expect(tab.locator(".card")).to_have_count(4)
    return tab


def rewrite(batch, change):
    """Change every row of the batch's results, as a new run of `cut` would."""
    path = batch / RESULTS_NAME
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def names(tab):
    labels = tab.locator(".card > a").evaluate_all("(links) => links.map((link) => link.ariaLabel)")
    return [label.split(",")[0] for label in labels]


def test_the_doubtful_come_first_and_garments_can_stand_together(queue):
    expect(queue.locator(".card > a").last).to_have_attribute("aria-label", re.compile("^dress_Back,"))
    queue.keyboard.press("g")
    expect(queue.locator(".group")).to_have_count(2)
    assert names(queue) == ["dress_Back", "dress_Front", "dress_FrontRight", "skirt_Front"]
    assert queue.url.endswith("?sort=name")
    queue.locator(".group h2 button").first.click()
    expect(queue.locator(".card")).to_have_count(3)
    assert "garment=dress" in queue.url


def test_a_model_that_says_no_doubt_is_said_so(open_tab, own_site, batch):
    tab = open_tab()
    tab.goto(own_site)
    expect(tab.locator("#no-doubt")).to_be_visible()
    expect(tab.locator("#start")).to_have_text("Start with the first of 4")
    rewrite(batch, lambda row: row | {"doubt": 0.2})
    tab.reload()
    expect(tab.locator("#start")).to_have_text("Start with the most doubtful of 4")
    expect(tab.locator("#no-doubt")).to_be_hidden()


def test_filters_narrow_the_list_and_stay_in_the_address(queue):
    queue.locator("select[name=view]").select_option("Front")
    expect(queue.locator(".card")).to_have_count(2)
    queue.keyboard.press("Escape")
    queue.locator("#filters").get_by_role("searchbox").fill("skirt")
    expect(queue.locator(".card")).to_have_count(1)
    queue.reload()
    expect(queue.locator(".card")).to_have_count(1)
    assert queue.locator("select[name=view]").input_value() == "Front"
    queue.locator("#filters").get_by_role("searchbox").fill("no such garment")
    expect(queue.locator("#nothing")).to_be_visible()
    queue.locator("#show-all").click()
    expect(queue.locator(".card")).to_have_count(4)


def test_the_keyboard_chooses_decides_and_opens(queue):
    queue.keyboard.press("ArrowRight")
    first = queue.locator(".card").first
    expect(first.locator("a")).to_be_focused()
    queue.keyboard.press("a")
    expect(first).to_have_class("card accepted")
    expect(queue.locator("#progress-text")).to_contain_text("1 of 4 decided")
    expect(queue.locator(".card > a").nth(1)).to_be_focused()
    queue.keyboard.press("r")
    expect(queue.locator(".card").nth(1)).to_have_class("card rejected")
    queue.keyboard.press("ArrowLeft")
    queue.keyboard.press("u")
    expect(queue.locator(".card").nth(1)).to_have_class("card open")
    queue.locator("#states [data-state=open]").click()
    expect(queue.locator(".card")).to_have_count(3)
    queue.keyboard.press("ArrowRight")
    queue.keyboard.press("Enter")
    queue.wait_for_url("**/photos/*?state=open")


def test_new_results_appear_while_cut_still_runs(queue, batch):
    path = batch / RESULTS_NAME
    row = json.loads(path.read_text().splitlines()[0])
    new = row | {"input": row["input"].replace("dress", "coat"), "place": "coat_Back", "doubt": 0.5}
    with path.open("a") as file:
        file.write(json.dumps(new) + "\n")
    expect(queue.locator(".card")).to_have_count(5)
    assert names(queue)[0] == "coat_Back"  # the most doubtful: in its place, not at the end


def test_a_photo_that_failed_says_why(queue, batch):
    row = {"input": "/photos/torn.jpg", "place": "torn", "status": "failed", "reason": "the file ends too early"}
    with (batch / RESULTS_NAME).open("a") as file:
        file.write(json.dumps(row) + "\n")
    failed = queue.locator(".card.failed")
    expect(failed).to_contain_text("the file ends too early")
    failed.locator("a").focus()
    queue.keyboard.press("a")
    expect(queue.locator("#message")).to_contain_text("nothing to decide")
    failed.locator("a").click()
    expect(queue.locator("#failure")).to_contain_text("the file ends too early")


def test_thousands_of_photos_are_loaded_page_by_page(open_tab, batch, own_site):
    line = json.loads((batch / RESULTS_NAME).read_text().splitlines()[0])
    rows = [
        line | {"input": f"/photos/{n:05}.jpg", "place": f"many/{n:05}_Front", "doubt": n / 9000} for n in range(3000)
    ]
    with (batch / RESULTS_NAME).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    tab = open_tab(tolerates={404})  # thumbnails of photos that are nowhere
    tab.goto(own_site)
    expect(tab.locator("#total")).to_have_text("3004 photos")
    first = tab.locator(".card").count()
    assert first <= 360
    tab.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(tab.locator(f".card:nth-child({first + 1})")).to_have_count(1)


def test_no_request_leaves_the_machine_and_statistics_are_drawn(queue, own_site):
    queue.keyboard.press("ArrowRight")
    queue.keyboard.press("a")
    expect(queue.locator(".card.accepted")).to_have_count(1)
    queue.goto(f"{own_site}/statistics")
    expect(queue.locator("main")).to_contain_text("decided")
    expect(queue.locator("svg.chart").first).to_be_visible()


def test_a_telephone_shows_progress_and_start_as_wide_as_it_is(queue):
    queue.set_viewport_size({"width": 390, "height": 844})
    bar, start = (queue.locator(name).bounding_box() for name in ("#progress-bar", "#start"))
    assert bar["width"] == start["width"] > 350
    assert queue.evaluate("document.documentElement.scrollWidth") <= 390


def test_enter_in_the_search_opens_the_first_match(queue):
    queue.keyboard.press("/")
    queue.keyboard.type("skirt")
    queue.keyboard.press("Enter")  # sooner than the list has followed
    queue.wait_for_url("**/photos/4?text=skirt")


def test_enter_in_a_search_that_finds_nothing_stays(queue):
    queue.keyboard.press("/")
    queue.keyboard.type("no such garment")
    queue.keyboard.press("Enter")
    expect(queue.locator("#message")).to_have_text("No photo matches.")


def test_start_begins_with_what_the_filters_show(queue):
    expect(queue.locator("#start")).to_have_text("Start with the most doubtful of 4")
    queue.locator("select[name=view]").select_option("Back")
    expect(queue.locator("#start")).to_have_text("Start with the photos shown")
    queue.locator("#start").click()
    queue.wait_for_url("**/photos/1?view=Back&state=open")


def test_start_says_when_nothing_that_is_shown_is_open(queue):
    queue.keyboard.press("/")
    queue.keyboard.type("skirt")
    expect(queue.locator(".card")).to_have_count(1)
    queue.locator(".card").hover()
    queue.locator(".quick button", has_text="Accept").click()
    expect(queue.locator(".card.accepted")).to_have_count(1)
    queue.locator("#start").click()
    expect(queue.locator("#message")).to_have_text("None of the photos shown is open.")


def test_whatever_has_the_focus_shows_it(queue):
    queue.keyboard.press("g")
    expect(queue.locator(".group")).to_have_count(2)
    assert len(focused_along(queue)) > 10
    queue.goto(queue.url.split("?")[0] + "photos/2")
    queue.wait_for_selector("#canvas[data-photo='2']")
    assert len(focused_along(queue)) > 30


def focused_along(tab):
    """What Tab goes through; each shows a line of two pixels, which nothing around it cuts off."""
    read = """() => { const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
        const width = s.outlineStyle === 'none' ? 0 : parseFloat(s.outlineWidth);
        const reach = width + parseFloat(s.outlineOffset);
        let cut = false;
        for (let p = e.parentElement; p && p !== document.body; p = p.parentElement) {
            const c = p.getBoundingClientRect();
            if (getComputedStyle(p).overflow === 'visible') continue;
            cut ||= r.left - reach < c.left || r.top - reach < c.top || r.right + reach > c.right
                || r.bottom + reach > c.bottom; }
        return [e.id || e.ariaLabel || e.textContent.slice(0, 20), e.tagName, width, cut]; }"""
    found = []
    for _ in range(80):
        tab.keyboard.press("Tab")
        name, tag, width, is_cut = tab.evaluate(read)
        if tag == "BODY" or (found and name == found[0]):
            break
        assert (width >= 2, is_cut) == (True, False), (name, tag, width)
        found.append(name)
    return found
