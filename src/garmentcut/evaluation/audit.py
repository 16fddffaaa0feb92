"""Audit a dataset: which of its cutouts are wrong, by models that never saw them."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from garmentcut.config import RuntimeConfig
from garmentcut.dataset.manifest import Manifest, Pair
from garmentcut.errors import EvaluationError
from garmentcut.evaluation.audit_evidence import Evidence, gather_evidence
from garmentcut.evaluation.audit_rank import Suspect, rank_suspects
from garmentcut.evaluation.doubt_fit import LEAST_GARMENTS, Experience, cross_fitted, experience_of
from garmentcut.evaluation.out_of_fold import Outcome, Prediction, look_at
from garmentcut.evaluation.pictures import Picture, draw_pictures
from garmentcut.evaluation.trials import Trial
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import write_atomic
from garmentcut.photo.photo import to_8_bit
from garmentcut.prediction.doubt import Maps
from garmentcut.prediction.verdict import place_of

SUSPECTS_NAME, PAGE_NAME = "suspects.jsonl", "index.html"
"""What an audit writes into its folder."""

_CAPTIONS = {"ground truth": "cutout", "cutout": "prediction", "where it differs most": "the region, enlarged"}


class AuditError(EvaluationError):
    """A dataset that cannot be audited by these models; the message says what to change."""


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        suspects: all cutouts that could be looked at, most suspect first.
        pairs: of each, by name.
        failures: the others: name to reason.
        uses_doubt: the models' doubt in their predictions is told; else there were too few garments to learn it.
    """

    suspects: tuple[Suspect, ...]
    pairs: dict[str, Pair]
    failures: dict[str, str]
    uses_doubt: bool


@dataclass(frozen=True, eq=False)
class _Looked:
    evidence: Evidence
    experience: Experience
    height_px: int
    place: str


def audit(
    trials: Sequence[Trial],
    manifest: Manifest,
    *,
    config: RuntimeConfig | None = None,
    use_seen: bool = False,
    told: Callable[[str, str], None] = lambda _name, _failure: None,
) -> Audit:
    """Compare every cutout with a prediction of a model that never saw it, and rank.

    Args:
        trials: what `garmentcut.evaluation.trials.plan_trials` gave; best of a folder of fold runs.
        manifest: the dataset.
        config: backend and threads.
        use_seen: go on although a model was trained on photos that it is asked about.
        told: after each photo, its name and why it failed; empty: it did not.

    Raises:
        AuditError: a model has learned these very cutouts, mistakes and all.
        garmentcut.model.card.ModelError: a model cannot be loaded.
    """
    if not use_seen:
        _check_unseen(trials)
    looked: list[tuple[Pair, _Looked]] = []
    failures = {}
    for outcome in look_at(trials, manifest, _look, config=config):
        told(outcome.pair.name, outcome.reason)
        if outcome.found is None:
            failures[outcome.pair.name] = outcome.reason
        else:
            looked.append((outcome.pair, outcome.found))
    experiences = [one.experience for _, one in looked]
    uses_doubt = len({one.garment for one in experiences if one.signs is not None}) >= 2 * LEAST_GARMENTS
    suspects = rank_suspects(
        [pair.name for pair, _ in looked],
        [one.evidence for _, one in looked],
        cross_fitted(experiences) if uses_doubt else None,
        heights_px=[one.height_px for _, one in looked],
        places=[one.place for _, one in looked],
    )
    return Audit(tuple(suspects), {pair.name: pair for pair, _ in looked}, failures, uses_doubt)


def draw_suspects(
    trials: Sequence[Trial], manifest: Manifest, suspects: Iterable[Suspect], *, config: RuntimeConfig | None = None
) -> dict[str, tuple[Picture, ...]]:
    """Cut some suspects again and draw them: photo, cutout, prediction, difference, the region enlarged.

    Returns:
        Pictures by name; of pairs that cannot be read any more, none.
    """
    wanted = {suspect.name: suspect for suspect in suspects}
    few = [replace(trial, pairs=tuple(pair for pair in trial.pairs if pair.name in wanted)) for trial in trials]

    def draw(prediction: Prediction) -> tuple[Picture, ...]:
        clue = next(iter(wanted[prediction.pair.name].clues), None)
        box = clue.region.box_xyxy if clue is not None and clue.region is not None else None
        drawn = draw_pictures(prediction.photo, prediction.target, prediction.alpha, outlined_xyxy=box)
        return tuple(replace(picture, caption=_CAPTIONS.get(picture.caption, picture.caption)) for picture in drawn)

    found: Iterable[Outcome[tuple[Picture, ...]]] = look_at(
        [trial for trial in few if trial.pairs], manifest, draw, config=config
    )
    return {outcome.pair.name: outcome.found for outcome in found if outcome.found is not None}


def write_suspects(audited: Audit, folder: Path) -> None:
    """Write `suspects.jsonl`, a row a cutout, most suspect first.

    Raises:
        OSError: the folder cannot be written.
    """
    rows = (json.dumps(row_of(suspect, audited.pairs[suspect.name])) + "\n" for suspect in audited.suspects)
    write_atomic(folder / SUSPECTS_NAME, "".join(rows).encode())


def row_of(suspect: Suspect, pair: Pair) -> dict[str, Any]:
    """A suspect for machines."""
    return {
        "name": suspect.name,
        "score": round(suspect.score, 3),
        "verdict": pair.verdict,
        "clues": [
            {"kind": clue.kind, "strength": round(clue.strength, 3), "text": clue.text} for clue in suspect.clues
        ],
        "doubt": suspect.doubt,
        "evidence": asdict(suspect.evidence),
    }


def _check_unseen(trials: Sequence[Trial]) -> None:
    for trial in trials:
        seen = sum(pair.photo_sha256[:12] in trial.card.trained_on for pair in trial.pairs)
        if seen:
            raise AuditError(
                f"{trial.model} was trained on {seen} of these {len(trial.pairs)} cutouts and has learned their"
                " mistakes; give a folder of fold runs (garmentcut train --fold all), or --seen to go on all the same"
            )


def _look(prediction: Prediction) -> _Looked:
    photo = prediction.photo
    rgb = srgb_of(to_8_bit(photo.rgb), photo.profile)
    evidence = gather_evidence(rgb, prediction.target, prediction.alpha)
    maps = prediction.observation.maps if prediction.observation is not None else None
    place = _place_of(evidence, maps, photo.size_hw[0]) if maps is not None and evidence.regions else ""
    return _Looked(evidence, experience_of(prediction), photo.size_hw[0], place)


def _place_of(evidence: Evidence, maps: Maps, height_px: int) -> str:
    left, top, right, bottom = np.array(evidence.regions[0].box_xyxy) * (maps.frame_hw[0] / height_px)
    return place_of(maps, (left + right) / 2 - maps.corner_xy[0], (top + bottom) / 2 - maps.corner_xy[1])
