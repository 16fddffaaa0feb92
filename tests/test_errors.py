import ast
import io
import pickle
import re
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from garmentcut import errors
from garmentcut.config import ReadConfig
from garmentcut.errors import (
    FAILURES,
    FLAGS,
    REFUSALS,
    SKIPPED,
    GarmentcutError,
    LockTakenError,
    Note,
    OutputError,
    PhotoError,
    code_of,
)
from garmentcut.photo.read import read_photo
from garmentcut.prediction.results import FOREIGN, VIEW_FLAGS
from garmentcut.prediction.verdict import _REASONS, _SIDEWAYS

ROOT = Path(__file__).parents[1]
CODES_IN_ROWS = {"code", "os_error"}


def codes_in(path):
    """All `code="..."` and `os_error="..."` that a file writes, of its classes too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.keyword) and node.arg in CODES_IN_ROWS and isinstance(node.value, ast.Constant):
            yield node.value.value


def test_every_code_that_a_photo_can_fail_with_is_listed():
    folders = [ROOT / "src/garmentcut" / name for name in ("photo", "prediction", "cluster", "review")]
    used = {code for folder in folders for path in folder.rglob("*.py") for code in codes_in(path)}
    assert len(used - {""}) > 15
    assert used - {""} <= {*FAILURES, *REFUSALS, LockTakenError.code}
    assert {PhotoError.code, OutputError.code} <= set(FAILURES)


def flags_in(path):
    """The flag of every `Note(text, flag)` in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Note":
            yield node.args[1].value


def test_every_flag_is_listed():
    noted = {flag for path in (ROOT / "src").rglob("*.py") for flag in flags_in(path)}
    assert {
        *(flag for flag, *_ in _REASONS.values()),
        *VIEW_FLAGS,
        *noted,
        FOREIGN,
        _SIDEWAYS.flag,
        "moved",
        "replaced",
    } == set(FLAGS)


def test_a_note_keeps_its_flag_on_its_way_between_processes():
    note = Note("laid on white", "laid_on_white")
    for copy in (pickle.loads(pickle.dumps(note)), deepcopy(note)):
        assert (copy, copy.flag) == ("laid on white", "laid_on_white")


def test_the_docs_list_every_code_and_flag():
    text = (ROOT / "docs/data.md").read_text().partition("### Codes")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|(?: (yes|no) \|)?$", text, flags=re.MULTILINE)
    failures = [(code, meaning, "yes" if permanent else "no") for code, (meaning, permanent) in FAILURES.items()]
    listed = [row for row in rows if row[0] not in ("code", "flags")]  # the tables' heads
    assert listed == failures + [(flag, meaning, "") for flag, meaning in FLAGS.items()]


def test_the_docs_list_every_code_of_what_is_passed_over():
    text = (ROOT / "docs/data.md").read_text().partition("### What was not looked at")[2].partition("### Codes")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", text, flags=re.MULTILINE)[1:]) == SKIPPED


def test_an_error_keeps_its_code_on_its_way_between_processes():
    error = pickle.loads(pickle.dumps(PhotoError("cut off", code="truncated")))
    assert (str(error), error.code, error.exit_code) == ("cut off", "truncated", 1)


def test_one_tree():
    tree = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert all(issubclass(kind, GarmentcutError) for kind in tree)
    assert len({kind.code for kind in tree}) == len(tree)
    assert {kind.exit_code for kind in tree} == {1, 2}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PhotoError("a GIF"), "unsupported"),
        (errors.ConfigError("what is this doing here"), "internal"),
        (MemoryError(), "no_memory"),
        (FileNotFoundError(), "missing"),
        (OSError(5, "Input/output error"), "unreadable"),
        (OSError(28, "No space left on device"), "not_written"),
        (ZeroDivisionError(), "internal"),
    ],
)
def test_whatever_goes_wrong_has_a_code(error, code):
    assert code_of(error) == code
    assert code_of(PermissionError(13, "Permission denied"), os_error="not_written") == "not_written"


@pytest.fixture
def code_for(tmp_path):
    """code_for(content): why the reader refuses a file of this content."""

    def read(content, **limits):
        (tmp_path / "photo").write_bytes(content)
        with pytest.raises(PhotoError) as refused:
            read_photo(tmp_path / "photo", limits=ReadConfig(**limits))
        return refused.value.code

    return read


def test_the_readers_codes(code_for, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (60, 40, 3), np.uint8)
    files = {format: io.BytesIO() for format in ("PNG", "JPEG")}
    for format, file in files.items():
        Image.fromarray(noise).save(file, format)
    png, jpeg = (file.getvalue() for file in files.values())
    assert code_for(png[:-20]) == "truncated"
    assert code_for(b"") == "empty"
    assert code_for(png[:200] + b"\xff" * 50 + png[250:]) == "damaged"
    assert code_for(jpeg[: len(jpeg) // 2]) == "truncated"
    for junk in (b"junk", b"GIF89a" + bytes(20), b"%PDF-1.4", b"\0\0\0\x0cJXL \r\n"):
        assert code_for(junk) == "unsupported"
    assert code_for(png, max_megapixels=0.001) == "too_large"
    assert code_for(png, max_side_px=10) == "too_large"
    with pytest.raises(PhotoError) as refused:
        read_photo(tmp_path / "nowhere.png")
    assert refused.value.code == "missing"


def test_errors_live_in_the_tree_and_each_has_a_code_of_its_own():
    outside = {
        (path.name, node.name)
        for path in (ROOT / "src/garmentcut").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
        and any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)
        if path.name != "errors.py"
    }
    # Of a study: its own errors are told from those of what it calls; a stop on request is no error.
    assert outside == {("declare.py", "StudyError"), ("run.py", "Stopped")}


def test_nothing_is_decided_by_the_words_of_an_error():
    words = re.compile(r"""(["'] (not )?in|\bre\.\w+\([^)]*,) str\(error""")
    found = {path.name for path in (ROOT / "src/garmentcut").rglob("*.py") if words.search(path.read_text())}
    assert found <= {"runtime.py"}  # OpenVINO tells a lack of memory by words alone
