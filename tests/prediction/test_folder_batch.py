import json
from pathlib import Path

import pytest

from garmentcut.config import Config, CutConfig, OutputConfig, ReadConfig
from garmentcut.errors import SourceError
from garmentcut.photo.spec import read_specification
from garmentcut.prediction.folder import BATCH_NAME, FolderCutter, Order, read_batch, record_order
from garmentcut.prediction.sources import find_sources
from garmentcut.prediction.steps import ATTEMPTS_NAME, Attempts

PAGE = """
[canvas]
width_px = 1200
height_px = 1600
background = "#f0f0f0"
[garment]
height = "85.5 %"
margin_top = 30
[color]
profile = "sRGB"
[file]
formats = ["png", "psd"]
dpi = 300
[view.Back]
max_enlargement = 1.5
[[output]]
[[output]]
file.name = "{garment}/{view}"
canvas.background = "#ffffff"
"""


@pytest.fixture
def specification(tmp_path):
    (tmp_path / "customer.toml").write_text(PAGE)
    return read_specification(tmp_path / "customer.toml")


def test_a_specification_comes_back_as_it_was(tmp_path, specification):
    record_order(tmp_path, "options", Order(specification=specification))
    (tmp_path / "customer.toml").unlink()  # it is not read again
    found = read_batch(tmp_path).orders["options"].specification
    assert found == specification
    assert found.fingerprint == specification.fingerprint


def test_all_runs_of_a_folder_are_kept_the_newest_last(tmp_path):
    orders = {
        "first": Order("/models/a.onnx", ReadConfig(max_mb=7), OutputConfig(formats=("mask", "png"))),
        "second": Order(output=OutputConfig(formats=("jpeg",), background="#ffffff"), cut=CutConfig(choke_px=0.5)),
    }
    for options, order in orders.items():
        record_order(tmp_path, options, order)
    batch = read_batch(tmp_path)
    assert batch.orders == orders and list(batch.orders) == ["first", "second"]
    record_order(tmp_path, "first", orders["first"])
    assert list(read_batch(tmp_path).orders) == ["second", "first"]
    assert read_batch(tmp_path).id == batch.id


def test_the_same_run_again_writes_nothing(tmp_path):
    record_order(tmp_path, "options", Order())
    before = (tmp_path / BATCH_NAME).stat().st_mtime_ns
    record_order(tmp_path, "options", Order())
    assert (tmp_path / BATCH_NAME).stat().st_mtime_ns == before


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 2}', b'{"version": 1, "id": "x"}', b"\xff" * 9])
def test_a_damaged_or_newer_file_is_named_and_left_as_it_is(tmp_path, red_cutter, content):
    (tmp_path / BATCH_NAME).parent.mkdir()
    (tmp_path / BATCH_NAME).write_bytes(content)
    with pytest.raises(SourceError, match=r"batch\.json"):
        read_batch(tmp_path)
    with pytest.raises(SourceError, match=r"batch\.json"):
        record_order(tmp_path, "options", Order())
    folder = FolderCutter(red_cutter, tmp_path)
    for _ in range(2):  # and the folder's lock is given back
        with pytest.raises(SourceError, match=r"batch\.json"):
            folder.__enter__()
    assert (tmp_path / BATCH_NAME).read_bytes() == content


def test_a_folder_without_one_is_told_how_to_get_it(tmp_path):
    with pytest.raises(SourceError, match="nothing was cut into this folder; run `garmentcut cut PHOTOS --out"):
        read_batch(tmp_path)
    with pytest.raises(SourceError, match="none: no such folder"):
        read_batch(tmp_path / "none")
    (tmp_path / "results.jsonl").touch()
    with pytest.raises(SourceError, match="run the same `garmentcut cut` again"):
        read_batch(tmp_path)


def test_cut_writes_down_what_it_was_asked_for(tmp_path, draw, red_cutter):
    draw(tmp_path / "photos" / "a.png")
    config = Config(output=OutputConfig(formats=("mask",)))
    for _ in range(2):  # also where everything was done before
        (tmp_path / "out" / BATCH_NAME).unlink(missing_ok=True)
        with FolderCutter(red_cutter, tmp_path / "out", config=config, model=tmp_path / "m.onnx") as folder:
            rows = list(folder.cut(folder.plan(find_sources([tmp_path / "photos"], tmp_path / "out"))))
            options = folder.options
        order = read_batch(tmp_path / "out").orders[options]
        assert (order.model, order.output) == (str(tmp_path / "m.onnx"), config.output)
    assert rows == []


KILLED = """
import os, sys
sys.path.insert(0, str(tests))
from conftest import CARD, RedRuntime
from garmentcut.prediction import steps as module
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.sources import find_sources
killer = [path.read_bytes() for path in folder.glob("in/*killer*")]
decode, files_of = module.decode_photo, module.files_of
def decode_photo(data, **limits):
    if data in killer:
        os._exit(137)
    return decode(data, **limits)
if when == "decode_photo":
    module.decode_photo = decode_photo
else:
    module.files_of = lambda cutouts, row, *args: (
        os._exit(137) if "killer" in row.input else files_of(cutouts, row, *args)
    )
with FolderCutter(Cutter(CARD, RedRuntime()), folder / "out") as cutter:
    list(cutter.cut(cutter.plan(find_sources([folder / "in"], folder / "out"))))
"""


@pytest.fixture(autouse=True)
def out(tmp_path):
    (tmp_path / "out").mkdir()


@pytest.fixture
def run_into_killer(start_process, tmp_path):
    """run_into_killer(when): exit code of a run over tmp_path/in that dies as it reads or encodes a photo `killer`."""

    def run(when):
        process, _ = start_process(KILLED, tests=Path(__file__).parent, folder=tmp_path, when=when)
        process.join()
        return process.exitcode

    return run


@pytest.mark.parametrize(("when", "num_deaths"), [("decode_photo", 2), ("encode", 3)])
def test_a_photo_that_kills_the_process_blocks_nobody(run_into_killer, draw, tmp_path, when, num_deaths):
    for number in range(10):
        draw(tmp_path / f"in/{number}.png", shift=number)
    draw(tmp_path / "in/3killer.png", shift=15)
    assert [run_into_killer(when) for _ in range(num_deaths + 2)] == [137] * num_deaths + [0, 0]
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


def test_photos_that_no_run_has_tried_are_not_looked_at(tmp_path, draw, monkeypatch):
    tried, other = (draw(tmp_path / f"in/{name}.png") for name in "ab")
    Attempts(tmp_path / "out").begin(tried)
    looked_at, stat = [], Path.stat
    attempts = Attempts(tmp_path / "out")
    monkeypatch.setattr(Path, "stat", lambda path, **given: looked_at.append(path) or stat(path, **given))
    assert [attempts.find(path).is_suspect for path in (tried, other)] == [True, False]
    assert looked_at == [tried]


def test_a_damaged_file_of_attempts_stops_nobody(tmp_path, draw):
    path = draw(tmp_path / "in/a.png")
    Attempts(tmp_path / "out").begin(path)
    with (tmp_path / "out" / ATTEMPTS_NAME).open("ab") as file:
        file.write(b'\0\0\n[]\n{"input": 5}\n{"inp')
    assert Attempts(tmp_path / "out").find(path).died_reading == 1


def test_the_file_of_attempts_stays_small(tmp_path, draw, monkeypatch):
    monkeypatch.setattr("garmentcut.prediction.steps._MOST_LINES", 10)
    path = draw(tmp_path / "in/a.png")
    attempts, file = Attempts(tmp_path / "out"), tmp_path / "out" / ATTEMPTS_NAME
    for _ in range(100):
        attempts.begin(path)
        assert file.is_file()
        attempts.go_on(path)
        attempts.end(path)
        assert not file.exists() or len(file.read_bytes().splitlines()) < 15  # gone where nothing is under way
