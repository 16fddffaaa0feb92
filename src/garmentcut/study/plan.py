"""A study on a data set: which trainings are to be made, where each is kept, and what each learns from."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from garmentcut.dataset.manifest import Manifest
from garmentcut.errors import TrainingError
from garmentcut.study.arms import Arm, arms_of
from garmentcut.study.declaration import StudyError, StudyFile, read_study_file
from garmentcut.training.divisions import Division, divide
from garmentcut.training.run import Run


@dataclass(frozen=True)
class Choice:
    """Parts of a study to run instead of all; none: all.

    Attributes:
        arms: names of arms, beside the reference.
        seeds: instead of the file's.
        folds: instead of the file's.
        settings: set over every recipe, by `section.key`.
    """

    arms: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    folds: tuple[int, ...] = ()
    settings: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Cell:
    """One training that is measured: an arm, a seed, a fold."""

    arm: Arm
    seed: int
    fold: int

    @property
    def name(self) -> str:
        """`seed0-fold1`."""
        return f"seed{self.seed}-fold{self.fold}"

    @property
    def key(self) -> str:
        """`adam/seed0-fold1`: also its folder under `runs/`."""
        return f"{self.arm.folder}/{self.name}"

    @property
    def words(self) -> str:
        """For people."""
        return f"{self.arm.name}, seed {self.seed}, fold {self.fold}"


@dataclass(frozen=True)
class Study:
    """What is to be run, and where.

    Attributes:
        file: as declared; with the seeds and folds that are really run.
        path: of the file.
        arms: the reference first.
        manifest: the data set.
        folder: where all is kept.
    """

    file: StudyFile
    path: Path
    arms: tuple[Arm, ...]
    manifest: Manifest
    folder: Path

    @property
    def reference(self) -> Arm:
        """The arm that the others are compared with."""
        return self.arms[0]

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """In the order in which they are run: all arms on the first seed and fold, then on the next fold, and so on.

        So a study that is cut short still compares like with like.
        """
        seeds, folds = self.file.seeds, self.file.folds
        return tuple(Cell(arm, seed, fold) for seed in seeds for fold in folds for arm in self._in_order)

    @property
    def _in_order(self) -> Sequence[Arm]:
        return sorted(self.arms, key=lambda arm: arm.first_pass is not None)  # those need another arm's networks

    @cached_property
    def divisions(self) -> dict[int, Division]:
        """By fold."""
        tuned = self.file.tune.folds if self.file.tune and any(arm.is_tuned for arm in self.arms) else ()
        return {fold: divide(self.manifest, str(fold)) for fold in (*self.file.folds, *tuned)}

    def division(self, arm: Arm, seed: int, fold: int) -> Division:
        """What a run of an arm learns from and is measured on.

        Raises:
            StudyError: there are fewer garments than the arm wants.
        """
        whole = self.divisions[fold]
        if arm.garments is None:
            return whole
        garments = sorted({pair.group or pair.garment for pair in whole.train})
        if len(garments) < arm.garments:
            raise StudyError(
                f"arm {arm.name!r} learns from {arm.garments} garments, fold {fold} leaves {len(garments)}; lower it,"
                " leave `garments` away to take all, or add garments"
            )
        # One shuffled row for all sizes: what 20 garments teach, 40 teach too.
        random.Random(f"{seed} {fold}").shuffle(garments)
        drawn = set(garments[: arm.garments])
        return replace(whole, train=tuple(pair for pair in whole.train if (pair.group or pair.garment) in drawn))

    def run_folder(self, cell: Cell) -> Path:
        """Where a cell's training, model and scores are kept."""
        return self.folder / "runs" / cell.key

    def run_of(self, cell: Cell, chosen: Mapping[str, Any]) -> Run:
        """A cell's training, with the values that were chosen for what is tuned."""
        recipe = cell.arm.recipe(cell.seed, chosen)
        return Run(self.run_folder(cell), recipe, self.manifest, self.division(cell.arm, cell.seed, cell.fold))


def open_study(path: Path, manifest: Manifest, folder: Path, choice: Choice | None = None) -> Study:
    """Read a study and check all of it against the data set, before anything is trained.

    Raises:
        StudyError: it cannot be run as it is; names what to change.
    """
    choice = choice or Choice()
    file = read_study_file(path)
    try:
        file = replace(file, seeds=choice.seeds or file.seeds, folds=choice.folds or file.folds)
    except ValidationError as error:  # on what it is tuned on, say
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise StudyError(f"{path} with these seeds and folds: {reason}") from error
    arms = arms_of(file, path, above=dict(choice.settings or {}), only=choice.arms)
    study = Study(file, path, arms, manifest, folder)
    try:
        for cell in study.cells:
            study.division(cell.arm, cell.seed, cell.fold)
    except TrainingError as error:
        raise StudyError(f"{path}: {error}") from error
    for arm in arms:
        if arm.first_pass and arm.first_pass.arm not in {other.name for other in arms}:
            raise StudyError(f"{path}: arm {arm.name!r} needs arm {arm.first_pass.arm!r}; choose that too")
    return study
