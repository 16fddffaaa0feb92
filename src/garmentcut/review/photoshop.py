"""`garmentcut review --photoshop`: a script that opens a batch's doubtful PSDs one by one and saves corrected ones."""

import json
from importlib.resources import files
from pathlib import Path

from garmentcut.errors import SourceError
from garmentcut.photo.files import write_atomic
from garmentcut.prediction.results import RESULTS_NAME, Journal
from garmentcut.prediction.steps import review_state

SCRIPT_NAME = "photoshop.jsx"
CORRECTED_FOLDER = "corrected"
"""Folder, next to the script, where it saves PSDs under the names that they have in the batch."""


def write_photoshop_script(out_dir: Path, next_step: str) -> tuple[Path, int]:
    """Write the script to a batch's folder; its paths are relative, so the folder may be on a network share.

    Returns its path, and the number of PSDs that it opens; SourceError if there is no batch, or no doubtful PSD in it.
    """
    if not (out_dir / RESULTS_NAME).is_file():
        raise SourceError(f"{out_dir}: no {RESULTS_NAME} there; name a folder that `garmentcut cut` has written")
    rows = [row for row in Journal(out_dir).rows.values() if row.is_doubtful]
    rows.sort(key=lambda row: (-(row.doubt or 0), row.place))
    doubtful = [row for row in rows if review_state(out_dir, row) == "open"]
    psds = [name for row in doubtful for name in row.outputs if name.lower().endswith(".psd")]
    if not psds:
        why = "its doubtful cutouts are not PSDs; cut with --format psd" if doubtful else "no cutout in it is doubtful"
        raise SourceError(f"{out_dir}: {'all its doubtful cutouts are decided' if rows and not doubtful else why}")
    text = files("garmentcut.review").joinpath(SCRIPT_NAME).read_text(encoding="utf-8")
    path = out_dir / SCRIPT_NAME
    write_atomic(path, text.replace("(BATCH)", f"({json.dumps({'psds': psds, 'next': next_step})})").encode())
    return path, len(psds)
