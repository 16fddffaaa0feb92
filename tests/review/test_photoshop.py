"""The script for Photoshop: no Photoshop here, so its text is parsed, and a browser runs it on stand-ins."""

import json
import re
from dataclasses import replace
from pathlib import Path

import esprima
import pytest
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.dataset.corrections import Decision, decision_stem, write_decision
from garmentcut.dataset.pairing import find_candidates, sides_of
from garmentcut.errors import SourceError
from garmentcut.naming import DEFAULT_PATTERN
from garmentcut.prediction.results import Journal, Row
from garmentcut.review import photoshop
from garmentcut.review.photoshop import CORRECTED_FOLDER, SCRIPT_NAME, write_photoshop_script

SCRIPT = Path(photoshop.__file__).with_name(SCRIPT_NAME)
ES3 = re.compile(
    "Program|ExpressionStatement|CallExpression|FunctionExpression|FunctionDeclaration|BlockStatement|VariableDeclaration"
    "|VariableDeclarator|NewExpression|MemberExpression|Identifier|Literal|BinaryExpression|LogicalExpression"
    "|UnaryExpression|AssignmentExpression|UpdateExpression|ConditionalExpression|IfStatement|ForStatement"
    "|ReturnStatement|ThrowStatement|TryStatement|CatchClause|ObjectExpression|Property|ArrayExpression|EmptyStatement"
)
LATER = re.compile("forEach|map|filter|some|every|reduce|trim|keys|includes|startsWith|endsWith|bind|now")
STAND_INS = """
(script) => {
  const shown = [];
  const uri = (path) => path.replace(/\\/$/, "");
  const fullOf = (path) => ({absoluteURI: uri(path), fsName: decodeURI(uri(path))});
  function Folder(path) { Object.assign(this, fullOf(path)); }
  Object.defineProperty(Folder.prototype, "exists", {get() { return folders.has(this.absoluteURI); }});
  Object.defineProperty(Folder.prototype, "parent", {
    get() { return new Folder(this.absoluteURI.replace(/\\/[^/]*$/, "")); },
  });
  Folder.prototype.create = function () { folders.add(this.absoluteURI); return true; };
  function File(path) { Object.assign(this, fullOf(path)); }
  Object.defineProperty(File.prototype, "exists", {get() { return files.has(this.absoluteURI); }});
  Object.defineProperty(File.prototype, "parent", Object.getOwnPropertyDescriptor(Folder.prototype, "parent"));
  File.prototype.open = function (mode) {
    if (mode === "r" && !this.exists) return false;
    if (mode === "a" && !this.exists) files.set(this.absoluteURI, "");
    return true;
  };
  File.prototype.read = function () { return files.get(this.absoluteURI); };
  File.prototype.write = function (text) {
    files.set(this.absoluteURI, files.get(this.absoluteURI) + text);
    return true;
  };
  File.prototype.close = () => true;
  function PhotoshopSaveOptions() {}
  const app = {
    documents: desk,
    get activeDocument() { return desk[desk.length - 1]; },
    open(file) {
      shown.push(file.fsName);
      desk.push({
        fullName: file, saved: true, historyStates: [1],
        saveAs(target, options) { files.set(target.absoluteURI, "layers " + options.layers); },
        close() { desk.splice(desk.indexOf(this), 1); },
      });
    },
  };
  const values = {app, File, Folder, PhotoshopSaveOptions, SaveOptions: {}, Extension: {}, $: {fileName: here},
                  alert: (text) => shown.push(text), JSON: undefined};
  new Function(...Object.keys(values), script)(...Object.values(values));
  return shown;
}
"""


def nodes_of(tree):
    if isinstance(tree, dict):
        if "type" in tree:
            yield tree
        for value in tree.values():
            yield from nodes_of(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from nodes_of(value)


def check_es3(text):
    """Raises unless a program uses what ExtendScript, an ECMAScript 3, understands."""
    nodes = list(nodes_of(esprima.toDict(esprima.parseScript(text))))
    unknown = {node["type"] for node in nodes if not ES3.fullmatch(node["type"])}
    unknown |= {node["kind"] for node in nodes if node["type"] == "VariableDeclaration"} - {"var"}
    members = {node["property"].get("name") or "" for node in nodes if node["type"] == "MemberExpression"}
    unknown |= {name for name in members if LATER.fullmatch(name)}
    unknown |= {"{x}" for node in nodes if node["type"] == "Property" and (node["shorthand"] or node["computed"])}
    unknown |= {node["name"] for node in nodes if node["type"] == "Identifier"} & {"JSON", "Map", "Set", "Promise"}
    assert not unknown
    assert not re.search(r",\s*[}\])]", text), "a trailing comma"


def row_of(place, doubt, *, verdict="", suffixes=(".psd", "_mask.png")):
    outputs = tuple(f"{place}{suffix}" for suffix in suffixes)
    return Row(f"/photos/{place}.jpg", place, outputs, doubt=doubt, verdict=verdict, input_sha256="0" * 64)


def batch_of(folder, rows):
    journal = Journal(folder)
    for row in rows:
        journal.append(row)
        for name in row.outputs:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")
    return folder


def order_of(script):
    return json.loads(re.search(r"\}\((\{.*\})\)\);", script.read_text())[1])["psds"]


def test_the_script_is_what_extendscript_understands(tmp_path):
    check_es3(SCRIPT.read_text())
    batch_of(tmp_path, [row_of('a "quoted" Ärmel_Front', 0.5)])
    check_es3(write_photoshop_script(tmp_path, "garmentcut ingest")[0].read_text())


@pytest.mark.parametrize(
    "text",
    ["let x = 1;", "f(x => x);", "x = {a, b};", "x = `a`;", "x = [1, 2,];", "[1].forEach(f);", "JSON.parse(x);"],
)
def test_the_check_finds_what_came_after_extendscript(text):
    with pytest.raises(AssertionError):
        check_es3(text)


def test_the_most_doubtful_psds_come_first_and_accepted_ones_are_left_out(tmp_path):
    rows = [row_of("a", 0.2), row_of("day/b", 0.7), row_of("c", 0.05), row_of("d", 0.9, verdict="accept")]
    rows += [row_of("e", 0.02, verdict="review"), replace(row_of("f", 0.8), status="failed", code="damaged")]
    script, number = write_photoshop_script(batch_of(tmp_path, rows), "next")
    assert order_of(script) == ["day/b.psd", "a.psd", "e.psd"]
    assert (script, number) == (tmp_path / SCRIPT_NAME, 3)


def test_what_was_decided_on_the_review_page_is_not_opened_again(tmp_path, monkeypatch):
    decided = {"a": "corrected", "b": "open"}
    monkeypatch.setattr(photoshop, "review_state", lambda _out, row: decided[row.place])
    batch_of(tmp_path, [row_of("a", 0.9), row_of("b", 0.8)])
    assert order_of(write_photoshop_script(tmp_path, "next")[0]) == ["b.psd"]
    decided["b"] = "corrected"
    with pytest.raises(SourceError, match="all its doubtful cutouts are decided"):
        write_photoshop_script(tmp_path, "next")


def test_what_was_accepted_of_another_photo_or_model_is_opened(tmp_path):
    batch_of(tmp_path, [row_of("a", 0.9)])
    for decided in (
        Decision("/photos/a.jpg", "1" * 64, "a", "accepted"),
        Decision("", "0" * 64, "a", "accepted", model="x"),
    ):
        write_decision(tmp_path, decision_stem("a", "/photos/a.jpg"), decided)
        assert order_of(write_photoshop_script(tmp_path, "next")[0]) == ["a.psd"]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([row_of("a", 0.01)], "no cutout in it is doubtful"),
        ([row_of("a", 0.9, suffixes=(".png",))], "cut with --format psd"),
        ([], "no results.jsonl there"),
    ],
)
def test_where_there_is_nothing_to_open_it_says_why(tmp_path, rows, says):
    with pytest.raises(SourceError, match=re.escape(says)):
        write_photoshop_script(batch_of(tmp_path, rows), "next")


def test_the_command_says_what_to_do_with_the_script(tmp_path):
    batch_of(tmp_path, [row_of("a", 0.5)])
    result = CliRunner().invoke(app, ["review", str(tmp_path), "--photoshop"])
    assert result.exit_code == 0, result.output
    assert "opens 1 doubtful PSD" in result.output
    assert f"garmentcut ingest {tmp_path / CORRECTED_FOLDER} --out dataset --add" in result.output


def test_ingest_looks_where_the_script_saves(tmp_path):
    saved = tmp_path / CORRECTED_FOLDER / "day/dress_Front.psd"
    saved.parent.mkdir(parents=True)
    saved.write_bytes(b"")
    (tmp_path / CORRECTED_FOLDER / "looked-at.txt").write_text("day/dress_Front.psd\n")
    (tmp_path / ".garmentcut.lock").touch()  # the batch itself is passed over, this folder is not
    sides = sides_of(tmp_path / CORRECTED_FOLDER, None, (DEFAULT_PATTERN, DEFAULT_PATTERN))
    (found,) = find_candidates(*sides, {}, out_dir=tmp_path / "dataset")
    assert (found.garment, found.view, found.cutout) == ("dress", "Front", saved)


@pytest.fixture
def stand_in(browser):
    """A page in which `STAND_INS` stands in for Photoshop; its files and documents stay from run to run."""
    page = browser.new_page()
    page.evaluate(
        """() => { globalThis.here = "/share/my%20batch/photoshop.jsx"; globalThis.desk = [];
        globalThis.folders = new Set(["/share", "/share/my%20batch"]);
        globalThis.files = new Map(["a%23.psd", "day/b.psd"].map((name) => ["/share/my%20batch/" + name, ""])); }"""
    )
    yield page
    page.close()


def test_each_run_keeps_the_correction_and_opens_the_next(tmp_path, stand_in):
    batch_of(tmp_path, [row_of("a#", 0.9), row_of("day/b", 0.8), row_of("gone", 0.7)])
    script = write_photoshop_script(tmp_path, "garmentcut ingest x")[0].read_text()
    assert stand_in.evaluate(STAND_INS, script) == ["/share/my batch/a%23.psd"]
    stand_in.evaluate("desk[0].historyStates.push(2)")  # somebody painted on the mask
    assert stand_in.evaluate(STAND_INS, script) == ["/share/my batch/day/b.psd"]
    assert stand_in.evaluate("files.get('/share/my%20batch/corrected/a%23.psd')") == "layers true"

    # The second one was only looked at: it is no correction, and not opened again.
    (last,) = stand_in.evaluate(STAND_INS, script)
    assert last.startswith("All 2 doubtful cutouts are done, and 1 are not there any more.")
    assert last.endswith("garmentcut ingest x")
    assert not stand_in.evaluate("files.has('/share/my%20batch/corrected/day/b.psd')")
    assert stand_in.evaluate("desk.length") == 0
    assert stand_in.evaluate("files.get('/share/my%20batch/corrected/looked-at.txt')") == "a#.psd\nday/b.psd\n"


def test_a_document_of_somebody_elses_is_left_alone(tmp_path, stand_in):
    batch_of(tmp_path, [row_of("a#", 0.9)])
    script = write_photoshop_script(tmp_path, "next")[0].read_text()
    stand_in.evaluate(
        """() => desk.push({get fullName() { throw new Error("never saved"); }, saved: false, historyStates: [1, 2],
        saveAs() { throw new Error("saved"); }, close() { throw new Error("closed"); }})"""
    )
    assert stand_in.evaluate(STAND_INS, script) == ["/share/my batch/a%23.psd"]
    assert stand_in.evaluate("desk.length") == 2
