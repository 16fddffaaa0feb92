import io
import json
import shutil
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.cli import cut as cut_module
from garmentcut.config import CutConfig
from garmentcut.dataset.corrections import Decision, decision_stem, write_decision
from garmentcut.model.card import StageSizes, read_model
from garmentcut.observe.monitor import LOGGER
from garmentcut.photo.color import srgb_profile
from garmentcut.photo.files import write_atomic
from garmentcut.prediction.cutter import Cutter, Stages, model_path
from garmentcut.prediction.folder import FolderCutter, read_batch
from garmentcut.prediction.results import Journal
from garmentcut.synthetic import draw_studio_photo

ROOT = Path(__file__).parents[2]

EXAMPLES = ROOT / "examples/photos"
EXAMPLE_SEEDS = {  # of two garments, with the seeds that drew them
    "30eb00a1-3e76-5dae-a005-3f766ee2e792_Back": 706,
    "89b7720b-15f0-50a1-9bcf-67e3064c4b7f_Front": 209,
}


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere", "--out", "OUT"], "nowhere: no such file or directory"),
        (["PHOTOS", "--out", "PHOTOS"], "must not be the photos' folder"),
        (["", "--out", "OUT"], "an empty path"),
        (["PHOTOS", "--out", ""], "an empty path"),
        (["PHOTOS", "--out", "FILE"], "not a folder; fix that, or choose another --out"),
        (["PHOTOS", "--out", "OUT", "--format", "gif"], "garmentcut: --format: 'gif'"),
        (["PHOTOS", "--out", "OUT", "--format", "gif"], "'gif' is not a format; use one of png, mask,"),
        (["PHOTOS", "--out", "OUT", "--background", "grün"], "is not a colour such as '#ffffff' or white"),
        (["PHOTOS", "--out", "x/dress.png"], "a file name; give a folder, such as x, and the format with --format"),
        (
            ["PHOTOS", "--out", "OUT", "--config", "AGENCY"],
            "a customer's specification, not settings; pass it with --spec",
        ),
        (["PHOTOS", "--out", "OUT", "--config", "RECIPE"], "a recipe, not settings; pass it to garmentcut train"),
        (["PHOTOS", "--out", "OUT", "--margin", "5"], "--margin needs a trimmed cutout: set --trim too"),
        (["PHOTOS", "--out", "OUT", "--set", "output.margin_px=5"], "output.margin_px needs a trimmed cutout"),
        (["PHOTOS", "--out", "OUT", "--background", "red", "--hidden", "keep"], "which --hidden is to keep"),
        (["PHOTOS", "--out", "OUT", "--accept-risk", "0.05", "--choke", "1"], "leave --effort and --choke out"),
        (["PHOTOS", "--out", "OUT", "--path", "exact"], "--path: png cannot hold one; write tiff, psd or jpeg too"),
        (["PHOTOS", "--out", "OUT", "--format", "psd", "--path", "fine"], "'editable' or 'exact', not 'fine'"),
        (["PHOTOS", "--out", "OUT", "--format", "jpeg", "--quality", "0"], "greater than or equal to 1"),
        (["PHOTOS", "--out", "OUT", "--quality", "80"], "neither jpeg nor webp is written; add --format jpeg"),
        (["PHOTOS", "--out", "OUT", "--set", "output.trimm=true"], "did you mean output.trim?"),
        (["PHOTOS", "--out", "OUT", "--set", "runtime.threads"], "section.key=value"),
        (["PHOTOS", "--out", "OUT", "--model", "none.onnx"], "none.onnx: No such file or directory; name another file"),
    ],
)
def test_misuse_exits_2_and_says_what_to_change(tmp_path, args, says):
    named = {"PHOTOS": str(EXAMPLES), "OUT": str(tmp_path / "out"), "FILE": str(ROOT / "LICENSE")}
    named |= {"AGENCY": str(ROOT / "examples/specs/agency.toml"), "RECIPE": str(ROOT / "recipes/cutnet.toml")}
    result = run("cut", *(named.get(arg, arg) for arg in args))
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("file", "args", "says"),
    [
        (
            "hidden = 'keep'",
            ["--background", "red"],
            "set.toml: --background covers the hidden pixels, which output.hidden",
        ),
        (
            "hidden = 'keep'",
            ["--set", "output.hidden='clear'", "--background", "x"],
            "garmentcut: --background: 'x' is",
        ),
        (
            "hidden = 'keep'\nbackground = 'red'",
            ["--format", "png"],
            "set.toml: output.background covers the hidden pixels",
        ),
        ("margin_px = 5", [], "set.toml: output.margin_px needs a trimmed cutout: set --trim too"),
        ("trim = true", ["--spec", "AGENCY"], "leave out all output settings"),
    ],
)
def test_an_option_that_was_not_given_is_not_blamed(tmp_path, file, args, says):
    (tmp_path / "set.toml").write_text(f"[output]\n{file}\n")
    args = [str(ROOT / "examples/specs/agency.toml") if arg == "AGENCY" else arg for arg in args]
    result = run("cut", str(EXAMPLES), "--out", str(tmp_path / "out"), "--config", str(tmp_path / "set.toml"), *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr


def test_names_that_the_terminal_cannot_show(red_model, tmp_path):
    try:
        (tmp_path / "bad\udcff\nname.jpg").write_bytes(b"no photo")
    except OSError:
        pytest.skip("this file system takes only Unicode names")
    model = red_model(tmp_path.with_name("model") / "red.onnx")
    command = ["cut", str(tmp_path), "--out", str(tmp_path / "out"), "--model", str(model)]
    done = CliRunner(charset="ascii").invoke(app, command)
    assert done.exit_code == 1
    assert "\\nname.jpg: not a PNG" in done.stdout  # on one line, and without a traceback
    assert done.stderr == "next: fix the problems above and run the same command again\n"


def test_missing_arguments_exit_2():
    assert run("cut").exit_code == 2


WITHOUT_TORCH = """
import sys
for name in ("torch", "torchvision", "timm", "lightning", "onnx", "onnxruntime"):
    sys.modules[name] = None  # it cannot be imported: any attempt would fail the command
from garmentcut.cli import main
main()
"""


def test_the_main_job(tmp_path, monkeypatch):
    """Example photos, as a user cuts them: in a process of its own, which never loads torch, without a terminal."""
    (tmp_path / "in").mkdir()
    photos = [EXAMPLES / f"{name}.jpg" for name in EXAMPLE_SEEDS]
    for photo in photos:
        shutil.copy(photo, tmp_path / "in")
    (tmp_path / "in/broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 half a photo")
    command = ["cut", "in", "--out", "out", "--format", "png", "--format", "mask", "--accept-risk", "0.2"]
    process = [sys.executable, "-c", WITHOUT_TORCH, *command, "--json"]
    done = subprocess.run(process, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == ""  # no progress bar where nobody looks
    summary = json.loads(done.stdout)
    assert (summary["photos"], summary["cut"], summary["failed"]) == (3, 2, 1)
    assert summary["failures"][0]["input"].endswith("broken.jpg")
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert len(rows) == 3
    assert [row["verdict"] for row in rows if row["outputs"]] == ["accept", "accept"]
    for photo in photos:
        with Image.open(tmp_path / "out" / f"{photo.stem}.png") as cutout, Image.open(photo) as original:
            assert cutout.mode == "RGBA"
            assert cutout.size == original.size
            alpha = np.asarray(cutout.getchannel("A"))
        with Image.open(tmp_path / "out" / f"{photo.stem}_mask.png") as mask:
            assert np.array_equal(np.asarray(mask), alpha)
        # At a quarter of the size: a studio photo drawn as large as the examples takes seconds.
        view = photo.stem.partition("_")[2]
        target = draw_studio_photo(EXAMPLE_SEEDS[photo.stem], view=view, size_hw=(432, 288)).alpha >= 0.5
        found = alpha.reshape(432, 4, 288, 4).mean((1, 3)) >= 127.5
        assert 2 * (target & found).sum() / (target.sum() + found.sum()) > 0.95
    monkeypatch.chdir(tmp_path)
    again = run(*command)
    assert again.exit_code == 1
    assert "2 done before" in again.stdout
    assert "broken.jpg" in again.stdout
    for name in ("default", str(model_path())):  # of the same model
        assert "2 done before" in run(*command, "--model", name).stdout
    assert {order.model for order in read_batch(tmp_path / "out").orders.values()} == {""}


def test_a_risk_needs_a_calibrated_model(red_model, tmp_path):
    model = red_model(tmp_path / "red.onnx")
    words = "cut", ROOT / "examples/photos", "--out", tmp_path / "out", "--accept-risk"
    done = run(*words, "0.05", "--model", model)
    assert done.exit_code == 2
    assert "guarantees nothing: leave --accept-risk out, or run `garmentcut calibrate`" in done.stderr
    done = run(*words, "0.01")
    assert done.exit_code == 2
    assert "cannot: 154 garments, needs at least 230" in done.stderr
    assert not (tmp_path / "out").exists()


class Red:
    """alpha = (red - green) / 255."""

    name, streams = "red", 1

    def __call__(self, rgb):
        return ((rgb[..., 0].astype(np.float32) - rgb[..., 1]) / 255).clip(0, 1)


def cutter_of(card, cut):
    stages = Stages(Red(), Red(), lambda tile: tile[..., 3] / np.float32(255), card.stages, cut.effort == "fast")
    return Cutter(card, Red(), cut, stages)


@pytest.fixture
def made(monkeypatch):
    """The cutters that were loaded."""
    cutters = []
    sizes = StageSizes((96, 64), segment_reduction=1, margin_px=16, tile_px=64)
    card = replace(read_model(model_path())[1], working_size_hw=(384, 256), stages=sizes, doubt=None)

    def load(*_, cut=None, **__):
        cutters.append(cutter_of(card, cut or CutConfig()))
        return cutters[-1]

    monkeypatch.setattr(Cutter, "load", load)
    return cutters


@pytest.fixture
def photos(tmp_path):
    pixels = np.full((384, 256, 3), 200, np.uint8)
    pixels[100:300, 60:180] = 255, 0, 0
    (tmp_path / "photos").mkdir()
    Image.fromarray(pixels).save(tmp_path / "photos/a.png")
    return tmp_path


def cut(folder, *options):
    done = CliRunner().invoke(app, ["cut", str(folder / "photos"), "--out", str(folder / "out"), *options])
    assert done.exit_code == 0, done.output
    with Image.open(folder / "out/a.png") as image:
        return np.asarray(image.getchannel("A")) / 255


def test_effort_and_choke_reach_the_cutter_and_the_file(made, photos):
    alpha = cut(photos, "--effort", "fast", "--choke", "1.5")
    assert made[0].config == CutConfig("fast", 1.5)
    assert alpha[200].sum() == pytest.approx(120 - 2 * 1.5, abs=0.1)


def test_other_effort_or_choke_cuts_again(made, photos):
    assert cut(photos)[200].sum() == pytest.approx(120, abs=0.1)
    assert cut(photos, "--choke", "-2")[200].sum() == pytest.approx(124, abs=0.1)
    options = {
        FolderCutter(cutter_of(made[0].card, config), photos / "x").options
        for config in (CutConfig(), CutConfig("fast"), CutConfig(choke_px=1.0), CutConfig(choke_px=-1.0))
    }
    assert len(options) == 4


def test_the_best_effort_of_earlier_versions_is_normal_now(made, photos, caplog):
    cut(photos, "--effort", "best")
    assert made[0].config == CutConfig()
    assert "cut.effort = best is normal now" in caplog.text


@pytest.mark.parametrize(("option", "value"), [("--effort", "most"), ("--choke", "50")])
def test_what_is_not_known_is_misuse(photos, option, value):
    done = CliRunner().invoke(app, ["cut", str(photos / "photos"), "--out", str(photos / "out"), option, value])
    assert done.exit_code == 2
    assert f"garmentcut: {option}: Input should be" in done.output


"""`garmentcut cut --spec`."""

PHOTOS, SPECS = ROOT / "examples/photos", ROOT / "examples/specs"


def run_spec(*args):
    return CliRunner().invoke(app, ["cut", *(str(arg) for arg in args)])


@pytest.mark.usefixtures("made")
def test_the_market_places_files(tmp_path):
    tags = Image.Exif()
    tags[0x010F] = "Maker"
    for view, height in (("Back", 1120), ("Front", 1200), ("FrontRight", 1150)):
        pixels = np.full((1728, 1152, 3), 200, np.uint8)
        pixels[200 : 200 + height, 400:750] = 255, 0, 0
        Image.fromarray(pixels).save(tmp_path / f"dress_{view}.jpg", quality=95, exif=tags)
    out = tmp_path / "out"
    result = run_spec(*sorted(tmp_path.glob("*.jpg")), "--out", out, "--spec", SPECS / "marketplace.toml")
    assert result.exit_code == 0, result.stderr
    found = sorted(path.name for path in out.glob("*.jpg"))
    assert found == [f"dress_0{number}.jpg" for number in (1, 2, 3)]
    heights = []
    for name in found:
        image = Image.open(io.BytesIO((out / name).read_bytes()))
        assert (image.size, image.info["dpi"]) == ((2000, 2000), (72, 72))
        assert image.info["icc_profile"] == srgb_profile()
        assert not image.getexif()
        shown = np.flatnonzero((np.asarray(image) < 200).any(axis=(1, 2)))
        heights.append(shown[-1] + 1 - shown[0])
    assert max(heights) == pytest.approx(1700, abs=12), "soft hem and JPEG aside, the tallest is 85 % high"
    assert min(heights) < 1640, "the others at the same scale are less"


@pytest.mark.parametrize(
    ("page", "options", "says"),
    [
        ("[canvas]\nwidht_px = 5", [], "customer.toml: canvas.widht_px: unknown key; did you mean canvas.width_px?"),
        ("file.name = '{garment}'", [], "to both"),
        ("", ["--format", "png"], "--spec determines the files: leave out --format"),
        ("", ["--set", "output.trim=true"], "--spec determines the files: leave out all output settings"),
        ("color.profile = 'none.icc'", [], "color.profile = 'none.icc': No such file"),
    ],
)
def test_misuse_exits_2_before_the_first_photo(tmp_path, page, options, says):
    (tmp_path / "customer.toml").write_text(page)
    result = run_spec(PHOTOS, "--out", tmp_path / "out", "--spec", tmp_path / "customer.toml", *options)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stdout == ""
    assert not list((tmp_path / "out").rglob("*.png"))


def test_a_missing_specification(tmp_path):
    result = run_spec(PHOTOS, "--out", tmp_path, "--spec", tmp_path / "none.toml")
    assert result.exit_code == 2
    assert "none.toml: No such file" in result.stderr


EXAMPLE = next((Path(__file__).parents[2] / "examples/photos").glob("*_Front.jpg"))

AT_ONCE = ("--set", "watch.debounce_s=0", "--set", "watch.poll_s=0.1", "--set", "watch.patience_s=0")


@pytest.fixture(autouse=True)
def _quiet_log():
    before = LOGGER.handlers[:], LOGGER.level, LOGGER.propagate
    yield
    LOGGER.handlers[:], LOGGER.level, LOGGER.propagate = before
    LOGGER._cache.clear()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["nowhere", "--watch"], "nowhere: --watch needs a folder that is there"),
        ([EXAMPLE, "--watch"], "--watch needs a folder"),
        (["OUT", "--watch"], "must not be the photos' folder"),
        ([EXAMPLE, "--log-format", "xml"], "'xml' is neither text nor json"),
        ([EXAMPLE, "--metrics-port", "http"], "'http' is neither a port such as 9464"),
        ([EXAMPLE, "--metrics-port", "70000"], "'70000' is neither a port"),
        ([EXAMPLE, "--metrics-port", "192.0.2.1:9464"], "choose another"),
        ([EXAMPLE, "--metrics-port", "a..b:9464"], "choose another"),
        ([EXAMPLE, "--set", "watch.poll_s=0"], "watch.poll_s"),
    ],
)
def test_misuse_of_a_watch_exits_2(tmp_path, args, says):
    (tmp_path / "out").mkdir()
    named = [str(tmp_path / "out") if arg == "OUT" else arg for arg in args]
    result = run("cut", *named, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert says in result.stderr


def test_a_port_that_is_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = run("cut", EXAMPLE, "--out", tmp_path / "out", "--metrics-port", taken.getsockname()[1])
    assert (result.exit_code, "choose another" in result.stderr) == (2, True)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    result = run("cut", EXAMPLE, "--out", tmp_path / "out", "--metrics-port", "9464")
    assert result.exit_code == 2
    assert "pip install 'garmentcut[observe]'" in result.stderr


def test_a_folder_run_can_be_logged_too(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/broken.jpg").write_bytes(b"junk")
    result = run("cut", tmp_path / "in", "--out", tmp_path / "out", "--log-format", "json", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["failed"] == 1
    (line,) = map(json.loads, result.stderr.splitlines())
    assert (line["event"], line["status"], line["input"]) == ("photo", "failed", str(tmp_path / "in/broken.jpg"))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def asked(port, page):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=30) as answer:
        return answer.read().decode()


def test_a_watch_from_start_to_sigterm(red_model, tmp_path):
    (tmp_path / "in").mkdir()
    port, out = free_port(), tmp_path / "out"
    command = [sys.executable, "-m", "garmentcut", "cut", "--watch", str(tmp_path / "in"), "--out", str(out)]
    command += ["--log-format", "json", "--metrics-port", str(port), "--json", *AT_ONCE]
    command += ["--model", str(red_model(tmp_path / "red.onnx"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            events = map(json.loads, process.stderr)
            assert next(events)["event"] == "watching"
            pixels = np.full((96, 64, 3), 200, np.uint8)
            pixels[20:70, 20:44] = 255, 0, 0
            Image.fromarray(pixels).save(tmp_path / "a.png")
            write_atomic(tmp_path / "in/a_Front.png", (tmp_path / "a.png").read_bytes())
            write_atomic(tmp_path / "in/b.png", b"junk")
            told = {event["input"].rpartition("/")[2]: event for event in (next(events), next(events))}
            assert (told["a_Front.png"]["status"], told["b.png"]["status"]) == ("ok", "failed")
            assert json.loads(asked(port, "/readyz"))["ready"]
            page = asked(port, "/metrics")
            assert 'garmentcut_photos_total{status="ok"} 1.0' in page
            assert 'garmentcut_failures_total{code="unsupported"} 1.0' in page
            process.terminate()
            rest, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    summary = json.loads(rest)
    assert (summary["cut"], summary["failed"]) == (1, 1)
    assert (out / "a_Front.png").is_file()
    assert len((out / "results.jsonl").read_text().splitlines()) == 2


def run_cluster(*args):
    return CliRunner().invoke(app, ["cut", *map(str, args)])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["s3://bucket/photos", "--out", "out"], "s3://bucket/photos: URLs need --ray"),
        (["photos", "--out", "s3://bucket/cut"], "s3://bucket/cut: URLs need --ray"),
        (["photos", "--out", "out", "--ray", "--watch"], "--watch does not work with --ray"),
    ],
)
def test_misuse(args, says):
    result = run_cluster(*args)
    assert result.exit_code == 2
    assert says in result.stderr


@pytest.mark.parametrize(
    ("args", "address"),
    [
        (["photos", "--out", "out"], None),
        (["photos", "--out", "out", "--ray"], "local"),
        (["photos", "--ray", "--out", "out"], "local"),
        (["--ray", "photos", "--out", "out"], "local"),
        (["photos", "--out", "out", "--ray", "auto"], "auto"),
        (["photos", "--out", "out", "--ray", "head-node:6379"], "head-node:6379"),
        (["photos", "--out", "out", "--ray=ray://10.0.0.1:10001"], "ray://10.0.0.1:10001"),
    ],
)
def test_ray_may_stand_alone(monkeypatch, tmp_path, args, address):
    asked = []

    def cut_on_cluster(photos, out, _order, *, address):
        asked.append((photos, out, address))
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cut_module, "_cut_on_cluster", cut_on_cluster)
    result = run_cluster(*args)
    if address is None:
        assert not asked
    else:
        assert result.exit_code == 0
        assert asked == [(["photos"], "out", address)]


def test_a_photo_may_have_the_name_of_an_option(monkeypatch):
    asked = []
    monkeypatch.setattr(cut_module, "_cut_on_cluster", lambda photos, *_, address: asked.append((photos, address)))
    assert run_cluster("--out", "out", "--ray", "--", "--ray").exit_code == 0
    assert asked == [(["--ray"], "local")]


def test_what_ray_prints_does_not_get_into_the_json(monkeypatch, tmp_path):
    pytest.importorskip("ray")
    from garmentcut.cluster import run

    @contextmanager
    def connected(*_args):
        sys.stdout.write("a worker died")
        yield run.Workers(1, 1, on_gpu=False, batch=1)

    monkeypatch.setattr(run, "connected", connected)
    monkeypatch.setattr(run, "run_batches", lambda *_args: iter(()))
    (tmp_path / "a.png").write_bytes(b"no photo")
    result = run_cluster(tmp_path, "--out", tmp_path / "out", "--ray", "--json")
    assert json.loads(result.stdout)["failures"][0]["code"] == "worker_killed"
    assert "a worker died" in result.stderr


def test_what_somebody_accepted_is_doubtful_no_longer_for_a_cluster_either(red_model, tmp_path):
    pytest.importorskip("ray")
    photo, out = tmp_path / "a.png", tmp_path / "out"
    pixels = np.full((96, 64, 3), 200, np.uint8)
    pixels[20:70, 20:44] = 255, 0, 0
    Image.fromarray(pixels).save(photo)
    args = [photo, "--out", out, "--json", "--model", red_model(tmp_path / "red.onnx")]
    assert run_cluster(*args).exit_code == 0
    row = replace(*Journal(out).rows.values(), doubt=0.9)
    (out / "results.jsonl").write_text(json.dumps(asdict(row)) + "\n")
    assert json.loads(run_cluster(*args, "--ray").stdout)["doubtful"] == 1
    decision = Decision(row.input, row.input_sha256, row.place, "accepted", model=row.model)
    write_decision(out, decision_stem(row.place, row.input), decision)
    done = json.loads(run_cluster(*args, "--ray").stdout)
    assert (done["skipped"], done["doubtful"], done["out"]) == (1, 0, str(out))


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    result = run_cluster(tmp_path, "--out", tmp_path / "out", "--ray")
    assert result.exit_code == 2
    assert "is not installed; run: pip install 'garmentcut[cluster]'" in result.stderr
