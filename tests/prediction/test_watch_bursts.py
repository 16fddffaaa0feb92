"""The whole story in small: random bursts, slow copies, broken photos, a watch that is killed; no real clock runs."""

import json
import random
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import load_config
from garmentcut.photo.files import StagedFile
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Journal
from garmentcut.prediction.watch import Watch, watched_folders

NUM_PHOTOS, BROKEN = 100, {7, 23, 41, 58, 77, 99}


class KilledError(BaseException):
    """A power cut: nothing that follows is done."""


@pytest.fixture
def contents(draw, tmp_path):
    """Of each photo, by name: the dress stands `number % 20` pixels to the right."""
    made = {}
    for number in range(NUM_PHOTOS):
        name = f"{number:03}_Front.{'png' if number % 2 else 'webp'}"
        data = draw(tmp_path / f"drawn/{name}", shift=number % 20).read_bytes()
        made[name] = (data[: len(data) // 2], b"", bytes(len(data)))[number % 3] if number in BROKEN else data
    return made


@pytest.fixture
def copied(script, tmp_path):
    """copied(contents, chance): plans when which piece of which file is written; gives the time of the last one."""

    def plan(contents, chance):
        folder, second = tmp_path / "in", 0.0
        folder.mkdir()

        def write(name, data, held_name):
            (folder / held_name).write_bytes(data)
            if held_name != name:
                (folder / held_name).rename(folder / name)

        for number, (name, data) in enumerate(contents.items()):
            second += chance.choice((0, 0, 0, 0, 1, 20))
            pieces = chance.choice((1, 2, 5))
            moment = second
            for piece in range(1, pieces + 1):
                share = data[: len(data) * piece // pieces]
                held = f"{name}.part" if number % 5 == 0 and piece == pieces else name
                script.at(moment, lambda args=(name, share, held): write(*args))
                moment += chance.choice((0.5, 2, 9))
        return second

    return plan


@pytest.mark.parametrize("seed", [1, 2])
def test_every_photo_once_and_every_broken_one_with_its_reason(
    seed, contents, copied, script, red_cutter, tmp_path, monkeypatch
):
    chance, out = random.Random(seed), tmp_path / "out"
    last = copied(contents, chance)
    script.at(last + 200, lambda: None)
    kill_in = [0]
    steps = {(Journal, "append"): Journal.append, (StagedFile, "commit"): StagedFile.commit}

    def deadly(step):
        def work(*args):
            kill_in[0] -= 1
            if kill_in[0] == 0:
                raise KilledError
            return step(*args)

        return work

    for (owner, name), step in steps.items():
        monkeypatch.setattr(owner, name, deadly(step))
    finished, num_kills = Counter(), 0
    while not script.is_set():
        kill_in[0] = chance.randrange(20, 120)
        folder = FolderCutter(red_cutter, out, config=load_config()).__enter__()
        try:
            watch = Watch(folder, watched_folders([tmp_path / "in"], out), stop=script, clock=script.clock)
            for row in watch.rows():
                finished[row.input.rpartition("/")[2], row.status] += 1
            folder.__exit__()
        except KilledError:
            num_kills += 1
            folder._lock.release()  # as the system does with a dead process's
    assert num_kills >= 2
    rows = {
        row["input"].rpartition("/")[2]: row
        for row in map(json.loads, (out / "results.jsonl").read_text().splitlines())
    }
    assert rows.keys() == contents.keys()
    failed = {name for name, row in rows.items() if row["status"] == "failed"}
    assert {int(name[:3]) for name in failed} == BROKEN
    assert all(rows[name]["reason"] for name in failed)
    assert len((out / "results.jsonl").read_text().splitlines()) == NUM_PHOTOS
    assert {status for (name, status), _ in finished.items() if name not in failed} == {"ok"}  # none failed meanwhile
    assert not [name for (name, status), times in finished.items() if status == "ok" and times > 1]
    pictures = sorted(path.name for path in out.iterdir() if path.name not in (".garmentcut", ".garmentcut.lock"))
    assert pictures == sorted([*(rows[name]["outputs"][0] for name in contents.keys() - failed), "results.jsonl"])
    for name in contents.keys() - failed:
        with Image.open(out / rows[name]["outputs"][0]) as image:
            left = int(np.flatnonzero(np.asarray(image.getchannel("A")).any(axis=0))[0])
        assert left == 20 + int(name[:3]) % 20
