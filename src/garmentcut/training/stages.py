"""`garmentcut train`: trains one network, or three stages: first their fold networks, then those of the model file.

Maps are better on photos that the segment stage was trained on than on new photos; if the refine stage learned from
such maps, it would trust maps too much. So each training photo's maps come from locate and segment networks of a fold
that have seen neither it nor another photo of its group, not even in the weights that they start from. Each fold also
has a refine network, so that scores and doubt of held-out photos are like those of new photos in all stages.
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
from garmentcut.dataset.split import Scheme, assign_splits, find_met
from garmentcut.dataset.windows import MAP_REDUCTION, map_paths, write_map
from garmentcut.errors import NoGarmentError, TrainingError
from garmentcut.model.card import UNKNOWN, StageSizes
from garmentcut.model.checkpoint import load_network, origin_of, start_network
from garmentcut.model.networks import build_network
from garmentcut.photo.files import json_of, write_atomic
from garmentcut.prediction.cutter import segment_crop
from garmentcut.prediction.locate import Frame, crop_of, find_garment
from garmentcut.recipe import STAGES, Recipe, stage_recipe
from garmentcut.training.devices import Devices, has_bfloat16, is_first_process, launched, uses_cuda
from garmentcut.training.logging import Ended, Event, MapsDone, Planned
from garmentcut.training.loop import seconds_a_step, train_runs
from garmentcut.training.run import DRAWN_NAME, FOLDS_NAME, PLAN_NAME, Run, Split, load_state

_OTHER_SCALE = 0.84  # scale of the photo for its second, mirrored map
_LEAST_STEPS = 20
_Told = tuple[Run, Event]
_SPARE = 0.07  # share of extra time for drawing photos, writing maps and evaluating networks


@dataclass(frozen=True)
class StagePlan:
    """How long a training of stages will be; decided once, at its start."""

    steps: dict[str, int]  # of each stage's network in the model file
    seconds_a_step: dict[str, float]  # of each stage, measured on this machine at the start
    hours: float | None = None  # requested duration; None: as many steps as the recipe says
    precisions: dict[str, Any] = field(default_factory=dict)  # of each stage, as measured; missing: as in the recipe

    def seconds(self, recipe: Recipe) -> float:
        """Estimated duration of the whole training in seconds."""
        times = 1 + recipe.stages.folds * recipe.stages.fold_steps
        return sum(self.steps[name] * self.seconds_a_step[name] for name in STAGES) * times * (1 + _SPARE)


def train_all(
    runs: Sequence[Run], devices: Devices, *, minutes: float | None = None, hours: float | None = None
) -> Generator[_Told, None, None]:
    """Train runs of one recipe, resuming those that were begun. A recipe with stages trains all its networks in turn.

    The networks of the stages are kept in subfolders of the run's folder. When such a run begins, the numbers of steps
    are chosen to fit `hours`. After `minutes` the current network saves its state, and no other one is started.

    Raises:
        TrainingError, DatasetError: as `train_runs`; or too few garments for folds, or `hours` for a single network.
        PhotoError: a photo cannot be read; the message names the file.
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
            if not load_state(stage_runs(run, plan)[STAGES[-1]].state_path, {}).ended:
                yield run, Planned(plan.seconds(run.recipe), dict(plan.steps), plan.hours)
            if (yield from _stopped_in(run, plan, devices, until)):
                return


def _stopped_in(run: Run, plan: StagePlan, devices: Devices, until: float | None) -> Generator[_Told, None, bool]:
    end, seconds = None, 0.0
    for stage in _stages(run, plan):
        if isinstance(stage, MapsDone):
            yield run, stage
            # If other processes wait in the next network, that one ends all of them at once.
            if end and until is not None and time.monotonic() >= until and devices.num * devices.nodes == 1:
                end = replace(end, reason="time is up", was_finished=False)
                break
            continue
        left = None if until is None else max((until - time.monotonic()) / 60, 0.0)
        trained = stage
        for event in train_runs([stage], devices, minutes=left):
            yield event
            if isinstance(event[1], Ended):
                end, seconds = event[1], seconds + event[1].seconds
        if end is not None and not end.finished:
            break
    if end is not None:
        name, steps = trained.folder.relative_to(run.folder).as_posix(), trained.recipe.training.steps
        yield run, replace(end, stage=name, steps=steps, seconds=seconds)
    return end is not None and not end.finished


def plan_of(run: Run, devices: Devices, hours: float | None) -> StagePlan:
    """The plan stored in the run's folder; if there is none that fits, a new one is measured and stored.

    Raises:
        TrainingError: the stored plan cannot be read, or a training that has begun was planned for other `hours`.
    """
    path = run.folder / PLAN_NAME
    if path.exists() and (run.is_begun or not (run.read() and run.recipe_differences())):
        try:
            known = TypeAdapter(StagePlan).validate_python(json_of(path.read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise TrainingError(f"{path} cannot be read ({reason}); choose another --out") from error
        if hours in (None, known.hours):
            if not run.is_begun:
                run.write({})  # the dataset, or the fold to hold out, may be another one now
            return known
        if run.is_begun:
            was = "the recipe's steps, without --hours" if known.hours is None else f"--hours {known.hours:g}"
            fix = "leave --hours out to continue it (--minutes stops it earlier), or choose another --out"
            raise TrainingError(f"{run.folder} was planned for {was}; {fix}")
    _check_starts(run)
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


def _check_starts(run: Run) -> None:
    """Load the weights that all networks start from, those of folds too: before minutes are spent on timing steps."""
    plan = StagePlan(dict.fromkeys(STAGES, _LEAST_STEPS), {})
    runs = [one for stages in (stage_runs(run, plan), *fold_runs(run, plan)) for one in stages.values()]
    for network in {str(one.recipe.network): one.recipe.network for one in runs}.values():
        start_network(build_network(network.name, **network.options), network.name, network.start)


def _probed(recipe: Recipe, devices: Devices) -> tuple[str, float]:
    """Precision of a network's training, and its seconds per step; `auto` becomes bfloat16 only if that is faster."""
    choices = [recipe.training.precision]
    if choices == ["auto"] and has_bfloat16(devices):
        # On GPUs `auto` means bfloat16, and the run can still be resumed on a machine without a GPU.
        choices = ["float32", "auto" if uses_cuda(devices) else "bfloat16"]
    found = {}
    for precision in choices:
        tried = replace(recipe, training=replace(recipe.training, precision=precision))
        with launched(devices, tried.training) as fabric:
            found[precision] = round(seconds_a_step(tried, fabric), 4)
    return min(found.items(), key=itemgetter(1))


def stage_runs(run: Run, plan: StagePlan) -> dict[str, Run]:
    """The runs of the three networks that go into the model file, by stage."""
    return {name: _stage_run(run, plan, name, run.folder / name, run.split) for name in STAGES}


def fold_runs(run: Run, plan: StagePlan) -> list[dict[str, Run]]:
    """The runs of each fold, by stage. It makes the maps of the photos that it holds out, and is measured on them."""
    splits, folds = fold_splits(run.split, run.recipe.stages.folds, run.recipe.training.seed), run.folder / FOLDS_NAME
    return [
        {name: _stage_run(run, plan, name, folds / str(number) / name, split) for name in STAGES}
        for number, split in enumerate(splits)
    ]


def fold_splits(split: Split, folds: int, seed: int) -> list[Split]:
    """Divide the training photos into folds without dividing groups of look-alikes; raises TrainingError if too few."""
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
    if split is not run.split:  # a fold network
        steps = max(round(steps * run.recipe.stages.fold_steps), _LEAST_STEPS)
        # Trained without drawn photos, so that these are new to it when it makes their maps.
        recipe = replace(recipe, data=replace(recipe.data, synthetic=0, varied=0, composites=0))
        otherwise = "scratch" if name == "refine" else run.recipe.stages.fold_start
        start = _unseen_start(recipe.network.start, run.manifest, split, otherwise)
        recipe = replace(recipe, network=replace(recipe.network, start=start))
    # Evaluated only at the end: if held-out photos chose the best weights, they would no longer be held out.
    precision = plan.precisions.get(name, recipe.training.precision)
    recipe = replace(recipe, training=replace(recipe.training, steps=steps, evaluate_every=steps, precision=precision))
    return Run(folder, recipe, run.manifest, split, maps_folder=run.maps_path, drawn_folder=run.folder / DRAWN_NAME)


def _unseen_start(start: str, manifest: Manifest, split: Split, otherwise: str) -> str:
    """The weights that a fold network starts from: `otherwise`, if those of `start` have seen photos of its fold."""
    origin = origin_of(start)
    met = find_met(manifest, origin.trained_on, origin.trained_hashes)
    is_known = UNKNOWN in origin.trained_on or any(pair.name in met for pair in split.validation)
    return otherwise if is_known else start


def _stages(run: Run, plan: StagePlan) -> Iterator[Run | MapsDone]:
    """Yield the networks of all stages in order, and the maps that are made between them.

    The caller must finish training each network before it asks for the next.
    """
    folds = fold_runs(run, plan)
    for fold in folds:
        yield fold["locate"]
        yield fold["segment"]
        yield from write_maps(run, fold, fold["segment"].split.validation)
    for fold in folds:  # learns from the maps that the other folds made
        yield fold["refine"]
    final = stage_runs(run, plan)
    yield final["locate"]
    yield final["segment"]
    made = final["refine"].drawn
    for fold in folds:  # maps of composites come from the fold that has not seen the garment
        held = {pair.group for pair in fold["segment"].split.validation}
        yield from write_maps(run, fold, [pair for pair in made if pair.group in held])
    yield from write_maps(run, folds[0], made)
    yield from write_maps(run, final, final["refine"].split.validation)
    yield final["refine"]


def write_maps(run: Run, networks: dict[str, Run], pairs: Sequence[Pair]) -> Iterator[MapsDone]:
    """Write the maps of photos that a fold's networks, finished runs of `locate` and `segment`, have not seen.

    Photos that already have maps are skipped. `run` is the run of the whole model. Yields after each photo.

    Raises:
        PhotoError: a photo cannot be read; the message names the file.
    """
    pairs = [p for p in pairs if not all(path.exists() for path in map_paths(run.maps_path, p.name))]
    if not pairs or not is_first_process():
        return
    locate, segment = (TorchPredict(networks[name].best_path) for name in STAGES[:2])
    recipe = stage_recipe(run.recipe, "refine")
    for number, pair in enumerate(pairs, 1):
        rgb, _ = framed(*read_pair(run.manifest, pair), recipe.data.frame_height)
        height, width = (-(-side // MAP_REDUCTION) for side in rgb.shape[:2])
        small_wh = round(rgb.shape[1] * _OTHER_SCALE), round(rgb.shape[0] * _OTHER_SCALE)
        small = cv2.resize(rgb[:, ::-1], small_wh, interpolation=cv2.INTER_AREA)
        as_used, mirrored = map_paths(run.maps_path, pair.name)
        other = map_of(locate, segment, np.asarray(small, np.uint8), pair, is_mirrored=True)
        other = np.asarray(cv2.resize(other, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        write_map(mirrored, np.ascontiguousarray(other[:, ::-1]))
        write_map(as_used, map_of(locate, segment, rgb, pair))
        yield MapsDone(number, len(pairs))


def map_of(
    locate: "TorchPredict", segment: "TorchPredict", rgb: NDArray[np.uint8], pair: Pair, *, is_mirrored: bool = False
) -> NDArray[np.float32]:
    """Run the first two stages on a scaled photo, `(H, W, 3)` uint8 sRGB, as cutting does; it may be mirrored.

    If locate finds no garment, the pair's box is used. Returns `(ceil(H / 2), ceil(W / 2))` float32 in [0, 1].
    """
    size_hw = rgb.shape[0], rgb.shape[1]
    frame, sizes = Frame(rgb, size_hw, size_hw), StageSizes(locate_hw=locate.size_hw)
    try:
        box = find_garment(locate, frame, sizes).box_xyxy
    except NoGarmentError:
        left, top, right, bottom = np.divide(pair.box_xyxy, pair.size_hw[::-1] * 2).tolist()
        box = (1 - right, top, 1 - left, bottom) if is_mirrored else (left, top, right, bottom)
    left_px, top_px, right_px, bottom_px = crop_of(box, frame, sizes).box_xyxy
    # Aligned with whole pixels of the map.
    left_px, top_px = left_px // MAP_REDUCTION * MAP_REDUCTION, top_px // MAP_REDUCTION * MAP_REDUCTION
    alpha = segment_crop(segment, rgb[top_px:bottom_px, left_px:right_px], sizes)
    whole = np.zeros([-(-side // MAP_REDUCTION) for side in size_hw], np.float32)
    top, left = top_px // MAP_REDUCTION, left_px // MAP_REDUCTION
    whole[top : top + alpha.shape[0], left : left + alpha.shape[1]] = alpha
    return whole


class TorchPredict:
    """A trained network on the CPU, called like a `garmentcut.prediction.runtime.Runtime`."""

    def __init__(self, path: Path) -> None:
        network, spec = load_network(path)
        self.network, self.size_hw = network.eval().to(memory_format=torch.channels_last), spec.size_hw

    @torch.inference_mode()
    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`(H, W, C)` uint8 to alpha, `(H, W)` float32 in [0, 1]."""
        photos = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].float().div_(255)
        logits: Tensor = self.network(photos.contiguous(memory_format=torch.channels_last))[0, 0]
        return logits.sigmoid().numpy()
