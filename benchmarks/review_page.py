"""Measures the review page in a real browser: first view, frames per second, memory.

    garmentcut cut PHOTOS --out BATCH          (100 photos or more, for the memory)
    python benchmarks/review_page.py BATCH

Prints JSON: milliseconds from the start of a page load (in a browser with an empty cache, and in one that has the
page), and from a key press, to the painted photo; frames per second during strokes of several brushes; megabytes that
the page uses after 100 photos. Runs headless Chromium without a graphics card.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

STROKE_S = 4
VIEWS = 100
# Intervals between frames, from the first to the last of a stroke.
COUNT = """() => { window.frames_ms = []; let last = performance.now();
  const next = (now) => { window.frames_ms.push(now - last); last = now;
    if (window.counting) requestAnimationFrame(next); };
  window.counting = true; requestAnimationFrame(next); }"""


@contextmanager
def serving(batch: Path) -> Iterator[str]:
    """A context with the address of a server that runs in its own process."""
    command = [sys.executable, "-m", "garmentcut", "review", str(batch), "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield str(server.stdout.readline().strip())  # type: ignore[union-attr]
        finally:
            server.terminate()


def seen_ms(page: Page) -> float:
    """Milliseconds from the start of the page load until the last photo was painted."""
    return float(page.evaluate("performance.getEntriesByName('photo-seen').at(-1).startTime"))


def wait_for(page: Page, photo_id: int) -> None:
    """Wait until a photo is painted."""
    page.wait_for_selector(f"#canvas[data-photo='{photo_id}']")


def frames_a_second(page: Page, size_px: int) -> dict[str, float]:
    """Frames per second while the mouse draws circles over the photo for some seconds."""
    slider = page.locator("#brush-size")
    slider.evaluate(
        "(s, size) => { s.value = Math.sqrt(size / 600) * 100; s.dispatchEvent(new Event('input')); }", size_px
    )
    frame = page.locator("#canvas").bounding_box()
    assert frame
    middle = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.evaluate(COUNT)
    # Events are made in the page, so that the driver's delay is not measured: eight per frame, like those of a pen.
    page.evaluate(
        """([x, y, seconds]) => new Promise((done) => { const canvas = document.getElementById('canvas');
          const begin = performance.now(); let angle = 0;
          const move = (now) => { for (let k = 0; k < 8; k++) { angle += 0.015; const reach = 40 + 12 * angle % 260;
              canvas.dispatchEvent(new PointerEvent('pointermove', { pointerId: 1, pointerType: 'mouse', bubbles: true,
                buttons: 1, clientX: x + reach * Math.cos(angle), clientY: y + reach * Math.sin(angle) })); }
            now - begin < 1000 * seconds ? requestAnimationFrame(move) : done(); };
          requestAnimationFrame(move); })""",
        [*middle, STROKE_S],
    )
    intervals = page.evaluate("() => { window.counting = false; return window.frames_ms; }")
    page.mouse.up()
    page.keyboard.press("z")
    slow = sorted(intervals)[int(0.95 * len(intervals))]
    return {"frames_a_second": round(1000 / statistics.fmean(intervals), 1), "p95_ms": round(slow, 1)}


def walk(page: Page, order: list[int]) -> list[float]:
    """Go through the queue by key, painting on each photo; returns milliseconds from each key press to the picture."""
    waits = []
    frame = page.locator("#canvas").bounding_box()
    assert frame
    for photo_id in order[1 : VIEWS + 1]:
        page.mouse.move(frame["x"] + 300, frame["y"] + 200)
        page.mouse.down()
        page.mouse.move(frame["x"] + 500, frame["y"] + 400, steps=8)
        page.mouse.up()
        page.wait_for_timeout(600)  # as a person looks at it; meanwhile the next one is loaded
        pressed = page.evaluate("performance.now()")
        page.keyboard.press("ArrowRight")
        wait_for(page, photo_id)
        waits.append(seen_ms(page) - pressed)
    return waits


def memory_mb(page: Page) -> dict[str, float]:
    """Memory of JavaScript, and of the whole renderer process according to the system (Linux)."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    heap = session.send("Runtime.getHeapUsage")
    held = {"script_mb": (heap["usedSize"] + heap.get("backingStorageSize", 0)) / 1e6}
    browser = page.context.browser
    assert browser
    processes = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    for process in processes:
        status = Path(f"/proc/{process['id']}/smaps_rollup")
        if process["type"] == "renderer" and status.exists():
            pss = next(line for line in status.read_text().splitlines() if line.startswith("Pss:"))
            held["renderer_mb"] = max(held.get("renderer_mb", 0), int(pss.split()[1]) / 1e3)
    return {name: round(value) for name, value in held.items()}


def measure(page: Page, address: str) -> dict[str, Any]:
    """Make all measurements."""
    items = page.request.get(f"{address}api/photos?limit=500").json()["items"]
    order = [item["id"] for item in items if item["urls"]["alpha"]]
    first = order[0]
    loads = []
    for photo_id in [first, *order[:20]]:
        page.goto(f"{address}photos/{photo_id}")
        wait_for(page, photo_id)
        loads.append(seen_ms(page))
        page.wait_for_timeout(300)
    page.goto(f"{address}photos/{first}")
    wait_for(page, first)
    page.wait_for_timeout(1000)
    strokes = {f"brush_{size}_px": frames_a_second(page, size) for size in (12, 60, 200, 400)}
    page.keyboard.press("1")
    strokes["brush_60_px_at_100_percent"] = frames_a_second(page, 60)
    page.keyboard.press("g")
    waits = walk(page, order)
    return {
        "photo_px": [items[0]["width"], items[0]["height"]],
        "page_load_ms": {"cold": round(loads[0]), "photos": 20, "median": round(statistics.median(loads[1:]))},
        "next_photo_ms": {
            "photos": len(waits),
            "median": round(statistics.median(waits)),
            "p95": round(sorted(waits)[int(0.95 * len(waits))]),
        },
        "strokes": strokes,
        "memory": memory_mb(page),
    }


def main(batch: Path) -> dict[str, Any]:
    """Serve and measure."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with serving(batch) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        figures = measure(page, address)
        browser.close()
    return figures


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1])), indent=2))
