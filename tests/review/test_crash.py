"""A server killed (SIGKILL) at every step of keeping a correction: afterwards it is there whole, or not at all."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

# One process that has loaded everything, and a child of it for each moment to die at.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from garmentcut.review import access, delivery, service, store

def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(delivery.StagedFile):
    def commit(self):
        die()

class DyingOnce(delivery.StagedFile):
    def commit(self):
        super().commit()
        die()

MOMENTS = {
    "before the alpha is written": lambda: setattr(store.AlphaFiles, "write_correction", die),
    "before it is stored": lambda: setattr(store.Store, "_commit_alpha", die),
    "once it is stored": lambda: setattr(delivery.Delivery, "settle", die),
    "before the decision's file": lambda: setattr(delivery, "write_decision", die),
    "before the outputs": lambda: setattr(delivery, "StagedFile", Dying),
    "between two outputs": lambda: setattr(delivery, "StagedFile", DyingOnce),
    "before the outputs are marked": lambda: setattr(delivery.Delivery, "_mark", die),
}
batches = Path(sys.argv[1])
png = (batches / "alpha.png").read_bytes()
for number, (moment, arrange) in enumerate(MOMENTS.items()):
    child = os.fork()
    if not child:
        arrange()
        folder = batches / str(number)
        found = service.Service(service.Settings(folder), access.open_access(folder, "127.0.0.1", 1, None))
        found.store.refresh()
        found.store.save_alpha(store.Basis(1, 1), png, accept=True)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL, moment
    print(moment)
"""
STORED = {
    "before the alpha is written": False,
    "before it is stored": False,
    "once it is stored": True,
    "before the decision's file": True,
    "before the outputs": True,
    "between two outputs": True,
    "before the outputs are marked": True,
}


@pytest.fixture
def killed(cut_batch, tmp_path, png):
    """Batches by the moment at which their server was killed; and the alpha that it was keeping."""
    folder = cut_batch(["a_Front"], formats=("png", "mask"))
    with Image.open(folder / "a_Front_mask.png") as image:
        alpha = np.array(image)
    alpha[30:60, 10:20] = 255
    (tmp_path / "alpha.png").write_bytes(png(alpha))
    for number in range(len(STORED)):
        shutil.copytree(folder, tmp_path / str(number))
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout.splitlines() == list(STORED), done.stderr
    return {moment: tmp_path / str(number) for number, moment in enumerate(STORED)}, alpha


def test_a_correction_is_there_whole_or_not_at_all(killed, cut_batch, open_review, gray):
    folders, alpha = killed
    first = cut_batch(["a_Front"], formats=("png", "mask"))
    for moment, folder in folders.items():
        client = open_review(folder)
        item = client.get("/api/photos").json()["items"][0]
        assert (item["state"], item["version"], item["undelivered"]) == (
            ("corrected", 2, "") if STORED[moment] else ("open", 1, "")
        ), moment
        with Image.open(first / "a_Front_mask.png") as image:
            predicted = np.array(image)
        wanted = alpha if STORED[moment] else predicted
        np.testing.assert_array_equal(gray(client.get(item["urls"]["alpha"]).content), wanted, moment)
        np.testing.assert_array_equal(gray(client.get(item["urls"]["predicted"]).content), predicted, moment)
        with Image.open(folder / "a_Front.png") as image, Image.open(folder / "a_Front_mask.png") as mask:
            np.testing.assert_array_equal(np.array(image)[..., 3], wanted, moment)
            np.testing.assert_array_equal(np.array(mask), wanted, moment)
        body = {"version": item["version"], "action": "reject"}
        assert client.post(f"/api/photos/{item['id']}/decision", json=body).status_code == 200, moment
