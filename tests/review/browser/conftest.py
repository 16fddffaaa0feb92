"""A real browser on a review of small photos of red dresses, cut by a stand-in network that finds red cloth."""

import json
import re
import shutil
import threading
import time
from contextlib import contextmanager
from urllib.request import Request, urlopen

import numpy as np
import pytest
import uvicorn
from PIL import Image, ImageDraw

from garmentcut.config import Config
from garmentcut.model.card import ModelCard
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.sources import find_sources
from garmentcut.review.app import bind, make_app
from garmentcut.review.guard import open_access
from garmentcut.review.service import Service, Settings

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

TIMEOUT_MS = 60_000  # a machine that runs other things beside the tests is slow, not wrong
sync_api.expect.set_options(timeout=TIMEOUT_MS)
WIDTH, HEIGHT = 384, 576
WATCH = """
window.violations = [];
const note = (event) => window.violations.push(event.violatedDirective + event.blockedURI);
addEventListener("securitypolicyviolation", note);
"""
CARD = ModelCard(
    name="red",
    network="red minus green",
    working_size_hw=(96, 64),
    multiple_of=32,
    input_name="x",
    output_name="y",
    input_scale=1 / 255,
    convention="alpha",
    training_data="none",
    licence="MIT",
    sha256="0" * 64,
)


class RedRuntime:
    """alpha = (red - green) / 255."""

    name = "red"
    streams = 1

    def __call__(self, rgb):
        return ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)


def draw_photo(path, *, shift):
    """A red dress with a gray hole, and a red speck, on a lighter wall."""
    image = Image.new("RGB", (WIDTH, HEIGHT), (200, 200, 200))
    pen = ImageDraw.Draw(image)
    pen.polygon([(140 + shift, 120), (240 + shift, 120), (280 + shift, 450), (100 + shift, 450)], fill=(255, 0, 0))
    pen.ellipse([170 + shift, 240, 200 + shift, 270], fill=(200, 200, 200))
    pen.ellipse([320, 60, 350, 90], fill=(255, 0, 0))
    image.save(path)


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A batch of three photos of one garment and one of another: by place, their ids are 1 to 4."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "photos").mkdir()
    for number, name in enumerate(("dress_Back", "dress_Front", "dress_FrontRight", "skirt_Front")):
        draw_photo(folder / "photos" / f"{name}.png", shift=2 * number - 2)
    out = folder / "cutouts"
    with FolderCutter(Cutter(CARD, RedRuntime()), out, config=Config()) as cutter:
        assert all(row.ok for row in cutter.cut(cutter.plan(find_sources([folder / "photos"], out))))
    return out


@contextmanager
def serving(folder, *, token=None, port=0):
    """A server of a batch, in a thread of this process: its address, and the token of its pages."""
    listening = bind("127.0.0.1", port)
    port = listening.getsockname()[1]
    access = open_access(folder, "127.0.0.1", port, token)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cutter, "load", lambda *_args, **_kwargs: Cutter(CARD, RedRuntime()))
        service = Service(Settings(folder), access)
        service.open()
        config = uvicorn.Config(make_app(service), ws="none", lifespan="off", log_config=None, access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        service.model.cutter()  # loaded while the stand-in stands in
    try:
        yield f"http://127.0.0.1:{port}", access.page_token
    finally:
        server.should_exit = True
        thread.join(20)
        service.close()
        listening.close()


@pytest.fixture(scope="session")
def serve_batch():
    """serve_batch(folder, token=None): a running server; a context manager."""
    return serving


@pytest.fixture
def batch(template, tmp_path):
    """A copy of the batch, to be changed."""
    return shutil.copytree(template, tmp_path / "cutouts")


@pytest.fixture
def own_site(batch):
    """The address of a server for one test alone."""
    with serving(batch) as (address, _):
        yield address


@pytest.fixture(scope="session")
def running(template, tmp_path_factory):
    """A server that all tests of the editor share."""
    folder = shutil.copytree(template, tmp_path_factory.mktemp("running") / "cutouts")
    with serving(folder) as (address, token):
        yield address, token


@pytest.fixture
def site(running):
    """Its address; all photos are as they were before the tests that came first."""
    address, token = running
    with urlopen(f"{address}/api/photos") as answer:
        items = json.load(answer)["items"]
    for item in items:
        if item["state"] != "open" or item["has_alpha"] or item["has_draft"] or item["note"]:
            body = json.dumps({"version": item["version"], "action": "revert", "note": ""}).encode()
            headers = {"X-Garmentcut-Token": token, "Content-Type": "application/json"}
            urlopen(Request(f"{address}/api/photos/{item['id']}/decision", body, headers)).close()
    return address


class Shared:
    """A browser profile and a tab in it that one test after the other uses: a new one takes a second to start."""

    def __init__(self, browser):
        self.context = new_profile(browser)
        self.tab = self.context.new_page()

    def open(self):
        """The tab, as large as a new one."""
        if self.tab.is_closed():
            self.tab = self.context.new_page()
        return self.tab

    def forget(self):
        """All that a test has left in the profile and in the tab; other tabs are closed."""
        for tab in self.context.pages:
            if tab is not self.tab:
                tab.close()
        tab = self.open()
        origin = "/".join(tab.url.split("/")[:3])
        tab.unroute_all()
        tab.emulate_media(color_scheme="null")
        tab.mouse.move(0, 0)
        tab.evaluate("() => { try { sessionStorage.clear(); } catch { /* an empty page has none */ } }")
        tab.goto("about:blank")
        self.context.clear_cookies()
        asked = self.context.new_cdp_session(tab)
        asked.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        asked.detach()


def new_profile(browser):
    """It remembers nothing of the others."""
    context = browser.new_context(reduced_motion="reduce")
    context.add_init_script(WATCH)
    return context


@pytest.fixture(scope="session")
def shared(browser):
    """The profile that most tests use."""
    return Shared(browser)


@pytest.fixture
def open_tab(browser, shared):
    """open_tab(): a page of a clean browser profile. None may log an error, break the policy or ask another host."""
    contexts, tabs, listeners = [], [], []

    def open_page(context=None, *, viewport=(1280, 800), tolerates=()):
        if context is None and not tabs:
            tab = shared.open()
        else:
            if context is None:
                context = new_profile(browser)
                contexts.append(context)
            tab = context.new_page()
        tab.set_viewport_size({"width": viewport[0], "height": viewport[1]})
        tab.set_default_timeout(TIMEOUT_MS)
        faults = []
        judges = {
            "pageerror": str,
            "console": lambda line: line.text if is_fault(line) else "",
            "response": lambda answer: f"{answer.status} {answer.url}" if is_refused(answer) else "",
            "request": lambda request: "" if is_ours(request.url) else f"asked {request.url}",
        }
        for event, judge in judges.items():
            listeners.append((tab, event, lambda told, judge=judge: faults.append(judge(told))))
            tab.on(event, listeners[-1][2])
        tabs.append((tab, faults))

        def is_refused(answer):
            return answer.status >= 400 and answer.status not in tolerates

        return tab

    yield open_page
    faults = [fault for _, found in tabs for fault in found if fault]
    violations = [line for tab, _ in tabs if not tab.is_closed() for line in tab.evaluate("window.violations ?? []")]
    for context in contexts:
        context.close()
    for tab, event, listener in listeners:
        tab.remove_listener(event, listener)
    shared.forget()
    assert not faults + violations


def is_fault(line) -> bool:
    """True for errors of the page itself; what the server refuses is judged by its status."""
    is_told = line.text.startswith(("Failed to load resource", "Canvas2D: Multiple readback"))  # the latter: of a test
    return line.type in ("error", "warning") and not is_told


def is_ours(url: str) -> bool:
    """True for addresses that leave neither this machine nor the browser."""
    return bool(re.match(r"(http://127\.0\.0\.1:\d+/|blob:|data:|http://garmentcut\.test/)", url))


class Editor:
    """A photo on the easel, in pixels of the photo, at 100 %."""

    def __init__(self, tab, site):
        self.tab, self.site, self.keys = tab, site, tab.keyboard

    def open(self, photo_id, query=""):
        """Go to a photo's page, at 100 %."""
        self.tab.goto(f"{self.site}/photos/{photo_id}{query}")
        return self.wait(photo_id)

    def wait(self, photo_id):
        """Until a photo is seen."""
        self.tab.wait_for_selector(f"#canvas[data-photo='{photo_id}']")
        sync_api.expect(self.tab.locator("#zoom")).not_to_be_empty()
        self.keys.press("1")
        frame = self.tab.locator("#canvas").bounding_box()
        middle = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
        self.origin = 0, 0
        x, y, _ = self.place(*middle)
        self.origin = middle[0] - x, middle[1] - y
        return self

    def place(self, x, y):
        """(x, y, alpha) that the page shows for a place."""
        self.tab.mouse.move(self.origin[0] + x - 1, self.origin[1] + y)
        self.tab.mouse.move(self.origin[0] + x, self.origin[1] + y)
        return tuple(map(int, re.findall(r"\d+", self.tab.locator("#place").inner_text())))

    def alpha(self, x, y):
        """0 to 255, as it is painted."""
        *place, level = self.place(x, y)
        assert place == [x, y]
        return level

    def stroke(self, *points, steps=6):
        """Down, along, up."""
        mouse = self.tab.mouse
        mouse.move(self.origin[0] + points[0][0], self.origin[1] + points[0][1])
        mouse.down()
        for x, y in points[1:]:
            mouse.move(self.origin[0] + x, self.origin[1] + y, steps=steps)
        mouse.up()

    def click(self, x, y):
        """At one place."""
        self.stroke((x, y))

    def message(self, text):
        """Wait for a message."""
        sync_api.expect(self.tab.locator("#message")).to_contain_text(text)

    def stored(self):
        """Wait until nothing is on its way."""
        sync_api.expect(self.tab.locator("#saving")).to_be_hidden()

    def shows(self, selector, text):
        """Wait until a part of the page reads like this."""
        sync_api.expect(self.tab.locator(selector)).to_have_text(text)

    def item(self, photo_id):
        """What the server knows of a photo."""
        return self.tab.request.get(f"{self.site}/api/photos/{photo_id}").json()

    def stored_alpha(self, photo_id, gray):
        """The server's alpha, uint8 (H, W)."""
        return gray(self.tab.request.get(self.site + self.item(photo_id)["urls"]["alpha"]).body())


@pytest.fixture
def editor(open_tab, site):
    """The first view of the garment `dress`, opened."""
    return Editor(open_tab(), site).open(2)


@pytest.fixture
def edit(open_tab):
    """edit(site, photo_id, query, **tab): a photo opened in a tab of its own."""
    return lambda site, photo_id, query="", **tab: Editor(open_tab(**tab), site).open(photo_id, query)
