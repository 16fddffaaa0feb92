"""`garmentcut audit`: ranks a dataset's cutouts by how wrong they look to models that were not trained on them.

`audit` compares each cutout with a prediction and ranks them; `render_page` shows the most suspect ones with pictures;
`keep_verdicts` writes a person's decisions to the manifest.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.manifest import Manifest, Pair, read_manifest, write_manifest
from garmentcut.errors import DatasetError, EvaluationError, LockTakenError
from garmentcut.evaluation.evidence import REFERENCE_HEIGHT_PX, Evidence, Region, gather_evidence
from garmentcut.evaluation.pictures import Tile, draw_pictures
from garmentcut.evaluation.predict import CutPair, Trial, predict, predict_some, refuse_seen
from garmentcut.evaluation.report import page_environment
from garmentcut.evaluation.uncertainty import LEAST_GARMENTS, Experience, cross_fitted, experience_of
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import LOCK_NAME, FolderLock, json_of, write_atomic
from garmentcut.photo.photo import to_8_bit
from garmentcut.prediction.verdict import place_of

CutoutVerdict = Literal["", "wrong", "right", "unsure"]  # empty: nobody has looked, or a verdict is withdrawn
VERDICTS = tuple(word for word in get_args(CutoutVerdict) if word)

SUSPECTS_NAME, PAGE_NAME = "suspects.jsonl", "index.html"  # files that an audit writes to its folder
_CAPTIONS = {"ground truth": "cutout", "cutout": "prediction", "where it differs most": "the region, enlarged"}
_PATIENCE_S = 5.0  # how long to wait while another command uses the dataset
_LEAST_SPREAD = 0.15  # of a logarithm; smaller spreads are chance
_USUAL_SHIFT_PX, _LEAST_SHIFT_PX = 0.8, 0.3  # shifts that nobody corrects; least spread of larger ones
_SPREADS_PX = (0.7, 2.5)  # limits: no prediction is more exact; a larger spread is due to the cutout
_QUALITY_COUNTS = 0.5  # weight of the label quality score in a region's strength
_LEAST_QUALITY = 1e-3  # added before the logarithm is taken
_USUAL_PX = 100.0  # disputed pixels that every cutout has; differences below this mean nothing
_MOST = 40.0
_OTHER_DICE = 0.6  # below this, if the model is confident, the cutout is one of another photo
_JUDGE_DICE = 0.9  # median below which the predictions themselves are wrong
_TURNED = 0.5  # cosine of the angle up to which two shifts confirm each other


class Clue(NamedTuple):
    """One indication that a cutout is wrong."""

    kind: str  # `region`, `shift`, `whole`
    strength: float  # in robust standard deviations of the dataset's own cutouts
    text: str


class Suspect(NamedTuple):
    """A cutout and the indications that it is wrong."""

    name: str
    score: float  # the strongest clue's strength; higher is more suspect
    clues: tuple[Clue, ...]  # strongest first
    doubt: float | None  # cross-fitted doubt of the prediction; None: not known
    evidence: Evidence  # from which the clues were derived


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    suspects: tuple[Suspect, ...]  # all cutouts that could be examined, most suspect first
    pairs: dict[str, Pair]  # the pair of each, by name
    failures: dict[str, str]  # reasons of the others, by name
    uses_doubt: bool  # whether the doubt of the predictions is known; False: there were too few garments to fit it

    @property
    def warning(self) -> str:
        """That the model is too weak a judge, as it agrees with too few of the cutouts; empty: it is not."""
        dice = float(np.median([one.evidence.dice for one in self.suspects])) if self.suspects else 1.0
        text = f"the model agrees with these cutouts at a median Dice of {dice:.2f} only: do not trust this list"
        return "" if dice >= _JUDGE_DICE else f"{text}; train the model longer, or give a better one"


class Examined(NamedTuple):
    """What is known of one cutout before it is compared with the others."""

    name: str
    evidence: Evidence
    height_px: int  # of the photo
    place: str  # where in the garment its region of highest weight lies, in words; empty: not known


def audit(
    trials: Sequence[Trial],
    manifest: Manifest,
    *,
    use_seen: bool = False,
    on_photo: Callable[[str, str], None] = lambda _name, _failure: None,
) -> Audit:
    """Compare each cutout with the prediction of a model that was not trained on it, and rank all cutouts.

    `trials` are the result of `garmentcut.evaluation.predict.plan_trials`, preferably for a folder of fold runs.
    `use_seen` allows models that were trained on the photos. `on_photo` is called after each photo with its name and
    why it failed; empty: it did not.

    Raises:
        EvaluationError: a model was trained on these cutouts, and so has learned their errors.
    """
    if not use_seen:
        refuse_seen(trials, manifest, because="and has learned the mistakes in their cutouts")
    examined: list[Examined] = []
    experiences: list[Experience] = []
    pairs, failures = {}, {}
    for outcome in predict(trials, manifest, _examine):
        on_photo(outcome.pair.name, outcome.reason)
        if outcome.found is None:
            failures[outcome.pair.name] = outcome.reason
        else:
            examined.append(outcome.found[0])
            experiences.append(outcome.found[1])
            pairs[outcome.pair.name] = outcome.pair
    uses_doubt = len({one.garment for one in experiences if one.features is not None}) >= 2 * LEAST_GARMENTS
    doubts = cross_fitted(experiences).doubts if uses_doubt else None
    suspects = rank_suspects(examined, doubts) if examined else ()
    return Audit(tuple(suspects), pairs, failures, uses_doubt)


def draw_suspects(
    trials: Sequence[Trial], manifest: Manifest, suspects: Iterable[Suspect]
) -> dict[str, tuple[Tile, ...]]:
    """Cut some suspects again and draw photo, cutout, prediction, difference and the enlarged region of each.

    Returns pictures by name, without pairs that can no longer be read.
    """
    wanted = {suspect.name: suspect for suspect in suspects}

    def draw(cut: CutPair) -> tuple[Tile, ...]:
        suspect = wanted[cut.pair.name]
        is_region = bool(suspect.clues) and suspect.clues[0].kind == "region"
        box = suspect.evidence.regions[0].box_xyxy if is_region else None
        drawn = draw_pictures(cut.photo, cut.target, cut.alpha, outlined_xyxy=box)
        return tuple(replace(picture, caption=_CAPTIONS.get(picture.caption, picture.caption)) for picture in drawn)

    return predict_some(trials, manifest, wanted, draw)


def write_suspects(audited: Audit, folder: Path) -> None:
    """Write `suspects.jsonl`, one row per cutout, most suspect first."""
    rows = (json.dumps(row_of(suspect, audited.pairs[suspect.name])) + "\n" for suspect in audited.suspects)
    write_atomic(folder / SUSPECTS_NAME, "".join(rows).encode())


def row_of(suspect: Suspect, pair: Pair) -> dict[str, Any]:
    """A suspect as a row of `suspects.jsonl`."""
    return {
        "name": suspect.name,
        "score": round(suspect.score, 3),
        "verdict": pair.verdict,
        "clues": [
            {"kind": clue.kind, "strength": round(clue.strength, 3), "text": clue.text} for clue in suspect.clues
        ],
        "doubt": suspect.doubt,
        "evidence": suspect.evidence._asdict(),
    }


def rank_suspects(examined: Sequence[Examined], doubts: NDArray[np.float64] | None) -> list[Suspect]:
    """All cutouts, most suspect first.

    Each measure of disagreement is compared with its distribution over the dataset, after correcting for errors of the
    prediction: disputed pixels are divided by the square root of the spread of the border distances, and the median
    shift, which is the model's own, is subtracted. The strength of a region is that of its weight plus half of that of
    the label quality score. `doubts`, `(N,)`, by a model fitted to other garments, are only shown, not used to rank.
    """
    evidence = [one.evidence for one in examined]
    units = np.array([one.height_px for one in examined]) / REFERENCE_HEIGHT_PX
    weights = np.array([sum(region.weight**2 for region in one.regions) ** 0.5 for one in evidence]) / units**2
    spreads = (np.array([one.spread_px for one in evidence]) / units).clip(*_SPREADS_PX)
    qualities = np.array([one.softmin_confidence for one in evidence])
    shifts = np.array([_shift_of(one) for one in evidence]) / units[:, None]
    shifts = shifts - np.median(shifts, axis=0)  # the median is the model's own shift
    lengths = np.maximum(np.hypot(*shifts.T) - _USUAL_SHIFT_PX, 0)
    regions = _beyond(np.log(weights / np.sqrt(spreads) + _USUAL_PX))
    strengths = {
        "region": regions + _QUALITY_COUNTS * _beyond(-np.log(qualities + _LEAST_QUALITY)),
        "shift": _beyond(lengths, least=_LEAST_SHIFT_PX) * (1 + _QUALITY_COUNTS),
        "whole": _beyond(np.log(1.0005 - np.array([one.dice for one in evidence]))),
    }
    found = []
    for index, one in enumerate(examined):
        values = {kind: float(np.clip(strength[index], 0, _MOST)) for kind, strength in strengths.items()}
        if one.evidence.dice >= _OTHER_DICE:
            values["whole"] = 0.0
        clues = _clues(one.evidence, values, shift_xy=shifts[index], place=one.place)
        doubt = None if doubts is None else float(doubts[index])
        found.append(Suspect(one.name, max(values.values()), clues, doubt, one.evidence))
    return sorted(found, key=lambda suspect: (-suspect.score, suspect.name))


def parse_mark(text: str) -> tuple[str, CutoutVerdict]:
    """Parse `NAME=wrong`, or `NAME=` to withdraw a verdict; any other text raises EvaluationError."""
    name, equals, verdict = text.rpartition("=")
    if not equals or not name:
        raise EvaluationError(f"{text!r} is not of the form NAME=wrong")
    return name, _checked(verdict, name)


def read_verdicts(path: Path) -> dict[str, CutoutVerdict]:
    """Read a file that the page saved, `{"verdicts": {name: verdict}}`; raises EvaluationError if it is unreadable."""
    try:
        content = json_of(path.read_text(encoding="utf-8-sig"))["verdicts"]
        return {str(name): _checked(verdict, str(name)) for name, verdict in content.items()}
    except EvaluationError as error:
        raise EvaluationError(f"{path}: {error}") from error
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror}; name another file") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationError(f"{path} is not a file of verdicts that the audit's page saved") from error


def keep_verdicts(folder: Path, verdicts: Mapping[str, CutoutVerdict]) -> Manifest:
    """Write verdicts, by name of the pair, to a dataset's manifest, all or none; returns the manifest as written.

    Raises:
        EvaluationError: a pair does not exist or is refused.
        DatasetError: the manifest cannot be read or written, or `ingest` is using the folder.
    """
    try:
        with FolderLock(folder / LOCK_NAME, timeout_s=_PATIENCE_S):
            manifest = read_manifest(folder)
            usable = {pair.name for pair in manifest.usable}
            if unknown := sorted(set(verdicts) - usable):
                raise EvaluationError(f"{folder} has no usable pair named {unknown[0]}")
            pairs = tuple(replace(pair, verdict=verdicts.get(pair.name, pair.verdict)) for pair in manifest.pairs)
            marked = replace(manifest, pairs=pairs)
            write_manifest(marked)
            return marked
    except LockTakenError as error:
        raise DatasetError(f"{folder}: another garmentcut is at work there; wait for it", code=error.code) from error
    except OSError as error:
        where = error.filename or folder
        raise DatasetError(f"{where}: {error.strerror}; fix that and run the same command again") from error


def _checked(verdict: object, name: str) -> CutoutVerdict:
    if verdict not in get_args(CutoutVerdict):
        raise EvaluationError(f"{name}: {verdict!r} is none of {', '.join(VERDICTS)}")
    return verdict  # type: ignore[return-value]


def render_page(audited: Audit, pictures: Mapping[str, tuple[Tile, ...]], *, dataset: Path, models: str) -> str:
    """The HTML page of an audit, with pictures, by name, of the suspects that are shown.

    `dataset` is the folder for the command that stores verdicts; `models` describes the models.
    """
    template = page_environment().get_template("audit.html.j2")
    return template.render(
        audited=audited,
        shown=[suspect for suspect in audited.suspects if suspect.name in pictures],
        pictures=pictures,
        dataset=dataset,
        models=models,
        verdicts=VERDICTS,
        given={name: pair.verdict for name, pair in audited.pairs.items() if pair.verdict},
    )


def _shift_of(evidence: Evidence) -> NDArray[np.float64]:
    """The shift that prediction and photo agree on; zero if they contradict each other."""
    model, photo = np.array(evidence.model_shift_xy), np.array(evidence.photo_shift_xy)
    long = float(np.hypot(*model)), float(np.hypot(*photo))
    if min(long) == 0 or float(model @ photo) < _TURNED * long[0] * long[1]:
        return np.zeros(2)
    return np.asarray(model * min(1.0, long[1] / long[0]))


def _beyond(values: NDArray[np.float64], *, least: float = _LEAST_SPREAD) -> NDArray[np.float64]:
    """By how many robust standard deviations each value exceeds the median."""
    away = values - np.median(values)
    return np.asarray(away / max(1.4826 * float(np.median(np.abs(away))), least))


def _clues(
    evidence: Evidence, strengths: dict[str, float], *, shift_xy: NDArray[np.float64], place: str
) -> tuple[Clue, ...]:
    """The clues against a cutout, strongest first."""
    texts = {
        "region": _region_text(evidence.regions[0], place) if evidence.regions else "",
        "shift": _shift_text(shift_xy),
        "whole": f"perhaps of another photo: cutout and prediction share {100 * evidence.dice:.0f} %",
    }
    clues = [Clue(kind, strength, texts[kind]) for kind, strength in strengths.items() if strength > 0 and texts[kind]]
    return tuple(sorted(clues, key=lambda clue: -clue.strength))


def _region_text(region: Region, place: str) -> str:
    left, top, right, bottom = region.box_xyxy
    what = "lacks" if region.is_missing else "has too much"
    where = f" at the {place}" if place else ""
    support = region.edge_support + region.color_support
    photo = "; the photo agrees" if support > 0.15 else "; the photo speaks for the cutout" if support < -0.15 else ""
    size = f"{right - left} x {bottom - top}, up to {region.depth_px:.0f} px deep"
    return f"{what} {region.area_px} px{where}, {size}{photo}"


def _shift_text(shift_xy: NDArray[np.float64]) -> str:
    x, y = shift_xy
    parts = [f"{abs(x):.1f} px to the {'right' if x > 0 else 'left'}"] if abs(x) >= 0.5 else []
    parts += [f"{abs(y):.1f} px {'down' if y > 0 else 'up'}"] if abs(y) >= 0.5 else []
    return f"shifted as a whole: {' and '.join(parts) or 'less than a pixel'}"


def _examine(cut: CutPair) -> tuple[Examined, Experience]:
    photo = cut.photo
    rgb = srgb_of(to_8_bit(photo.rgb), photo.profile)
    evidence = gather_evidence(rgb, cut.target, cut.alpha)
    maps = cut.observation.maps if cut.observation is not None else None
    place = ""
    if maps is not None and evidence.regions:
        box = np.array(evidence.regions[0].box_xyxy) * (maps.frame_hw[0] / photo.size_hw[0])
        x, y = (box[:2] + box[2:]) / 2 - maps.corner_xy
        place = place_of(maps, x, y)
    return Examined(cut.pair.name, evidence, photo.size_hw[0], place), experience_of(cut)
