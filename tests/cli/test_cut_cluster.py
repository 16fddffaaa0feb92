import sys

import pytest
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.cli import cut as cut_module


def run(*args):
    return CliRunner().invoke(app, ["cut", *map(str, args)])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["s3://bucket/photos", "--out", "out"], "s3://bucket/photos: URLs are read and written with --ray only"),
        (["photos", "--out", "s3://bucket/cut"], "s3://bucket/cut: URLs are read and written with --ray only"),
        (["photos", "--out", "out", "--ray", "--watch"], "--watch and --ray do not go together"),
    ],
)
def test_misuse(args, says):
    result = run(*args)
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

    def cut_on_cluster(photos, out, **options):
        asked.append((photos, out, options["address"]))
        return 0

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cut_module, "cut_on_cluster", cut_on_cluster)
    result = run(*args)
    if address is None:
        assert not asked
    else:
        assert result.exit_code == 0
        assert asked == [(["photos"], "out", address)]


def test_without_the_extra_it_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "ray.data", None)
    result = run(tmp_path, "--out", tmp_path / "out", "--ray")
    assert result.exit_code == 2
    assert "is not installed; run: pip install 'garmentcut[cluster]'" in result.stderr
