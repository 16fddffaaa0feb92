import json

import pytest
from PIL import Image
from playwright.sync_api import expect

HOLE, DRESS, WALL, SPECK = (185, 255), (190, 350), (60, 300), (335, 75)


def test_a_brush_stroke_is_undone_redone_accepted_and_kept(editor, gray):
    assert editor.alpha(*WALL) == 0
    editor.keys.press("b")
    editor.stroke((40, 300), (80, 300))
    assert editor.alpha(*WALL) == 255
    editor.keys.press("z")
    assert editor.alpha(*WALL) == 0
    editor.keys.press("Shift+Z")
    assert editor.alpha(*WALL) == 255
    editor.keys.press("a")
    editor.message("Corrected and accepted")
    editor.stored()
    assert editor.item(2)["state"] == "corrected"
    assert editor.stored_alpha(2, gray)[300, 60] == 255
    editor.open(2)
    assert editor.alpha(*WALL) == 255


def test_until_the_photo_is_there_the_editor_says_so_and_shows_no_brush(editor):
    held = []
    editor.tab.route("**/alpha.png*", lambda route: held.append(route))
    editor.tab.reload(wait_until="commit")
    loading, cursor = editor.tab.get_by_text("The photo is being loaded"), editor.tab.locator("#cursor")
    expect(loading).to_be_visible()
    expect(editor.tab.locator("#hint")).not_to_be_empty()  # the tools are there
    editor.tab.mouse.move(600, 400)
    editor.tab.mouse.move(610, 410)
    expect(cursor).to_be_hidden()  # at the scale of no photo, it would fill the screen
    for route in held:
        route.continue_()
    editor.tab.unroute("**/alpha.png*")
    expect(loading).to_be_hidden()
    editor.tab.mouse.move(600, 400)
    expect(cursor).to_be_visible()


def test_the_eraser_takes_away_and_alt_turns_it_round(editor):
    editor.keys.press("e")
    editor.stroke((180, 350), (200, 350))
    assert editor.alpha(*DRESS) == 0
    editor.keys.down("Alt")
    editor.stroke((180, 350), (200, 350))
    editor.keys.up("Alt")
    assert editor.alpha(*DRESS) == 255


def test_the_brush_is_soft_as_its_hardness_says(editor):
    for _ in range(10):
        editor.keys.press("Shift+[")
    assert editor.tab.locator("#brush-hardness-value").inner_text() == "0 %"
    editor.stroke((40, 300), (80, 300))
    assert 100 < editor.alpha(60, 306) < 160  # half way out of a brush of 24 px


def test_brackets_set_the_size(editor):
    size = editor.tab.locator("#brush-size-value")
    before = int(size.inner_text().split()[0])
    editor.keys.press("]")
    assert int(size.inner_text().split()[0]) > before
    editor.keys.press("[")
    editor.keys.press("[")
    assert int(size.inner_text().split()[0]) < before


def test_accept_without_a_change_takes_the_prediction_and_goes_on(editor):
    editor.keys.press("a")
    editor.tab.wait_for_selector("#canvas[data-photo='3']")
    editor.stored()
    item = editor.item(2)
    assert (item["state"], item["has_alpha"]) == ("accepted", False)
    assert editor.tab.url.endswith("/photos/3")


def test_a_decision_is_taken_back(editor):
    editor.keys.press("r")
    editor.wait(3)
    editor.stored()
    assert editor.item(2)["state"] == "rejected"
    editor.keys.press("ArrowLeft")
    editor.wait(2)
    assert editor.tab.locator("#photo-state").inner_text() == "Rejected"
    editor.keys.press("u")
    editor.shows("#photo-state", "Open")
    editor.stored()
    assert editor.item(2)["state"] == "open"


def test_rejecting_keeps_what_was_painted(editor, gray):
    editor.stroke((40, 300), (80, 300))
    editor.keys.press("r")
    editor.wait(3)
    editor.stored()
    assert editor.item(2)["state"] == "rejected"
    assert editor.stored_alpha(2, gray)[300, 60] == 255
    editor.keys.press("ArrowLeft")
    editor.wait(2)
    assert editor.alpha(*WALL) == 255


def test_leaving_a_photo_stores_its_strokes_as_a_draft(editor, gray):
    editor.stroke((40, 300), (80, 300))
    editor.keys.press("ArrowRight")
    editor.wait(3)
    editor.stored()
    item = editor.item(2)
    assert (item["state"], item["has_draft"]) == ("open", True)
    assert editor.stored_alpha(2, gray)[300, 60] == 255


def test_unsaved_strokes_survive_a_reload(editor):
    editor.stroke((40, 300), (80, 300))
    editor.tab.reload()
    editor.wait(2)
    editor.message("Your earlier strokes have been restored")
    assert editor.alpha(*WALL) == 255
    assert editor.item(2)["has_draft"] is False
    editor.keys.press("z")
    assert editor.alpha(*WALL) == 0


def test_a_hole_is_filled_and_the_background_is_not(editor):
    assert editor.alpha(*HOLE) < 128
    editor.keys.press("f")
    editor.click(*HOLE)
    assert editor.alpha(*HOLE) == 255
    editor.click(*WALL)
    editor.message("open to the background")
    assert editor.alpha(*WALL) == 0


def test_keeping_a_part_lets_the_others_go(editor):
    assert editor.alpha(*SPECK) > 200
    editor.keys.press("k")
    editor.click(*DRESS)
    assert editor.alpha(*SPECK) == 0
    assert editor.alpha(*DRESS) > 200


def test_lasso_adds_and_takes_away(editor):
    around = [(30, 280), (90, 280), (90, 330), (30, 330)]
    editor.keys.press("l")
    editor.stroke(*around)
    assert editor.alpha(*WALL) == 255
    editor.keys.down("Alt")
    editor.stroke(*around)
    editor.keys.up("Alt")
    assert editor.alpha(*WALL) == 0


def test_polygon_closes_on_enter_and_takes_corners_back(editor):
    editor.keys.press("p")
    for corner in [(30, 280), (90, 280), (90, 330), (380, 500)]:
        editor.click(*corner)
    editor.keys.press("z")  # the last corner was a slip
    editor.click(30, 330)
    editor.keys.press("Enter")
    assert editor.alpha(*WALL) == 255
    assert editor.alpha(300, 450) == 0
    editor.keys.press("z")
    assert editor.alpha(*WALL) == 0


def test_choke_moves_the_edge_and_adds_up_to_one_step(editor):
    def width_at(y):
        return sum(editor.alpha(x, y) for x in (98, 99, 100, 101, 102, 103, 104, 105)) / 255

    before = width_at(440)
    for _ in range(4):
        editor.keys.press(",")
    editor.message("Edge 1.00 px in")
    assert 0.8 < before - width_at(440) < 1.2
    editor.keys.press("z")
    assert width_at(440) == before


def test_every_look_paints_what_it_says(editor):
    looks = {"checks": None, "color": (0, 177, 64), "white": (255, 255, 255), "black": (0, 0, 0), "mask": (0, 0, 0)}
    read = """([x, y]) => { const c = document.getElementById('canvas'), f = c.getBoundingClientRect();
        return [...c.getContext('2d').getImageData(x - f.left, y - f.top, 1, 1).data].slice(0, 3); }"""
    wall = [editor.origin[0] + WALL[0], editor.origin[1] + WALL[1]]
    for look, expected in looks.items():
        editor.tab.locator(f"[data-command=look-{look}]").click()
        editor.tab.evaluate("() => new Promise(requestAnimationFrame)")
        color = tuple(editor.tab.evaluate(read, wall))
        assert color == expected if expected else color in {(204, 204, 204), (158, 158, 158)}, look
    editor.tab.locator("[data-command=look-overlay]").click()
    editor.tab.evaluate("() => new Promise(requestAnimationFrame)")
    red, green, _ = editor.tab.evaluate(read, wall)
    assert red > 200 and green < 100
    editor.keys.press("o")
    editor.tab.evaluate("() => new Promise(requestAnimationFrame)")
    assert editor.tab.evaluate(read, wall) == [200, 200, 200]


def color_at(editor, x, y):
    """Of the canvas."""
    editor.tab.evaluate("() => new Promise(requestAnimationFrame)")
    read = """([x, y]) => { const c = document.getElementById('canvas'), f = c.getBoundingClientRect();
        return [...c.getContext('2d').getImageData(x - f.left, y - f.top, 1, 1).data].slice(0, 3); }"""
    return editor.tab.evaluate(read, [editor.origin[0] + x, editor.origin[1] + y])


def test_a_ground_of_ones_own_stays(editor):
    editor.tab.locator(".look-own").evaluate(
        "(e) => { e.value = '#123456'; e.dispatchEvent(new Event('input', { bubbles: true })); }"
    )
    assert color_at(editor, *WALL) == [0x12, 0x34, 0x56]
    editor.keys.press("ArrowRight")
    editor.wait(3)
    assert color_at(editor, *WALL) == [0x12, 0x34, 0x56]
    editor.tab.reload()
    editor.wait(3)
    assert color_at(editor, *WALL) == [0x12, 0x34, 0x56]
    assert editor.tab.locator(".look-own").input_value() == "#123456"


def test_a_ground_contrasts_with_the_garment_by_itself(editor):
    editor.tab.locator(".look-contrast").click()
    red, green, blue = color_at(editor, *WALL)
    assert red < 100 and green + blue > 150  # the dress is red
    assert color_at(editor, *DRESS)[0] > 250


def test_light_and_dark_follow_the_system(edit, site):
    editor = edit(site, 4, viewport=(1600, 800))
    grounds = []
    for scheme in ("dark", "light"):
        editor.tab.emulate_media(color_scheme=scheme)
        panel = editor.tab.locator(".panel").evaluate("(e) => getComputedStyle(e).backgroundColor")
        grounds.append((panel, color_at(editor, -40, 20)))
    assert grounds == [("rgb(48, 48, 48)", [0x26] * 3), ("rgb(240, 240, 240)", [0xDE] * 3)]


def test_pixels_are_squares_when_enlarged(editor):
    editor.keys.press("w")
    editor.keys.press("2")
    editor.tab.evaluate("() => new Promise(requestAnimationFrame)")
    blended = editor.tab.evaluate(
        """() => { const c = document.getElementById('canvas'), d = c.getContext('2d');
        const row = d.getImageData(0, Math.round(c.height / 2), c.width, 1).data;
        const values = []; for (let x = 0; x < c.width; x++) values.push(row[4 * x]);
        const runs = []; values.forEach((v, x) => v === values[x - 1] ? runs[runs.length - 1]++ : runs.push(1));
        return runs.slice(1, -1).filter((run) => run % 2); }"""
    )
    assert blended == []  # every pixel of the photo fills two of the screen


def test_the_loupe_enlarges_what_is_under_the_pointer(editor):
    editor.tab.locator("[data-command=look-mask]").click()
    edge = next(x for x in range(96, 106) if editor.alpha(x, 440) > 127)
    assert color_at(editor, edge + 12, 440) == [255] * 3 and color_at(editor, edge - 3, 440) == [0] * 3
    circle = editor.tab.locator("#cursor").bounding_box()["width"]
    editor.keys.press("i")
    editor.place(edge - 4, 440)
    assert color_at(editor, edge + 4, 440) == [0] * 3  # two pixels off the middle, four times as large
    assert color_at(editor, edge + 20, 440) == [255] * 3
    assert editor.tab.locator("#cursor").bounding_box()["width"] > 3 * circle  # what the brush covers, as it is seen
    editor.keys.press("i")
    editor.tab.wait_for_timeout(100)
    assert color_at(editor, edge + 4, 440) == [255] * 3


def test_a_loupe_that_moves_paints_only_where_it_was_and_is(editor):
    """On a photo of 24 megapixels the whole outline anew takes longer than the pointer's next move."""
    editor.keys.press("i")
    editor.place(*WALL)
    editor.tab.wait_for_timeout(100)
    first, canvas = editor.tab.evaluate(
        """() => new Promise((resolve) => {
            const canvas = document.getElementById('canvas'), { left, top } = canvas.getBoundingClientRect();
            const drawing = canvas.getContext('2d');
            drawing.rect = (x, y, width, height) => {  // the first clips all that the frame paints
                delete drawing.rect;
                drawing.rect(x, y, width, height);
                resolve([width * height, canvas.width * canvas.height]);
            };
            const moved = (x) => new PointerEvent('pointermove', { clientX: left + x, clientY: top + 300 });
            for (const x of [300, 310]) canvas.dispatchEvent(moved(x));
        })"""
    )
    assert first < canvas / 2


def test_the_cutout_is_downloaded_as_it_is_painted(editor):
    editor.stroke((40, 300), (80, 300))
    with editor.tab.expect_download() as waiting:
        editor.keys.press("d")
    assert waiting.value.suggested_filename == "dress_Front.png"
    with Image.open(waiting.value.path()) as image:
        assert (image.mode, image.size) == ("RGBA", (384, 576))
        assert [image.getpixel(place)[3] for place in (WALL, DRESS, (20, 20))] == [255, editor.alpha(*DRESS), 0]
        assert image.getpixel(WALL)[:3] == (200, 200, 200)


def test_a_page_says_what_was_done_and_what_comes_next(batch, own_site, edit):
    editor = edit(own_site, 1, "?state=open")
    editor.stroke((40, 300), (80, 300))
    for photo_id, key in ((1, "a"), (2, "a"), (3, "r"), (4, "a")):
        editor.wait(photo_id)
        editor.keys.press(key)
    editor.tab.wait_for_url("**/statistics")
    done = editor.tab.locator("#done")
    expect(done).to_contain_text("2 accepted unchanged, 1 corrected, 1 rejected.")
    expect(done.locator("code")).to_have_text(f"garmentcut ingest --from-review {batch} --out dataset/ --add")
    editor.tab.goto(own_site)
    expect(editor.tab.locator("#start")).to_have_text("See the summary")
    editor.tab.locator("#start").click()
    expect(done).to_be_visible()


def test_a_photo_is_corrected_on_a_telephone(edit, site, gray):
    editor = edit(site, 4, viewport=(390, 844))
    width = editor.tab.evaluate("[document.documentElement.scrollWidth, document.body.scrollWidth]")
    assert max(width) <= 390
    for selector in ("#to-queue", "[data-command=next]", "[data-command=tool-eraser]", "[data-command=accept]"):
        box = editor.tab.locator(selector).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390 and box["y"] + box["height"] <= 844, selector
        assert min(box["width"], box["height"]) >= 28, selector
    canvas = editor.tab.locator("#canvas").bounding_box()
    assert canvas["width"] == 390 and canvas["height"] > 350
    editor.tab.locator("[data-command=redo]").scroll_into_view_if_needed()
    editor.tab.locator("[data-command=tool-brush]").click()
    finger = """([x, y, id]) => { const c = document.getElementById('canvas');
        const send = (type, dx) => c.dispatchEvent(new PointerEvent(type, { pointerId: 5, pointerType: 'touch',
            button: type === 'pointermove' ? -1 : 0, buttons: 1, clientX: x + dx, clientY: y, bubbles: true }));
        c.setPointerCapture = () => {};
        send('pointerdown', 0); send('pointermove', 20); send('pointerup', 20); }"""
    editor.tab.evaluate(finger, [editor.origin[0] + 50, editor.origin[1] + 300])
    editor.tab.locator("#note").scroll_into_view_if_needed()
    editor.tab.locator("[data-command=accept]").click()
    editor.stored()
    assert editor.item(4)["state"] == "corrected"
    assert editor.stored_alpha(4, gray)[300, 60] == 255


@pytest.mark.parametrize("viewport", [(1920, 1080), (1180, 820), (1024, 768), (820, 1180)])
def test_every_control_is_in_sight_on_a_screen_or_a_tablet(edit, site, viewport):
    """Before, the bar below the photo was cut off on narrow screens, and the pointer's place pushed its buttons out."""
    editor = edit(site, 2, viewport=viewport)
    canvas = editor.tab.locator("#canvas").bounding_box()
    editor.place(100, 200)
    assert editor.tab.locator("#canvas").bounding_box() == canvas
    for control in (
        editor.tab.locator(".bar, .tools, .looks-bar, .panel").locator("button:visible, input, output").all()
    ):
        control.scroll_into_view_if_needed()
        box = control.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= viewport[0], control
        assert box["y"] >= 0 and box["y"] + box["height"] <= viewport[1], control
    bar = editor.tab.locator(".looks-bar")
    assert bar.evaluate("(bar) => bar.scrollWidth <= bar.clientWidth")


def test_without_a_keyboard_decisions_and_corrections_are_taken_back(editor):
    reopen = editor.tab.locator("#reopen-button")
    expect(reopen).to_be_hidden()
    editor.stroke((40, 300), (80, 300))
    editor.tab.locator("[data-command=accept]").click()
    editor.wait(3)
    editor.tab.locator("[data-command=previous]").click()
    editor.wait(2)
    reopen.click()
    editor.shows("#photo-state", "Open, with draft")
    expect(reopen).to_be_hidden()
    editor.tab.locator("[data-command=revert]").click()
    editor.message("This is the first prediction again.")
    assert editor.alpha(*WALL) == 0


def test_before_and_after_shows_the_photo_then_the_prediction(editor):
    handle = editor.tab.locator("#split-handle")
    assert handle.is_hidden()
    editor.keys.press("x")
    handle.wait_for(state="visible")
    assert editor.tab.locator("#split-label").inner_text() == "Photo"
    handle.focus()
    editor.keys.press("ArrowRight")
    assert handle.get_attribute("aria-valuenow") == "52"
    editor.tab.locator("#canvas").focus()
    editor.keys.press("x")
    assert editor.tab.locator("#split-label").inner_text() == "Prediction"
    editor.keys.press("x")
    handle.wait_for(state="hidden")


def test_the_other_views_stand_beside_and_open(editor):
    views = editor.tab.locator("#siblings a")
    assert [view.get_attribute("aria-label").split(",")[0] for view in views.all()] == ["Front", "Front right", "Back"]
    views.nth(2).click()
    editor.wait(1)
    assert "dress_Back" in editor.tab.locator("#photo-name").inner_text()


def test_the_other_views_show_what_was_decided_on_them(editor, edit, site):
    dots = editor.tab.locator("#siblings .dot")
    editor.keys.press("a")
    editor.wait(3)
    expect(dots.first).to_have_class("dot accepted")
    assert editor.tab.locator("#siblings a").first.get_attribute("aria-label") == "Front, Accepted"
    other = edit(site, 1)
    other.keys.press("r")
    other.stored()
    expect(dots.nth(2)).to_have_class("dot rejected")  # by itself, though somebody else has decided
    expect(editor.tab.locator("#position")).to_have_text("3 of 4")


def test_the_counter_goes_on_by_one(edit, site):
    editor = edit(site, 1, "?state=open")
    for number, photo_id in enumerate((1, 2, 3, 4), 1):
        editor.wait(photo_id)
        editor.stored()
        editor.tab.wait_for_timeout(300)  # what the server says of a photo loaded before comes a moment later
        editor.shows("#position", f"{number} of 4")
        editor.keys.press("a")


def test_a_small_photo_fills_a_large_screen_and_stays_smooth(edit, site):
    editor = edit(site, 4, viewport=(3840, 2160))
    editor.keys.press("0")
    zoom = editor.tab.locator("#zoom")
    expect(zoom).not_to_have_text("100 %")
    percent = int(zoom.inner_text().split()[0])
    canvas = editor.tab.locator("#canvas").bounding_box()
    assert percent % 100 and percent == round(100 * (canvas["height"] - 48) / 576)
    for ground in editor.tab.locator("#looks .look").all():  # round ones, that of your own colour too
        box = ground.bounding_box()
        assert box["width"] == pytest.approx(box["height"], abs=0.5)


def test_a_note_is_stored_without_taking_letters_for_commands(editor):
    editor.keys.press("n")
    editor.keys.type("are the straps real?")
    editor.keys.press("Escape")
    editor.stored()
    item = editor.item(2)
    assert (item["note"], item["state"]) == ("are the straps real?", "open")


def test_help_shows_every_key_and_closes(editor):
    editor.keys.press("?")
    dialog = editor.tab.locator("#help")
    assert dialog.is_visible()
    assert "Accept, with your correction" in dialog.inner_text()
    editor.keys.press("a")  # commands rest while the help is open
    editor.keys.press("?")
    assert dialog.is_hidden()
    assert editor.item(2)["state"] == "open"


def test_pen_pressure_sets_the_size(editor):
    pen = """([x, y, pressure]) => { const c = document.getElementById('canvas');
        const send = (type, dx) => c.dispatchEvent(new PointerEvent(type, { pointerId: 7, pointerType: 'pen', pressure,
            button: type === 'pointermove' ? -1 : 0, buttons: 1, clientX: x + dx, clientY: y, bubbles: true }));
        c.setPointerCapture = () => {};
        send('pointerdown', 0); send('pointermove', 30); send('pointerup', 30); }"""

    def height_painted(y, pressure):
        editor.tab.evaluate(pen, [editor.origin[0] + 30, editor.origin[1] + y, pressure])
        return sum(editor.alpha(45, y + offset) > 127 for offset in range(-14, 15, 2))

    assert height_painted(200, 0.3) < height_painted(330, 1.0) / 2


def test_undo_goes_back_through_every_step(editor):
    for number in range(30):
        editor.click(30 + 10 * number, 520)
    assert editor.alpha(300, 520) == 255
    for _ in range(30):
        editor.keys.press("z")
    assert [editor.alpha(30 + 30 * number, 520) for number in range(10)] == [0] * 10
    editor.keys.press("z")
    editor.message("nothing to undo")


def test_hands_on_seconds_reach_the_server(editor):
    editor.stroke((40, 300), (80, 300))
    editor.keys.press("a")
    editor.message("Corrected and accepted")
    editor.stored()
    assert 0 < editor.item(2)["seconds"] < 60


def test_the_page_says_what_a_screen_reader_needs(editor):
    unnamed = editor.tab.evaluate(
        """() => [...document.querySelectorAll('button, a, input, select, textarea, canvas, [role=slider]')]
        .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert json.loads(editor.tab.locator("#photo-data").inner_text())["id"] == 2
