import sys

import pytest
from typer.testing import CliRunner

import garmentcut.cli.review  # registers its command
from garmentcut.cli import app
from garmentcut.prediction.batch import Order, record_order
from garmentcut.review import app as review_app


def run(*args):
    return CliRunner().invoke(app, ["review", *map(str, args)])


@pytest.fixture
def batch(tmp_path):
    record_order(tmp_path, "options", Order())
    return tmp_path


@pytest.fixture
def served(monkeypatch):
    """What the command asks the server for, instead of a server."""
    calls = []

    def serve(settings, listening, *, token, say, open_browser):
        calls.append((settings, listening.getsockname(), token, open_browser))
        say("http://127.0.0.1:1/")

    monkeypatch.setattr(review_app, "serve", serve)
    return calls


def test_it_prints_its_link_and_opens_the_page(batch, served):
    result = run(batch, "--port", 0)
    assert (result.exit_code, result.stdout) == (0, "http://127.0.0.1:1/\n")
    settings, (host, _port), token, opens = served[0]
    assert (settings.folder, settings.database, settings.model) == (batch, None, None)
    assert (host, token, opens) == ("127.0.0.1", None, True)


def test_options(batch, served, tmp_path):
    model, url = tmp_path / "m.onnx", "postgresql://me@db/review"
    options = ["--no-open", "--model", model, "--database", url, "--token", "long-enough-a-token"]
    assert run(batch, "--port", 0, *options, "--set", "runtime.threads=1").exit_code == 0
    settings, _, token, opens = served[0]
    assert (settings.model, settings.database, settings.runtime.threads) == (model, url, 1)
    assert (token, opens) == ("long-enough-a-token", False)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--token", "short"], "--token: at least 12 characters"),
        (["--set", "runtime.threds=1"], "did you mean runtime.threads?"),
        (["--database", "mysql://x/y"], "mysql: not a database known here"),
        (["--host", "203.0.113.7"], "cannot listen on 203.0.113.7:0"),
    ],
)
def test_misuse_is_said_in_a_line(batch, options, reason):
    result = run(batch, "--port", 0, "--no-open", *options)
    assert result.exit_code == 2 and reason in result.stderr
    assert "secret" not in result.stderr


def test_a_folder_that_is_no_batch(tmp_path):
    result = run(tmp_path, "--port", 0, "--no-open")
    assert result.exit_code == 2
    assert f"nothing was cut into this folder; run `garmentcut cut PHOTOS --out {tmp_path}` first" in result.stderr
    result = run(tmp_path / "none", "--port", 0, "--no-open")
    assert result.exit_code == 2 and "none: no such folder" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_missing_extra_is_named(batch, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    for name in [name for name in sys.modules if name.startswith("garmentcut.review")]:
        monkeypatch.delitem(sys.modules, name)
    # A second import also binds the new module to its parent, which undoing sys.modules alone would leave there.
    if hasattr(garmentcut, "review"):
        monkeypatch.delattr(garmentcut, "review")
    result = run(batch)
    assert result.exit_code == 2 and "pip install 'garmentcut[web]'" in result.stderr
