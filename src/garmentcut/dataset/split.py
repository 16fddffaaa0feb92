"""Which pairs a network learns from and which judge it: by garment, with the same share of each view in every split.

Groups of garments are shared out by iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011, section 3): the
rarest view first, each group to the split that lacks most of it.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from garmentcut.dataset.manifest import DatasetError, Pair

_PARTS = ("train", "validation", "test")
_MAX_FOLDS = 100


class SplitError(DatasetError):
    """A split that cannot be made, or that leaks; the message says why and what would mend it."""


@dataclass(frozen=True)
class Scheme:
    """How a data set is divided.

    Attributes:
        text: `folds 5`, `parts 70/15/15` or `parts 80/20`.
        shares: name of each split and its share of the pairs; they add up to 1.
    """

    text: str
    shares: tuple[tuple[str, float], ...]

    @classmethod
    def of_folds(cls, number: int) -> "Scheme":
        """`fold0`, `fold1` ..., all alike.

        Raises:
            SplitError: fewer than 2 or more than 100.
        """
        if not 2 <= number <= _MAX_FOLDS:
            raise SplitError(f"{number} folds: give 2 to {_MAX_FOLDS}")
        width = len(str(number - 1))  # so that they sort as they count
        return cls(f"folds {number}", tuple((f"fold{fold:0{width}}", 1 / number) for fold in range(number)))

    @classmethod
    def of_parts(cls, text: str) -> "Scheme":
        """`train` and `validation`, and `test` if there is a third number.

        Raises:
            SplitError: not two or three whole numbers above 0, such as 70/15/15.
        """
        numbers = [int(part) for part in text.split("/")] if re.fullmatch(r"\d{1,6}(/\d{1,6}){1,2}", text) else []
        if not numbers or 0 in numbers:
            raise SplitError(f"parts {text!r}: give two or three numbers above 0, such as 70/15/15")
        return cls(f"parts {text}", tuple(zip(_PARTS, (n / sum(numbers) for n in numbers), strict=False)))

    @classmethod
    def parse(cls, text: str) -> "Scheme":
        """The scheme that a manifest names.

        Raises:
            SplitError: it is none.
        """
        kind, _, value = text.partition(" ")
        if kind == "folds" and value.isdecimal():
            return cls.of_folds(int(value))
        if kind == "parts":
            return cls.of_parts(value)
        raise SplitError(f"split {text!r} is not known")


def assign_splits(
    pairs: Iterable[Pair], scheme: Scheme, *, seed: int, kept: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Share groups of garments out.

    The same pairs give the same splits, in whatever order they come.

    Args:
        pairs: usable ones, with their groups.
        scheme: the splits and their shares.
        seed: of the order in which groups that are alike are taken.
        kept: garment to the split it already has: its group stays there. Where garments of several splits have become
            one group, all go to the split that holds most of its pairs.

    Returns:
        The split of each group.

    Raises:
        SplitError: fewer groups than splits.
    """
    views = _views_by_group(pairs)
    if len(views) < len(scheme.shares):
        raise SplitError(_too_few(len(views), scheme))
    splits = _kept_splits(pairs, kept or {}, {name for name, _ in scheme.shares})
    totals = sum(views.values(), Counter[str]())
    lacking = {name: {view: share * totals[view] for view in totals} for name, share in scheme.shares}
    for group, split in splits.items():
        _take(lacking[split], views[group])
    order = {group: _hash(seed, group) for group in views}
    empty = {name for name, _ in scheme.shares} - set(splits.values())
    for view in sorted(totals, key=lambda view: (totals[view], view)):
        groups = [group for group in views if view in views[group] and group not in splits]
        for group in sorted(groups, key=lambda group: (-views[group].total(), order[group])):
            must_fill = len(views) - len(splits) <= len(empty)
            candidates = {name: lacking[name] for name in (empty if must_fill else lacking)}
            splits[group] = _neediest(candidates, view, salt=order[group])
            _take(lacking[splits[group]], views[group])
            empty.discard(splits[group])
    return splits


def choose_scheme(
    asked: Scheme | None, seed: int | None, *, own: tuple[Scheme, int] | None, resplit: bool = False
) -> tuple[Scheme, int]:
    """The scheme and seed asked for; else the data set's own; else five folds and 0.

    Args:
        asked: None: not asked for.
        seed: likewise.
        own: those of the data set, if it is split already.
        resplit: others are wanted.

    Raises:
        SplitError: others are asked for, but not wanted: garments would change sides unnoticed.
    """
    before = own or (Scheme.of_folds(5), 0)
    chosen = asked or before[0], before[1] if seed is None else seed
    if own and chosen != own and not resplit:
        raise SplitError(f"the data set is split as {own[0].text}, seed {own[1]}; use --resplit to split it anew")
    return chosen


def prove_split(pairs: Iterable[Pair]) -> None:
    """Prove that no garment, no group of look-alikes and no photo file stands in two splits.

    Args:
        pairs: refused ones are passed over.

    Raises:
        SplitError: one does; names it, and the pairs.
    """
    seen: dict[tuple[str, str], Pair] = {}
    for pair in pairs:
        if pair.refused:
            continue
        marks = ("garment", pair.garment.casefold()), ("group", pair.group), ("photo", pair.photo_sha256)
        for mark in marks:
            other = seen.setdefault(mark, pair)
            if other.split != pair.split:
                what = f"{mark[0]} {mark[1]} stands in {other.split} ({other.name}) and in {pair.split} ({pair.name})"
                raise SplitError(f"the split leaks: {what}; run `garmentcut ingest` with --resplit")


def _views_by_group(pairs: Iterable[Pair]) -> dict[str, Counter[str]]:
    views: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        views[pair.group][pair.view] += 1
    return dict(sorted(views.items()))


def _too_few(num_groups: int, scheme: Scheme) -> str:
    groups = f"{num_groups} garment{'s' if num_groups != 1 else ''} (look-alikes counted once)"
    wanted = f"{len(scheme.shares)} splits ({scheme.text})"
    mend = f"use --folds {num_groups}, or add garments" if num_groups > 1 else "add garments"
    return f"{groups} cannot fill {wanted}; {mend}, or check that --pattern tells garments apart"


def _kept_splits(pairs: Iterable[Pair], kept: Mapping[str, str], known: set[str]) -> dict[str, str]:
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in pairs:
        if kept.get(pair.garment) in known:
            votes[pair.group][kept[pair.garment]] += 1
    return {group: max(sorted(votes[group]), key=votes[group].__getitem__) for group in sorted(votes)}


def _neediest(lacking: Mapping[str, Mapping[str, float]], view: str, *, salt: str) -> str:
    """The split that lacks most of a view; of those alike, the one that lacks most of all; then by hash."""

    def need(name: str) -> tuple[float, float, str]:
        # Rounded: sums in another order must not decide.
        return round(lacking[name][view], 6), round(sum(lacking[name].values()), 6), _hash(salt, name)

    return max(lacking, key=need)


def _take(lacking: dict[str, float], views: Counter[str]) -> None:
    for view, number in views.items():
        lacking[view] -= number


def _hash(*parts: object) -> str:
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()
