"""Synthetic photos whose true alpha and colours are known; a stand-in model that finds red cloth, and its dataset."""

import ctypes
import gc
import hashlib
import itertools
import json
import logging
import multiprocessing
import os
import signal
import sys
import textwrap
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import NamedTuple

# Before the first library reads it: for networks so small a second thread is only waited for.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest

from garmentcut.dataset.manifest import Manifest, Pair, fault_of, read_manifest, write_manifest
from garmentcut.model.card import ModelCard, with_card
from garmentcut.photo.files import write_atomic
from garmentcut.photo.photo import Cutout
from garmentcut.photo.write import png_bytes


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Garbage is looked for in what the tests make, not in all that is imported: torch alone is a million objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        if "torch" in sys.modules:
            draw_nothing_for_networks_without_weights()
        gc.freeze()
        gc.enable()


def draw_nothing_for_networks_without_weights():
    """On the device "meta" torch takes ten times as long to draw no numbers as to make the rest of a network."""
    import torch

    def drawn_unless_meta(draw):
        return lambda tensor, *args, **options: tensor if tensor.is_meta else draw(tensor, *args, **options)

    for name in ("normal_", "uniform_"):
        setattr(torch.Tensor, name, drawn_unless_meta(getattr(torch.Tensor, name)))


class Studio(NamedTuple):
    photo: np.ndarray  # uint8 (H, W, 3)
    alpha: np.ndarray  # float32 (H, W), true
    garment: np.ndarray  # uint8 (H, W, 3), its colour everywhere
    background: np.ndarray  # uint8 (H, W, 3)


@pytest.fixture(scope="session")
def studio():
    """A function that draws an ellipse of patterned cloth on studio grey, its edge soft by `sigma` pixels."""

    def draw(height=288, width=192, *, sigma=0.8):
        y, x = np.mgrid[:height, :width].astype(np.float32)
        radius = np.hypot((y - height / 2) / (0.36 * height), (x - width / 2) / (0.32 * width))
        distance = (1 - radius) * 0.33 * min(height, width)
        alpha = np.round(127.5 + 127.5 * np.tanh(0.85 * distance / sigma)) / 255
        garment = np.stack([150 + 40 * np.sin(x / 17), 30 + 20 * np.sin(y / 23), 60 + 30 * np.cos((x + y) / 31)], -1)
        background = np.stack([205 + 20 * y / height] * 3, -1) + np.array([0, 2, 5])
        photo = alpha[..., None] * garment + (1 - alpha[..., None]) * background
        return Studio(
            *(
                np.rint(values).astype(np.uint8) if values.ndim == 3 else values.astype(np.float32)
                for values in (photo, alpha, garment, background)
            )
        )

    return draw


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
)


@pytest.fixture(scope="session")
def red_model():
    """red_model(path, **card_fields): a model file that finds red cloth; logit 12 in it, -12 elsewhere."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Conv", ["x", "weight", "bias"], ["y"], kernel_shape=[1, 1])]
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [1, 3, 1, 1], [24.0, -24.0, 0.0])
    bias = helper.make_tensor("bias", TensorProto.FLOAT, [1], [-12.0])
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c, "h", "w"]) for n, c in (("x", 3), ("y", 1))]
    graph = helper.make_graph(nodes, "red", ends[:1], ends[1:], [weight, bias])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def write(path, **fields):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(with_card(network.SerializeToString(), replace(CARD, **fields)))
        return path

    return write


def _picture(shift):
    """A 96x64 photo of a red dress on a gray wall, and its alpha."""
    alpha = np.zeros((96, 64), np.float32)
    alpha[20:70, 20 + shift : 44 + shift] = 1
    rgb = np.where(alpha[..., None] > 0, np.uint8([255, 0, 0]), np.uint8(200))
    return rgb.astype(np.uint8), alpha


def _write_pair(folder, name, *, rgb, alpha, split):
    photo, target = folder / f"photos/{name}.png", folder / f"alpha/{name}.png"
    write_atomic(photo, png_bytes(rgb))
    write_atomic(target, png_bytes(np.rint(alpha * 255).astype(np.uint8)))
    garment, view = name.split("_")
    return Pair(
        name=name,
        garment=garment,
        view=view,
        photo=f"photos/{name}.png",
        cutout=f"cutouts/{name}.png",
        alpha=f"alpha/{name}.png",
        photo_sha256=hashlib.sha256(photo.read_bytes()).hexdigest(),
        cutout_sha256="c" * 64,
        size_hw=(96, 64),
        box_xyxy=Cutout(rgb, alpha).box_xyxy,
        split=split,
        source="transparency",
        faults=(),
        group=garment,
    )


@pytest.fixture
def red_dataset(tmp_path):
    """Six garments in two views in three folds, and a refused pair; the target of g5_Back lies three pixels off."""
    folder, pairs = tmp_path / "dataset", []
    for number, view in itertools.product(range(6), ("Front", "Back")):
        name = f"g{number}_{view}"
        rgb, alpha = _picture(number)
        if name == "g5_Back":
            alpha = np.roll(alpha, 3, axis=0)
        pairs.append(_write_pair(folder, name, rgb=rgb, alpha=alpha, split=f"fold{number % 3}"))
    refused = replace(pairs[0], name="g9_Front", garment="g9", split="", faults=(fault_of("empty", "nothing in it"),))
    manifest = Manifest(folder, (*pairs, refused), "folds 3")
    write_manifest(manifest)
    return manifest


@pytest.fixture
def many_garments(tmp_path):
    """The folder of a dataset of 24 garments in three folds, the cloth of some too pale for the stand-in model."""
    folder, pairs = tmp_path / "dataset", []
    for number in range(24):
        rgb, alpha = _picture(number % 8)
        rgb[20 + number : 24 + number, 30:40] = 255 - 8 * (number % 6), 70 + number, 60  # paler, and no two alike
        pairs.append(_write_pair(folder, f"g{number}_Front", rgb=rgb, alpha=alpha, split=f"fold{number % 3}"))
    write_manifest(Manifest(folder, tuple(pairs), "folds 3"))
    return folder


@pytest.fixture(scope="session")
def without_rights():
    """without_rights(): a context in which this thread, and those that it starts, has no root's rights over files."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has no modes of files")
    if os.geteuid():
        return nullcontext
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "capset"):
        pytest.skip("root may read everything, and this system has no capabilities to give that up")
    this_thread = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3
    overriding = 1 << 1 | 1 << 2  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH

    get_bits, set_bits, as_they_are = 27, 28, 1 << 2  # of prctl; else access(2) counts what root could take back

    @contextmanager
    def given_up():
        before = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable of the first 32, then of the others
        assert libc.capget(this_thread, before) == 0
        less, bits = type(before)(*before), libc.prctl(get_bits)
        less[0] &= ~overriding
        assert libc.prctl(set_bits, bits | as_they_are, 0, 0, 0) == 0
        assert libc.capset(this_thread, less) == 0
        try:
            yield
        finally:
            assert libc.capset(this_thread, before) == 0
            assert libc.prctl(set_bits, bits, 0, 0, 0) == 0

    return given_up


@pytest.fixture(scope="session")
def start_process():
    """start_process(code, **names): a process of its own that runs the code, and a connection that hears its `told`.

    It is forked from one that has loaded what most need, or it would do little else than that. One that hangs is killed
    when the tests end.
    """
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "forkserver")
    if os.name != "nt":
        context.set_forkserver_preload(["garmentcut.prediction.folder", "garmentcut.review.app"])

    def start(code, **names):
        heard, told = context.Pipe(duplex=False)
        process = context.Process(target=exec, args=(textwrap.dedent(code), {"told": told, **names}), daemon=True)
        process.start()
        told.close()
        return process, heard

    return start


@pytest.fixture
def red_manifest():
    return read_manifest


@pytest.fixture
def red_runs(request, tmp_path, red_model):
    """A folder of three runs, each with its model and the split that it held out of the test's dataset."""
    names = [name for name in ("red_dataset", "many_garments") if name in request.fixturenames]
    dataset = request.getfixturevalue(names[0])
    manifest = dataset if isinstance(dataset, Manifest) else read_manifest(dataset)
    for fold in range(3):
        folder = tmp_path / f"runs/fold{fold}"
        red_model(folder / "model.onnx", name=f"red{fold}")
        facts = {"held_out": [f"fold{fold}"], "data_sha256": manifest.sha256}
        (folder / "run.json").write_text(json.dumps(facts))
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def _log_as_it_was():
    """A command run in this process sends the log to its own stderr, which is closed after it."""
    logger = logging.getLogger("garmentcut")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


@pytest.fixture
def heard_hangup():
    """SIGHUP does what it does in a terminal, also where the tests were started with nohup."""
    if not hasattr(signal, "SIGHUP"):
        yield
        return
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)
