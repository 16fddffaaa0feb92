import errno
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from garmentcut.errors import SourceError
from garmentcut.observe.monitor import Metrics, Monitor
from garmentcut.photo import files
from garmentcut.prediction import watch as watch_module
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Journal
from garmentcut.prediction.watch import watched_folders

MINUTE = 60


def journal_of(out):
    return {
        row["input"].rpartition("/")[2]: row
        for row in map(json.loads, (out / "results.jsonl").read_text().splitlines())
    }


def names_of(rows):
    return [row.input.rpartition("/")[2] for row in rows]


def content_of(draw, tmp_path, **looks):
    return draw(tmp_path / "elsewhere/photo.png", **looks).read_bytes()


def test_photos_are_cut_as_they_come_each_once(watch_for, script, draw, tmp_path):
    draw(tmp_path / "in/before.png")
    script.at(20, lambda: draw(tmp_path / "in/day/later.png"))
    rows = watch_for(MINUTE)
    assert names_of(rows) == ["before.png", "later.png"]
    assert all(row.ok for row in rows)
    assert (tmp_path / "out/day/later.png").is_file()
    assert watch_for(MINUTE) == []  # a second watch finds nothing new
    assert sorted(journal_of(tmp_path / "out")) == ["before.png", "later.png"]


def test_a_growing_photo_is_left_alone_until_it_is_stable(watch_for, script, draw, tmp_path):
    content = content_of(draw, tmp_path)
    (tmp_path / "in").mkdir()
    for second in range(30):
        share = content[: len(content) * (second + 1) // 30]
        script.at(second, lambda share=share: (tmp_path / "in/slow.png").write_bytes(share))
    monitor = Monitor(Metrics())
    rows = watch_for(2 * MINUTE, monitor=monitor)
    assert [(row.ok, row.input_bytes) for row in rows] == [(True, len(content))]
    assert b'garmentcut_stage_seconds_count{stage="read"} 1.0' in monitor.metrics.page()[1]  # not even tried before


def test_a_copy_that_pauses_is_no_failure(watch_for, script, draw, tmp_path):
    content = content_of(draw, tmp_path)
    for second, share in ((0, 0), (1, 40), (25, 90), (55, len(content))):
        script.at(second, lambda share=share: (tmp_path / "in/slow.png").write_bytes(content[:share]))
    assert [row.ok for row in watch_for(3 * MINUTE)] == [True]
    assert b'"failed"' not in (tmp_path / "out/results.jsonl").read_bytes()


def test_what_the_share_shows_at_full_size_before_it_has_the_content(watch_for, script, draw, tmp_path):
    """A copy to a share may set the size first; the time need not change when the content comes."""
    content = content_of(draw, tmp_path)
    path = tmp_path / "in/photo.png"

    def put(data):
        path.write_bytes(data)
        os.utime(path, ns=(10**18, 10**18))

    script.at(0, lambda: put(bytes(len(content))))
    script.at(30, lambda: put(content))
    assert [row.ok for row in watch_for(2 * MINUTE)] == [True]


def test_a_broken_photo_fails_once_and_is_cut_when_it_is_fixed(watch_for, script, draw, tmp_path):
    (tmp_path / "in").mkdir()
    broken = tmp_path / "in/photo.png"
    broken.write_bytes(content_of(draw, tmp_path)[:-30])
    (failed,) = watch_for(10 * MINUTE)
    assert not failed.ok
    assert "truncated PNG" in failed.reason
    assert MINUTE <= script.num_waits * 2 <= 11 * MINUTE  # it goes on looking
    assert watch_for(10 * MINUTE) == []  # not after a restart either
    broken.write_bytes(content_of(draw, tmp_path, shift=1))
    assert [row.ok for row in watch_for(10 * MINUTE)] == [True]


def test_an_empty_file_fails_once_and_again_when_a_watch_begins(watch_for, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/empty.jpg").touch()
    for _ in range(2):
        (row,) = watch_for(10 * MINUTE)
        assert row.reason == "empty file; copy it again"
    assert journal_of(tmp_path / "out")["empty.jpg"]["status"] == "failed"


def test_files_under_another_name_until_they_are_whole(watch_for, script, draw, tmp_path):
    part = tmp_path / "in/photo.png.part"
    part.parent.mkdir()
    shutil.copy(draw(tmp_path / "elsewhere/photo.png"), part)
    (tmp_path / "in/.hidden.png").write_bytes(part.read_bytes())
    script.at(30, lambda: part.rename(tmp_path / "in/photo.png"))
    rows = watch_for(MINUTE)
    assert names_of(rows) == ["photo.png"]


def test_a_replaced_photo_is_cut_again_a_touched_one_is_not(watch_for, script, draw, tmp_path):
    draw(tmp_path / "in/replaced.png")
    draw(tmp_path / "in/touched.png")
    script.at(20, lambda: draw(tmp_path / "in/replaced.png", shift=9))
    script.at(20, lambda: os.utime(tmp_path / "in/touched.png", ns=(1, 1)))
    assert names_of(watch_for(MINUTE)) == ["replaced.png", "touched.png", "replaced.png"]
    with Image.open(tmp_path / "out/replaced.png") as image:
        assert np.flatnonzero(np.asarray(image.getchannel("A")).any(axis=0))[0] == 29
    assert journal_of(tmp_path / "out")["touched.png"]["input_mtime_ns"] == 1  # it need not be compared again


def test_times_of_another_clock(watch_for, draw, tmp_path):
    for name, year_s in (("past", 0), ("future", 4 * 10**9)):
        path = draw(tmp_path / f"in/{name}.png")
        os.utime(path, (year_s, year_s))
    assert sorted(names_of(watch_for(MINUTE))) == ["future.png", "past.png"]


def test_photos_that_go_before_they_are_cut_leave_no_trace(watch_for, script, draw, tmp_path):
    draw(tmp_path / "in/gone.png")
    script.at(1, (tmp_path / "in/gone.png").unlink)
    draw(tmp_path / "in/cut.png")
    script.at(30, (tmp_path / "in/cut.png").unlink)
    assert names_of(watch_for(3 * MINUTE)) == ["cut.png"]
    assert list(journal_of(tmp_path / "out")) == ["cut.png"]
    assert (tmp_path / "out/cut.png").is_file()


def test_cutouts_that_were_fetched_are_not_made_again(watch_for, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    watch_for(MINUTE)
    (tmp_path / "out/a.png").rename(tmp_path / "fetched.png")
    assert watch_for(MINUTE) == []


def test_the_output_folder_inside_the_watched_one(watch_for, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    assert names_of(watch_for(3 * MINUTE, out="in/cut")) == ["a.png"]


def test_the_watched_folder_inside_the_output_folder(watch_for, draw, tmp_path):
    draw(tmp_path / "out/in/in/a.png")  # its cutout is out/in/a.png, in the watched folder
    assert names_of(watch_for(3 * MINUTE, inputs=("out/in",))) == ["a.png"]


def test_several_folders_one_inside_the_other(watch_for, draw, tmp_path):
    draw(tmp_path / "one/a.png")
    draw(tmp_path / "one/two/b.png")
    watch_for(MINUTE, inputs=("one", "one/two"))
    assert (tmp_path / "out/one/a.png").is_file()
    assert (tmp_path / "out/two/b.png").is_file()
    assert len(journal_of(tmp_path / "out")) == 2


@pytest.mark.parametrize("inputs", [["nowhere"], ["photo.png"], ["out"]])
def test_what_cannot_be_watched(draw, tmp_path, inputs):
    draw(tmp_path / "photo.png")
    (tmp_path / "out").mkdir()
    with pytest.raises(SourceError):
        watched_folders([tmp_path / name for name in inputs], tmp_path / "out")


def test_only_one_watch_writes_into_a_folder(watch_for, draw, tmp_path, red_cutter):
    draw(tmp_path / "in/a.png")
    with FolderCutter(red_cutter, tmp_path / "out"), pytest.raises(SourceError, match="another run is at work"):
        watch_for(MINUTE)


def test_a_stop_finishes_what_is_under_way_and_begins_nothing(watch_for, script, draw, tmp_path, red_cutter):
    for number in range(20):
        draw(tmp_path / f"in/{number:02}.png")

    class StoppingRuntime(type(red_cutter.runtime)):
        def __call__(self, rgb):
            if len(self.calls) == 4:
                script.events.clear()
            return super().__call__(rgb)

    runtime = StoppingRuntime()
    rows = watch_for(MINUTE, cutter=Cutter(red_cutter.card, runtime))
    assert 5 <= len(rows) <= 12
    assert len(rows) == len(runtime.calls) == len(journal_of(tmp_path / "out"))
    assert all((tmp_path / "out" / row.outputs[0]).is_file() for row in rows)
    assert len(watch_for(MINUTE)) == 20 - len(rows)


def test_a_full_disk_is_waited_for(watch_for, script, draw, tmp_path, monkeypatch):
    for number in range(3):
        draw(tmp_path / f"in/{number}.png")
    monitor, seen = Monitor(), []
    staged = files.StagedFile.__init__

    def full(self, path, data, **where):
        if script.now < 100:
            raise OSError(errno.ENOSPC, "No space left on device")
        staged(self, path, data, **where)

    script.at(1, lambda: monkeypatch.setattr(files.StagedFile, "__init__", full))  # after the results are there
    script.at(50, lambda: seen.append(monitor.health.problems()))
    rows = watch_for(10 * MINUTE, monitor=monitor)
    assert sorted(names_of(rows)) == ["0.png", "1.png", "2.png"]
    assert all(row.ok for row in rows)
    assert "No space left on device; waiting" in seen[0]["output"]
    assert not monitor.health.problems()
    assert script.num_waits < 10 * MINUTE / 2  # ever more rarely


def test_results_that_cannot_be_written_fail_no_photo(watch_for, script, draw, tmp_path, monkeypatch):
    draw(tmp_path / "in/a.png")
    append, compact = Journal.append, Journal.compact

    def gone(original):
        def fail(self, *args):
            if 1 < script.now < 100:
                raise OSError(errno.ESTALE, "Stale file handle")
            return original(self, *args)

        return fail

    monkeypatch.setattr(Journal, "append", gone(append))
    monkeypatch.setattr(Journal, "compact", gone(compact))
    assert [row.ok for row in watch_for(10 * MINUTE)] == [True]
    assert journal_of(tmp_path / "out")["a.png"]["status"] == "ok"


def test_a_share_that_goes_and_comes_back(watch_for, script, draw, tmp_path):
    draw(tmp_path / "in/a.png")
    monitor, seen = Monitor(), []
    script.at(20, lambda: (tmp_path / "in").rename(tmp_path / "away"))
    script.at(40, lambda: seen.append(monitor.health.problems()))
    script.at(50, lambda: (tmp_path / "away").rename(tmp_path / "in"))
    script.at(51, lambda: draw(tmp_path / "in/b.png"))
    assert names_of(watch_for(2 * MINUTE, monitor=monitor)) == ["a.png", "b.png"]
    assert "No such file or directory" in seen[0]["input"]
    assert not monitor.health.problems()


def test_scans_become_rarer_on_a_slow_share(watch_for, script, draw, tmp_path, monkeypatch):
    draw(tmp_path / "in/a.png")

    def slow_scan(*args, **kwargs):
        script.now += 3
        return scan_folders(*args, **kwargs)

    scan_folders = watch_module.scan_folders
    monkeypatch.setattr(watch_module, "scan_folders", slow_scan)
    assert len(watch_for(10 * MINUTE)) == 1
    assert 15 <= script.num_waits <= 25  # 33 s for a look and its pause


def test_results_are_tidied_while_nothing_is_to_do(watch_for, script, draw, tmp_path, monkeypatch):
    monkeypatch.setattr(watch_module, "_FEWEST_ROWS", 4)
    seen = []
    for second in range(10):
        script.at(20 * second, lambda second=second: draw(tmp_path / "in/a.png", shift=second))
    script.at(240, lambda: seen.append(len((tmp_path / "out/results.jsonl").read_bytes().splitlines())))
    assert len(watch_for(5 * MINUTE)) == 10
    assert seen[0] <= 4  # of 20


def test_queue_and_scans_are_reported(watch_for, script, draw, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/half.png").write_bytes(content_of(draw, tmp_path)[:50])
    monitor, pages = Monitor(Metrics()), []
    script.at(20, lambda: pages.append(monitor.metrics.page()[1].decode()))
    watch_for(MINUTE, monitor=monitor)
    assert 'garmentcut_queue_photos{state="retrying"} 1.0' in pages[0]
    assert "garmentcut_found_photos 1.0" in pages[0]
    assert 'garmentcut_stage_seconds_count{stage="read"} 1.0' in pages[0]


def test_an_output_folder_that_is_taken_away_is_waited_for(watch_for, script, draw, tmp_path):
    out, away, seen, monitor = tmp_path / "out", tmp_path / "away", [], Monitor()
    draw(tmp_path / "in/before.png")
    script.at(40, lambda: out.rename(away))  # as a share is unmounted ...
    script.at(41, lambda: seen.append(monitor.health.problems()))
    script.at(42, out.mkdir)  # ... and leaves its mount point
    script.at(45, lambda: draw(tmp_path / "in/later.png"))
    script.at(200, lambda: seen.extend([monitor.health.problems(), sorted(out.rglob("*"))]))
    script.at(210, lambda: (out.rmdir(), away.rename(out)))
    rows = watch_for(10 * MINUTE, monitor=monitor)
    assert [row.ok for row in rows] == [True, True]
    assert "output folder" in seen[0]  # noticed when it is asked for, before the next look
    assert "it was removed or unmounted; waiting" in seen[1]["output"] and seen[1]["output"].count(str(out)) == 1
    assert seen[2] == []  # nothing was written below the mount point
    assert sorted(journal_of(out)) == ["before.png", "later.png"]
    assert not monitor.health.problems()


def test_an_output_folder_that_another_run_has_begun_anew_is_left_to_it(watch_for, script, draw, red_cutter, tmp_path):
    out, monitor, seen = tmp_path / "out", Monitor(), []
    draw(tmp_path / "in/before.png")
    script.at(40, lambda: shutil.rmtree(out))
    script.at(41, FolderCutter(red_cutter, out).__enter__)
    script.at(42, lambda: draw(tmp_path / "in/later.png"))
    script.at(200, lambda: seen.append(monitor.health.problems()))
    assert len(watch_for(5 * MINUTE, monitor=monitor)) == 1
    assert "another run is at work there" in seen[0]["output"]
    assert not list(out.glob("*.png"))


def test_a_folder_that_cannot_be_read_fails_once_and_what_is_passed_over_is_listed(
    watch_for, script, draw, tmp_path, monkeypatch
):
    scan, closed = os.scandir, tmp_path / "in/closed"
    draw(closed / "b.png")
    draw(tmp_path / "in/a.png")
    (tmp_path / "in/c.cr3").touch()

    def refusing(path):
        if str(path) == str(closed) and 5 < script.now < 100:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    closed.rename(tmp_path / "closed")
    script.at(10, lambda: (tmp_path / "closed").rename(closed))
    monkeypatch.setattr(os, "scandir", refusing)
    rows = watch_for(5 * MINUTE)
    assert [(row.input.rpartition("/")[2], row.code) for row in rows] == [
        ("a.png", ""),
        ("closed", "unreadable"),
        ("b.png", ""),
    ]
    assert sorted(journal_of(tmp_path / "out")) == ["a.png", "b.png"]
    (skipped,) = (tmp_path / "out/.garmentcut/skipped.jsonl").read_text().splitlines()
    assert json.loads(skipped)["code"] == "camera_raw"


def test_a_cutout_that_was_taken_away_is_not_made_again_because_its_photo_is_touched_or_moved(
    watch_for, script, draw, tmp_path
):
    """Before, the next program of a hot folder got it twice."""
    for shift, name in enumerate(("moved", "touched")):
        draw(tmp_path / f"in/{name}.png", shift=shift)
        script.at(20, (tmp_path / f"out/{name}.png").unlink)
    (tmp_path / "in/done").mkdir()
    script.at(30, lambda: (tmp_path / "in/moved.png").rename(tmp_path / "in/done/moved.png"))
    script.at(40, lambda: os.utime(tmp_path / "in/touched.png", ns=(1, 1)))
    script.at(50, lambda: (tmp_path / "in/done/moved.png").rename(tmp_path / "in/done/again.png"))
    assert names_of(watch_for(2 * MINUTE)) == ["moved.png", "touched.png"]
    assert sorted(journal_of(tmp_path / "out")) == ["again.png", "touched.png"]
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_photo_that_nobody_may_read_fails_once_and_is_cut_when_one_may(
    watch_for, script, draw, tmp_path, monkeypatch
):
    photo, open_file, access = draw(tmp_path / "in/a.png"), os.open, os.access

    def is_closed(path):
        return str(path) == str(photo) and script.now < 200

    def opened(path, *args, **kwargs):
        if is_closed(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open_file(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", opened)
    monkeypatch.setattr(os, "access", lambda path, mode: not is_closed(path) and access(path, mode))
    assert [row.code for row in watch_for(8 * MINUTE)] == ["unreadable", ""]
