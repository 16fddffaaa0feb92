"""Print how much code there is to read; tests/test_architecture.py limits these numbers.

    python scripts/count_files.py

Lines include blank ones. JavaScript is that of the web pages and of Photoshop (`.jsx`), except third-party code in
folders named `vendor`. A file is entered by a cut if one of its functions is called; code that an import runs does not
count.
"""

import ast
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

_ROOT = Path(__file__).parents[1]
_SOURCE = _ROOT / "src"
_PHOTO = _ROOT / "examples/photos/89b7720b-15f0-50a1-9bcf-67e3064c4b7f_Front.jpg"

_PROFILED = """
import json, sys, threading
from pathlib import Path

import garmentcut

root, found = str(Path(garmentcut.__file__).parent), {}


def is_import(frame):
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_code.co_filename != "<string>":
            return True
        frame = frame.f_back
    return False


def note(frame, event, _argument):
    code = frame.f_code
    if event == "call" and code not in found and code.co_filename.startswith(root) and not is_import(frame):
        found[code] = code.co_filename[len(root) + 1:]


sys.argv = ["garmentcut", "cut", *sys.argv[1:]]
from garmentcut.cli import main

threading.setprofile(note)
sys.setprofile(note)
try:
    main()
except SystemExit as end:
    if end.code:
        raise
finally:
    sys.setprofile(None)
print("files: " + json.dumps(sorted(set(found.values()))))
"""


class Counts(NamedTuple):
    """How much code there is to read.

    Attributes:
        python_lines: lines of Python under src/.
        python_files: Python files under src/.
        script_lines: lines of JavaScript under src/, without third-party code.
        script_files: JavaScript files under src/, without third-party code.
        doubled_classes: names of classes that are defined more than once.
    """

    python_lines: int
    python_files: int
    script_lines: int
    script_files: int
    doubled_classes: tuple[str, ...]


def count_source() -> Counts:
    """Count the files under src/."""
    python = sorted(_SOURCE.rglob("*.py"))
    scripts = [path for path in _SOURCE.rglob("*.js*") if path.suffix in (".js", ".jsx") and "vendor" not in path.parts]
    return Counts(_lines_of(python), len(python), _lines_of(scripts), len(scripts), doubled_classes(python))


def doubled_classes(paths: Iterable[Path]) -> tuple[str, ...]:
    """Names of classes that these files define more than once, sorted."""
    nodes = (node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))
    return tuple(sorted(name for name, num in names.items() if num > 1))


def files_of_a_cut() -> tuple[str, ...]:
    """The files that `garmentcut cut one.jpg` enters in any thread, relative to src/garmentcut, sorted.

    Raises:
        subprocess.CalledProcessError: the photo was not cut.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", _PROFILED, str(_PHOTO), "-o", folder, "--json"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    last = done.stdout.splitlines()[-1]
    return tuple(json.loads(last.removeprefix("files: ")))


def _lines_of(paths: Iterable[Path]) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in paths)


def main() -> None:
    """Print the table, then the names."""
    counts, entered = count_source(), files_of_a_cut()
    rows = {
        "Python under src/, lines / files": f"{counts.python_lines:,} / {counts.python_files}",
        "our own JavaScript, lines / files": f"{counts.script_lines:,} / {counts.script_files}",
        "files entered by `garmentcut cut one.jpg`": len(entered),
        "class names defined more than once": len(counts.doubled_classes),
    }
    lines = ["| | now |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows.items()), ""]
    lines += [f"Entered: {', '.join(entered)}", "", f"More than once: {', '.join(counts.doubled_classes) or 'none'}"]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
