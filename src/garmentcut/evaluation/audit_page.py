"""The audit's page: suspects worst first, each with its pictures and a verdict to give. One file, works offline."""

import base64
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from garmentcut.evaluation.audit import PAGE_NAME, Audit
from garmentcut.evaluation.audit_verdicts import VERDICTS
from garmentcut.evaluation.pictures import EXTRA_RGB, MISSING_RGB, Picture
from garmentcut.photo.files import write_atomic


def write_page(
    folder: Path, audited: Audit, pictures: Mapping[str, tuple[Picture, ...]], *, dataset: Path, models: str
) -> Path:
    """Write `index.html`, whole or not at all.

    Args:
        folder: for the page.
        audited: what was found.
        pictures: of the suspects that are shown, by name.
        dataset: the dataset's folder, for the command that keeps verdicts.
        models: what predicted, in words.

    Returns:
        The page.

    Raises:
        OSError: it cannot be written.
    """
    page = render_page(audited, pictures, dataset=dataset, models=models)
    write_atomic(folder / PAGE_NAME, page.encode("utf-8", "backslashreplace"))
    return folder / PAGE_NAME


def render_page(audited: Audit, pictures: Mapping[str, tuple[Picture, ...]], *, dataset: Path, models: str) -> str:
    """The page as text; see `write_page`."""
    environment = Environment(
        loader=PackageLoader("garmentcut.evaluation"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    shown = [suspect for suspect in audited.suspects if suspect.name in pictures]
    return environment.get_template("audit.html.j2").render(
        audited=audited,
        shown=shown,
        pictures=pictures,
        dataset=dataset,
        models=models,
        verdicts=VERDICTS,
        given={name: pair.verdict for name, pair in audited.pairs.items() if pair.verdict},
        missing=_css(MISSING_RGB),
        extra=_css(EXTRA_RGB),
    )


def _css(rgb: tuple[int, int, int]) -> str:
    return f"rgb({rgb[0]} {rgb[1]} {rgb[2]})"
