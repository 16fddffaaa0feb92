"""Photos that kill the process: all others are cut, and they are passed over in the end."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from garmentcut.prediction.attempts import ATTEMPTS_NAME, Attempts
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.sources import find_sources


@pytest.fixture(autouse=True)
def out(tmp_path):
    (tmp_path / "out").mkdir()


@pytest.fixture
def start(tmp_path):
    """start(when): a run over tmp_path/in that is killed when a photo named `killer` is read, or worked on."""

    def run(when):
        code = textwrap.dedent(f"""
            import os, sys, time
            from pathlib import Path
            sys.path.insert(0, {str(Path(__file__).parent)!r})
            from conftest import CARD, RedRuntime
            from garmentcut.prediction import folder as module
            from garmentcut.prediction.cutter import Cutter
            from garmentcut.prediction.sources import find_sources
            killer = [Path(path).read_bytes() for path in Path({str(tmp_path)!r}).glob("in/*killer*")]
            real = module.decode_photo
            def decode_photo(data, **limits):
                if data in killer:
                    os._exit(137)
                return real(data, **limits)
            if {when!r} == "decode_photo":
                module.decode_photo = decode_photo
            else:
                module.Steps._files_of = lambda steps, cutout, work, real=module.Steps._files_of: (
                    os._exit(137) if "killer" in work.row.input else real(steps, cutout, work)
                )
            out = Path({str(tmp_path / "out")!r})
            with module.FolderCutter(Cutter(CARD, RedRuntime()), out) as folder:
                list(folder.cut(folder.plan(find_sources([Path({str(tmp_path / "in")!r})], out))))
        """)
        return subprocess.run([sys.executable, "-c", code], check=False).returncode

    return run


@pytest.mark.parametrize(("when", "num_deaths"), [("decode_photo", 2), ("encode", 3)])
def test_a_photo_that_kills_the_process_blocks_nobody(start, draw, tmp_path, when, num_deaths):
    for number in range(10):
        draw(tmp_path / f"in/{number}.png", shift=number)
    draw(tmp_path / "in/3killer.png", shift=15)
    assert [start(when) for _ in range(num_deaths + 2)] == [137] * num_deaths + [0, 0]
    rows = map(json.loads, (tmp_path / "out/results.jsonl").read_text().splitlines())
    assert {Path(row["input"]).stem: row["code"] for row in rows if row["status"] == "failed"} == {
        "3killer": "kills_run"
    }
    assert len(list((tmp_path / "out").glob("*.png"))) == 10


def test_after_the_first_death_all_others_come_before_those_that_were_under_way(red_cutter, draw, tmp_path):
    paths = [draw(tmp_path / f"in/{number}.png") for number in range(5)]
    died = Attempts(tmp_path / "out")
    for path in paths[:2]:
        died.begin(path)
    with FolderCutter(red_cutter, tmp_path / "out") as folder:
        rows = folder.cut(folder.plan(find_sources([tmp_path / "in"], tmp_path / "out")))
        assert [Path(row.input).stem for row in rows] == ["2", "3", "4", "0", "1"]
    assert not (tmp_path / "out" / ATTEMPTS_NAME).exists()


def test_a_guilty_photo_is_tried_again_if_it_is_changed_or_if_told_to(red_cutter, draw, tmp_path):
    path = draw(tmp_path / "in/a.png")
    for _ in range(2):
        Attempts(tmp_path / "out").begin(path)
    for overwrite, ok in ((False, False), (False, False), (True, True)):
        with FolderCutter(red_cutter, tmp_path / "out", overwrite=overwrite) as folder:
            (row,) = folder.cut(folder.plan(find_sources([tmp_path / "in"], tmp_path / "out")))
            assert (row.ok, row.code) == (ok, "" if ok else "kills_run")
    for _ in range(2):
        Attempts(tmp_path / "out").begin(path)
    assert Attempts(tmp_path / "out").find(path).is_guilty
    draw(path, shift=3, cloth=(250, 0, 0))
    assert not Attempts(tmp_path / "out").find(path).is_suspect


def test_a_run_that_is_stopped_accuses_nobody(tmp_path, draw):
    path = draw(tmp_path / "in/a.png")
    for _ in range(3):
        attempts = Attempts(tmp_path / "out")
        attempts.begin(path)
        attempts.close()
    assert not Attempts(tmp_path / "out").find(path).is_suspect


def test_a_damaged_file_of_attempts_stops_nobody(tmp_path, draw):
    path = draw(tmp_path / "in/a.png")
    Attempts(tmp_path / "out").begin(path)
    with (tmp_path / "out" / ATTEMPTS_NAME).open("ab") as file:
        file.write(b'\0\0\n[]\n{"input": 5}\n{"inp')
    assert Attempts(tmp_path / "out").find(path).died_reading == 1


def test_the_file_of_attempts_stays_small(tmp_path, draw, monkeypatch):
    monkeypatch.setattr("garmentcut.prediction.attempts._MOST_LINES", 10)
    path = draw(tmp_path / "in/a.png")
    attempts = Attempts(tmp_path / "out")
    for _ in range(100):
        attempts.begin(path)
        attempts.go_on(path)
        attempts.end(path)
        assert len((tmp_path / "out" / ATTEMPTS_NAME).read_bytes().splitlines()) < 15
