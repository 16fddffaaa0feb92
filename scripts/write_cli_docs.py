"""Write docs/cli.md from the commands' own help and the configuration's own descriptions; a test compares the two."""

import os
import sys
from pathlib import Path

from pydantic import TypeAdapter
from typer.main import get_command
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.config import Config, known_keys

_TARGET = Path(__file__).parents[1] / "docs" / "cli.md"
_HEAD = """# Command line

Written by `python scripts/write_cli_docs.py` from the commands themselves; do not edit.

Exit codes of all commands: 0 all fine, 1 some photos failed (counted, named, listed in `results.jsonl`), 2 misuse,
130 stopped by Ctrl-C. Results go to stdout, progress and errors to stderr.
"""
_SETTINGS = """
## Settings

For `--config FILE` (TOML, sections as tables) and `--set section.key=value`; an option of the command wins over both.

| setting | default | meaning |
| --- | --- | --- |
"""


def cli_page() -> str:
    """The whole page."""
    os.environ.update(COLUMNS="100", TERMINAL_WIDTH="100", NO_COLOR="1")
    runner = CliRunner()
    names = sorted(get_command(app).commands)  # type: ignore[attr-defined]
    parts = [_HEAD]
    for name in names:
        text = runner.invoke(app, [name, "--help"], prog_name="garmentcut").stdout
        lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
        parts.append(f"\n## garmentcut {name}\n\n```text\n{lines}\n```\n")
    return "".join([*parts, _SETTINGS, *(f"{row}\n" for row in _setting_rows())])


def _setting_rows() -> list[str]:
    sections = TypeAdapter(Config).json_schema()["$defs"]
    by_section = {key: TypeAdapter(Config).json_schema()["properties"][key] for key in vars(Config())}
    rows = []
    for dotted in known_keys():
        section, key = dotted.split(".")
        reference = by_section[section].get("$ref") or by_section[section]["allOf"][0]["$ref"]
        about = sections[reference.rpartition("/")[2]]["properties"][key]["description"]
        default = getattr(getattr(Config(), section), key)
        shown = list(default) if isinstance(default, tuple) else default
        rows.append(f"| `{dotted}` | `{shown}` | {' '.join(about.split())} |")
    return rows


if __name__ == "__main__":
    _TARGET.write_text(cli_page(), encoding="utf-8")
    sys.stdout.write(f"{_TARGET.name} written\n")
