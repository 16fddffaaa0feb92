import pytest

from garmentcut.config import Config, CutConfig, OutputConfig, ReadConfig
from garmentcut.errors import SourceError
from garmentcut.photo.spec import read_specification
from garmentcut.prediction.batch import BATCH_NAME, Order, read_batch, record_order
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.sources import find_sources

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
