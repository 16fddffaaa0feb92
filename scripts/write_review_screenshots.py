"""Write docs/images/review-*.png: the review page on drawn photos, as a browser shows it.

    python scripts/write_review_screenshots.py

Needs garmentcut[web,dev] and Chromium. Draws four garments, cuts them with the embedded model, works on some of them.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

_IMAGES = Path(__file__).parents[1] / "docs" / "images"
_GARMENTS = 4


def make_batch(folder: Path) -> Path:
    """Draw photos and cut them."""
    garmentcut = [sys.executable, "-m", "garmentcut"]
    photos, cutouts = str(folder / "photos"), folder / "autumn-2031"
    subprocess.run([*garmentcut, "studio", "--out", photos, "--garments", str(_GARMENTS)], check=True)
    subprocess.run([*garmentcut, "cut", photos, "--out", str(cutouts)], check=True)
    return cutouts


@contextmanager
def serving(batch: Path) -> Iterator[str]:
    """A context with the address of a server that runs in its own process."""
    command = [sys.executable, "-m", "garmentcut", "review", str(batch), "--no-open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield str(server.stdout.readline().strip())  # type: ignore[union-attr]
        finally:
            server.terminate()


def save(page: Page, name: str) -> None:
    """Save a screenshot; 256 colours are enough for a manual."""
    page.wait_for_timeout(700)
    with Image.open(io.BytesIO(page.screenshot())) as image:
        small = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    small.save(_IMAGES / f"review-{name}.png", optimize=True)


def open_photo(page: Page, address: str, photo_id: int) -> tuple[float, float]:
    """Open a photo; returns the middle of the canvas."""
    page.goto(f"{address}photos/{photo_id}")
    page.wait_for_selector(f"#canvas[data-photo='{photo_id}']")
    frame = page.locator("#canvas").bounding_box()
    assert frame
    return frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2


def work(page: Page, address: str) -> None:
    """Decide on some photos, so that the queue has something to show."""
    for number, key in enumerate("aaraa"):
        open_photo(page, address, number + 4)
        page.wait_for_timeout(600 + 500 * number)
        if number % 2:
            page.keyboard.press(",")  # move the edge in by a quarter pixel, twice
            page.keyboard.press(",")
        page.keyboard.press(key)
        page.locator("#saving").wait_for(state="hidden")
        page.wait_for_timeout(800)


def show_editor(page: Page, address: str) -> None:
    """Save the editor as it opens, and with the smart brush over an edge."""
    x, y = open_photo(page, address, 2)
    save(page, "editor")
    page.locator("[data-command=look-overlay]").click()
    page.keyboard.press("s")
    for _ in range(8):
        page.keyboard.press("]")
    page.mouse.move(x - 130, y - 160)
    page.mouse.down()
    page.mouse.move(x - 150, y + 120, steps=12)
    save(page, "smart-brush")
    page.mouse.up()


def main() -> None:
    """Write all pictures."""
    _IMAGES.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        batch = make_batch(Path(folder))
        with serving(batch) as address:
            browser = playwright.chromium.launch(executable_path=chromium, args=sandbox)
            page = browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="dark")
            work(page, address)
            page.goto(address)
            page.wait_for_timeout(2500)
            save(page, "queue")
            show_editor(page, address)
            browser.close()


if __name__ == "__main__":
    main()
