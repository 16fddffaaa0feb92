"""The server dies, really, and comes back: nothing is lost."""

import socket
import subprocess
import sys
from contextlib import contextmanager
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


@contextmanager
def process(batch, port):
    """A server of its own process, which the block may kill."""
    command = [sys.executable, "-m", "garmentcut", "review", str(batch), "--no-open", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout.readline().startswith("http://127.0.0.1")
            yield server
        finally:
            server.kill()
            server.wait()


def test_strokes_and_decisions_outlive_the_server(batch, port, edit, gray):
    site = f"http://127.0.0.1:{port}"
    with process(batch, port):
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
    with process(batch, port):
        editor.tab.locator("#connection-retry").click()
        expect(banner).to_be_hidden(timeout=30_000)
        editor.stored()
        assert editor.item(4)["state"] == "corrected"
        stored = editor.stored_alpha(4, gray)
        assert (stored[300, 60], stored[500, 60]) == (255, 255)


def test_a_decision_waits_through_a_reload_too(batch, port, edit, gray):
    site = f"http://127.0.0.1:{port}"
    with process(batch, port):
        editor = edit(site, 4, tolerates={409})  # the old page may be heard before it goes, then the new one asks twice
        editor.stroke((40, 300), (80, 300))
    editor.keys.press("a")
    expect(editor.tab.locator("#connection")).to_be_visible()
    with process(batch, port):
        editor.open(4)  # a new page: what the old one could not send is sent by this one
        editor.stored()
        assert editor.item(4)["state"] == "corrected"
        assert editor.stored_alpha(4, gray)[300, 60] == 255
        assert editor.alpha(60, 300) == 255


def test_an_answer_that_breaks_off_is_asked_for_again(edit, site):
    editor = edit(site, 4)
    told = editor.tab.evaluate(
        """async () => {
            const { src } = document.querySelector("script[src*='editor.js']");
            const { askBlob } = await import(src.replace('editor/editor', 'page/server'));
            const real = window.fetch; let times = 0;
            const torn = () => new Response(new ReadableStream({ pull: (part) => part.error(new Error("torn")) }));
            window.fetch = (...request) => (times++ < 1 ? Promise.resolve(torn()) : real(...request));
            const asked = askBlob('/media/4/alpha.png');
            await new Promise((resolve) => setTimeout(resolve, 100));
            const isToldLost = !document.getElementById('connection').hidden;
            return [isToldLost, (await asked).size > 0, times, document.getElementById('connection').hidden]; }"""
    )
    assert told == [True, True, 2, True]


def test_page_after_page_is_opened(open_tab, site):
    tab = open_tab()
    for number in range(40):  # a photo's pictures came late, or never, where they were asked for twice at once
        tab.goto(f"{site}/photos/{number % 4 + 1}")
        tab.wait_for_selector(f"#canvas[data-photo='{number % 4 + 1}']")
