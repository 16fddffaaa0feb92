"""The documentation says what the code does."""

import functools
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pydantic import TypeAdapter
from typer.main import get_command

import garmentcut
from garmentcut.cli import app
from garmentcut.config import Config
from garmentcut.photo.spec import Sections
from garmentcut.prediction.results import Row
from garmentcut.recipe import Recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OF_ROOT = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES = sorted([*OF_ROOT, *(ROOT / "docs").rglob("*.md")])
COMMANDS = sorted(get_command(app).commands)


def blocks_of(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_generated_pages_are_fresh():
    spec = importlib.util.spec_from_file_location("write_cli_docs", ROOT / "scripts/write_cli_docs.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert (ROOT / "docs/cli.md").read_text() == script.cli_page(), "run: python scripts/write_cli_docs.py"
    assert (ROOT / "docs/recipe.md").read_text() == script.recipe_page(), "run: python scripts/write_cli_docs.py"


def test_the_command_page_names_every_option():
    text = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    for name, command in get_command(app).commands.items():
        options = (option for one in command.params for option in (*one.opts, *one.secondary_opts) if option[0] == "-")
        assert not [option for option in options if not re.search(rf"`[^`\n]*{option}[,`]", text)], name


@pytest.mark.parametrize(("page", "kind"), [("cli.md", Config), ("recipe.md", Recipe), ("specification.md", Sections)])
def test_the_pages_name_every_choice_of_a_key_and_write_defaults_as_toml(page, kind):
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    rows = {found[1]: line for line in lines if (found := re.match(r"- `(\w+\.\w+)`", line))}
    for section, table in TypeAdapter(kind).json_schema()["$defs"].items():
        names = {f.name for f in fields(kind) if section == type(getattr(kind(), f.name)).__name__}
        for key, about in table.get("properties", {}).items() if names else ():
            row = rows[f"{min(names)}.{key}"]
            assert all(f"`{choice}`" in row or f'`"{choice}"`' in row for choice in about.get("enum", ())), row
    for key, row in rows.items():
        if value := re.match(r"- `[\w.]+` = `(.*?)`", row):
            assert tomllib.loads(f"x = {value[1]}"), key


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_an_example(command):
    text = get_command(app).commands[command].help or ""
    assert f"Example: garmentcut {command}" in text
    assert all(getattr(parameter, "help", "x") for parameter in get_command(app).commands[command].params)


def test_the_readme_is_short_and_has_two_set_up_commands():
    assert len(README.splitlines()) <= 120
    set_ups = [line for block in blocks_of(README, "sh") for line in block.splitlines() if "pip install" in line]
    assert len(set_ups) == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page):
    """On GitHub and, where the page is one of the site, there too: the site holds nothing that is not in docs/."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        found = (page.parent / target).resolve()
        assert found.is_file() or (page in OF_ROOT and found.is_dir()), target
        assert page in OF_ROOT or found.is_relative_to(ROOT / "docs"), f"{target} is not in docs/: name it as `code`"


def test_every_image_is_shown_on_a_page():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert not [path.name for path in (ROOT / "docs/images").iterdir() if path.name not in text]


def pages_of(nav):
    for entry in nav:
        value = next(iter(entry.values())) if isinstance(entry, dict) else entry
        yield from [value] if isinstance(value, str) else pages_of(value)


def test_the_site_names_every_page_once():
    listed = sorted(pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert listed == sorted(path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md"))


def test_the_site_is_built_without_a_warning_and_asks_no_other_host(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site/data.html").read_text(encoding="utf-8")
    assert '<a href="studio.html#sidecar-files">' in page
    assert not re.findall(r'(?:src|<link[^>]+href)="(?:https?:)?//', page)


def test_a_broken_anchor_fails_the_site(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/index.md").write_text("# Home\n\n[there](#nowhere)\n")
    (tmp_path / "mkdocs.yml").write_text(re.sub(r"(?s)nav:.*", "", (ROOT / "mkdocs.yml").read_text()))
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_the_docs_list_every_key_of_the_results():
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8").partition("## results.jsonl")[2].partition("###")[0]
    cells = re.findall(r"^\| (`.+?`) \|", text, flags=re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(field.name for field in fields(Row))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ("cli.md", "recipe.md")], ids=lambda path: path.name
)
def test_commands_in_the_docs_exist(page):
    commands = get_command(app).commands
    for block in blocks_of(page.read_text(encoding="utf-8"), "sh"):
        for line in re.findall(r"^garmentcut (.+)", block.replace("\\\n", " "), flags=re.MULTILINE):
            name, *words = line.partition(" #")[0].split()
            assert name in COMMANDS
            known = {
                option for parameter in commands[name].params for option in parameter.opts + parameter.secondary_opts
            }
            used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
            assert used <= known | {"-h", "--help"}, f"{name}: {used - known}"


@pytest.fixture(scope="module")
def loaded_once():
    """The embedded model is loaded and compiled once, however often a page does it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(garmentcut.Cutter, "load", functools.cache(garmentcut.Cutter.load))
        yield


@pytest.mark.usefixtures("loaded_once")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks_of(page.read_text(), "python")], ids=lambda p: p.name
)
def test_python_in_the_docs_runs(page, tmp_path, monkeypatch):
    (tmp_path / "examples/photos").mkdir(parents=True)
    for path in (ROOT / "examples/photos").glob("*_Front.jpg"):
        with Image.open(path) as photo:
            photo.reduce(2).save(tmp_path / "examples/photos" / path.name, quality=95)
    monkeypatch.chdir(tmp_path)
    for block in blocks_of(page.read_text(encoding="utf-8"), "python"):
        exec(compile(block, page.name, "exec"), {"__name__": "__main__"})


def test_the_changelog_knows_this_version():
    import garmentcut

    assert f"## {garmentcut.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_python_of_the_docs_is_typed(tmp_path):
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/python.md")]
    files = [ROOT / "examples/fastapi_service.py"]
    for number, block in enumerate(block for text in texts for block in blocks_of(text, "python")):
        files.append(tmp_path / f"block_{number}.py")
        files[-1].write_text(block)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ROOT / ".mypy_cache", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_example_service_answers_with_a_cutout_or_a_code(monkeypatch):
    from fastapi.testclient import TestClient

    spec = importlib.util.spec_from_file_location("fastapi_service", ROOT / "examples/fastapi_service.py")
    service = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)

    def cut(data):
        if data != b"a photo":
            raise garmentcut.PhotoError("a GIF; save it as PNG")
        return garmentcut.Cutout(np.zeros((4, 6, 3), np.uint8), np.ones((4, 6), np.float32), doubt=0.25)

    monkeypatch.setattr(service, "cutter", lambda: cut)
    client = TestClient(service.app)
    answer = client.post("/cutout", files={"photo": b"a photo"})
    assert (answer.status_code, answer.headers["content-type"], answer.headers["x-doubt"]) == (
        200,
        "image/png",
        "0.2500",
    )
    assert answer.content[:4] == b"\x89PNG"
    refused = client.post("/cutout", files={"photo": b"a GIF"})
    assert (refused.status_code, refused.json()["detail"]["code"]) == (422, "unsupported")
