"""A stand-in network that finds red cloth, so that folder runs are tested in milliseconds."""

import heapq
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import load_config
from garmentcut.model.card import Acceptance, DoubtModel, ModelCard, Threshold
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.doubt import ALL_FEATURES
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.watch import Watch, watched_folders

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
def card() -> ModelCard:
    return CARD


@pytest.fixture
def red_cutter() -> Cutter:
    return Cutter(CARD, RedRuntime())


@pytest.fixture
def cutter_failing_once() -> Cutter:
    """A cutter of red dresses whose network fails on the first photo."""

    class FailsOnce(RedRuntime):
        def __call__(self, rgb):
            if not self.calls:
                self.calls.append(rgb.shape)
                raise RuntimeError("out of memory on the device")
            return super().__call__(rgb)

    return Cutter(CARD, FailsOnce())


@pytest.fixture
def draw():
    """draw(path, shift=0): a 64x96 photo of a red dress on a gray wall."""

    def draw_photo(path, *, shift: int = 0, cloth=(255, 0, 0)):
        pixels = np.full((96, 64, 3), 200, np.uint8)
        pixels[20:70, 20 + shift : 44 + shift] = cloth
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, lossless=True)  # for WebP
        return path

    return draw_photo


class Script:
    """The clock, the stop and what happens when: time passes only while the watch waits."""

    def __init__(self):
        self.now, self.events, self.num_waits = 0.0, [], 0

    def at(self, seconds, action):
        heapq.heappush(self.events, (seconds, len(self.events), action))

    def clock(self):
        return self.now

    def is_set(self):
        return not self.events

    def wait(self, timeout):
        assert timeout > 0, "a busy loop"
        self.num_waits += 1
        self.now += timeout
        while self.events and self.events[0][0] <= self.now:
            heapq.heappop(self.events)[2]()
        return self.is_set()


@pytest.fixture
def script():
    return Script()


@pytest.fixture
def watch_for(red_cutter, tmp_path, script):
    """watch_for(seconds): the rows that a watch of tmp_path/in yields until then."""

    def run(seconds, *, inputs=("in",), out="out", specification=None, monitor=None, cutter=red_cutter, **settings):
        config = load_config(overrides={f"watch.{key}": value for key, value in settings.items()})
        for name in inputs:
            (tmp_path / name).mkdir(parents=True, exist_ok=True)
        script.at(script.now + seconds, lambda: None)
        with FolderCutter(cutter, tmp_path / out, config=config, specification=specification) as folder:
            folders = watched_folders([tmp_path / name for name in inputs], tmp_path / out)
            return list(Watch(folder, folders, stop=script, monitor=monitor, clock=script.clock).rows())

    return run


@pytest.fixture(scope="session")
def make_doubt():
    """make_doubt(bias=0, **weights): a doubt model with unit scales; features not named weigh nothing."""

    def make(*, bias=0.0, **weights):
        num = len(ALL_FEATURES)
        return DoubtModel(
            features=ALL_FEATURES,
            center=(0.0,) * num,
            scale=(1.0,) * num,
            weights=tuple(float(weights.get(feature, 0.0)) for feature in ALL_FEATURES),
            bias=bias,
            appearance_mean=(0.0,) * 10,
            appearance_precision=tuple(tuple(float(row == column) for column in range(10)) for row in range(10)),
            limits=(1000.0,) * num,
        )

    return make


@pytest.fixture(scope="session")
def make_acceptance():
    """make_acceptance(**max_doubts): r05=0.3 is a threshold of 0.3 for a risk of 0.05; None: not guaranteed."""

    def make(**max_doubts):
        thresholds = tuple(
            Threshold(int(name[1:]) / 100, max_doubt, "" if max_doubt is not None else "cannot: too few garments")
            for name, max_doubt in max_doubts.items()
        )
        return Acceptance(0.95, 0.9, "tests", 10, 10, thresholds[0].risk, thresholds)

    return make
