"""A batch of small photos of red dresses, cut by a stand-in network that finds red cloth; and a review of it."""

import asyncio
import base64
import io
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from garmentcut.config import Config, load_config
from garmentcut.model.card import ModelCard
from garmentcut.photo.spec import read_specification
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.sources import find_sources
from garmentcut.review import cutting
from garmentcut.review.app import make_app
from garmentcut.review.guard import open_access
from garmentcut.review.redraw import Tiles
from garmentcut.review.service import Service, Settings

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
PORT = 8321


@dataclass
class RedRuntime:
    """alpha = (red - green) / 255; counts its calls."""

    name: str = "red"
    streams: int = 1
    calls: list[tuple[int, ...]] = field(default_factory=list)

    def __call__(self, rgb):
        self.calls.append(rgb.shape)
        return ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)


@pytest.fixture
def red_cutter(monkeypatch) -> Cutter:
    """The stand-in, which every server here loads instead of a model file."""
    cutter = Cutter(CARD, RedRuntime())
    monkeypatch.setattr(Cutter, "load", lambda *_args, **_kwargs: cutter)
    monkeypatch.setattr(cutting, "load_tiles", lambda *_: Tiles(cutter))
    return cutter


@pytest.fixture
def draw():
    """draw(path, shift=0): a 64x96 photo of a red dress on a gray wall."""

    def draw_photo(path: Path, *, shift: int = 0, cloth=(255, 0, 0), height: int = 50):
        pixels = np.full((96, 64, 3), 200, np.uint8)
        pixels[20 : 20 + height, 20 + shift : 44 + shift] = cloth
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return draw_photo


@pytest.fixture
def cut_batch(tmp_path, draw, red_cutter):
    """cut_batch(names, page="", **output): photos drawn and cut, by a specification or output options; the folder."""

    def cut(names=("a_Front", "a_Back", "b_Front"), *, page: str = "", cutter=red_cutter, **output) -> Path:
        for number, name in enumerate(names):
            path = tmp_path / "photos" / f"{name}.png"
            if not path.exists():
                draw(path, shift=number % 10)
        specification = None
        if page:
            (tmp_path / "customer.toml").write_text(page)
            specification = read_specification(tmp_path / "customer.toml")
        config = (
            load_config(overrides={f"output.{key}": value for key, value in output.items()}) if output else Config()
        )
        out = tmp_path / "out"
        with FolderCutter(cutter, out, config=config, specification=specification) as folder:
            for row in folder.cut(folder.plan(find_sources([tmp_path / "photos"], out))):
                assert row.ok or not row.outputs, row.reason
        return out

    return cut


@pytest.fixture
def open_review(red_cutter):  # noqa: ARG001 - so that no server loads a model file
    """open_review(folder, database=None, token=None, host="127.0.0.1"): a client of a running review."""
    clients = []

    def start(folder: Path, *, database=None, token=None, host="127.0.0.1") -> TestClient:
        access = open_access(folder, host, PORT, token)
        service = Service(Settings(folder, database), access)
        service.open()
        client = TestClient(
            make_app(service),
            base_url=f"http://127.0.0.1:{PORT}",
            headers={"x-garmentcut-token": access.page_token},
        )
        client.__enter__()
        client.service = service
        clients.append(client)
        return client

    yield start
    for client in clients:
        client.__exit__(None, None, None)
        client.service.close()


@pytest.fixture
def review(cut_batch, open_review):
    """A review of three photos: a_Front, a_Back, b_Front."""
    return open_review(cut_batch())


@pytest.fixture
def png():
    """png(alpha): the bytes of a gray PNG, or of any array Pillow knows."""

    def encode(alpha, mode=None, **options) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.asarray(alpha, np.uint8), mode).save(file, "PNG", **options)
        return file.getvalue()

    return encode


@pytest.fixture
def gray():
    """gray(content): the pixels of a PNG or of base64 of one."""

    def decode(content) -> np.ndarray:
        data = base64.b64decode(content) if isinstance(content, str) else content
        with Image.open(io.BytesIO(data)) as image:
            assert image.mode == "L"
            return np.array(image)

    return decode


@pytest.fixture
def run_async():
    """run_async(coroutine): what it returns; in another thread, for Playwright keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as pool:
        yield lambda coroutine: pool.submit(asyncio.run, coroutine).result()


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium, Debian's own; one for all tests, for Playwright runs but once in a process."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium:
        pytest.skip("there is no Chromium on this machine; on Debian: apt-get install chromium")
    # A renderer for every tab, and a process that draws for them, cost more than what the tabs do.
    args = ["--no-sandbox", "--renderer-process-limit=1", "--in-process-gpu"]
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=args)
        yield launched
        launched.close()
