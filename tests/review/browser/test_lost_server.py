"""The server dies, really, and comes back: nothing is lost."""

import socket
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from playwright.sync_api import expect


@pytest.fixture
def port():
    """A free one."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


SERVER = """
import sys
sys.path.insert(0, str(tests))
from conftest import CARD, RedRuntime
from garmentcut.prediction.cutter import Cutter
from garmentcut.review import app, service

Cutter.load = lambda *_args, **_options: Cutter(CARD, RedRuntime())
with app.bind("127.0.0.1", port) as listening:
    app.serve(service.Settings(folder), listening, token=None, say=told.send)
"""


@pytest.fixture
def process(batch, port, start_process):
    """process(): a server of the batch in a process of its own, killed at the end of the block."""

    @contextmanager
    def start():
        server, heard = start_process(SERVER, tests=Path(__file__).parents[1], folder=batch, port=port)
        try:
            assert heard.recv().startswith("http://127.0.0.1")
            yield
        finally:
            server.kill()
            server.join()

    return start


def test_strokes_and_decisions_outlive_the_server(process, port, edit, gray):
    site = f"http://127.0.0.1:{port}"
    with process():
        editor = edit(site, 4)
        editor.stroke((40, 300), (80, 300))
    with pytest.raises(URLError):
        urlopen(site)
    banner = editor.tab.locator("#connection")
    editor.stroke((40, 500), (80, 500))  # painting goes on
    assert editor.alpha(60, 500) == 255
    editor.keys.press("a")
    expect(banner).to_be_visible()
    expect(editor.tab.locator("#saving")).to_be_visible()
    with process():
        editor.tab.locator("#connection-retry").click()
        expect(banner).to_be_hidden(timeout=30_000)
        editor.stored()
        assert editor.item(4)["state"] == "corrected"
        stored = editor.stored_alpha(4, gray)
        assert (stored[300, 60], stored[500, 60]) == (255, 255)


def test_a_decision_waits_through_a_reload_too(process, port, edit, gray):
    site = f"http://127.0.0.1:{port}"
    with process():
        editor = edit(site, 4, tolerates={409})  # the old page may be heard before it goes, then the new one asks twice
        editor.stroke((40, 300), (80, 300))
    editor.keys.press("a")
    expect(editor.tab.locator("#connection")).to_be_visible()
    with process():
        editor.open(4)  # a new page: what the old one could not send is sent by this one
        editor.stored()
        assert editor.item(4)["state"] == "corrected"
        assert editor.stored_alpha(4, gray)[300, 60] == 255
        assert editor.alpha(60, 300) == 255


@pytest.mark.parametrize("key", ["a", "ArrowRight"])
def test_what_an_earlier_page_has_sent_is_not_sent_again(edit, site, gray, key):
    editor = edit(site, 2)
    editor.stroke((40, 300), (80, 300))
    sent = []
    editor.tab.route("**/alpha?*", lambda route: sent.append(route.fetch()))  # its answer never comes back
    editor.keys.press(key)
    editor.wait(3)
    while not sent:
        editor.tab.wait_for_timeout(50)
    editor.open(2)
    editor.stored()
    assert len(sent) == 1
    assert editor.item(2)["state"] == ("corrected" if key == "a" else "open")
    assert editor.item(2)["version"] == sent[0].json()["version"]
    assert editor.stored_alpha(2, gray)[300, 60] == 255


HOLD = """() => { const real = setTimeout; window.held = [];  // a correction is encoded 60 ms after it was handed over
    window.setTimeout = (work, ms) => (ms === 60 ? held.push(work) : real(work, ms)); }"""


def test_the_page_is_not_left_before_a_decision_is_kept(edit, site):
    """Before, a decision was lost if the page was left while the correction was still being encoded."""
    editor = edit(site, 2, tolerates={409})  # the old page may be heard before it goes
    editor.tab.evaluate(HOLD)
    editor.stroke((40, 300), (80, 300))
    editor.keys.press("a")
    editor.wait(3)
    leave = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert editor.tab.evaluate(leave) is False, "the browser asks"
    editor.keys.press("q")
    editor.tab.wait_for_timeout(300)
    assert editor.tab.url.endswith("/photos/3")
    editor.tab.evaluate("held.forEach((work) => work())")
    expect(editor.tab.locator(".card[data-id='2']")).to_contain_text("Corrected")
    assert editor.tab.evaluate(leave) is True
    assert editor.item(2)["state"] == "corrected"


def test_a_browser_whose_store_hangs_asks_and_lets_the_page_go(edit, own_site):
    """Before, the page could not be left by its own links."""
    editor = edit(own_site, 2)
    editor.tab.evaluate("IDBDatabase.prototype.transaction = () => ({ objectStore: () => ({ put() {}, get() {} }) })")
    asked = []
    editor.tab.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    editor.stroke((40, 300), (80, 300))
    editor.keys.press("a")
    editor.wait(3)
    editor.keys.press("q")
    expect(editor.tab.locator(".card[data-id='2']")).to_be_visible()
    assert asked == ["beforeunload"]


HANGS = """const hung = { put() {}, get() {}, getAll() {}, delete() {} };
    IDBDatabase.prototype.transaction = () => ({ objectStore: () => hung });
    const real = setTimeout; window.setTimeout = (work, ms, ...more) => real(work, Math.min(ms, 1000), ...more)"""
REFUSES = "IDBFactory.prototype.open = () => { throw new Error('refused'); }"


@pytest.mark.parametrize("fault", [HANGS, REFUSES], ids=["hangs", "refuses"])
def test_a_browser_that_cannot_store_still_sends(edit, own_site, open_tab, fault):
    """Before, a store that hung was waited for without end, and one that refused ended the sending of all decisions."""
    editor = edit(own_site, 2)
    if fault == HANGS:  # while a photo is open
        editor.tab.evaluate(f"() => {{ {fault} }}")
    else:
        editor.tab.add_init_script(fault)
        editor.open(2)
    editor.stroke((40, 300), (80, 300))
    editor.keys.press("a")
    editor.wait(3)
    expect(editor.tab.locator("#saving")).to_be_hidden()
    assert editor.item(2)["state"] == "corrected"
    queue = open_tab()
    queue.add_init_script(fault)
    queue.goto(own_site)
    expect(queue.locator(".card[data-id='2']")).to_contain_text("Corrected")
    editor.tab.close()  # other tests would use it, with the script


def test_a_store_that_hangs_is_waited_for_once(edit, own_site):
    """Before, each decision was sent after 20 seconds, and the next one after 20 more."""
    editor = edit(own_site, 2)
    noting = "window.waits = []; window.setTimeout = (work, ms, ...more) => (waits.push(ms), capped(work, ms, ...more))"
    editor.tab.evaluate(f"() => {{ {HANGS}; const capped = setTimeout; {noting} }}")
    for number, short_waits in ((2, 1), (3, 2)):  # the first to drop it from the store only, then also to keep it there
        editor.tab.evaluate("waits.length = 0")
        editor.keys.press("a")
        editor.wait(number + 1)
        for _ in range(100):
            editor.tab.wait_for_timeout(50)
            if editor.tab.evaluate("waits").count(500) == short_waits:
                break
        else:
            pytest.fail(f"{number}: {editor.tab.evaluate('waits')}")
        assert editor.item(number)["state"] == "accepted"
    editor.tab.close()  # other tests would use it, with the script


COVERED = """() => { const banner = document.getElementById("connection");
    banner.hidden = false;
    const { left, right, top, bottom } = banner.getBoundingClientRect();
    const isUnder = (box) => box.left < right && box.right > left && box.top < bottom && box.bottom > top;
    const others = [...document.querySelectorAll("button, input, select, textarea, progress, h1, h2, p")];
    const shown = others.filter((one) => one.checkVisibility() && !banner.contains(one));
    return shown.filter((one) => isUnder(one.getBoundingClientRect())).map((one) => one.outerHTML); }"""


def test_the_banner_covers_no_control_and_no_line(open_tab, site):
    tab = open_tab(viewport=(1440, 900))
    for page in ("", "/photos/2"):
        tab.goto(f"{site}{page}")
        expect(tab.locator("#canvas[data-photo='2']" if page else ".card[data-id='2']")).to_be_visible()
        assert tab.evaluate(COVERED) == []


def test_an_answer_that_breaks_off_is_asked_for_again(edit, site):
    editor = edit(site, 4)
    told = editor.tab.evaluate(
        """async () => {
            const { src } = document.querySelector("script[src*='editor.js']");
            const { askBlob } = await import(src.replace('editor/editor', 'page/server'));
            const real = window.fetch; let times = 0;
            const torn = () => new Response(new ReadableStream({ pull: (part) => part.error(new Error("torn")) }));
            const path = '/media/4/alpha.png';  // the page asks for other things meanwhile
            window.fetch = (...request) =>
                (request[0] === path && times++ < 1 ? Promise.resolve(torn()) : real(...request));
            const asked = askBlob(path);
            await new Promise((resolve) => setTimeout(resolve, 100));
            const isToldLost = !document.getElementById('connection').hidden;
            return [isToldLost, (await asked).size > 0, times, document.getElementById('connection').hidden]; }"""
    )
    assert told == [True, True, 2, True]


def test_page_after_page_is_opened(open_tab, site):
    tab = open_tab()
    for number in range(12):  # a photo's pictures came late, or never, where they were asked for twice at once
        tab.goto(f"{site}/photos/{number % 4 + 1}")
        tab.wait_for_selector(f"#canvas[data-photo='{number % 4 + 1}']")
        asked = tab.evaluate("performance.getEntriesByType('resource').map((entry) => entry.name)")
        pictures = [url for url in asked if "/media/" in url]
        assert pictures and len(pictures) == len(set(pictures))
