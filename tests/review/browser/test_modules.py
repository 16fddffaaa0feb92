"""What can be checked of the page's files without a browser."""

import re
from pathlib import Path

import pytest

import garmentcut.review

ROOT = Path(next(iter(garmentcut.review.__path__)))
STATIC = ROOT / "static"
SCRIPTS = sorted(STATIC.rglob("*.js"))
BANNED = re.compile(r"(^|-)(utils?|helpers?|common|misc|core|manager|handler)(-|$)")
IMPORT = re.compile(r'^(?:import|export) .*?from "(.*?)";', re.MULTILINE | re.DOTALL)


def imports_of(script):
    return [(script.parent / name).resolve() for name in IMPORT.findall(script.read_text())]


def reached_from(entry):
    """All modules that a page's entry loads, itself left out."""
    seen, todo = set(), [entry]
    while todo:
        for script in imports_of(todo.pop()):
            if script not in seen:
                seen.add(script)
                todo.append(script)
    return seen


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(STATIC)))
def test_scripts_are_documented_and_named_after_what_is_inside(script):
    lines = script.read_text().splitlines()
    assert len(lines) <= 500
    assert not BANNED.search(script.stem)
    for number, line in enumerate(lines):
        if line.startswith(("export function", "export class", "export async function")):
            assert lines[number - 1].endswith("*/"), line


def test_there_are_few_scripts():
    assert len(SCRIPTS) <= 20
    assert sum(len(script.read_text().splitlines()) for script in SCRIPTS) <= 3900


def test_every_script_is_loaded_by_some_page():
    pages = [STATIC / "editor/editor.js", STATIC / "queue/queue.js"]
    assert set(SCRIPTS) == set(pages).union(*map(reached_from, pages))


def test_the_editor_announces_every_module_it_loads():
    template = (ROOT / "templates/editor.html").read_text()
    listed = re.search(r"for module in \[(.*?)\]", template, re.DOTALL).group(1)
    reached = reached_from(STATIC / "editor/editor.js")
    assert sorted(re.findall(r'"(.*?)"', listed)) == sorted(str(m.relative_to(STATIC))[:-3] for m in reached)


def test_arithmetic_knows_nothing_of_the_page():
    for script in (STATIC / "painting").glob("*.js"):
        assert all(module.parent == STATIC / "painting" for module in imports_of(script))
        assert not re.search(r"\b(document|window|localStorage|fetch)\b[.(]", script.read_text())


def test_templates_hold_no_script_and_no_style():
    for template in (ROOT / "templates").glob("*.html"):
        text = template.read_text()
        assert not re.search(r"<style|style=|\son\w+=", text), template.name
        assert re.findall(r"<script(?![^>]*(src=|application/json))", text) == [], template.name


TONES = re.findall(r"--(\w[\w-]*): light-dark\(#(\w{6}), #(\w{6})\);", (STATIC / "style/tones.css").read_text())
GRAYS = {"surround", "panel", "raised", "hover", "pressed", "pressed-text", "line", "edge", "well", "text", "soft"}


def test_grays_are_neutral():
    """No gray of the page is tinted: it would change how the colours of a photo beside it are seen."""
    assert {name for name, *_ in TONES} >= GRAYS
    for name, *values in TONES:
        for value in values:
            assert name not in GRAYS or value == 3 * value[:2], name


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["panel", "surround"])
@pytest.mark.parametrize("ink", ["text", "soft", "focus", "accepted", "corrected", "rejected", "failed"])
def test_text_can_be_read(ink, ground, theme):
    """WCAG 2.1 AA: a contrast of 4.5 for text."""
    values = {name: found[theme] for name, *found in TONES}
    light, dark = sorted((luminance(values[name]) for name in (ink, ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(value):
    """Of WCAG, of six hexadecimal digits."""
    parts = [int(value[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_manual_names_every_key_of_the_page():
    manual = (ROOT.parents[2] / "docs/review.md").read_text()
    for table in ("editor/editor.js", "queue/queue.js"):
        for key in re.findall(r'keys: \["([a-z0-9.,\[\]])"', (STATIC / table).read_text()):
            assert re.search(rf"(^|[|, ]){re.escape(key.upper())}[ ,|]", manual, re.MULTILINE), key
