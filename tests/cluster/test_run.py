import os
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from garmentcut.cluster import run as run_module
from garmentcut.cluster.ledger import RESULTS, Ledger
from garmentcut.cluster.run import Workers, connected, plan_run, run_batches
from garmentcut.cluster.storage import open_storage
from garmentcut.cluster.worker import Worker
from garmentcut.config import Config
from garmentcut.errors import ConfigError, RunError, SourceError
from garmentcut.photo.spec import read_specification
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Journal, Row
from garmentcut.prediction.sources import find_sources

WORKERS = Workers(1, 1, on_gpu=False, batch=2)


@pytest.fixture(params=["folder", "s3"])
def places(request, tmp_path, photos):
    """URLs of the photos and of the target."""
    if request.param == "folder":
        return str(photos), str(tmp_path / "out")
    bucket = request.getfixturevalue("bucket")
    for path in photos.rglob("*.*"):
        open_storage(f"{bucket}/photos").put(path.relative_to(photos).as_posix(), path.read_bytes())
    return f"{bucket}/photos", f"{bucket}/out"


def folder_rows(red_model, photos, out, **options):
    with FolderCutter(Cutter.load(red_model), out, **options) as folder:
        return {Path(row.input).name: row for row in folder.cut(folder.plan(find_sources([photos], out)))}


def comparable(row):
    return replace(row, input="", input_mtime_ns=0, input_etag="", seconds=0.0)


def test_the_same_rows_and_files_as_a_folder_run(cut_here, places, photos, red_model, tmp_path):
    rows = cut_here(*places)
    expected = folder_rows(red_model, photos, tmp_path / "plain")
    assert {name: comparable(row) for name, row in rows.items()} == {
        name: comparable(row) for name, row in expected.items()
    }
    target = open_storage(places[1])
    for row in expected.values():
        for name in row.outputs:
            assert target.read(name) == (tmp_path / "plain" / name).read_bytes()


def test_a_broken_photo_is_a_row_with_a_reason(cut_here, places):
    row = cut_here(*places)["broken.jpg"]
    assert (row.status, row.outputs) == ("failed", ())
    assert (row.code, row.reason) == ("truncated", "truncated JPEG; copy or export it again")


def test_afterwards_there_is_one_part_and_one_row_a_photo(cut_here, places):
    rows = cut_here(*places)
    target = open_storage(places[1])
    assert len(list(target.walk(RESULTS))) == 1
    assert {row.input.rpartition("/")[2]: row for row in Ledger.read(target).rows.values()} == rows


def test_a_second_run_does_only_what_is_not_done(cut_here, places):
    cut_here(*places)
    assert list(cut_here(*places)) == ["broken.jpg"]  # failed ones are tried again
    open_storage(places[1]).delete("c.png")
    assert sorted(cut_here(*places)) == ["broken.jpg", "c.png"]


def test_a_photo_that_was_exchanged_is_cut_again(cut_here, places, draw, tmp_path):
    before = cut_here(*places)["c.png"]
    other = draw(tmp_path / "other.png", shift=-9).read_bytes()
    open_storage(places[0]).put("c.png", other)
    after = cut_here(*places)["c.png"]
    assert after.input_sha256 != before.input_sha256
    assert after.written["c.png"] == (*before.written["c.png"], after.written["c.png"][-1])


def test_other_options_are_other_results(cut_here, places):
    cut_here(*places)
    rows = cut_here(*places, settings={"output.background": "#ffffff"})
    assert len(rows) == 6
    assert sum(row.ok for row in rows.values()) == 5


def test_a_file_that_is_not_ours_is_kept_beside_one_that_is_gone_and_among_those_of_several_garments(
    new_run, draw, red_model, tmp_path
):
    photo = draw(tmp_path / "photos/a.png")
    pixels = np.asarray(Image.open(photo))
    Image.fromarray(np.hstack([pixels] * 3)).save(photo)
    out, settings = tmp_path / "out", {"output.each": True, "output.formats": ("png", "mask")}
    with new_run(out, settings=settings) as run:
        plan = run.plan([str(photo.parent)])
        (row,) = run.cut(plan, WORKERS)
        assert [*row.outputs] == ["a-1.png", "a-1_mask.png", "a-2.png", "a-2_mask.png", "a-3.png", "a-3_mask.png"]
        worker = Worker(red_model.read_bytes(), run.assignment)
        assert worker.cut(plan.groups[0])[0].ok  # a second try of the same work finds its own files
        (out / "a-1.png").unlink()
        (out / "a-3.png").write_bytes(b"a retoucher's")
        (again,) = worker.cut(plan.groups[0])
    assert again.code == "output_exists"
    assert (out / "a-3.png").read_bytes() == b"a retoucher's"


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_is_not_ours_is_replaced_only_if_asked_for(cut_here, places, overwrite):
    target = open_storage(places[1])
    if target.folder is not None:
        target.folder.mkdir()
    target.put("c.png", b"a retoucher's")
    row = cut_here(*places, overwrite=overwrite)["c.png"]
    assert row.ok == overwrite
    assert (target.read("c.png") == b"a retoucher's") != overwrite
    if not overwrite:
        assert row.reason.endswith("c.png exists already and is not as garmentcut wrote it; move it or use --overwrite")


def test_a_cutout_that_somebody_has_worked_on_is_left_alone(cut_here, places):
    cut_here(*places)
    open_storage(places[1]).put("c.png", b"a retoucher's")
    assert "c.png" not in cut_here(*places)  # it is there, and its row says `ok`
    row = cut_here(*places, settings={"output.background": "#ffffff"})["c.png"]
    assert "not as garmentcut wrote it" in row.reason
    assert open_storage(places[1]).read("c.png") == b"a retoucher's"


def test_a_driver_that_is_killed_loses_nothing_and_doubles_nothing(new_run, places):
    finished = []
    with pytest.raises(ZeroDivisionError), new_run(places[1]) as run:
        for row in run.cut(run.plan([places[0]]), WORKERS):
            finished.append(row.input)
            if len(finished) == 3:
                raise ZeroDivisionError
    with new_run(places[1]) as run:
        plan = run.plan([places[0]])
        rest = [row.input for row in run.cut(plan, WORKERS)]
    ok = {row.input for row in Ledger.read(open_storage(places[1])).rows.values() if row.ok}
    assert len(ok) == 5
    assert not {name for name in finished if "broken" not in name} & set(rest)
    assert set(finished) | set(rest) | {row.input for row in plan.done} >= ok


def test_a_worker_that_is_killed_between_files_and_rows(cut_here, places, monkeypatch):
    """Its files are there, its rows are not: the next run knows them for its own all the same."""
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):

        def kill(*_args):
            raise KeyboardInterrupt

        patched.setattr("garmentcut.cluster.worker.finish", kill)
        cut_here(*places)
    target = open_storage(places[1])
    left = [name for name in target.walk() if name.endswith(".png")]
    assert left
    target_rows = cut_here(*places)
    assert sum(row.ok for row in target_rows.values()) == 5
    assert not list(target.walk(".garmentcut/pending"))


def test_a_photo_whose_worker_always_dies_is_a_row_with_a_reason(new_run, places, monkeypatch):
    monkeypatch.setattr(run_module, "run_batches", lambda *_args: iter(()))
    with new_run(places[1]) as run:
        rows = list(run.cut(run.plan([places[0]]), WORKERS))
    assert [row.status for row in rows] == ["failed"] * 6
    assert rows[0].reason.startswith("the process that cut it was killed each time")
    assert len(Ledger.read(open_storage(places[1])).rows) == 6


def test_a_photo_whose_worker_died_in_two_runs_is_passed_over(new_run, places, monkeypatch):
    def cut(**options):
        with new_run(places[1], **options) as run:
            return {row.code for row in run.cut(run.plan([places[0]]), WORKERS)}

    with monkeypatch.context() as killing:
        killing.setattr(run_module, "run_batches", lambda *_args: iter(()))
        assert [cut(), cut()] == [{"worker_killed"}, {"kills_run"}]
    assert cut() == {"kills_run"}
    assert cut(overwrite=True) == {"", "truncated"}


@pytest.fixture
def ray_whose_batches_raise(monkeypatch):
    """ray_whose_batches_raise(error): Ray without a cluster; each batch but the empty one ends with that error."""
    ray = pytest.importorskip("ray")

    def answer(batch, error):
        future = Future()
        if batch:
            future.set_exception(error)
        else:
            future.set_result([])
        return SimpleNamespace(future=lambda: future)

    def pretend(error):
        kind = MagicMock()
        kind.options.return_value.remote.return_value.cut.remote = lambda batch: answer(batch, error)
        monkeypatch.setattr(ray, "remote", lambda _worker: kind)
        monkeypatch.setattr(ray, "put", lambda content: content)
        monkeypatch.setattr(run_module, "run_batches", run_batches)

    return pretend


@pytest.mark.parametrize(
    ("cause", "code"),
    [(PermissionError(13, "Access Denied"), "not_written"), (ZeroDivisionError("by zero"), "internal")],
)
def test_a_batch_that_fails_each_time_by_an_error_has_its_code_and_reason(
    new_run, draw, tmp_path, ray_whose_batches_raise, cause, code
):
    from ray.exceptions import RayTaskError

    ray_whose_batches_raise(RayTaskError("cut", "Traceback", cause, "worker", 1, "127.0.0.1").as_instanceof_cause())
    with new_run(tmp_path / "out") as run:
        (row,) = run.cut(run.plan([str(draw(tmp_path / "a.png"))]), WORKERS)
    assert (row.code, row.reason) == (code, str(cause))
    assert list(Ledger.read(open_storage(str(tmp_path / "out"))).rows.values()) == [row]


def test_a_worker_that_dies_has_no_error_of_its_own(new_run, draw, tmp_path, ray_whose_batches_raise):
    from ray.exceptions import ActorDiedError

    ray_whose_batches_raise(ActorDiedError())
    with new_run(tmp_path / "out") as run:
        (row,) = run.cut(run.plan([str(draw(tmp_path / "a.png"))]), WORKERS)
    assert row.code == "worker_killed"


def test_a_connection_that_is_lost_ends_the_run_and_the_next_one_goes_on(
    new_run, photos, tmp_path, ray_whose_batches_raise, monkeypatch
):
    import ray

    for name, answer in (("init", None), ("cluster_resources", {"CPU": 1}), ("shutdown", None)):
        monkeypatch.setattr(ray, name, lambda answer=answer, **_options: answer)
    ray_whose_batches_raise(ConnectionError("Ray Client is not connected.\nMore ..."))
    says = r"--ray ray://head:10001: the connection is lost \(Ray Client is not connected\.\); run again to continue"
    monkeypatch.setattr("socket.create_connection", lambda *_arguments: MagicMock())
    with pytest.raises(RunError, match=says), new_run(tmp_path / "out") as run:
        plan = run.plan([str(photos)])
        with connected("ray://head:10001", Config()) as workers:
            list(run.cut(plan, workers))
    with new_run(tmp_path / "out") as run:  # nobody holds the target any more
        assert run.plan([str(photos)]) == plan


def test_another_photo_of_the_same_name_gets_a_name_of_its_own(cut_here, tmp_path):
    """As in a folder run; two cameras name them alike."""

    def shoot(shift, taken):
        pixels, exif = np.full((96, 64, 3), 200, np.uint8), Image.Exif()
        pixels[20:70, 10 + shift : 34 + shift] = (255, 0, 0)
        exif.get_ifd(0x8769)[0x9003] = taken
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "in/IMG_1.jpg", exif=exif, quality=95)

    shoot(0, "2026:11:23 10:00:00")
    cut_here(tmp_path / "in", tmp_path / "out")
    first = (tmp_path / "out/IMG_1.png").read_bytes()
    shoot(7, "2026:11:24 10:00:00")
    (row,) = cut_here(tmp_path / "in", tmp_path / "out").values()
    assert (row.outputs, row.flags) == (("IMG_1_2.png",), ("another_photo",))
    assert (tmp_path / "out/IMG_1.png").read_bytes() == first
    assert cut_here(tmp_path / "in", tmp_path / "out") == {}
    assert {row.place for row in Journal(tmp_path / "out").rows.values()} == {"IMG_1", "IMG_1_2"}
    shoot(3, "2026:11:24 10:00:00")  # developed anew
    (row,) = cut_here(tmp_path / "in", tmp_path / "out").values()
    assert (row.outputs, row.flags) == (("IMG_1_2.png",), ("another_photo",))


def test_what_did_not_come_back_is_tried_again_alone(new_run, places, monkeypatch):
    sizes, once = [], run_module.run_batches

    def run_batches(groups, model, assignment, workers, errors):
        sizes.append((len(groups), workers.batch))
        return once(groups if len(sizes) > 1 else groups[:2], model, assignment, workers, errors)

    monkeypatch.setattr(run_module, "run_batches", run_batches)
    with new_run(places[1]) as run:
        rows = list(run.cut(run.plan([places[0]]), WORKERS))
    assert len(rows) == 6
    assert sizes[0][1] == 2
    assert sizes[1] == (sizes[0][0] - 2, 1)


def test_a_store_that_takes_no_file_for_one_photo(new_run, places, monkeypatch):
    kind = type(open_storage(places[1]))
    put = kind.put

    def refusing(self, name, data):
        if name == "c.png":
            raise OSError("quota")
        put(self, name, data)

    monkeypatch.setattr(kind, "put", refusing)
    with new_run(places[1]) as run:
        rows = {row.input.rpartition("/")[2]: row for row in run.cut(run.plan([places[0]]), WORKERS)}
    assert rows["c.png"].reason == "cannot be written: quota"
    assert sum(row.ok for row in rows.values()) == 4


def test_two_runs_at_once_are_refused(new_run, places):
    with new_run(places[1]), pytest.raises(SourceError, match="another run is at work there") as refused:
        new_run(places[1]).__enter__()
    assert refused.value.code == "lock_taken"


def test_a_folder_run_and_a_cluster_run_keep_out_of_each_others_way(new_run, tmp_path, red_model):
    out = tmp_path / "out"
    with FolderCutter(Cutter.load(red_model), out), pytest.raises(SourceError, match="another run is at work there"):
        new_run(out).__enter__()
    with new_run(out), pytest.raises(SourceError, match="another run is at work there"):
        FolderCutter(Cutter.load(red_model), out).__enter__()


def test_a_folder_run_goes_on_where_a_cluster_run_was_and_the_other_way_round(cut_here, photos, red_model, tmp_path):
    out = tmp_path / "out"
    cut_here(photos, out)
    assert list(folder_rows(red_model, photos, out)) == ["broken.jpg"]
    (out / "c.png").unlink()
    assert sorted(folder_rows(red_model, photos, out)) == ["broken.jpg", "c.png"]
    assert list(cut_here(photos, out)) == ["broken.jpg"]
    assert len((out / "results.jsonl").read_text().splitlines()) == 6


def test_a_photo_whose_name_is_not_unicode_stays_in_the_rows_of_the_folder_run(cut_here, photos, red_model, tmp_path):
    out, name = tmp_path / "out", "bad\udcff.png"
    try:
        (photos / "c.png").rename(photos / name)
    except (OSError, UnicodeError):
        pytest.skip("this file system takes no such names")
    assert folder_rows(red_model, photos, out)[name].ok
    for _ in range(2):
        assert sorted(cut_here(photos, out)) == ["bad\\udcff.png", "broken.jpg"]
    assert list(folder_rows(red_model, photos, out)) == ["broken.jpg"]


def test_an_output_that_would_be_a_photo_is_refused(cut_here, places):
    rows = cut_here(f"{places[0]}/deep", places[0], overwrite=True)
    assert rows["b_Back.png"].ok  # photos/b_Back.png: no photo of this run
    root = places[0].rpartition("/")[0]
    row = cut_here(places[0], root, settings={"output.formats": ["png"]}, overwrite=True)
    assert all(each.ok or each.input.endswith("broken.jpg") for each in row.values())


@pytest.mark.parametrize(("of_name", "code"), [("its name holds `//`", "bad_name"), ("", "output_is_photo")])
def test_a_photo_that_is_not_even_begun_has_a_code(new_run, red_model, tmp_path, of_name, code):
    refused = Row("/photos/deep/a.jpg", status="failed", code=code, reason=of_name)
    photos = [refused if of_name else Row("/photos/deep/a.jpg", "a"), Row("/photos/a.png", "b")]
    folder = FolderCutter(Cutter.load(red_model), tmp_path)
    plan = plan_run(photos, Ledger(open_storage("/photos")), folder)
    (job,) = next(group for group in plan.groups if group[0].row.input == photos[0].input)
    reason = of_name or "/photos/a.png is itself one of the photos; choose another --out"
    assert (job.row.code, job.row.reason) == (code, reason)
    with new_run(tmp_path / "out") as run:
        assert Worker(red_model.read_bytes(), run.assignment).cut([job]) == [job.row]


SPECIFICATION = """
[canvas]
width_px = 100
height_px = 100
[garment]
height = "80 %"
max_enlargement = 2.0
"""


def test_under_a_specification_photos_of_a_garment_are_cut_together(new_run, photos, red_model, tmp_path):
    (tmp_path / "customer.toml").write_text(SPECIFICATION)
    specification = read_specification(tmp_path / "customer.toml")
    with new_run(tmp_path / "out", specification=specification) as run:
        plan = run.plan([str(photos)])
        grouped = [[Path(job.row.input).stem for job in group] for group in plan.groups]
        rows = {Path(row.input).name: row for row in run.cut(plan, Workers(1, 1, on_gpu=False, batch=1))}
    assert ["a_Front", "a_Back"] in grouped
    expected = folder_rows(red_model, photos, tmp_path / "plain", specification=specification)
    assert {name: comparable(row) for name, row in rows.items()} == {
        name: comparable(row) for name, row in expected.items()
    }
    with new_run(tmp_path / "out", specification=specification) as run:
        (tmp_path / "out" / rows["a_Back.png"].outputs[0]).unlink()
        left = [[Path(job.row.input).stem for job in group] for group in run.plan([str(photos)]).groups]
    assert ["a_Front", "a_Back"] in left  # one of the garment is missing: both are cut


def test_sorting_by_verdict_is_refused(new_run, tmp_path):
    with pytest.raises(ConfigError, match=r"folder\.by_verdict does not work with --ray"):
        new_run(tmp_path / "out", settings={"folder.by_verdict": True})


def test_the_worker_writes_what_the_network_saw(cut_here, photos, tmp_path):
    cut_here(photos, tmp_path / "out")
    alpha = np.asarray(Image.open(tmp_path / "out/c.png"))[..., 3]
    assert alpha[45, 36] == 255
    assert alpha[5, 5] == 0


def test_scratch_of_killed_workers_is_removed_and_a_workers_own_at_its_end(red_model, new_run, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    (scratch / "garmentcut-worker-999999999-x").mkdir(parents=True)
    (scratch / f"garmentcut-worker-{os.getpid()}-other").mkdir()
    with new_run(tmp_path / "out") as run:
        worker = Worker(red_model.read_bytes(), run.assignment)
    assert not (scratch / "garmentcut-worker-999999999-x").exists()
    assert len(list(scratch.iterdir())) == 2
    del worker
    assert [path.name for path in scratch.iterdir()] == [f"garmentcut-worker-{os.getpid()}-other"]
