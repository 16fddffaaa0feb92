import errno
import json
import os
import shutil
import threading
import time
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage

from garmentcut.config import load_config
from garmentcut.errors import FolderError, SourceError
from garmentcut.model.card import StageSizes
from garmentcut.photo import files
from garmentcut.photo.files import StagedFile
from garmentcut.photo.truth import read_cutout
from garmentcut.prediction import steps as steps_module
from garmentcut.prediction.cutter import Cutter, Stages
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Journal
from garmentcut.prediction.sources import find_sources


def cut(cutter, inputs, out, *, overwrite=False, **output):
    config = load_config(overrides={f"output.{key}": value for key, value in output.items()})
    with FolderCutter(cutter, out, config=config, overwrite=overwrite) as folder:
        plan = folder.plan(find_sources([inputs], out))
        return list(folder.cut(plan)), plan


def alpha_of(path):
    with Image.open(path) as image:
        return np.asarray(image.getchannel("A"))


def size_of(path):
    with Image.open(path) as image:
        return image.size


def rows_of(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def test_a_script_may_give_paths_as_text_and_is_told_what_else_to_give(red_cutter, draw, tmp_path):
    photo, out = draw(tmp_path / "in/a.png"), str(tmp_path / "out")
    with FolderCutter(red_cutter, out) as folder:
        (row,) = folder.cut(folder.plan(find_sources([str(photo)], out)))
        assert row.ok
        with pytest.raises(TypeError, match=r"give a garmentcut\.prediction\.sources\.Source, not PosixPath"):
            folder.plan([photo])
    with pytest.raises(FolderError, match="use `with FolderCutter"):
        FolderCutter(red_cutter, out).plan([])
    for wrong in ({"config": {}}, {"specification": "customer.toml"}):
        with pytest.raises(TypeError, match=r"give a garmentcut\.\S+, not (dict|str)"):
            FolderCutter(red_cutter, out, **wrong)


def test_done_means_same_photo_same_options_files_there(red_cutter, draw, tmp_path):
    photo = draw(tmp_path / "in/a.png")
    ((row,), _) = cut(red_cutter, tmp_path / "in", tmp_path / "out")

    def is_done(*, has_row=True, **changes):
        with FolderCutter(red_cutter, tmp_path / "out") as folder:
            folder.journal.rows = {row.input: replace(row, **changes)} if has_row else {}
            return bool(folder.plan(find_sources([tmp_path / "in"], tmp_path / "out")).done)

    assert is_done()
    assert is_done(input_mtime_ns=1)  # copied: other time, same content
    assert not is_done(has_row=False)
    assert not is_done(status="failed")
    assert not is_done(status="pending")
    assert not is_done(options="other")
    assert not is_done(outputs=("b.png",))
    content = photo.read_bytes()
    photo.write_bytes(content[:-1] + b"?")
    assert not is_done(input_mtime_ns=1)
    photo.write_bytes(content + b"longer than before")
    assert not is_done()
    photo.write_bytes(content)
    (tmp_path / "out/a.png").unlink()
    assert not is_done()


def test_each_photo_gets_its_own_cutout(red_cutter, draw, tmp_path):
    for number in range(7):
        draw(tmp_path / f"in/day{number % 2}/{number}.png", shift=number)
    rows, plan = cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert [row.ok for row in rows] == [True] * 7
    assert [Path(row.input) for row in rows] == list(plan.todo)
    for number in range(7):
        shown = np.flatnonzero(alpha_of(tmp_path / f"out/day{number % 2}/{number}.png").any(axis=0))
        assert (shown[0], shown[-1]) == (20 + number, 43 + number)
    assert len(rows_of(tmp_path / "out")) == 7


def test_alike_stems_do_not_collide(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png", shift=1)
    draw(tmp_path / "in/a.webp", shift=9)
    cut(red_cutter, tmp_path / "in", tmp_path / "out")
    lefts = [int(np.flatnonzero(alpha_of(tmp_path / f"out/a_{kind}.png").any(axis=0))[0]) for kind in ("png", "webp")]
    assert lefts == [21, 29]


def test_a_bad_photo_is_a_row_with_its_reason_and_stops_nobody(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"junk")
    draw(tmp_path / "in/c.png", cloth=(200, 200, 200))
    draw(tmp_path / "in/d.png")
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert [row.ok for row in rows] == [True, False, False, True]
    assert "not a PNG" in rows[1].reason
    assert "no garment found" in rows[2].reason
    assert rows[1].outputs == rows[2].outputs == ()
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.suffix == ".png") == ["a.png", "d.png"]


def test_done_photos_are_skipped_failed_ones_tried_again(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"junk")
    cut(red_cutter, tmp_path / "in", tmp_path / "out")
    draw(tmp_path / "in/b.png")
    rows, plan = cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert [Path(row.input).name for row in plan.done] == ["a.png"]
    assert [(Path(row.input).name, row.ok) for row in rows] == [("b.png", True)]
    assert len(rows_of(tmp_path / "out")) == 2


def test_other_options_cut_again_and_replace_their_own(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    cut(red_cutter, tmp_path / "in", tmp_path / "out")
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out", trim=True)
    assert rows[0].ok
    assert size_of(tmp_path / "out/a.png") == (24, 50)
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out", formats=("webp",))
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out")  # back to png: the file of two runs ago is still ours
    assert rows[0].ok
    assert size_of(tmp_path / "out/a.png") == (64, 96)


def test_a_failed_run_does_not_forget_what_is_ours(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    cut(red_cutter, tmp_path / "in", tmp_path / "out")
    (tmp_path / "in/a.png").write_bytes(b"half a copy")
    assert not cut(red_cutter, tmp_path / "in", tmp_path / "out")[0][0].ok
    draw(tmp_path / "in/a.png", shift=3)
    assert cut(red_cutter, tmp_path / "in", tmp_path / "out")[0][0].ok


def test_a_retouched_file_is_never_replaced(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    cut(red_cutter, tmp_path / "in", tmp_path / "out")
    (tmp_path / "out/a.png").write_bytes(b"an hour of work")
    assert cut(red_cutter, tmp_path / "in", tmp_path / "out")[0] == []  # done is done
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out", trim=True)
    assert "not as garmentcut wrote it" in rows[0].reason
    assert (tmp_path / "out/a.png").read_bytes() == b"an hour of work"
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out", trim=True, overwrite=True)
    assert rows[0].ok


def test_a_foreign_file_is_never_replaced(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").write_bytes(b"somebody's")
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert not rows[0].ok
    assert (tmp_path / "out/a.png").read_bytes() == b"somebody's"


def test_cutouts_that_land_among_the_photos_are_not_cut_again(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    draw(tmp_path / "in/in/b.png")  # its cutout goes to in/b.png: the output folder holds the input folder
    cut(red_cutter, tmp_path / "in", tmp_path)
    rows, plan = cut(red_cutter, tmp_path / "in", tmp_path)
    assert (len(plan.done), rows) == (2, [])


def test_a_cutout_never_replaces_another_photo(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/b.png", shift=1)
    draw(tmp_path / "in/in/b.png")
    before = (tmp_path / "in/b.png").read_bytes()
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path)
    assert [row.ok for row in rows] == [True, False]
    assert (tmp_path / "in/b.png").read_bytes() == before


def test_several_formats_at_once(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out", formats=("png", "mask", "tiff", "webp"))
    assert rows[0].outputs == ("a.png", "a_mask.png", "a.tif", "a.webp")
    assert all((tmp_path / "out" / name).is_file() for name in rows[0].outputs)


def test_a_psd_and_a_jpeg_with_its_path(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/red dress.png")
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out", formats=["psd", "jpeg"], path="exact")
    assert rows[0].outputs == ("red dress.psd", "red dress.jpg")
    document = PSDImage.open(tmp_path / "out/red dress.psd")
    assert [layer.name for layer in document] == ["red dress"]
    inside = np.zeros((96, 64), bool)
    inside[20:70, 20:44] = True
    for name, source in {"red dress.psd": "layer mask", "red dress.jpg": "clipping path"}.items():
        found = read_cutout(tmp_path / "out" / name)
        assert found.source == source
        np.testing.assert_array_equal(found.alpha >= 0.5, inside)


def test_an_original_is_never_replaced_whatever_is_said(red_cutter, draw, tmp_path):
    photo = draw(tmp_path / "a.png")
    before = photo.read_bytes()
    rows, _ = cut(red_cutter, photo, tmp_path, overwrite=True)
    assert "is itself one of the photos" in rows[0].reason
    assert photo.read_bytes() == before


@pytest.mark.parametrize("commits", [0, 1])
def test_killed_between_row_and_file_with_other_options(red_cutter, draw, tmp_path, monkeypatch, commits):
    draw(tmp_path / "in/a.png")
    cut(red_cutter, tmp_path / "in", tmp_path / "out", formats=("png", "webp"))
    original, done = files.StagedFile.commit, []

    def killed(self):
        if self.path.suffix in (".png", ".webp"):
            if len(done) == commits:
                raise SystemExit  # nothing after it runs, and no handler of ours catches it
            done.append(self.path)
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(files.StagedFile, "commit", killed)
        with pytest.raises(SystemExit):
            cut(red_cutter, tmp_path / "in", tmp_path / "out", formats=("png", "webp"), trim=True)
    assert rows_of(tmp_path / "out")[0]["status"] == "pending"
    assert len(list((tmp_path / "out").glob("*.part"))) == 2 - commits
    rows, plan = cut(red_cutter, tmp_path / "in", tmp_path / "out", formats=("png", "webp"), trim=True)
    assert (len(plan.done), [row.ok for row in rows]) == (0, [True])
    assert size_of(tmp_path / "out/a.png") == size_of(tmp_path / "out/a.webp") == (24, 50)
    assert not list((tmp_path / "out").glob("*.part"))


def test_a_moved_folder_is_known_again(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    draw(tmp_path / "in/b.png", shift=2)
    cut(red_cutter, tmp_path / "in", tmp_path / "out")
    (tmp_path / "in").rename(tmp_path / "archive")
    draw(tmp_path / "archive/b.png", shift=5)  # another photo at b's place
    rows, plan = cut(red_cutter, tmp_path / "archive", tmp_path / "out")
    assert [Path(row.input) for row in plan.done] == [tmp_path / "archive/a.png"]
    assert rows[0].outputs == ("b_png.png",)


def test_another_runs_staged_files_are_left_alone(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    other = files.StagedFile(tmp_path / "out/day1/x.png", b"another run's", owner="other")
    near = files.StagedFile(tmp_path / "out/x.png", b"a script's")
    cut(red_cutter, tmp_path / "in", tmp_path / "out")
    other.commit()
    near.commit()


def test_somebody_elses_results_stop_the_run_before_it_starts(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/results.jsonl").write_text('{"image": "x"}\n')
    with pytest.raises(SourceError, match="not a garmentcut row"):
        cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out/a.png").exists()


def test_one_run_at_a_time(red_cutter, tmp_path):
    with FolderCutter(red_cutter, tmp_path), pytest.raises(SourceError, match="another run") as refused:
        FolderCutter(red_cutter, tmp_path).__enter__()
    assert refused.value.code == "lock_taken"


def test_a_full_disk_stops_the_run_and_keeps_what_is_done(red_cutter, draw, tmp_path, monkeypatch):
    for number in range(6):
        draw(tmp_path / f"in/{number}.png")
    write, written = files.StagedFile.__init__, []

    def full_after_two(self, path, data, **owner):
        if path.suffix == ".png" and len(written) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path) if path.suffix == ".png" else None
        write(self, path, data, **owner)

    with monkeypatch.context() as patch:
        patch.setattr(files.StagedFile, "__init__", full_after_two)
        with pytest.raises(FolderError, match=rf"{tmp_path}/out: No space left.*run again"):
            cut(red_cutter, tmp_path / "in", tmp_path / "out")
    rows, plan = cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert len(plan.done) == 2
    assert [row.ok for row in rows] == [True] * 4


def test_a_crash_of_the_network_is_that_photos_reason(cutter_failing_once, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    draw(tmp_path / "in/b.png")

    rows, _ = cut(cutter_failing_once, tmp_path / "in", tmp_path / "out")
    assert [(row.ok, row.reason) for row in rows] == [(False, "out of memory on the device"), (True, "")]


def test_reading_goes_on_while_the_network_works(red_cutter, draw, tmp_path, monkeypatch):
    for number in range(4):
        draw(tmp_path / f"in/{number}.png")
    read = []

    def noting(path, limits, original=steps_module.read_photo_bytes):
        read.append(path)
        return original(path, limits)

    monkeypatch.setattr(steps_module, "read_photo_bytes", noting)
    seen = []

    class Waits(type(red_cutter.runtime)):
        def __call__(self, rgb):
            deadline = time.monotonic() + 10
            while len(read) < min(len(seen) + 2, 4) and time.monotonic() < deadline:
                time.sleep(0.005)
            seen.append(len(read))
            return super().__call__(rgb)

    cut(Cutter(red_cutter.card, Waits()), tmp_path / "in", tmp_path / "out")
    assert seen[0] >= 2  # the second photo was read while the first was in the network
    assert max(read_ahead - number for number, read_ahead in enumerate(seen)) <= 5  # and no more than the config allows


def test_as_many_photos_in_the_network_as_it_has_streams(red_cutter, draw, tmp_path):
    for number in range(8):
        draw(tmp_path / f"in/{number}.png", shift=number)
    meeting = threading.Barrier(2, timeout=10)  # breaks, and fails every photo, unless two are in the network at once

    class TwoStreams(type(red_cutter.runtime)):
        def __call__(self, rgb):
            meeting.wait()
            return super().__call__(rgb)

    rows, plan = cut(Cutter(red_cutter.card, TwoStreams(streams=2)), tmp_path / "in", tmp_path / "out")
    assert [row.reason for row in rows] == [""] * 8
    assert [Path(row.input) for row in rows] == list(plan.todo)


def test_a_run_that_cuts_nothing_leaves_no_results(red_cutter, draw, tmp_path):
    with FolderCutter(red_cutter, tmp_path / "out", config=load_config()):
        pass
    assert not (tmp_path / "out/results.jsonl").exists()
    draw(tmp_path / "in/a.png")
    cut(red_cutter, tmp_path / "in", tmp_path / "out")
    with FolderCutter(red_cutter, tmp_path / "out", config=load_config()):
        pass
    assert len(rows_of(tmp_path / "out")) == 1


def test_a_photo_is_located_while_anothers_garment_is_refined(red_cutter, draw, tmp_path):
    for number in range(4):
        draw(tmp_path / f"in/{number}.png", shift=number)
    meeting = threading.Barrier(2, timeout=10)  # breaks, and fails every photo, unless two are looked at at once

    class Meets(type(red_cutter.runtime)):
        def __call__(self, rgb):
            meeting.wait()
            return super().__call__(rgb)

    sizes = StageSizes((96, 64), margin_px=8, tile_px=64)
    stages = Stages(Meets(), red_cutter.runtime, lambda tile: tile[..., 3] / np.float32(255), sizes)
    cutter = Cutter(replace(red_cutter.card, stages=sizes), red_cutter.runtime, stages=stages)
    rows, _ = cut(cutter, tmp_path / "in", tmp_path / "out")
    assert [row.reason for row in rows] == [""] * 4


def test_memory_does_not_grow_with_the_number_of_photos(red_cutter, draw, tmp_path):
    for number in range(60):
        draw(tmp_path / f"in/{number:02}.png")
    peaks = []
    config = load_config()
    with FolderCutter(red_cutter, tmp_path / "out", config=config) as folder:
        tracemalloc.start()
        for count, _ in enumerate(folder.cut(folder.plan(find_sources([tmp_path / "in"], tmp_path / "out")))):
            if count in (9, 59):
                peaks.append(tracemalloc.get_traced_memory()[1])
                tracemalloc.reset_peak()
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5


SLOW = """
import sys, time
sys.path.insert(0, str(tests))
from conftest import CARD, RedRuntime
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.sources import find_sources
class Slow(RedRuntime):
    def __call__(self, rgb):
        time.sleep(0.02)
        return super().__call__(rgb)
with FolderCutter(Cutter(CARD, Slow()), folder / "out") as cutter:
    for row in cutter.cut(cutter.plan(find_sources([folder / "in"], folder / "out"))):
        told.send(row.input)
"""


def test_killed_half_way_and_started_again(start_process, draw, tmp_path):
    for number in range(30):
        draw(tmp_path / f"in/{number:02}.png", shift=number % 8)
    finished = []
    for kill_after in (4, 7, 30):
        process, heard = start_process(SLOW, tests=Path(__file__).parent, folder=tmp_path)
        with suppress(EOFError):
            for _ in range(kill_after):
                finished.append(heard.recv())
            if kill_after < 30:
                process.kill()
        process.join()
    assert process.exitcode == 0
    assert len(set(finished)) == len(finished)  # none that was reported done was done again
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 30
    assert {row["status"] for row in rows} == {"ok"}
    for number in range(30):
        assert np.flatnonzero(alpha_of(tmp_path / f"out/{number:02}.png").any(axis=0))[0] == 20 + number % 8
    assert not list((tmp_path / "out").glob("*.part"))
    written = {name for row in Journal(tmp_path / "out").rows.values() for name in row.written}
    assert written == {f"{number:02}.png" for number in range(30)}


@pytest.mark.parametrize("makes_it_anew", [False, True])
def test_an_output_folder_that_vanishes_stops_the_run(red_cutter, draw, tmp_path, makes_it_anew):
    paths = [draw(tmp_path / f"in/{number}.png") for number in range(12)]
    out = tmp_path / "out"
    with FolderCutter(red_cutter, out) as folder:
        rows = folder.cut(folder.plan(find_sources([tmp_path / "in"], out)))
        next(rows)
        out.rename(tmp_path / "away")
        if makes_it_anew:
            out.mkdir()
        with pytest.raises(FolderError, match="this is not the folder that the run started in"):
            assert len(list(rows)) < len(paths)
    assert not out.exists() or not list(out.iterdir())


def test_an_output_folder_that_vanishes_after_the_last_photo(red_cutter, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    with FolderCutter(red_cutter, tmp_path / "out") as folder:
        rows = folder.cut(folder.plan(find_sources([tmp_path / "in"], tmp_path / "out")))
        next(rows)
        shutil.rmtree(tmp_path / "out")
        with pytest.raises(FolderError, match="removed or unmounted"):
            next(rows)


def test_on_a_share_without_locks_the_marker_stays(red_cutter, draw, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    draw(tmp_path / "in/a.png")
    out = tmp_path / "in/out"
    with FolderCutter(red_cutter, out) as folder:
        assert "has no locks" in folder.note
        with pytest.raises(SourceError, match="another run is at work there"):
            FolderCutter(red_cutter, out).__enter__()
        assert [row.ok for row in folder.cut(folder.plan(find_sources([tmp_path / "in"], out)))] == [True]
    assert [source.path.name for source in find_sources([tmp_path / "in"], tmp_path / "other")] == ["a.png"]


@pytest.mark.parametrize("step", ["opened", "staged"])
def test_nothing_is_written_into_what_stands_in_a_vanished_folders_place(red_cutter, draw, tmp_path, monkeypatch, step):
    out, away = tmp_path / "out", tmp_path / "away"
    draw(tmp_path / "in/day/a.png")
    stage, check = StagedFile.__init__, FolderCutter.check

    def exchange():
        if not away.exists():
            out.rename(away)
            out.mkdir()

    def stage_elsewhere(self, path, *args, **kwargs):
        if path.suffix == ".png" and step == "staged":
            exchange()
        stage(self, path, *args, **kwargs)

    def check_before():
        check(folder)
        if step == "opened" and list(out.glob("day/*.part")):
            exchange()

    with FolderCutter(red_cutter, out) as folder:
        plan = folder.plan(find_sources([tmp_path / "in"], out))
        monkeypatch.setattr(StagedFile, "__init__", stage_elsewhere)
        folder.journal.check = check_before
        with pytest.raises(FolderError, match="this is not the folder that the run started in"):
            list(folder.cut(plan))
    assert [path for path in out.rglob("*") if path.is_file()] == []


def test_a_folder_that_is_gone_is_not_made_anew(tmp_path):
    with pytest.raises(FileNotFoundError):
        StagedFile(tmp_path / "out/day/a.png", b"", root=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_was_staged_and_is_gone_is_made_again(red_cutter, draw, tmp_path, monkeypatch):
    draw(tmp_path / "in/a.png")
    commit, lost = StagedFile.commit, []

    def lose_first(self):
        if self.path.suffix == ".png" and not lost:
            lost.append(self.path)
            self.discard()
        commit(self)

    monkeypatch.setattr(StagedFile, "commit", lose_first)
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert [row.ok for row in rows] == [True]
    assert lost and (tmp_path / "out/a.png").is_file()


def test_what_is_noted_on_a_photo_stands_in_its_row_as_codes(red_cutter, draw, tmp_path):
    """A half-transparent PNG with a damaged text chunk, and a CMYK JPEG without a profile."""
    rgba = np.dstack([np.asarray(Image.open(draw(tmp_path / "x.png"))), np.full((96, 64), 128, np.uint8)])
    (tmp_path / "in").mkdir()
    Image.fromarray(rgba).save(tmp_path / "in/a.png")
    data = (tmp_path / "in/a.png").read_bytes()
    (tmp_path / "in/a.png").write_bytes(data[:33] + b"\0\0\0\4tEXta\0bc" + bytes(4) + data[33:])
    Image.open(tmp_path / "x.png").convert("CMYK").save(tmp_path / "in/b.jpg", quality=95)
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert [row.ok for row in rows] == [True, True]
    written = {Path(row["input"]).name: row["flags"] for row in rows_of(tmp_path / "out")}
    assert written == {"a.png": ["laid_on_white", "repaired"], "b.jpg": ["color_approximate"]}


def test_each_garment_of_a_photo_gets_files_of_its_own(red_cutter, tmp_path):
    pixels = np.full((96, 64, 3), 200, np.uint8)
    pixels[20:70, 6:26] = pixels[20:70, 38:58] = (255, 0, 0)
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in/two.png")
    pixels[:, 38:] = 200
    Image.fromarray(pixels).save(tmp_path / "in/one.png")
    config = load_config(overrides={"output.each": True, "output.formats": ("png", "mask")})
    out = tmp_path / "out"
    with FolderCutter(red_cutter, out, config=config) as folder:
        rows = {row.place: row for row in folder.cut(folder.plan(find_sources([tmp_path / "in"], out)))}
        assert rows["one"].outputs == ("one.png", "one_mask.png")
        assert rows["two"].outputs == ("two-1.png", "two-1_mask.png", "two-2.png", "two-2_mask.png")
        assert rows["two"].notes == ("2 garments, each in files of its own",)
        assert "several_garments" in rows["two"].flags
        assert not folder.plan(find_sources([tmp_path / "in"], out)).todo  # done
    masks = [np.asarray(Image.open(out / f"two-{number}_mask.png")) > 127 for number in (1, 2)]
    assert [int(mask.sum()) for mask in masks] == [1000, 1000]
    assert masks[0][:, :32].sum() == masks[1][:, 32:].sum() == 1000
