"""Masks and alphas to compare, rows of scores, a stand-in model and its dataset."""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from garmentcut.dataset.faults import fault_of
from garmentcut.dataset.manifest import Manifest, Pair, write_manifest
from garmentcut.evaluation.measures import Measures
from garmentcut.evaluation.scores import PhotoScore
from garmentcut.evaluation.thresholds import THRESHOLDS
from garmentcut.model.card import ModelCard, with_card
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.files import write_atomic
from garmentcut.photo.png import png_bytes


@pytest.fixture(scope="session")
def mask_pairs():
    """Random blobs and noise, some at the frame, none empty: 12 pairs of masks of 30x24."""
    rng = np.random.default_rng(7)
    pairs = []
    for trial in range(12):
        field = rng.standard_normal((2, 30, 24))
        if trial % 3:
            field = gaussian_filter(field, (0, 2.5, 2.5))
            field[1] = 0.8 * field[0] + 0.4 * field[1]
        pairs.append(tuple(field > np.quantile(field, 0.6)))
    return pairs


@pytest.fixture(scope="session")
def alpha_pairs():
    """Random soft alphas of 26x22, with flat 0, flat 1 and steps of 1/32 as in real cutouts."""
    rng = np.random.default_rng(8)
    pairs = []
    for trial in range(6):
        field = gaussian_filter(rng.standard_normal((2, 26, 22)), (0, 2.0, 2.0))
        field[1] = field[0] + 0.3 * field[1]
        alphas = np.round(32 * np.clip(0.5 + (2 + trial) * field / field.std(), 0, 1)) / 32
        pairs.append(tuple(alphas.astype(np.float32)))
    return pairs


@pytest.fixture
def make_score():
    """make_score(name, dice, **fields): a row with that Dice and plausible other metrics."""

    def make(name, dice=0.99, **changed):
        garment, _, view = name.partition("_")
        measures = Measures(
            dice=dice,
            dice_any=dice - 0.002,
            iou=dice / (2 - dice),
            pixel_accuracy=0.999,
            surface_dice_1px=dice - 0.1,
            surface_dice_2px=dice - 0.05,
            surface_dice_3px=dice - 0.02,
            hd95_px=200 * (1 - dice),
            assd_px=50 * (1 - dice),
            boundary_iou_2px=0.7,
            boundary_iou_5px=0.9,
            rim_sad=1.5,
            rim_mse=0.02,
            rim_gradient=3.0,
            rim_connectivity=1.4,
        )
        sweep = tuple(dice - 0.01 * abs(threshold - 0.6) for threshold in THRESHOLDS)
        row = PhotoScore(name, garment, view or "Front", "fold0", "net@01234567", False, measures=measures)
        return replace(row, **{"sweep": sweep, "sweep_any": sweep, "seconds": 0.5, **changed})

    return make


@pytest.fixture
def failed_score():
    return PhotoScore(
        "broken_Back", "broken", "Back", "fold1", "net@01234567", None, "failed", "no such file: <b>x</b>"
    )


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


@pytest.fixture
def red_dataset(tmp_path):
    """Six garments in two views in three folds, and a refused pair; the target of g5_Back lies three pixels off."""
    folder = tmp_path / "dataset"
    pairs = []
    for number, view in itertools.product(range(6), ("Front", "Back")):
        name = f"g{number}_{view}"
        rgb, alpha = _picture(number)
        if name == "g5_Back":
            alpha = np.roll(alpha, 3, axis=0)
        photo, target = folder / f"photos/{name}.png", folder / f"alpha/{name}.png"
        write_atomic(photo, png_bytes(rgb))
        write_atomic(target, png_bytes(np.rint(alpha * 255).astype(np.uint8)))
        digest = hashlib.sha256(photo.read_bytes()).hexdigest()
        box = Cutout(rgb, alpha).box_xyxy
        pairs.append(
            Pair(
                name=name,
                garment=f"g{number}",
                view=view,
                photo=f"photos/{name}.png",
                cutout=f"cutouts/{name}.png",
                alpha=f"alpha/{name}.png",
                photo_sha256=digest,
                cutout_sha256="c" * 64,
                size_hw=(96, 64),
                box_xyxy=box,
                split=f"fold{number % 3}",
                source="transparency",
                faults=(),
                group=f"g{number}",
            )
        )
    refused = replace(pairs[0], name="g9_Front", garment="g9", split="", faults=(fault_of("empty", "nothing in it"),))
    manifest = Manifest(folder, (*pairs, refused), "folds 3")
    write_manifest(manifest)
    return manifest
