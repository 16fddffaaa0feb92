"""`garmentcut train`: one network, or three stages, whose fold networks are trained first, then the model file's own.

If refine learned from maps of photos that the segment stage was trained on, it would trust maps too much, which
are worse on new photos. So each training photo's maps come from locate and segment networks that have seen neither
it nor another photo of its group. They start from weights that have not seen these photos either. Each
fold has a refine network, too, so that scores and doubt of held-out photos are those of new ones in all stages.
"""

import json
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor

from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.dataset.samples import framed
from garmentcut.dataset.split import Scheme, assign_splits
from garmentcut.dataset.windows import MAP_REDUCTION, map_paths, write_map
from garmentcut.errors import NoGarmentError, TrainingError
from garmentcut.model.card import UNKNOWN, StageSizes
from garmentcut.model.checkpoint import load_network, origin_of
from garmentcut.photo.files import json_of, write_atomic
from garmentcut.prediction.cutter import segment_crop
from garmentcut.prediction.locate import Frame, crop_of, find_garment
from garmentcut.recipe import STAGES, Recipe, stage_recipe
from garmentcut.training.devices import Devices, has_bfloat16, is_first_process, launched, uses_cuda
from garmentcut.training.logging import Ended, Event, Planned
from garmentcut.training.loop import seconds_a_step, train_runs
from garmentcut.training.run import DRAWN_NAME, FOLDS_NAME, PLAN_NAME, Run, Split, met_by

_OTHER_SCALE = 0.84  # of the second, mirrored map of each photo
_LEAST_STEPS = 20
_Told = tuple[Run, Event]
_SPARE = 0.07  # of the hours: photos are drawn, maps written, networks evaluated


@dataclass(frozen=True)
class StagePlan:
    """How long a training of stages will be, decided once."""

    steps: dict[str, int]  # of each stage's network that is kept
    seconds_a_step: dict[str, float]  # measured at the start, on this machine
    hours: float | None = None  # asked for; None: the recipe's own steps
    precisions: dict[str, str] = field(default_factory=dict)  # of each stage, by a probe; as the recipe says if absent

    def seconds(self, recipe: Recipe) -> float:
        """How long all of it should take."""
        times = 1 + recipe.stages.folds * recipe.stages.fold_steps
        return sum(self.steps[name] * self.seconds_a_step[name] for name in STAGES) * times * (1 + _SPARE)


def train_all(
    runs: Sequence[Run], devices: Devices, *, minutes: float | None = None, hours: float | None = None
) -> Generator[_Told, None, None]:
    """Train runs of one recipe, each from where it stands; of a model of stages, all its networks in turn.

    The networks of a model of stages are trained below their run's folder, their numbers of steps fitted to `hours`,
    once, when the run begins. After `minutes` the network under way saves its state, and the others are not begun.

    Raises:
        TrainingError, DatasetError: as `train_runs`; or too few garments for folds, or `hours` for a single network.
        PhotoError: a photo cannot be read; names the file.
    """
    if not runs[0].recipe.stages.refine:
        if hours is not None:
            raise TrainingError("--hours is for recipes with stages; set training.steps, or stop with --minutes")
        yield from train_runs(runs, devices, minutes=minutes)
        return
    until = None if minutes is None else time.monotonic() + minutes * 60
    for run in runs:
        with ExitStack() as stack:
            if is_first_process():
                run.check_resumable()
                stack.enter_context(run.held())
            plan = plan_of(run, devices, hours)
            yield run, Planned(plan.seconds(run.recipe), dict(plan.steps), plan.hours)
            if (yield from _stopped_in(run, plan, devices, until)):
                return


def _stopped_in(run: Run, plan: StagePlan, devices: Devices, until: float | None) -> Generator[_Told, None, bool]:
    end, seconds = None, 0.0
    for stage in _stages(run, plan):
        left = None if until is None else max((until - time.monotonic()) / 60, 0.0)
        for event in train_runs([stage], devices, minutes=left):
            yield event
            if isinstance(event[1], Ended):
                end, seconds = event[1], seconds + event[1].seconds
        if end is not None and not end.finished:
            break
    if end is not None:
        name, steps = stage.folder.relative_to(run.folder).as_posix(), stage.recipe.training.steps
        yield run, replace(end, stage=name, steps=steps, seconds=seconds)
    return end is not None and not end.finished


def plan_of(run: Run, devices: Devices, hours: float | None) -> StagePlan:
    """The plan that the run's folder holds, or a new one, measured and kept there.

    Raises:
        TrainingError: the plan there cannot be read.
    """
    path = run.folder / PLAN_NAME
    if path.exists():
        try:
            return TypeAdapter(StagePlan).validate_python(json_of(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(f"{path} cannot be read ({reason}); choose another --out") from error
    steps, precisions, measured = {}, {}, {}
    for name in STAGES:
        recipe = stage_recipe(run.recipe, name)
        steps[name] = recipe.training.steps
        precisions[name], measured[name] = _probed(recipe, devices)
    plan = StagePlan(steps, measured, hours, precisions)
    if hours is not None:
        factor = hours * 3600 / plan.seconds(run.recipe)
        plan = replace(plan, steps={name: max(round(num * factor), _LEAST_STEPS) for name, num in plan.steps.items()})
    run.write({"planned_seconds": round(plan.seconds(run.recipe))})
    write_atomic(path, (json.dumps(asdict(plan), indent=1) + "\n").encode())
    return plan


def _probed(recipe: Recipe, devices: Devices) -> tuple[str, float]:
    """The precision of a network's training, and seconds a step: of `auto`, bfloat16 only where it is faster."""
    choices = [recipe.training.precision]
    if choices == ["auto"] and has_bfloat16(devices):
        # `auto` is bfloat16 on GPUs, and a run that was begun on one may go on without.
        choices = ["float32", "auto" if uses_cuda(devices) else "bfloat16"]
    found = {}
    for precision in choices:
        tried = _at_precision(recipe, precision)
        with launched(devices, tried.training) as fabric:
            found[precision] = round(seconds_a_step(tried, fabric), 4)
    return min(found.items(), key=itemgetter(1))


def _at_precision(recipe: Recipe, precision: Any) -> Recipe:
    return replace(recipe, training=replace(recipe.training, precision=precision))


def stage_runs(run: Run, plan: StagePlan) -> dict[str, Run]:
    """The runs of the three networks that go into the model file, by stage."""
    return {name: _stage_run(run, plan, name, run.folder / name, run.split) for name in STAGES}


def fold_runs(run: Run, plan: StagePlan) -> list[dict[str, Run]]:
    """The runs of each fold, by stage: they hold out the photos that they will make maps of and be judged by.

    Raises:
        TrainingError: fewer groups of garments than folds.
    """
    splits, folds = fold_splits(run.split, run.recipe.stages.folds, run.recipe.training.seed), run.folder / FOLDS_NAME
    return [
        {name: _stage_run(run, plan, name, folds / str(number) / name, split) for name in STAGES}
        for number, split in enumerate(splits)
    ]


def fold_splits(split: Split, folds: int, seed: int) -> list[Split]:
    """Share the photos to learn from out among folds, groups of look-alikes whole; each holds one share out.

    Raises:
        TrainingError: there are too few groups.
    """
    if len({pair.group for pair in split.train}) < folds:
        raise TrainingError(f"{len(split.train)} photos are too few for {folds} folds; add some, or set stages.folds")
    shares = assign_splits(split.train, Scheme.of_folds(folds), seed=seed)
    found = []
    for number, name in enumerate(sorted(set(shares.values()))):
        train, held = (tuple(p for p in split.train if (shares[p.group] == name) is side) for side in (False, True))
        found.append(Split(f"{split.name}-part{number}", train, held, (*split.held_out, f"part{number}")))
    return found


def _stage_run(run: Run, plan: StagePlan, name: str, folder: Path, split: Split) -> Run:
    recipe, steps = stage_recipe(run.recipe, name), plan.steps[name]
    recipe = _at_precision(recipe, plan.precisions.get(name, recipe.training.precision))
    if split is not run.split:  # a fold's
        steps = max(round(steps * run.recipe.stages.fold_steps), _LEAST_STEPS)
        # Nothing drawn, so that drawn photos have honest maps too.
        recipe = replace(recipe, data=replace(recipe.data, synthetic=0, varied=0, composites=0))
        otherwise = "scratch" if name == "refine" else run.recipe.stages.fold_start
        start = _honest_start(recipe.network.start, run.manifest, split, otherwise)
        recipe = replace(recipe, network=replace(recipe.network, start=start))
    # One evaluation, the last: held-out photos that chose the weights would not be held out.
    recipe = replace(recipe, training=replace(recipe.training, steps=steps, evaluate_every=steps))
    return Run(folder, recipe, run.manifest, split, maps_folder=run.maps_path, drawn_folder=run.folder / DRAWN_NAME)


def _honest_start(start: str, manifest: Manifest, split: Split, otherwise: str) -> str:
    """Where a fold's network may start: nowhere that has seen the photos it is to judge, or others like them."""
    origin, held = origin_of(start), {pair.name for pair in split.validation}
    is_known = UNKNOWN in origin.trained_on or any(pair.name in held for pair in met_by(origin, manifest))
    return otherwise if is_known else start


def _stages(run: Run, plan: StagePlan) -> Iterator[Run]:
    """Each training in turn; the caller trains it to its end before it asks for the next."""
    folds = fold_runs(run, plan)
    for fold in folds:
        yield fold["locate"]
        yield fold["segment"]
        write_maps(run, fold, fold["segment"].split.validation)
    for fold in folds:  # each learns from maps that the others have made
        yield fold["refine"]
    final = stage_runs(run, plan)
    yield final["locate"]
    yield final["segment"]
    made = final["refine"].drawn
    for fold in folds:  # composites by the fold that has not seen their garments
        held = {pair.group for pair in fold["segment"].split.validation}
        write_maps(run, fold, [pair for pair in made if pair.group in held])
    write_maps(run, folds[0], made)
    others = [pair for pair in final["refine"].split.validation if not _has_maps(run, pair)]
    write_maps(run, final, others)
    yield final["refine"]


def write_maps(run: Run, networks: dict[str, Run], pairs: Sequence[Pair]) -> None:
    """Write the maps of photos that a fold's networks, finished runs of `locate` and `segment`, have held out.

    Photos that have maps are passed over. `run` is that of the whole model.

    Raises:
        PhotoError: a photo cannot be read; names the file.
    """
    pairs = [pair for pair in pairs if not _has_maps(run, pair)]
    if not pairs or not is_first_process():
        return
    locate, segment = (TorchPredict(networks[name].best_path) for name in STAGES[:2])
    recipe = stage_recipe(run.recipe, "refine")
    for pair in pairs:
        rgb, _ = framed(*read_pair(run.manifest, pair), recipe.data.frame_height)
        height, width = (-(-side // MAP_REDUCTION) for side in rgb.shape[:2])
        small_wh = round(rgb.shape[1] * _OTHER_SCALE), round(rgb.shape[0] * _OTHER_SCALE)
        small = cv2.resize(rgb[:, ::-1], small_wh, interpolation=cv2.INTER_AREA)
        as_used, mirrored = map_paths(run.maps_path, pair.name)
        other = map_of(locate, segment, np.asarray(small, np.uint8), pair, is_mirrored=True)
        other = np.asarray(cv2.resize(other, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        write_map(mirrored, np.ascontiguousarray(other[:, ::-1]))
        write_map(as_used, map_of(locate, segment, rgb, pair))


def map_of(
    locate: "TorchPredict", segment: "TorchPredict", rgb: NDArray[np.uint8], pair: Pair, *, is_mirrored: bool = False
) -> NDArray[np.float32]:
    """What the first two stages say of a framed photo, `(H, W, 3)` uint8 sRGB, perhaps mirrored, as in use.

    Where locate finds nothing, the pair's box is taken. `(H / 2, W / 2)` float32 in [0, 1], rounded up.
    """
    size_hw = rgb.shape[0], rgb.shape[1]
    frame, sizes = Frame(rgb, size_hw, size_hw), StageSizes(locate_hw=locate.size_hw)
    try:
        box = find_garment(locate, frame, sizes).box_xyxy
    except NoGarmentError:
        left, top, right, bottom = np.divide(pair.box_xyxy, pair.size_hw[::-1] * 2).tolist()
        box = (1 - right, top, 1 - left, bottom) if is_mirrored else (left, top, right, bottom)
    left_px, top_px, right_px, bottom_px = crop_of(box, frame, sizes).box_xyxy
    # On whole pixels of the map.
    left_px, top_px = left_px // MAP_REDUCTION * MAP_REDUCTION, top_px // MAP_REDUCTION * MAP_REDUCTION
    alpha = segment_crop(segment, rgb[top_px:bottom_px, left_px:right_px], sizes)
    whole = np.zeros([-(-side // MAP_REDUCTION) for side in size_hw], np.float32)
    top, left = top_px // MAP_REDUCTION, left_px // MAP_REDUCTION
    whole[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    return whole


class TorchPredict:
    """A network that a training has kept, called as a `garmentcut.prediction.runtime.Runtime` is; on the CPU.

    Raises:
        ModelError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        network, spec = load_network(path)
        self.network, self.size_hw = network.eval().to(memory_format=torch.channels_last), spec.size_hw

    @torch.inference_mode()
    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`(H, W, C)` uint8 to alpha, `(H, W)` float32 in [0, 1]."""
        photos = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].float().div_(255)
        logits: Tensor = self.network(photos.contiguous(memory_format=torch.channels_last))[0, 0]
        return logits.sigmoid().numpy()


def _has_maps(run: Run, pair: Pair) -> bool:
    return all(path.exists() for path in map_paths(run.maps_path, pair.name))
