"""A stand-in network that finds red cloth, so that folder runs are tested in milliseconds."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

from garmentcut.model.card import ModelCard
from garmentcut.prediction.cutter import Cutter

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
def draw():
    """draw(path, shift=0): a 64x96 photo of a red dress on a gray wall."""

    def draw_photo(path, *, shift: int = 0, cloth=(255, 0, 0)):
        pixels = np.full((96, 64, 3), 200, np.uint8)
        pixels[20:70, 20 + shift : 44 + shift] = cloth
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, lossless=True)  # for WebP
        return path

    return draw_photo
