"""What a run on a cluster has to do: each photo's names and what is known of it; photos of one garment together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from garmentcut.cluster.columns import Kept
from garmentcut.cluster.ledger import Ledger
from garmentcut.cluster.listing import Photo
from garmentcut.cluster.storage import Storage
from garmentcut.config import Config
from garmentcut.formats import FORMATS
from garmentcut.photo.spec import Specification
from garmentcut.prediction.names import Named, by_garment, garment_of, name_deliveries, name_outputs
from garmentcut.prediction.results import Row, sha256_of
from garmentcut.prediction.sources import Source
from garmentcut.prediction.verdict import Judge


@dataclass(frozen=True)
class Job:
    """A photo to cut.

    Attributes:
        photo: where it is, and how its listing showed it.
        garment: what all photos of its garment share.
        named: its place and outputs below the target.
        written: files ever written for it, with their hashes.
        taken: its outputs that stand in the target already: looked at before they are replaced.
        refused: why it is not even begun; empty: nothing is against it.
    """

    photo: Photo
    garment: str
    named: Named
    written: Mapping[str, tuple[str, ...]]
    taken: tuple[str, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        groups: photos to cut, those of one garment together.
        done: inputs of photos cut before with the same model and options.
    """

    groups: tuple[tuple[Job, ...], ...]
    done: tuple[str, ...]

    @property
    def num_todo(self) -> int:
        """Photos to cut."""
        return sum(map(len, self.groups))


@dataclass(frozen=True)
class Wish:
    """What files are wanted.

    Attributes:
        config: output options and limits.
        specification: a customer's, which then decides the files.
        options: fingerprint of model and options.
        judge: gives verdicts.
        overwrite: replace files that garmentcut did not write.
    """

    config: Config
    specification: Specification | None
    options: str
    judge: Judge
    overwrite: bool = False


def plan_run(photos: Sequence[Photo], ledger: Ledger, wish: Wish) -> Plan:
    """Name the outputs and tell photos done before from those to do.

    Args:
        photos: what `list_photos` found.
        ledger: what is known of the target.
        wish: what files are wanted.

    Raises:
        ConfigError: the specification would give two files the same name.
        OSError: the target cannot be listed.
    """
    target = ledger.target
    present = {found.name for found in target.walk()}
    owned = {target.url_of(name) for kept in ledger.kept.values() for name in kept.row.written}
    inputs = {photo.input.casefold() for photo in photos}
    refused = [Job(photo, photo.input, Named("", ()), {}, refused=photo.refused) for photo in photos if photo.refused]
    by_path = {Path(photo.input): photo for photo in photos if not photo.refused and photo.input not in owned}
    sources = by_garment(Source(path, photo.place) for path, photo in by_path.items())
    names = _names_of(sources, ledger, wish)
    jobs = []
    for source in sources:
        photo, named = by_path[source.path], names[source.path]
        kept = ledger.kept.get(photo.input)
        taken = tuple(name for name in named.outputs if name in present)
        written = kept.row.written if kept else {}
        jobs.append(Job(photo, garment_of(source), named, written, taken, _refusal(named, target, inputs)))
    return _grouped([*jobs, *refused], ledger, wish)


def batches_of(groups: Iterable[tuple[Job, ...]], num_photos: int) -> Iterator[tuple[tuple[Job, ...], ...]]:
    """Groups joined to batches of so many photos, or a few more: a garment is never torn apart."""
    batch: list[tuple[Job, ...]] = []
    for group in groups:
        batch.append(group)
        if sum(map(len, batch)) >= num_photos:
            yield tuple(batch)
            batch = []
    if batch:
        yield tuple(batch)


def _grouped(jobs: Sequence[Job], ledger: Ledger, wish: Wish) -> Plan:
    groups: list[tuple[Job, ...]] = []
    done: list[str] = []
    for _, group in groupby(jobs, key=lambda job: job.garment):
        of_garment = tuple(group)
        to_do = tuple(job for job in of_garment if not _is_done(job, ledger.kept.get(job.photo.input), wish))
        if to_do and wish.specification is not None:
            to_do = of_garment  # photos of a garment have one scale: one of them new, and all are cut
        done += [job.photo.input for job in of_garment if job not in to_do]
        groups += [to_do] if to_do else []
    return Plan(tuple(groups), tuple(done))


def _names_of(sources: list[Source], ledger: Ledger, wish: Wish) -> dict[Path, Named]:
    # Inputs go by their path here, in which the `//` of a URL is one `/`.
    owners = {name: str(Path(kept.row.input)) for kept in ledger.kept.values() for name in kept.row.written}
    if wish.specification is not None:
        return name_deliveries(sources, wish.specification, owners=owners)
    suffixes = [FORMATS[format].suffix for format in wish.config.output.formats]
    places = {str(Path(kept.row.input)): kept.row.place for kept in ledger.kept.values()}
    return name_outputs(sources, suffixes, places=places, owners=owners)


def _refusal(named: Named, target: Storage, inputs: set[str]) -> str:
    for name in named.outputs:
        if (url := target.url_of(name)).casefold() in inputs:
            return f"{url} is itself one of the photos; choose another --out"
    return ""


def _is_done(job: Job, kept: Kept | None, wish: Wish) -> bool:
    """True if a photo was cut with these options, has not changed since, and its outputs are there."""
    if kept is None or not kept.row.ok or kept.row.options != wish.options or kept.row.outputs != job.named.outputs:
        return False
    photo, row = job.photo, kept.row
    if row.verdict != wish.judge.verdict_of(row.doubt):
        return False
    if set(row.outputs) != set(job.taken) or photo.num_bytes != row.input_bytes:
        return False
    if photo.etag and kept.etag:
        return photo.etag == kept.etag
    return photo.mtime_ns == row.input_mtime_ns or _has_content(photo, row)


def _has_content(photo: Photo, row: Row) -> bool:
    """Copying a folder changes times, not contents: only then is the content compared."""
    try:
        return photo.is_local and sha256_of(Path(photo.input)) == row.input_sha256
    except OSError:
        return False
