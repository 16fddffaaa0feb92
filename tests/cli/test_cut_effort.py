from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.config import CutConfig
from garmentcut.model.card import FirstLook, read_model
from garmentcut.prediction.cutter import Cutter, default_model
from garmentcut.prediction.folder import FolderCutter


class Red:
    """alpha = (red - green) / 255."""

    name, streams = "red", 1

    def __call__(self, rgb):
        return ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)


@pytest.fixture
def made(monkeypatch):
    """The cutters that were loaded."""
    cutters = []
    look = FirstLook("red", (96, 64), 32, margin_px=16)
    card = replace(read_model(default_model())[1], working_size_hw=(384, 256), first_look=look, doubt=None)

    def load(*_, cut=None, **__):
        cutters.append(Cutter(card, Red(), cut or CutConfig(), Red()))
        return cutters[-1]

    monkeypatch.setattr(Cutter, "load", load)
    return cutters


@pytest.fixture
def photos(tmp_path):
    pixels = np.full((384, 256, 3), 200, np.uint8)
    pixels[100:300, 60:180] = 255, 0, 0
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/a.png")
    return tmp_path


def cut(folder, *options):
    done = CliRunner().invoke(app, ["cut", str(folder / "photos"), "--out", str(folder / "out"), *options])
    assert done.exit_code == 0, done.output
    with Image.open(folder / "out/a.png") as image:
        return np.asarray(image.getchannel("A")) / 255


def test_effort_and_choke_reach_the_cutter_and_the_file(made, photos):
    alpha = cut(photos, "--effort", "best", "--choke", "1.5")
    assert made[0].config == CutConfig("best", 1.5)
    assert alpha[200].sum() == pytest.approx(120 - 2 * 1.5, abs=0.1)


def test_other_effort_or_choke_cuts_again(made, photos):
    assert cut(photos)[200].sum() == pytest.approx(120, abs=0.1)
    assert cut(photos, "--choke", "-2")[200].sum() == pytest.approx(124, abs=0.1)
    options = {
        FolderCutter(Cutter(made[0].card, Red(), config, Red()), photos / "x").options
        for config in (CutConfig(), CutConfig("fast"), CutConfig(choke_px=1.0), CutConfig(choke_px=-1.0))
    }
    assert len(options) == 4


@pytest.mark.parametrize(("option", "value"), [("--effort", "most"), ("--choke", "50")])
def test_what_is_not_known_is_misuse(photos, option, value):
    done = CliRunner().invoke(app, ["cut", str(photos / "photos"), "--out", str(photos / "out"), option, value])
    assert done.exit_code == 2
    assert "cut." in done.output
