"""Finds photos of the same garment by perceptual hashes, and splits a dataset so that no garment is in two splits.

A garment's perceptual hash has 192 bytes: 12 x 8 cells of its brightness and 12 x 8 of its shape. The grid extends two
standard deviations of the alpha from its centre, so that scale, position and a slightly lower hem make no difference.
Brightness is the square root of the luminance, standardised over the garment, so that neither exposure nor contrast
matters; cells on the garment's edge count little. Groups of look-alikes are assigned by iterative stratification
(Sechidis, Tsoumakas and Vlahavas 2011, section 3): the rarest view first, each group to the split that lacks it most.
"""

import base64
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from garmentcut.dataset.ledger import read_hashes
from garmentcut.dataset.manifest import Manifest, Pair, fault_of, read_pair
from garmentcut.errors import DatasetError, PhotoError, counted
from garmentcut.photo.color import gray_of, srgb_of
from garmentcut.photo.photo import Photo, to_8_bit

# Hashes closer than this are of the same photo. Of 169 real photos, five occur twice, cut out by two retouchers: those
# are at most 0.10 apart. All others, even of one style in another colour, are at least 0.26 apart. Saving a photo
# again, halving it, darkening it by 25 % or changing its white balance moves its hash by at most 0.12 in 99 % of cases.
NEAR = 0.18
_GRID_HW = 12, 8
_CELLS = _GRID_HW[0] * _GRID_HW[1]
HASH_BYTES = 2 * _CELLS
_SPAN = 2.0  # standard deviations on each side; a uniform rectangle ends at 1.7
_CONTRAST_FLOOR = 4.0  # levels; keeps the noise of plain cloth from being scaled up
_SHAPE_WEIGHT = 4.0
_INT8_SCALE = 31.0  # maps 4 to 124: the largest value of shape, and four standard deviations of brightness
_CHUNK = 128  # rows compared at a time: 5 MB with 10,000 photos
_SAME_GARMENT_NEAR = NEAR / 2  # stricter within a garment: front and back of a plain skirt look alike
_PARTS = ("train", "validation", "test")
NUM_FOLDS, _MAX_FOLDS = 5, 100  # the default, and the most


def perceptual_hash(rgb: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.int8]:
    """Perceptual hash `(192,)` of the garment in a photo `(H, W, 3)`; the alpha `(H, W)` must not be 0 everywhere."""
    left, top, right, bottom = _span_of(alpha)
    y, x = max(int(top), 0), max(int(left), 0)
    part = slice(y, int(bottom) + 1), slice(x, int(right) + 1)
    rgb, alpha = rgb[part], alpha[part]
    box = left - x, top - y, right - x, bottom - y
    shape = _cells(alpha, box)
    light = _cells(gray_of(rgb) * alpha, box) / np.maximum(shape, np.float32(0.02))
    light = np.sqrt(light.clip(0, 255) / 255) * 255
    weights = shape**4
    total = weights.sum()
    centered = light - (light * weights).sum() / total
    contrast = np.sqrt((weights * centered**2).sum() / total) + _CONTRAST_FLOOR
    values = np.concatenate([(centered * weights / contrast).ravel(), shape.ravel() * np.float32(_SHAPE_WEIGHT)])
    return np.asarray(np.rint(values * _INT8_SCALE).clip(-127, 127), np.int8)


def find_near(hashes: NDArray[np.int8], near: float = NEAR) -> Iterator[tuple[int, int, float]]:
    """Yield `(i, j, distance)`, with i < j, for all rows of `(N, 192)` that are closer than `near` to each other."""
    scaled = hashes.astype(np.float32) / np.float32(_INT8_SCALE * np.sqrt(_CELLS))
    squares = (scaled**2).sum(axis=1)
    for start in range(0, len(scaled), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        distances = squares[chunk, None] + squares[None, start:] - 2 * (scaled[chunk] @ scaled[start:].T)
        for i, j in zip(*np.nonzero(distances < near**2), strict=True):
            if i < j:
                yield start + int(i), start + int(j), float(np.sqrt(max(distances[i, j], 0)))


def packed_hashes(hashes: Iterable[bytes]) -> str:
    """Distinct hashes as one base64 text, for a model's card."""
    return base64.b64encode(b"".join(dict.fromkeys(hashes))).decode()


def unpacked_hashes(text: str) -> tuple[bytes, ...]:
    """The hashes in the output of `packed_hashes`; empty for a text that is not base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return ()
    return tuple(data[start : start + HASH_BYTES] for start in range(0, len(data) - HASH_BYTES + 1, HASH_BYTES))


def hashes_of(manifest: Manifest) -> dict[str, bytes]:
    """Perceptual hashes of a dataset's photos by SHA-256, from its ledger; those missing there are computed."""
    known = read_hashes(manifest.folder)
    for pair in manifest.usable:
        if pair.photo_sha256 not in known:
            with suppress(PhotoError):  # whatever needs the pixels later reports it
                known[pair.photo_sha256] = fingerprint_of(*read_pair(manifest, pair))
    return known


def fingerprint_of(photo: Photo, alpha: NDArray[np.float32]) -> bytes:
    """The perceptual hash of a photo's garment as it is stored: 192 bytes."""
    return perceptual_hash(srgb_of(to_8_bit(photo.rgb), photo.profile), alpha).tobytes()


def find_met(manifest: Manifest, trained_on: Collection[str], trained_hashes: str = "") -> frozenset[str]:
    """Names of the pairs that are not new to a model, whose card has `trained_on` and `trained_hashes`.

    A pair is not new if its photo, or another one of its group (a near-duplicate, another view of the garment), is
    among those the model was trained on, or nearly matches one of them by its perceptual hash.
    """
    known, lengths = set(trained_on), {len(photo) for photo in trained_on}
    met = {
        pair.group or pair.garment
        for pair in manifest.usable
        if any(pair.photo_sha256[:length] in known for length in lengths)
    }
    hashes = unpacked_hashes(trained_hashes)
    own = hashes_of(manifest) if hashes else {}
    rows = [pair for pair in manifest.usable if pair.photo_sha256 in own]
    both = b"".join((*hashes, *(own[pair.photo_sha256] for pair in rows)))
    for i, j, _ in find_near(np.frombuffer(both, np.int8).reshape(-1, HASH_BYTES)):
        if i < len(hashes) <= j:
            met.add(rows[j - len(hashes)].group or rows[j - len(hashes)].garment)
    return frozenset(pair.name for pair in manifest.usable if (pair.group or pair.garment) in met)


def group_garments(garments: Iterable[str], links: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Each garment's group, named after the alphabetically first of all garments linked to it, directly or not."""
    groups = {garment: {garment} for garment in garments}
    for one, other in links:
        if groups[one] is not groups[other]:
            groups[one] |= groups[other]
            groups.update(dict.fromkeys(groups[other], groups[one]))
    return {garment: min(group) for garment, group in groups.items()}


def _span_of(alpha: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the box that the grid covers; it may extend beyond the photo."""
    spans = []
    for axis in (0, 1):
        weights = alpha.sum(axis=axis, dtype=np.float64)
        places = np.arange(len(weights)) + 0.5
        center = np.average(places, weights=weights)
        reach = max(_SPAN * np.sqrt(np.average((places - center) ** 2, weights=weights)), 0.5)  # at least a pixel
        spans.append((float(center - reach), float(center + reach)))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def _cells(values: NDArray[np.float32], box: tuple[float, float, float, float]) -> NDArray[np.float32]:
    """Mean of `(H, W)` values in each cell of a box; values outside the array count as 0."""
    height, width = values.shape
    left, top, right, bottom = int(np.floor(box[0])), int(np.floor(box[1])), int(np.ceil(box[2])), int(np.ceil(box[3]))
    pads = (max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0))
    part = np.pad(values[max(top, 0) : bottom, max(left, 0) : right], pads)
    inner = (box[0] - left, box[1] - top, min(box[2] - left, part.shape[1]), min(box[3] - top, part.shape[0]))
    small = Image.fromarray(np.ascontiguousarray(part)).resize(_GRID_HW[::-1], Image.Resampling.BOX, box=inner)
    return np.asarray(small, np.float32)


def mark_duplicates(
    rows: Iterable[Pair], hashes: Mapping[str, bytes], *, known: Collection[str] = ()
) -> tuple[Pair, ...]:
    """Refuse copies of a photo file, mark look-alikes by their perceptual hashes, and set the group of each usable row.

    Of several copies, one whose name is `known`, that is, already in the dataset, stays. The rows keep their order.
    """
    rows = _refuse_copies(tuple(rows), known)
    usable = [row for row in rows if not row.refused]
    links, nearest = [], dict[str, tuple[float, str]]()
    packed = np.frombuffer(b"".join(hashes[row.name] for row in usable), np.int8)
    for i, j, distance in find_near(packed.reshape(-1, HASH_BYTES)):
        pair = usable[i], usable[j]
        if pair[0].garment == pair[1].garment and distance >= _SAME_GARMENT_NEAR:
            continue
        links.append((pair[0].garment, pair[1].garment))
        for one, other in (pair, pair[::-1]):
            nearest[one.name] = min(nearest.get(one.name, (np.inf, "")), (distance, other.name))
    groups = group_garments((row.garment for row in usable), links)
    faults = {
        name: (fault_of("near_duplicate", f"looks like {other} (distance {distance:.2f})"),)
        for name, (distance, other) in nearest.items()
    }
    return tuple(
        row if row.refused else replace(row, group=groups[row.garment], faults=row.faults + faults.get(row.name, ()))
        for row in rows
    )


def _refuse_copies(rows: tuple[Pair, ...], known: Collection[str]) -> tuple[Pair, ...]:
    first: dict[str, str] = {}  # by SHA-256 of the photo: name of the row that stays
    for row in sorted(rows, key=lambda row: (row.name not in known, row.name)):
        if not row.refused:
            first.setdefault(row.photo_sha256, row.name)

    def checked(row: Pair) -> Pair:
        if row.refused or (same := first[row.photo_sha256]) == row.name:
            return row
        text = f"the same photo file as {same}; keep the better cutout of the two, remove the other"
        return replace(row, alpha="", box_xyxy=(0, 0, 0, 0), faults=(*row.faults, fault_of("duplicate", text)))

    return tuple(map(checked, rows))


@dataclass(frozen=True)
class Scheme:
    """How a dataset is split."""

    text: str  # `folds 5`, `parts 70/15/15` or `parts 80/20`
    shares: tuple[tuple[str, float], ...]  # name of each split and its share of the pairs; they add up to 1

    @classmethod
    def of_folds(cls, number: int) -> "Scheme":
        """Folds of equal size: `fold0`, `fold1` ...; raises DatasetError if there are fewer than 2 or more than 100."""
        if not 2 <= number <= _MAX_FOLDS:
            raise DatasetError(f"{number} folds: give 2 to {_MAX_FOLDS}")
        width = len(str(number - 1))  # leading zeros, so that names sort in numeric order
        return cls(f"folds {number}", tuple((f"fold{fold:0{width}}", 1 / number) for fold in range(number)))

    @classmethod
    def of_parts(cls, text: str) -> "Scheme":
        """`train` and `validation`, and `test` if there is a third number.

        Raises:
            DatasetError: the text is not two or three whole numbers above 0, such as 70/15/15.
        """
        numbers = [int(part) for part in text.split("/")] if re.fullmatch(r"\d{1,6}(/\d{1,6}){1,2}", text) else []
        if not numbers or 0 in numbers:
            raise DatasetError(f"parts {text!r}: give two or three numbers above 0, such as 70/15/15")
        return cls(f"parts {text}", tuple(zip(_PARTS, (n / sum(numbers) for n in numbers), strict=False)))

    @classmethod
    def parse(cls, text: str) -> "Scheme":
        """The scheme that a manifest names; raises DatasetError if there is no such scheme."""
        kind, _, value = text.partition(" ")
        if kind == "folds" and value.isdecimal():
            return cls.of_folds(int(value))
        if kind == "parts":
            return cls.of_parts(value)
        raise DatasetError(f"split {text!r} is not known")


def assign_splits(
    pairs: Iterable[Pair], scheme: Scheme, *, seed: int, kept: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Assign the groups of usable pairs to splits. The result does not depend on the order of the pairs.

    `kept` is the split that each garment already has; its group stays there. If garments of several splits now form one
    group, all go to the split that holds most of its pairs. Returns the split of each group.

    Raises:
        DatasetError: there are fewer groups than splits.
    """
    views: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in sorted(pairs, key=lambda pair: pair.group):
        views[pair.group][pair.view] += 1
    names = {name for name, _ in scheme.shares}
    if len(views) < len(names):
        found = f"{counted(len(views), 'garment')} (look-alikes counted once)"
        fix = f"use --folds {len(views)}, or add garments" if len(views) > 1 else "add garments"
        fix += ", or check that --pattern tells garments apart"
        raise DatasetError(f"{found} cannot fill {len(names)} splits ({scheme.text}); {fix}")
    splits = _kept_splits(pairs, kept or {}, names)
    totals = sum(views.values(), Counter[str]())
    rarest_first = sorted(totals, key=lambda view: (totals[view], view))
    counts = {group: np.array([views[group][view] for view in rarest_first]) for group in views}
    lacking = {name: np.array([share * totals[view] for view in rarest_first]) for name, share in scheme.shares}
    for group, split in splits.items():
        lacking[split] -= counts[group]
    order = {group: _hash(seed, group) for group in views}
    empty = names - set(splits.values())
    for number, view in enumerate(rarest_first):
        groups = [group for group in views if view in views[group] and group not in splits]
        for group in sorted(groups, key=lambda group: (-views[group].total(), order[group])):
            # Most lacking in this view, then overall, then by hash; rounded, because float sums depend on their order.
            needs = {
                name: (round(float(lack[number]), 6), round(float(lack.sum()), 6), _hash(order[group], name))
                for name, lack in lacking.items()
            }
            must_fill = len(views) - len(splits) <= len(empty)
            splits[group] = max(empty if must_fill else needs, key=needs.__getitem__)
            lacking[splits[group]] -= counts[group]
            empty.discard(splits[group])
    return splits


def choose_scheme(
    asked: Scheme | None, seed: int | None, *, own: tuple[Scheme, int] | None, resplit: bool = False
) -> tuple[Scheme, int]:
    """The scheme and seed that were asked for, or else the dataset's own, or else five folds and seed 0.

    Raises:
        DatasetError: they differ from the dataset's own without `resplit`, so that garments would change their split.
    """
    before = own or (Scheme.of_folds(NUM_FOLDS), 0)
    chosen = asked or before[0], before[1] if seed is None else seed
    if own and chosen != own and not resplit:
        raise DatasetError(f"the dataset is split as {own[0].text}, seed {own[1]}; use --resplit to split it again")
    return chosen


def prove_split(pairs: Iterable[Pair]) -> None:
    """Check that no garment, group of look-alikes or photo file is in two splits; refused pairs are ignored.

    Raises:
        DatasetError: one of them is; the message names it and the pairs.
    """
    seen: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        if pair.refused:
            continue
        marks = ("garment", pair.garment.casefold()), ("group", pair.group), ("photo", pair.photo_sha256)
        for mark in marks:
            other = seen.setdefault(mark, pair)
            if other.split != pair.split:
                what = f"{mark[0]} {mark[1]} is in {other.split} ({other.name}) and in {pair.split} ({pair.name})"
                raise DatasetError(f"the split leaks: {what}; run `garmentcut ingest` with --resplit")


def _kept_splits(pairs: Iterable[Pair], kept: Mapping[str, str], known: set[str]) -> dict[str, str]:
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        if kept.get(pair.garment) in known:
            votes[pair.group][kept[pair.garment]] += 1
    return {group: max(sorted(votes[group]), key=votes[group].__getitem__) for group in sorted(votes)}


def _hash(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
