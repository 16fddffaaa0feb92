"""`garmentcut train` and studies: which pairs a training learns from and which it is measured on, by fold or split."""

import re
from dataclasses import dataclass, replace

from garmentcut.dataset.manifest import Manifest, Pair
from garmentcut.errors import TrainingError

_NUM_SHOWN_TO_IT = 12


@dataclass(frozen=True)
class Split:
    """The two sides of a training: what it learns from, and what it is measured on."""

    name: str  # `fold0`, `validation`, or `none`
    train: tuple[Pair, ...]  # pairs to learn from
    validation: tuple[Pair, ...]  # pairs that it is measured on while it trains
    # Splits that nothing is learned from; empty: everything is, `validation` too, whose Dice then says nothing of new
    # photos.
    held_out: tuple[str, ...]


def fold_names(manifest: Manifest) -> tuple[str, ...]:
    """`fold0`, `fold1` ... in order; empty if the data set has train, validation and test instead."""
    if not all(re.fullmatch(r"fold\d+", split) for split in manifest.splits):
        return ()
    return tuple(sorted(manifest.splits, key=lambda split: int(split[4:])))


def without_wrong(split: Split) -> Split:
    """The same, but nothing is learned from cutouts that were marked wrong; they are measured all the same.

    Raises:
        TrainingError: all of them were.
    """
    train = tuple(pair for pair in split.train if pair.verdict != "wrong")
    if not train:
        raise TrainingError("every cutout to learn from is marked wrong; set data.wrong_weight above 0, or unmark some")
    return replace(split, train=train)


def training_splits(manifest: Manifest, fold: str | None = None, *, validation: str | None = None) -> tuple[Split, ...]:
    """As `training_split`; `all` for `fold` gives every fold its turn.

    Raises:
        TrainingError: as `training_split`.
    """
    if fold != "all":
        return (training_split(manifest, fold, validation=validation),)
    if validation is not None:
        raise TrainingError("--fold and --validation contradict each other; give one of them")
    if not (folds := fold_names(manifest)):
        raise TrainingError(f"{manifest.folder} has no folds; its splits are {_shown(manifest)}: use --validation")
    return tuple(training_split(manifest, name.removeprefix("fold")) for name in folds)


def training_split(manifest: Manifest, fold: str | None = None, *, validation: str | None = None) -> Split:
    """The usable pairs of a data set, split for a training; refused ones are left out.

    Args:
        manifest: with folds, or with splits train, validation and test.
        fold: number of the fold to hold out, or `none`: learn from everything; None: fold 0, or the split `validation`.
        validation: the split to measure on, instead of a fold. All others are learned from, but for `test`.

    Raises:
        TrainingError: no such fold or split, both are asked for, or one side has no pair; names those there are.
    """
    if fold is not None and validation is not None:
        raise TrainingError("--fold and --validation contradict each other; give one of them")
    if fold == "none":
        return _all_of(manifest)
    held_out = _held_out(manifest, fold, validation)
    train = manifest.of(*(name for name in manifest.splits if name not in held_out))
    split = Split(held_out[0], train, manifest.of(held_out[0]), held_out)
    for side, pairs in (("to learn from", split.train), ("to measure on", split.validation)):
        if not pairs:
            raise TrainingError(f"{manifest.folder} has no pair {side}; its splits are {_shown(manifest)}")
    return split


def _all_of(manifest: Manifest) -> Split:
    pairs = manifest.usable
    if not pairs:
        raise TrainingError(f"{manifest.folder} has no usable pair; `garmentcut ingest` says why each was refused")
    by_view = sorted(pairs, key=lambda pair: (pair.view, pair.name))
    few = by_view[:: -(-len(pairs) // _NUM_SHOWN_TO_IT)]  # evenly, so that every view is among them
    return Split("none", pairs, tuple(few), ())


def _held_out(manifest: Manifest, fold: str | None, validation: str | None) -> tuple[str, ...]:
    folds = fold_names(manifest)
    if folds:
        number = fold or "0"  # perhaps with leading zeros
        named = (name for name in folds if number.isdecimal() and int(name[4:]) == int(number))
        first = validation or next(named, f"fold{number}")
    elif fold is not None:
        raise TrainingError(f"{manifest.folder} has no folds; its splits are {_shown(manifest)}: use --validation")
    else:
        first = validation or "validation"
    if first not in manifest.splits:
        raise TrainingError(f"{manifest.folder} has no split {first!r}; it has {_shown(manifest)}")
    # Nothing is learned from `test`, whatever it is measured on: it is for the last word.
    return (first, *(split for split in manifest.splits if split == "test" and split != first))


def _shown(manifest: Manifest) -> str:
    return ", ".join(manifest.splits) or "none"
