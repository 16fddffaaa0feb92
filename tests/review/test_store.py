"""`garmentcut cut` at work in a folder that is reviewed, and run again after a correction."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from garmentcut.dataset.corrections import DECISIONS_FOLDER, ReviewSource, decision_on, find_reviewed, read_decision
from garmentcut.errors import RunError
from garmentcut.naming import DEFAULT_PATTERN, NamePattern
from garmentcut.photo.files import LOCK_NAME
from garmentcut.prediction.folder import BATCH_NAME
from garmentcut.prediction.results import Journal
from garmentcut.prediction.steps import Steps, decision_for, held_for_review
from garmentcut.review.database import ActionRow, PhotoRow

PAGE = "[canvas]\nwidth_px = 100\nheight_px = 100\n[garment]\nheight = 80\nmax_enlargement = 4.0\n"


def item_of(client, name="a_Front"):
    return next(item for item in client.get("/api/photos").json()["items"] if item["name"] == name)


def correct(client, gray, png, name="a_Front", *, rows=slice(30, 60), columns=slice(10, 20)):
    """Add a piece to a photo's alpha and accept it; the new alpha."""
    item = item_of(client, name)
    alpha = gray(client.get(item["urls"]["alpha"]).content).copy()
    alpha[rows, columns] = 255
    answer = client.put(f"/api/photos/{item['id']}/alpha?version={item['version']}&accept=1", content=png(alpha))
    assert answer.status_code == 200 and answer.json()["undelivered"] == "", answer.text
    return alpha


def alpha_in(path):
    with Image.open(path) as image:
        return np.array(image)[..., -1] if image.mode in ("RGBA", "LA") else np.array(image.convert("L"))


def test_new_results_appear_while_cut_still_runs(review, cut_batch):
    assert review.get("/api/photos").json()["total"] == 3
    revision = review.get("/api/changes").json()["revision"]
    lock = cut_batch(["c_Front"]) / LOCK_NAME
    changes = review.get("/api/changes", params={"since": revision}).json()
    assert [item["name"] for item in changes["items"]] == ["c_Front"]
    assert changes["running"] is True
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    lock.write_text(json.dumps(json.loads(lock.read_text()) | {"pid": ended.pid}))
    assert review.get("/api/changes").json()["running"] is False, "of a run that has ended, there come no more"


def test_results_that_the_database_could_not_take_are_read_again(review, monkeypatch):
    """Before, a row that came while the database was locked or its disk full was never shown."""
    journal = Journal(review.service.folder)
    row = next(iter(journal.rows.values()))
    journal.append(replace(row, input=f"{row.input}2", place="c_Front"))
    with monkeypatch.context() as patch:
        patch.setattr(review.service.database, "write", Mock(side_effect=OperationalError("", {}, Exception("locked"))))
        assert review.get("/api/photos").status_code == 503
    assert item_of(review, "c_Front")["state"] == "open"


def test_the_same_command_again_leaves_a_correction_alone(review, cut_batch, gray, png, red_cutter):
    alpha = correct(review, gray, png)
    calls = len(red_cutter.runtime.calls)
    cut_batch()
    assert len(red_cutter.runtime.calls) == calls
    np.testing.assert_array_equal(alpha_in(review.service.folder / "a_Front.png"), alpha)
    assert item_of(review)["state"] == "corrected"


def test_other_options_deliver_the_corrected_alpha(review, cut_batch, gray, png):
    alpha = correct(review, gray, png)
    folder = cut_batch(formats=("png", "mask"))
    for name in ("a_Front.png", "a_Front_mask.png"):
        np.testing.assert_array_equal(alpha_in(folder / name), alpha)
    item = item_of(review)
    assert (item["state"], item["has_alpha"]) == ("corrected", True)
    assert all(row.ok for row in Journal(folder).rows.values())
    reverted = review.post(f"/api/photos/{item['id']}/decision", json={"version": item["version"], "action": "revert"})
    review.post(f"/api/photos/{item['id']}/decision", json={"version": reverted.json()["version"], "action": "accept"})
    assert alpha_in(folder / "a_Front_mask.png")[45, 15] == 0


def test_after_reopening_cut_delivers_the_prediction(review, cut_batch, gray, png):
    correct(review, gray, png)
    item = item_of(review)
    review.post(f"/api/photos/{item['id']}/decision", json={"version": item["version"], "action": "reopen"})
    folder = cut_batch(formats=("mask",))
    assert alpha_in(folder / "a_Front_mask.png")[45, 15] == 0
    item = item_of(review)
    answer = review.post(f"/api/photos/{item['id']}/decision", json={"version": item["version"], "action": "accept"})
    assert (answer.json()["state"], answer.json()["undelivered"]) == ("corrected", "")
    assert alpha_in(folder / "a_Front_mask.png")[45, 15] == 255


@pytest.mark.parametrize("output", [{}, {"trim": True}], ids=["whole", "trimmed"])
def test_a_cutout_accepted_as_it_is_can_become_a_training_pair(cut_batch, open_review, gray, output):
    """Before, its alpha was stored only if it had been computed again, and `ingest --with-accepted` found none."""
    folder = cut_batch(**output)
    review = open_review(folder)
    item = item_of(review)
    review.post(f"/api/photos/{item['id']}/decision", json={"version": item["version"], "action": "accept"})
    assert find_reviewed(ReviewSource((folder,)), NamePattern(DEFAULT_PATTERN), {}) == []
    (found,) = find_reviewed(ReviewSource((folder,), with_accepted=True), NamePattern(DEFAULT_PATTERN), {})
    assert (found.name, found.faults) == ("a_Front", ())
    alpha = gray(found.cutout.read_bytes())
    assert alpha.shape == (96, 64) and (alpha > 127).sum() == 50 * 24


def test_an_exchanged_photo_is_open_again_and_its_correction_given_up(review, cut_batch, draw, gray, png, tmp_path):
    correct(review, gray, png)
    draw(tmp_path / "photos" / "a_Front.png", shift=15)
    cut_batch()
    item = item_of(review)
    assert (item["state"], item["has_alpha"], item["version"]) == ("open", False, 3)
    assert alpha_in(review.service.folder / "a_Front.png")[45, 15] == 0


def test_an_output_that_somebody_worked_on_is_not_replaced(review, png):
    output = review.service.folder / "a_Front.png"
    Image.new("RGBA", (64, 96)).save(output)
    painted = output.read_bytes()
    item = item_of(review)
    alpha = np.full((96, 64), 255, np.uint8)
    url = f"/api/photos/{item['id']}/alpha?version=1&accept=1"
    answer = review.put(url, content=png(alpha)).json()
    assert answer["state"] == "corrected" and "a_Front.png was changed outside of garmentcut" in answer["undelivered"]
    assert output.read_bytes() == painted
    output.unlink()
    again = {"version": answer["version"], "action": "accept"}
    assert review.post(f"/api/photos/{item['id']}/decision", json=again).json()["undelivered"] == ""
    np.testing.assert_array_equal(alpha_in(output), alpha)


def test_a_photo_decided_on_while_it_is_cut_is_finished_again(review, cut_batch, gray, png, monkeypatch):
    alpha, finish = None, Steps._split

    def correct_first(self, cutout, work, notes):
        nonlocal alpha
        if alpha is None and work.row.place == "a_Front":
            alpha = correct(review, gray, png)
        return finish(self, cutout, work, notes)

    monkeypatch.setattr(Steps, "_split", correct_first)
    folder = cut_batch(formats=("png", "mask"))
    np.testing.assert_array_equal(alpha_in(folder / "a_Front.png"), alpha)
    np.testing.assert_array_equal(alpha_in(folder / "a_Front_mask.png"), alpha)


def test_the_lock_tells_a_decision_that_came_between(review, gray, png):
    folder = review.service.folder
    row = next(row for row in Journal(folder).rows.values() if row.place == "a_Front")
    before = decision_for(folder, row)
    correct(review, gray, png)
    with pytest.raises(RunError), held_for_review(folder, row, before):
        pass
    with held_for_review(folder, row, decision_for(folder, row)):
        pass


@pytest.mark.parametrize(
    "output", [{"formats": ("jpeg",)}, {"trim": True}, {"formats": ("webp",)}, {"formats": ("psd",)}]
)
def test_every_kind_of_output_can_be_corrected(cut_batch, open_review, gray, png, output):
    client = open_review(cut_batch(["a_Front"], **output))
    before = client.service.folder.glob("a_Front.*")
    sizes = {path.name: path.read_bytes() for path in before}
    item = item_of(client)
    predicted = gray(client.get(item["urls"]["predicted"]).content)
    assert predicted.shape == (96, 64) and predicted[45, 30] == 255 and predicted[5, 5] == 0
    correct(client, gray, png)
    assert len(sizes) == 1
    assert all((client.service.folder / name).read_bytes() != content for name, content in sizes.items())
    np.testing.assert_array_equal(gray(client.get(item_of(client)["urls"]["predicted"]).content), predicted)


def test_under_a_specification_all_views_of_the_garment_keep_one_scale(cut_batch, open_review, gray, png):
    folder = cut_batch(["a_Front", "a_Back", "b_Front"], page=PAGE)

    def heights():
        return [
            int((alpha_in(folder / f"{name}.png") > 127).any(axis=1).sum()) for name in ("a_Front", "a_Back", "b_Front")
        ]

    assert heights() == [80, 80, 80]
    client = open_review(folder)
    correct(client, gray, png, rows=slice(10, 70), columns=slice(22, 40))  # ten pixels taller
    tall, other, unrelated = heights()
    assert (tall, unrelated) == (80, 80) and 65 <= other <= 68
    cut_batch(["a_Front", "a_Back", "b_Front"], page=PAGE)
    assert heights() == [tall, other, unrelated]


def test_decisions_stand_in_files_too(review, gray, png):
    correct(review, gray, png)
    folder = review.service.folder
    decision = read_decision(folder, f"{DECISIONS_FOLDER}/a_Front")
    assert (decision.state, decision.place, decision.version) == ("corrected", "a_Front", 2)
    assert (folder / decision.alpha).is_file() and (folder / decision.prediction).is_file()
    assert decision_on(folder, "a_Front", decision.input, "0" * 64) == decision  # what was written for it is ours
    assert decision_on(folder, "a_Front", "/another/a_Front.png", "0" * 64) is None


def test_what_killed_servers_left_is_cleared_by_the_next(review, open_review):
    folder = review.service.folder
    name = ".garmentcut--0123456789abcdef.part"
    staged = [folder / place / name for place in (".", ".garmentcut/review", ".garmentcut/thumbnails")]
    stale, fresh = (folder / f".garmentcut/thumbnails/{name}-garment.jpg" for name in ("stale", "fresh"))
    for path in (*staged, stale, fresh):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
        if path != fresh:
            os.utime(path, (0, 0))
    young = folder / ".garmentcut--fedcba9876543210.part"  # somebody may be writing it
    others = folder / ".garmentcut-owner-0123456789abcdef.part"
    for path in (young, others):
        path.write_bytes(b"")
    review.service.close()
    open_review(folder)
    deadline = time.monotonic() + 20
    while stale.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [path.exists() for path in (*staged, stale)] == [False] * 4
    assert young.exists() and others.exists() and fresh.exists()


@pytest.mark.parametrize("lost", ["database", "batch"])
def test_decisions_outlive_the_database_and_the_batchs_id(review, cut_batch, open_review, gray, png, lost):
    alpha = correct(review, gray, png)
    for name, action in (("a_Back", "accept"), ("b_Front", "reject")):
        body = {"version": 1, "action": action, "note": f"{action}, Ärmel", "seconds": 2.5}
        headers = {"x-garmentcut-person": "Ida"}
        assert review.post(f"/api/photos/{item_of(review, name)['id']}/decision", json=body, headers=headers).is_success
    told = ("name", "state", "version", "note", "seconds", "edge_share", "changed_by", "changed_at", "has_alpha")
    before = {item["name"]: [item[key] for key in told] for item in review.get("/api/photos").json()["items"]}
    figures = review.get("/api/statistics").json()
    folder = review.service.folder
    review.service.close()
    if lost == "database":
        for path in folder.glob("review.sqlite*"):
            path.unlink()
    else:
        (folder / BATCH_NAME).unlink()
        cut_batch()
    client = open_review(folder)
    assert {item["name"]: [item[key] for key in told] for item in client.get("/api/photos").json()["items"]} == before
    assert client.get("/api/statistics").json()["seconds"] == figures["seconds"]
    assert item_of(client)["undelivered"] == ""
    np.testing.assert_array_equal(alpha_in(folder / "a_Front.png"), alpha)
    item = item_of(client)
    body = {"version": item["version"], "action": "revert"}
    item = client.post(f"/api/photos/{item['id']}/decision", json=body).json()
    client.post(f"/api/photos/{item['id']}/decision", json={"version": item["version"], "action": "accept"})
    assert alpha_in(folder / "a_Front.png")[45, 15] == 0


@pytest.mark.parametrize("content", [b"", b'{"state":', b"\xff\0", b'{"state": "done"}'])
def test_a_decision_that_cannot_be_read_is_none_that_is_not_there(review, open_review, gray, png, content):
    """Before, its photo was open as if nobody had decided, and the next decision took the file's place."""
    correct(review, gray, png)
    folder = review.service.folder
    (path,) = (folder / DECISIONS_FOLDER).rglob("a_Front.decision.json")
    whole = path.read_bytes()
    review.service.close()
    path.write_bytes(content)

    def opened(*, lost):
        if lost:
            for file in folder.glob("review.sqlite*"):
                file.unlink()
        return open_review(folder)

    client = opened(lost=False)  # which knows what was decided
    item = item_of(client)
    assert item["state"] == "corrected" and f"{path}: a decision that cannot be read" in item["undelivered"]
    client.service.close()
    client = opened(lost=True)
    item = item_of(client)
    assert item["state"] == "open" and "put back a copy, or delete it" in item["undelivered"]
    body = {"version": 1, "action": "accept"}
    assert item_of(client, "b_Front")["undelivered"] == ""
    client.service.close()
    assert path.read_bytes() == content
    path.write_bytes(whole)
    client = open_review(folder)
    item = item_of(client)
    assert (item["state"], item["undelivered"]) == ("corrected", "")
    client.service.close()
    path.write_bytes(content)
    client = opened(lost=True)
    answer = client.post(f"/api/photos/{item_of(client)['id']}/decision", json=body).json()
    assert answer["state"] == "accepted" and "cannot be read" in answer["undelivered"]  # stored, and nothing replaced
    assert path.read_bytes() == content
    path.unlink()
    client.service.store.recover()
    assert item_of(client)["undelivered"] == "" and b'"accepted"' in path.read_bytes()


def test_a_lost_decision_on_another_models_cutout_is_open_again(review, open_review):
    item = item_of(review)
    review.post(f"/api/photos/{item['id']}/decision", json={"version": 1, "action": "accept"})
    folder = review.service.folder
    journal = Journal(folder)
    for row in list(journal.rows.values()):
        journal.append(replace(row, model="another"))
    review.service.close()
    for path in folder.glob("review.sqlite*"):
        path.unlink()
    assert item_of(open_review(folder))["state"] == "open"


@pytest.mark.parametrize("lost", ["deleted", "damaged"])
@pytest.mark.parametrize("cut_again", [False, True], ids=["", "cut failed"])
def test_a_correction_that_is_lost_can_be_made_again(review, cut_batch, open_review, gray, png, lost, cut_again):
    """Before, such a photo could not be opened, and `cut` failed on it for ever."""
    correct(review, gray, png)
    folder = review.service.folder
    (path,) = (folder / DECISIONS_FOLDER).glob("*.alpha.png")
    path.write_bytes(b"no picture")
    if lost == "deleted":
        path.unlink()
    if cut_again:
        cut_batch(formats=("png", "mask"))
        (row,) = (row for row in Journal(folder).rows.values() if not row.ok)
        assert row.reason.startswith(f"its correction, {path.relative_to(folder)}: ")
        assert row.reason.endswith("; put it back, or correct it again in garmentcut review")
        assert item_of(review)["state"] == "corrected", "the page still has its earlier cutout"
    page = review.get(f"/api/photos/{item_of(review)['id']}").json()
    assert (page["state"], page["has_alpha"]) == ("open", False)
    assert page["undelivered"].startswith("its correction is lost, correct it again: ")
    assert gray(review.get(page["urls"]["alpha"]).content)[45, 15] == 0, "it shows the prediction"
    assert open_review(folder).get(f"/api/photos/{page['id']}").json()["undelivered"] == page["undelivered"]
    alpha = correct(review, gray, png)
    for formats in (("png",), ("png", "webp")):
        cut_batch(formats=formats)
        assert all(row.ok for row in Journal(folder).rows.values())
        np.testing.assert_array_equal(alpha_in(folder / "a_Front.png"), alpha)


@pytest.mark.parametrize("trouble", ["a share that fails", "a folder that is away"])
def test_a_correction_that_cannot_be_read_for_a_while_is_not_lost(review, gray, png, monkeypatch, trouble):
    """Before, opening the photo, or starting the server, in such a moment threw the correction away."""
    correct(review, gray, png)
    before, folder = item_of(review), review.service.folder
    with monkeypatch.context() as patch:
        if trouble == "a share that fails":
            refuse = Mock(side_effect=OSError(5, "Input/output error"))
            patch.setattr("garmentcut.review.media.read_regular_file", refuse)
        else:
            patch.setattr(review.service.store.alphas, "_folder", folder / "away")
            patch.setattr(review.service.store, "folder", folder / "away")
            review.service.store.recover()
        assert review.get(f"/api/photos/{before['id']}").json()["state"] == "corrected"
    item = item_of(review)
    assert (item["state"], item["version"], item["has_alpha"]) == ("corrected", before["version"], True)


def test_starting_a_server_decodes_no_correction(review, open_review, gray, png, monkeypatch):
    """Before, a batch of large photos with many corrections took minutes."""
    correct(review, gray, png)
    refuse = Mock(side_effect=AssertionError)
    monkeypatch.setattr("garmentcut.review.media.read_gray", refuse)
    open_review(review.service.folder)
    refuse.assert_not_called()


def test_the_next_server_opens_photos_whose_corrections_are_lost(review, open_review, gray, png):
    correct(review, gray, png)
    for path in (review.service.folder / DECISIONS_FOLDER).glob("*.alpha.png"):
        path.unlink()
    item = item_of(open_review(review.service.folder))
    assert (item["state"], item["has_alpha"]) == ("open", False)


def test_a_photo_that_fails_for_a_while_keeps_its_correction(review, cut_batch, open_review, gray, png, tmp_path):
    """Before, the next server, or a note, made its decision unreadable, after which it could not be cut at all."""
    alpha = correct(review, gray, png)
    photo, folder = tmp_path / "photos/a_Front.png", review.service.folder
    content = photo.read_bytes()
    photo.write_bytes(b"no picture")
    cut_batch(formats=("png", "mask"))
    item = item_of(review)
    assert item["state"] == "failed"
    noted = review.post(f"/api/photos/{item['id']}/note", json={"version": item["version"], "note": "where is it?"})
    assert noted.json()["note"] == "where is it?"
    review = open_review(folder)
    assert item_of(review)["state"] == "failed"
    photo.write_bytes(content)
    cut_batch(formats=("png", "mask"))
    for server in (review, open_review(folder)):
        item = item_of(server)
        assert (item["state"], item["has_alpha"], item["undelivered"]) == ("corrected", True, "")
        for name in ("a_Front.png", "a_Front_mask.png"):
            np.testing.assert_array_equal(alpha_in(folder / name), alpha)


def test_a_photo_that_is_back_without_its_decision_is_logged_as_cut_again(review, cut_batch, tmp_path):
    photo, database = tmp_path / "photos/a_Front.png", review.service.database
    content = photo.read_bytes()
    photo.write_bytes(b"no picture")
    cut_batch()
    assert item_of(review)["state"] == "failed"
    with database.write() as session:
        session.scalars(select(PhotoRow).where(PhotoRow.key == "a_Front")).one().undelivered = "No space left"
    photo.write_bytes(content)
    cut_batch()
    item = item_of(review)
    assert (item["state"], item["undelivered"]) == ("open", "")
    with database.write() as session:
        kinds = session.scalars(select(ActionRow.kind).where(ActionRow.photo_id == item["id"]).order_by(ActionRow.id))
        assert list(kinds) == ["recut", "recut"]


def test_a_full_disk_loses_no_decision(review, gray, png, monkeypatch):
    def refuse(path, *_args, **_kwargs):
        raise OSError(28, "No space left on device", str(path))

    item = item_of(review)
    alpha = gray(review.get(item["urls"]["alpha"]).content).copy()
    alpha[30:60, 10:20] = 255
    url = f"/api/photos/{item['id']}/alpha?version=1&accept=1"
    with monkeypatch.context() as full:
        full.setattr("garmentcut.review.media.write_atomic", refuse)
        answer = review.put(url, content=png(alpha))
        assert answer.status_code == 507 and "No space left" in answer.json()["error"]
        assert item_of(review)["version"] == 1
    with monkeypatch.context() as full:
        full.setattr("garmentcut.review.store.StagedFile", refuse)
        stored = review.put(url, content=png(alpha)).json()
        assert stored["state"] == "corrected" and "No space left" in stored["undelivered"]
    review.service.store.recover()
    assert item_of(review)["undelivered"] == ""
    np.testing.assert_array_equal(alpha_in(review.service.folder / "a_Front.png"), alpha)


@pytest.mark.parametrize("fails", ["the lock", "the database"])
def test_what_is_stored_is_never_told_not_to_be(review, monkeypatch, fails):
    full = OSError(28, "No space left on device")

    def refuse(*_args, **_kwargs):
        raise full if fails == "the lock" else OperationalError("UPDATE", {}, full)

    where = {"the lock": "FolderLock", "the database": "Store.apply"}[fails]
    monkeypatch.setattr(f"garmentcut.review.store.{where}", refuse)
    item = item_of(review)
    answer = review.post(f"/api/photos/{item['id']}/decision", json={"version": 1, "action": "accept"})
    if fails == "the lock":
        assert answer.status_code == 200 and "No space left" in answer.json()["undelivered"]
    else:
        assert answer.status_code == 507 and answer.json()["error"].startswith("it is saved, but")
    assert (item_of(review)["state"], item_of(review)["version"]) == ("accepted", 2)


def test_where_it_is_not_known_what_is_stored_nothing_is_claimed(review, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OperationalError("COMMIT", {}, OSError(28, "No space left on device"))

    item = item_of(review)
    monkeypatch.setattr("sqlalchemy.orm.Session.commit", refuse)
    monkeypatch.setattr("sqlalchemy.orm.SessionTransaction.commit", refuse)
    answer = review.post(f"/api/photos/{item['id']}/decision", json={"version": 1, "action": "accept"})
    assert answer.status_code == 503 and "nothing was saved" not in answer.json()["error"]
    assert "load the page again to see what is saved" in answer.json()["error"]


def test_a_lock_that_is_held_too_long_is_reported(review, monkeypatch):
    monkeypatch.setattr("garmentcut.review.store._LOCK_TIMEOUT_S", 0)
    row = next(row for row in Journal(review.service.folder).rows.values() if row.place == "a_Front")
    item = item_of(review)
    with held_for_review(review.service.folder, row, None):
        body = {"version": 1, "action": "accept"}
        answer = review.post(f"/api/photos/{item['id']}/decision", json=body).json()
    assert answer["state"] == "accepted" and "another program is at work" in answer["undelivered"]


# One process that has loaded everything, and a child of it for each moment to die at.
SCRIPT = """
import os, signal, sys
from pathlib import Path
from garmentcut.review import guard, service, store

def die(*_args, **_kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(store.StagedFile):
    def commit(self):
        die()

class DyingOnce(store.StagedFile):
    def commit(self):
        super().commit()
        die()

MOMENTS = {
    "before the alpha is written": lambda: setattr(store, "write_atomic", die),
    "before it is stored": lambda: setattr(store.Store, "_commit_alpha", die),
    "once it is stored": lambda: setattr(store.Store, "apply", die),
    "before the decision's file": lambda: setattr(store, "write_decision", die),
    "before the outputs": lambda: setattr(store, "StagedFile", Dying),
    "between two outputs": lambda: setattr(store, "StagedFile", DyingOnce),
    "before the outputs are marked": lambda: setattr(store.Store, "_mark", die),
}
batches = Path(sys.argv[1])
png = (batches / "alpha.png").read_bytes()
for number, (moment, arrange) in enumerate(MOMENTS.items()):
    child = os.fork()
    if not child:
        arrange()
        folder = batches / str(number)
        found = service.Service(service.Settings(folder), guard.open_access(folder, "127.0.0.1", 1, None))
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
