"""Write docs/cli.md from the commands' own help and the configuration's own descriptions; a test compares the two."""

import inspect
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typer.main import get_command

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
    """The whole page, laid out here: Typer's own layout of help texts changes between versions."""
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    parts = [_command_part(name, commands[name]) for name in sorted(commands)]
    return "".join([_HEAD, *parts, _SETTINGS, *(f"{row}\n" for row in _setting_rows())])


def _command_part(name: str, command: Any) -> str:
    about, _, example = inspect.cleandoc(command.help).partition("Example: ")
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = " ".join(["garmentcut", name, *map(_shown, arguments)])
    lines = [f"\n## garmentcut {name}\n", about.strip(), f"\n```sh\n{example.strip()}\n```\n"]
    lines += [f"Usage: `{usage} [OPTIONS]`\n", "| argument or option | meaning |", "| --- | --- |"]
    for parameter in command.params:
        named = parameter.name.upper() if parameter in arguments else ", ".join(parameter.opts)
        needed = " Required." if parameter.required else ""
        lines.append(f"| `{named}` | {parameter.help}{needed} |")
    return "\n".join(lines) + "\n"


def _shown(argument: Any) -> str:
    name = argument.name.upper() + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


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
