"""`garmentcut calibrate --lend`: doubt for a model that has seen all photos, learned from networks that had not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from garmentcut.cli.app import MISUSE, OK, fail
from garmentcut.cli.calibrate_edge import write_changed_card
from garmentcut.cli.experiences import gather, telling_failures

if TYPE_CHECKING:
    from garmentcut.evaluation.doubt_fit import Experience
    from garmentcut.model.doubt_model import DoubtModel


def calibrate_lend(
    where: tuple[Path, Path, list[str]], receiver: Path | None, *, out: Path | None, as_json: bool
) -> NoReturn:
    """Learn doubt from some networks, fit it to another, write it if asked to, print it, and exit.

    Args:
        where: the networks, dataset, splits.
        receiver: model file that the doubt is for.
        out: model file to write.
        as_json: print JSON.
    """
    if receiver is None:
        fail("--lend: name the model that the doubt is for by --into", MISUSE)
    networks, dataset, splits = where
    with telling_failures():
        # Imported here: `--help` must not wait for a network runtime.
        from garmentcut.dataset.manifest import read_manifest
        from garmentcut.evaluation.calibration import Promise, calibrate
        from garmentcut.evaluation.lending import lend_doubt

        manifest = read_manifest(dataset)
        words, held_out = ", ".join([dataset.resolve().name, *splits]), networks.is_dir() and not splits
        learned = calibrate(gather(networks, manifest, splits), Promise(), data=words, held_out=held_out)
        names = {one.name for one in learned.experiences}
        own = [one for one in gather(receiver, manifest, splits) if one.name in names]
        num_seen = sum(one.seen is not False for one in own)
        data = (
            f"{len(names)} photos of {words} as other networks cut them that had not seen them; level and slope from"
            f" its own cutouts of these, of which it had, or may have, seen {num_seen}"
        )
        lent = lend_doubt(learned.doubt, own, data=data)
    if out is not None:
        write_changed_card(receiver, out, {"doubt": lent, "acceptance": None})
    found = _found(learned.doubt, lent, own)
    typer.echo(json.dumps({"data": data, **found}) if as_json else _as_text(data, found, out))
    raise typer.Exit(OK)


def _found(learned: "DoubtModel", lent: "DoubtModel", own: "Sequence[Experience]") -> dict[str, Any]:
    """How it does, as far as that can be known here."""
    import numpy as np

    from garmentcut.evaluation.doubt_fit import rank_correlation, signs_of
    from garmentcut.prediction.doubt import doubts_of

    known = [one for one in own if one.signs is not None]
    doubts = doubts_of(lent, signs_of(known, lent))
    return {
        "rank_correlation_of_the_networks": learned.rank_correlation,
        "rank_correlation_on_its_own": round(rank_correlation(doubts, known), 4),
        "doubt_quantiles": [round(float(value), 4) for value in np.quantile(doubts, (0.05, 0.25, 0.5, 0.75, 0.95))],
    }


def _as_text(data: str, found: dict[str, Any], out: Path | None) -> str:
    spread = ", ".join(f"{value:.3f}" for value in found["doubt_quantiles"])
    return "\n".join(
        [
            f"learned from {data}",
            f"rank correlation: {found['rank_correlation_of_the_networks']} of the networks' own,"
            f" {found['rank_correlation_on_its_own']} of what was lent, on these photos",
            f"doubt, at 5, 25, 50, 75, 95 % of them: {spread}",
            "no photo is accepted by it: that takes photos that the model has not seen",
            f"written: {out}" if out else "nothing was written: name a file by --out",
        ]
    )
