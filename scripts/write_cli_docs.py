"""Write docs/cli.md, recipe.md and specification.md from the commands' help and the settings; a test compares them."""

import inspect
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typer.main import get_command

import garmentcut.study.declare  # noqa: F401 its error too
from garmentcut.cli import app
from garmentcut.config import Config, known_keys
from garmentcut.errors import FAILURES, REFUSALS, GarmentcutError
from garmentcut.photo.spec import Sections
from garmentcut.recipe import Recipe, Strength

_DOCS = Path(__file__).parents[1] / "docs"
_HEAD = """# Command line

Written by `python scripts/write_cli_docs.py` from the commands themselves; do not edit.

`garmentcut -h` lists the commands, `garmentcut COMMAND -h` explains one, `-V` prints the version, and
`garmentcut --install-completion` teaches your shell to complete commands and options. Many commands share these
options, which are not repeated below:

{common}

Exit codes: 0 all fine, 1 some photos, pairs or runs failed (counted and named), or the command could not finish, 2
misuse, 3 a `--fail-on` condition was met, 130 stopped by Ctrl-C; a command's help says what else they mean. Results go
to stdout; progress, errors and the usual next step go to stderr. If nobody can read these (a closed pipe, a full disk),
the work is done all the same.

With `--json` a command prints one JSON object: its result or, if there is none, the error, with the same exit code and
the same sentence on stderr: `{{"error": {{"code": "dataset", "message": "a sentence"}}}}`. A code keeps its meaning, a
message may be reworded. A `cut` that stops half way (a full disk, Ctrl-C) prints both: its result so far, in which
`left` counts the photos that are not done, and the `error`. Besides the [codes of photos and files](data.md#codes)
there are:

{errors}
"""
_COMMON = ("--config", "--set", "--json")
_SETTINGS = """
## Settings

For `--config FILE` (TOML, sections as tables) and `--set section.key=value`; a command's own options override both.
Without `--config`, `garmentcut.toml` in the working directory is used, and named on stderr. No other folder is
searched, because a folder of photos may come from anybody.

"""
_RECIPE_HEAD = """# Recipes

Written by `python scripts/write_cli_docs.py` from the code; do not edit. How to use them: [training](training.md).

A recipe is a TOML file with any of these keys; keys that it leaves out have their defaults. `--set section.key=value`
overrides the file. The complete recipe as used is written to `RUN/recipe.toml`. An augmentation is a table such as
`{ p = 0.5, amount = 0.06 }`, applied with probability `p`; by default all are off. With three stages, a section such as
`[stages.segment.training]` overrides `[training]` for one of them.
"""

_SPECIFICATION_HEAD = """# A customer's specification

Written by `python scripts/write_cli_docs.py` from the code; do not edit.

`garmentcut cut PHOTOS --out OUT --spec customer.toml` writes exactly what one customer wants. The repository has three
examples in `examples/specs/`: for a marketplace, a web shop and a print agency. The specification and the names that it
gives are checked before the first photo; a garment that does not fit becomes a failed row without files.

```toml
[canvas]
width_px = 2000
height_px = 2000
background = "#ffffff"

[garment]
height = "85 %"

[file]
name = "{garment}_{counter:02}"
formats = ["jpeg"]
```

- **Several files per photo**: one `[[output]]` table each, with any of the sections below (`[output.canvas]`, or
  `canvas.width_px = 500` within it). Sections outside these tables apply to all.
- **One view**: `[view.Front]`, `[view.FrontRight]` and `[view.Back]` hold keys of `[garment]` for that view only.
- **Lengths** are pixels (`1700`) or per cent of the canvas's side (`"85 %"`).
- **One scale per garment**: photos named `<garment>_<view>` are cut together, at the largest scale at which all of them
  fit, so that the views match. They should have the same size and distance. If one is new or changed, all are cut
  again.
- **Resampling**: a Lanczos filter for colours, weighted by alpha, without sharpening. A photo that keeps its size keeps
  its pixels.
- **Colours** are converted with relative colorimetric intent and black point compensation, at the photo's own depth.
"""


def cli_page() -> str:
    """The whole page; laid out here, because Typer's layout of help texts changes between versions."""
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    common = [_option_line(option) for option in commands["cut"].params if option.opts[0] in _COMMON]
    parts = [_command_part(name, commands[name], common) for name in sorted(commands)]
    head = _HEAD.format(common="\n".join(common), errors="\n".join(_error_lines()))
    return "".join([head, *parts, _SETTINGS, *(f"{row}\n" for row in _setting_rows())])


def _command_part(name: str, command: Any, common: list[str]) -> str:
    about, *examples = inspect.cleandoc(command.help).split("Example: ")
    about = re.sub(r"\s+Exit code 0:[^.]+\.", "", about)  # listed once at the top
    lines = [f"\n## garmentcut {name}\n", about.strip(), "\n```sh", *map(str.strip, examples), "```\n"]
    return "\n".join([*lines, *(line for line in map(_option_line, command.params) if line not in common)]) + "\n"


def _error_lines() -> Iterator[str]:
    kinds = [GarmentcutError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        if "code" in vars(kind) and kind.code not in {*FAILURES, *REFUSALS}:
            yield f"- `{kind.code}`: {(kind.__doc__ or '').partition(chr(10))[0]}"
    yield "- `not_installed`: A missing package, which an extra of garmentcut installs."
    yield "- `stopped`: Stopped by Ctrl-C or SIGTERM."


def _option_line(parameter: Any) -> str:
    is_argument = parameter.param_type_name == "argument"
    options = sorted([*parameter.opts, *parameter.secondary_opts], key=len)  # `--open` and `--no-open`, say
    named = _shown(parameter) if is_argument else ", ".join(options)
    default = "" if parameter.default in (None, False, "", ()) or parameter.is_flag else parameter.default
    needed = " Required." if parameter.required else f" Default: {default}." if default != "" else ""
    return f"- `{named}`: {parameter.help.replace('May be given several times.', 'Repeatable.')}{needed}"


def _shown(argument: Any) -> str:
    name = (argument.metavar or argument.name.upper()) + ("..." if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def recipe_page() -> str:
    """Every key of a recipe."""
    return "".join([_RECIPE_HEAD, *(f"{row}\n" for row in _setting_rows(Recipe))])


def specification_page() -> str:
    """Every key of a specification."""
    return "".join([_SPECIFICATION_HEAD, *(f"{row}\n" for row in _setting_rows(Sections))])


def _setting_rows(kind: type[Any] = Config) -> list[str]:
    schema = TypeAdapter(kind).json_schema()
    rows: list[str] = []
    for dotted in known_keys(kind):
        section, key = dotted.split(".")
        reference = schema["properties"][section].get("$ref") or schema["properties"][section]["allOf"][0]["$ref"]
        of_key = schema["$defs"][reference.rpartition("/")[2]]["properties"][key]
        about, default = " ".join(of_key["description"].split()), getattr(getattr(kind(), section), key)
        shown = "" if default is None or isinstance(default, Strength) else f" = `{json.dumps(default)}`"
        shown += _others(of_key.get("enum", []), default, about)
        if not rows or not rows[-1].startswith(f"- `{section}."):
            rows.append("" if kind is Config else f"\n## {section}\n")
        rows.append(f"- `{dotted}`{shown}: {about}")
    return [row for row in rows if row]


def _others(choices: list[Any], default: Any, about: str) -> str:
    """The choices besides the default; empty if the description explains each of them."""
    others = [choice for choice in choices if choice != default]
    if all(f"`{choice}`" in about for choice in others):
        return ""
    return f" (or {', '.join(f'`{json.dumps(choice)}`' for choice in others)})"


if __name__ == "__main__":
    pages = {"cli.md": cli_page(), "recipe.md": recipe_page(), "specification.md": specification_page()}
    for name, page in pages.items():
        (_DOCS / name).write_text(page, encoding="utf-8")
        sys.stdout.write(f"{name} written\n")
