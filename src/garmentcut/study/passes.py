"""The trainings behind one measured run, in order: one; or, for a second pass, first those that make its photos.

A second network that learned from masks drawn by the retoucher, or by a first network that had been trained on the same
photos, would be spoiled: first masks of new photos are worse. Here each training photo's first mask comes from a
network that had never seen it, and those of held-out photos from one that had seen none of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from garmentcut.dataset.manifest import MANIFEST_NAME, Pair, read_manifest
from garmentcut.evaluation.predict import MODEL_NAME
from garmentcut.study.masked import Source, write_masked
from garmentcut.study.plan import Cell, Study
from garmentcut.study.scoring import export_run
from garmentcut.training.divisions import Division
from garmentcut.training.run import Run


def stages(study: Study, cell: Cell, chosen: Mapping[str, Any]) -> Iterator[Run]:
    """Yield each training; the caller trains it to its end before it asks for the next. The last one is scored.

    Args:
        study: the study.
        cell: of it.
        chosen: values of what is tuned.
    """
    if cell.arm.first_pass is None:
        yield study.run_of(cell, chosen)
    else:
        yield from _second_pass(study, cell)


def _second_pass(study: Study, cell: Cell) -> Iterator[Run]:
    first = FirstNetworks.of(study, cell)
    masked = first.folder / "photos"
    if not (masked / MANIFEST_NAME).exists():
        sources = []
        for run in first.runs():
            yield run
            sources.append(Source(export_run(run), run.division.validation, for_training=True))
        sources.append(Source(first.model, study.divisions[cell.fold].validation, for_training=False))
        assert cell.arm.first_pass is not None
        write_masked(masked, study.manifest, sources, config=cell.arm.first_pass, seed=cell.seed)
    manifest, whole = read_manifest(masked), study.divisions[cell.fold]
    train = tuple(pair for pair in manifest.usable if pair.split not in whole.held_out)
    division = Division(whole.name, train, manifest.of(whole.name), whole.held_out)
    yield Run(study.run_folder(cell), cell.arm.recipe(cell.seed), manifest, division)


@dataclass(frozen=True)
class FirstNetworks:
    """The networks that find the first masks for one measured run of a second pass.

    Attributes:
        study: the study.
        cell: the run.
        first: the same run of the arm of one pass.
        folder: of what is made for it.
    """

    study: Study
    cell: Cell
    first: Cell
    folder: Path

    @classmethod
    def of(cls, study: Study, cell: Cell) -> "FirstNetworks":
        """Those of a cell whose arm has a first pass."""
        assert cell.arm.first_pass is not None
        arm = next(arm for arm in study.arms if arm.name == cell.arm.first_pass.arm)
        return cls(study, cell, Cell(arm, cell.seed, cell.fold), study.folder / "first" / cell.key)

    @property
    def model(self) -> Path:
        """The network for held-out photos: that of the measured one-pass run."""
        return self.study.run_folder(self.first) / MODEL_NAME

    def runs(self) -> Iterator[Run]:
        """One training for each other fold, which it holds out, beside the fold that the whole run holds out."""
        whole, recipe = self.study.divisions[self.cell.fold], self.first.arm.recipe(self.first.seed)
        for split in sorted({pair.split for pair in whole.train}):
            train, validation = _parted(whole.train, split)
            division = Division(split, train, validation, (split, *whole.held_out))
            yield Run(self.folder / split, recipe, self.study.manifest, division)


def _parted(pairs: tuple[Pair, ...], split: str) -> tuple[tuple[Pair, ...], tuple[Pair, ...]]:
    return tuple(p for p in pairs if p.split != split), tuple(p for p in pairs if p.split == split)
