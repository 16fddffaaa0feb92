"""Photos that a person decided on in the review page, as candidates: the original and the alpha as it was corrected."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from garmentcut.dataset.decisions import DECISIONS_FOLDER, Decision, read_decisions
from garmentcut.dataset.faults import Fault, fault_of
from garmentcut.dataset.ledger import sha256_of
from garmentcut.dataset.manifest import VIEWS
from garmentcut.dataset.naming import NamePattern, PairingError, safe_name
from garmentcut.dataset.pairing import Candidate


@dataclass(frozen=True)
class ReviewSource:
    """Batches that were reviewed.

    Attributes:
        batches: output folders of `garmentcut cut`.
        with_accepted: take predictions that a person accepted as they were, too; by itself only corrections are taken,
            for a network learns little from its own answers, and its small errors for good.
    """

    batches: tuple[Path, ...] = ()
    with_accepted: bool = False


def find_reviewed(source: ReviewSource, pattern: NamePattern) -> list[Candidate]:
    """A candidate for each photo whose alpha a person stands by; of one name, the newest decision counts.

    Args:
        source: the batches.
        pattern: how photos are named.

    Raises:
        PairingError: a folder is no batch that was reviewed.
    """
    newest: dict[str, tuple[str, Candidate]] = {}
    for batch in source.batches:
        for decision in _decisions_of(batch):
            if decision.state == "corrected" or (source.with_accepted and decision.state == "accepted"):
                candidate = _candidate(batch.resolve(), decision, pattern)
                if candidate.name not in newest or newest[candidate.name][0] <= decision.at:
                    newest[candidate.name] = decision.at, candidate
    return [candidate for _, candidate in newest.values()]


def joined(candidates: Iterable[Candidate], reviewed: Iterable[Candidate]) -> list[Candidate]:
    """All candidates, sorted by name; a photo that was reviewed counts as it was left there."""
    both = {candidate.name: candidate for candidate in (*candidates, *reviewed)}
    return [both[name] for name in sorted(both)]


def _decisions_of(batch: Path) -> Iterator[Decision]:
    if not (batch / DECISIONS_FOLDER).is_dir():
        raise PairingError(f"{batch}: nobody has reviewed it; name a folder that garmentcut review was opened on")
    return read_decisions(batch)


def _candidate(batch: Path, decision: Decision, pattern: NamePattern) -> Candidate:
    place = PurePosixPath(decision.place)
    key = pattern.read(place.with_name(f"{place.name}.photo"))  # whatever stands behind a dot is no suffix any more
    garment, text = (key.garment, key.view) if key else (place.name, "")
    view = text if text in VIEWS else "unknown"
    photo, name = Path(decision.input), decision.alpha if decision.state == "corrected" else decision.prediction
    faults = tuple(_faults_of(batch, decision, photo, name))
    if text != view and text:
        faults += (fault_of("view", f"view {text!r} is none of {', '.join(VIEWS)}"),)
    cutout = batch / name if name else None
    return Candidate(safe_name(f"{garment}_{text or view}"), garment, view, photo, cutout, faults, is_alpha=True)


def _faults_of(batch: Path, decision: Decision, photo: Path, name: str) -> Iterator[Fault]:
    if not name or not (batch / name).is_file():
        yield fault_of("no_cutout", f"the alpha of {decision.place} is gone from {batch}; review it again")
    try:
        is_same = sha256_of(photo) == decision.input_sha256
    except OSError as error:
        yield fault_of("no_photo", f"{photo}: {error.strerror}; put it back where it was cut from")
        return
    if not is_same:
        yield fault_of("other_photo", f"{photo} has changed since it was reviewed; cut and review it again")
