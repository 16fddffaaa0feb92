"""A model that finds red cloth, photos of it, an S3 server on loopback, and runs without Ray: a worker in
this process."""

import logging
import os
import secrets
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut.cluster import run as run_module
from garmentcut.cluster.run import ClusterCutter, Workers, batches_of
from garmentcut.cluster.worker import Worker
from garmentcut.config import load_config
from garmentcut.model.card import ModelCard, with_card
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter

pytest.importorskip("ray", reason="the extra `cluster` is not installed")

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
def red_model(tmp_path_factory):
    """Path of a model file that finds red cloth."""
    helper = pytest.importorskip("onnx.helper")
    nodes = [helper.make_node("Conv", ["x", "weight", "bias"], ["y"], kernel_shape=[1, 1])]
    weight = helper.make_tensor("weight", 1, [1, 3, 1, 1], [24.0, -24.0, 0.0])
    bias = helper.make_tensor("bias", 1, [1], [-12.0])
    ends = [helper.make_tensor_value_info(n, 1, ["n", c, "h", "w"]) for n, c in (("x", 3), ("y", 1))]
    graph = helper.make_graph(nodes, "red", ends[:1], ends[1:], [weight, bias])
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("model") / "red.onnx"
    path.write_bytes(with_card(network.SerializeToString(), CARD))
    return path


@pytest.fixture
def draw():
    """draw(path, shift=0): a 64x96 photo of a red dress on a gray wall."""

    def draw_photo(path, *, shift=0):
        pixels = np.full((96, 64, 3), 200, np.uint8)
        pixels[20:70, 20 + shift : 44 + shift] = (255, 0, 0)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
        return path

    return draw_photo


@pytest.fixture
def photos(tmp_path, draw):
    """A folder with five photos of three garments, and one that is none."""
    for number, name in enumerate(["a_Front", "a_Back", "b_Front", "deep/b_Back", "c"]):
        draw(tmp_path / f"photos/{name}.png", shift=number)
    (tmp_path / "photos/broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return tmp_path / "photos"


@pytest.fixture(scope="session")
def s3_server():
    """URL of an S3 server on loopback: moto's, or another one (Ceph, MinIO) that GARMENTCUT_TEST_S3 names.

    That must know a user whose key and secret are both `testing`.
    """
    if given := os.environ.get("GARMENTCUT_TEST_S3"):
        yield given
        return
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(s3_server, monkeypatch):
    """URL of a new, empty bucket; credentials come from the environment."""
    import s3fs

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    name = f"test-{secrets.token_hex(8)}"
    s3fs.S3FileSystem(use_listings_cache=False).mkdir(name)
    return f"s3://{name}"


def run_batches_here(groups, model, assignment, workers, _errors):
    """What `garmentcut.cluster.run.run_batches` does, in this process."""
    config = replace(assignment.config, runtime=replace(assignment.config.runtime, threads=1, streams=1))
    assignment = replace(assignment, config=config)
    worker = Worker(model, assignment)
    for batch in batches_of(groups, workers.batch):
        yield from worker.cut(batch)


@pytest.fixture
def new_run(red_model, monkeypatch):
    """new_run(out, **settings): a run whose worker is in this process."""
    monkeypatch.setattr(run_module, "run_batches", run_batches_here)
    cutter = Cutter.load(red_model)

    def make(out, *, settings=None, **options):
        config = load_config(overrides=settings or {})
        return ClusterCutter(FolderCutter(cutter, Path(), config=config, model=red_model, **options), str(out))

    return make


@pytest.fixture
def cut_here(new_run):
    """cut_here(photos, out, **settings): rows of a whole run, by the photos' names."""

    def cut(photos, out, **options):
        with new_run(out, **options) as run:
            rows = list(run.cut(run.plan([str(photos)]), Workers(1, 1, on_gpu=False, batch=2)))
        assert len({row.input for row in rows}) == len(rows)
        return {row.input.rpartition("/")[2]: row for row in rows}

    return cut
