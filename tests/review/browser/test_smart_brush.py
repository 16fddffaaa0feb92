from playwright.sync_api import expect


def test_the_model_redraws_the_edge_under_the_stroke(editor):
    editor.keys.press("e")
    editor.stroke((180, 350), (200, 350))
    assert editor.alpha(190, 350) == 0
    editor.keys.press("s")
    for _ in range(6):
        editor.keys.press("]")
    editor.stroke((170, 350), (210, 350))
    expect(editor.tab.locator(".redrawing-note")).to_be_hidden()
    expect(editor.tab.locator("#message")).not_to_contain_text("not redrawn")
    assert editor.alpha(190, 350) > 200  # red cloth again
    assert editor.alpha(60, 300) == 0  # and nothing elsewhere
    editor.keys.press("z")
    editor.message("Undone: Smart brush")
    assert editor.alpha(190, 350) == 0


def test_a_redraw_for_a_photo_that_was_left_is_dropped(editor):
    editor.keys.press("s")
    editor.tab.route("**/redraw", lambda route: (editor.tab.wait_for_timeout(300), route.continue_()))
    editor.stroke((170, 350), (210, 350))
    editor.keys.press("ArrowRight")
    editor.wait(3)
    expect(editor.tab.locator(".redrawing-note")).to_be_hidden()
    assert editor.tab.locator("#photo-state").inner_text() == "Open"
