"""The training loop of one network, for `garmentcut train` and for studies."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, cast

import torch
from lightning.fabric import Fabric
from timm.layers.norm_act import convert_sync_batchnorm
from timm.utils.model_ema import ModelEmaV3
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.dataset.augment import augment
from garmentcut.dataset.manifest import Pair
from garmentcut.dataset.samples import DRAW_STEPS, DrawWeights, SampleBatch, Samples, batches, seeded_generator
from garmentcut.dataset.split import prove_split
from garmentcut.dataset.windows import WindowSamples
from garmentcut.errors import ModelError, TrainingError, TrainingStopped
from garmentcut.model.checkpoint import save_network, start_network
from garmentcut.model.layers import Encoder
from garmentcut.model.networks import build_network
from garmentcut.observe.monitor import StopRequest
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import Recipe
from garmentcut.training.devices import (
    Devices,
    agreed_reason,
    compiles,
    is_first_process,
    launched,
    machine_in_words,
    reduced,
)
from garmentcut.training.logging import (
    Ended,
    Evaluated,
    Event,
    LossError,
    LossWatch,
    StepDone,
    TrainingJournal,
    read_journal,
)
from garmentcut.training.losses import Loss, total_loss
from garmentcut.training.optim import Schedule, build_optimizer, follow, open_ema_model
from garmentcut.training.run import Progress, Run, load_state, save_state
from garmentcut.training.validation import draw_sheet, validate

_STEPS_BETWEEN_LOOKS = {"cpu": 1, "cuda": 10}
_TIMED_STEPS = 5


def train_runs(
    runs: Sequence[Run], devices: Devices, *, minutes: float | None = None
) -> Generator[tuple[Run, Event], None, None]:
    """Train runs of one recipe, resuming those that were begun; all are checked before the first step.

    With several devices this starts the same command once more for each other device, where nothing is yielded. After
    `minutes` the current run saves its state and ends, and no other one is started.

    Yields:
        A run and one of its events.

    Raises:
        TrainingError: a folder is in use or holds something else, a device is missing, or a run failed.
        DatasetError: the splits overlap.
    """
    with ExitStack() as stack:
        if is_first_process():  # before the others are started, so that errors are reported once
            prove_split(runs[0].manifest.pairs)
            for run in runs:
                run.check_resumable()
                stack.enter_context(run.held())
        fabric = stack.enter_context(launched(devices, runs[0].recipe.training))
        stop = stack.enter_context(StopRequest(minutes))
        for run in runs:
            for event in train(run, fabric, stop):
                if fabric.is_global_zero:
                    yield run, event
            if isinstance(event, Ended) and not event.finished:
                break


def train(run: Run, fabric: Fabric, stop: StopRequest) -> Generator[Event, None, None]:
    """Train from the first step, or from where the run stopped, to the end or until a stop is requested.

    Call `run.check_resumable()` first. Random numbers depend only on the seed and the step's number: a training that
    was killed and resumed ends with the same weights, on a CPU bit for bit.

    Yields:
        Each step, each evaluation, and the end.

    Raises:
        TrainingError: the loss is not finite, memory or disk is full, and so on; the last saved state is kept.
        PhotoError: a photo cannot be read; the message names the file.
    """
    recipe, training = run.recipe, run.recipe.training
    if (progress := load_state(run.state_path, {})).ended:
        yield progress.end(progress.ended, was_finished=True)
        return
    with _open_session(run, fabric) as session:
        parts, progress, reason = session.parts, session.progress, ""
        steps_left = range(progress.step, training.steps)
        # Reading the losses makes the processor wait for the device.
        look_every = _STEPS_BETWEEN_LOOKS[fabric.device.type]
        watch = LossWatch(fabric, training.steps, training.batch)
        for step, batch in open_feed(session.learn_from, recipe, steps_left, fabric=fabric, weights=parts.weights):
            # ------------------------------------ one step ------------------------------------
            photos, targets = augmented(batch, recipe, step, fabric=fabric)
            lr = parts.schedule.lr
            logits, loss, norm = take_step(parts, photos, targets, recipe, fabric=fabric)
            parts.schedule.step()
            progress.step = step + 1
            if parts.ema_model is not None:
                follow(parts.ema_model, parts.network, progress.step)
            # ----------------------------------------------------------------------------------
            watch.add(progress.step, loss, norm=norm, lr=lr, names=batch.names)
            if parts.weights is not None:
                note_losses(parts.weights, batch, logits, targets, fabric=fabric)
            is_due = progress.step % training.evaluate_every == 0 or progress.step == training.steps
            is_saved = is_due or progress.step % training.save_every == 0

            # Every few steps, and before a save: check the losses and whether to stop.
            if is_saved or progress.step % look_every == 0:
                yield from _write_steps(session, watch.read())
                reason = agreed_reason(stop, fabric)

            # Every `evaluate_every` steps and after the last: evaluate on the validation photos, and save.
            if is_due:
                yield _evaluate(session)
                watch.skip_time()
            if progress.ended or reason:
                break
            if is_saved:
                _save(session)
        yield _end(session, progress.ended or reason)


@contextmanager
def _open_session(run: Run, fabric: Fabric) -> "Iterator[Session]":
    """Build everything, restore the state of an earlier session if there is one, and open the journal."""
    with explain_failures(run, fabric):
        parts = build_parts(run.recipe, fabric, with_start=not run.state_path.exists())
        samples = open_samples(run)
        parts = replace(parts, weights=DrawWeights.of(samples[0], run.recipe.data))
        progress, journals = load_state(run.state_path, parts.states), None
        if fabric.is_global_zero:
            num, started = fabric.world_size, run.read().get("started", _now())
            where = {"machine": machine_in_words(fabric), "device": fabric.device.type, "num_devices": num}
            run.write({"started": started, "finished": None, **where})
            journals = TrainingJournal(run.folder, last_step=progress.step, options=run.options)
        with journals or nullcontext() as journal:
            yield Session(run, fabric, parts, progress, *samples, journal, progress.seconds)


@contextmanager
def explain_failures(run: Run, fabric: Fabric) -> Iterator[None]:
    """Turn failures of a training into `TrainingStopped`, which says what to change and what was saved.

    Raises:
        TrainingStopped: the GPU's memory or the disk is full, the network cannot be compiled, the loss is not finite.
    """
    recipe, state_path = run.recipe, run.state_path
    try:
        yield
    except torch.OutOfMemoryError as error:
        height, width = recipe.data.size_hw
        raise TrainingStopped(
            f"out of memory on {machine_in_words(fabric)} with training.batch = {recipe.training.batch} and"
            f" data.size_hw = [{height}, {width}]; set training.batch = {max(recipe.training.batch // 2, 1)} or a"
            f" smaller data.size_hw in a new --out, or give more --devices, which share the batch. {_kept(state_path)}"
        ) from error
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = str(error).strip().partition("\n")[0]
        fix = "set training.compile = 'off' in a new --out"
        raise TrainingStopped(f"torch.compile failed ({reason}); {fix}") from error
    except LossError as error:
        raise LossError(
            f"{error}. A lower optimizer.lr ({recipe.optimizer.lr / 3:.2g}), a longer schedule.warmup or"
            f" optimizer.clip_norm = 1.0 usually fixes it, in a new --out; check these photos too."
            f" {_kept(state_path)}"
        ) from error
    except OSError as error:
        raise TrainingStopped(
            f"{error.filename or state_path.parent}: {error.strerror or error}; make room or fix that, and run the"
            f" same command again. {_kept(state_path)}"
        ) from error


def _kept(state_path: Path) -> str:
    if not state_path.exists():
        return "Nothing was saved yet"
    return f"{state_path} keeps the training as it was last saved"


@dataclass(frozen=True, eq=False)
class Session:
    """One session of a training, from its start or from where it was resumed."""

    run: Run  # what is trained on what
    fabric: Fabric  # the devices
    parts: "Parts"  # network, optimizer and so on
    progress: Progress  # how far the training is
    learn_from: Samples  # samples of the training photos
    measure_on: Samples  # samples of the validation photos
    journal: TrainingJournal | None  # None in all processes but the first, which alone writes
    seconds_before: float  # total duration of earlier sessions
    began: float = field(default_factory=time.perf_counter)  # start of this session, by `time.perf_counter`

    @property
    def seconds(self) -> float:
        """Duration of all sessions so far."""
        return self.seconds_before + time.perf_counter() - self.began


def _write_steps(session: Session, steps: Iterable[StepDone]) -> Iterator[StepDone]:
    for done in steps:
        if session.journal is not None:
            pace = {"lr": done.lr, "photos_s": done.photos_s, "seconds": session.seconds}
            session.journal.append("step", done.step, {"loss": done.loss, **done.parts, **pace})
        yield done


def _evaluate(session: Session) -> Evaluated:
    """Measure the weights on the validation photos, save them if they are the best, and draw the validation sheet."""
    run, parts, progress = session.run, session.parts, session.progress
    network = parts.evaluated
    was_training = network.training
    network.eval()
    seen = validate(network, session.measure_on, run.recipe.loss, fabric=session.fabric)
    # Photos that it was trained on cannot tell which weights are better; without others the last weights are kept.
    is_best = progress.note(seen.mean_dice, always_best=not run.split.held_out)
    parts.schedule.evaluated(seen.mean_dice)
    if progress.step >= run.recipe.training.steps:
        progress.ended = "all steps"
    elif 0 < run.recipe.training.patience <= progress.num_without_gain:
        progress.ended = "no gain"
    event = Evaluated(progress.step, *seen, is_best)
    if session.journal is not None:
        if is_best:
            try:
                save_network(run.best_path, network, run.spec(event))
            except ModelError as error:  # such as a full disk; the message names the file and the fix
                raise TrainingStopped(f"{error}. {_kept(run.state_path)}") from error
        sheet = draw_sheet(network, session.measure_on, progress.step, seen, fabric=session.fabric)
        write_atomic(run.sheet_path(progress.step), sheet)
        session.journal.append("evaluation", progress.step, {**seen._asdict(), "seconds": session.seconds})
    network.train(was_training)
    return event


def _save(session: Session) -> None:
    if session.journal is not None:
        session.progress.seconds = session.seconds
        save_state(session.run.state_path, session.progress, session.parts.states)


def _end(session: Session, reason: str) -> Ended:
    progress = session.progress
    if session.journal is not None:
        best = {"mean_dice": progress.best_dice, "step": progress.best_step} if progress.best_step else None
        finished = {"finished": _now() if progress.ended else None, "seconds": round(session.seconds, 1)}
        rows = read_journal(session.journal.path)
        pace = round(median(row["photos_s"] for row in rows if row["kind"] == "step"), 2)
        session.run.write({**finished, "photos_s": pace, "ended": reason, "step": progress.step, "best": best})
    _save(session)  # last: if it is killed before, the next session only repeats the end
    return progress.end(reason)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, eq=False)
class Parts:
    """What a training step works with."""

    network: nn.Module  # not wrapped, on the device; shares its weights with `module`
    # The network as a step calls it: compiled, at the training's precision, synchronised over the devices.
    module: nn.Module
    optimizer: torch.optim.Optimizer  # not wrapped
    wrapped_optimizer: torch.optim.Optimizer  # the same, wrapped by Fabric
    schedule: Schedule  # of its learning rate
    ema_model: ModelEmaV3 | None  # the average of the network's weights; None if the recipe does not average
    weights: DrawWeights | None = None  # how often each training photo is drawn; None: all equally often

    @property
    def evaluated(self) -> nn.Module:
        """The network that is evaluated and saved: the average, if there is one."""
        return self.network if self.ema_model is None else cast(nn.Module, self.ema_model.module)

    @property
    def states(self) -> dict[str, Any]:
        """Everything that changes from step to step, by name, in the order in which it must be restored."""
        names = ("network", "optimizer", "schedule", "ema_model", "weights")
        return {name: part for name in names if (part := getattr(self, name)) is not None}


def build_parts(recipe: Recipe, fabric: Fabric, *, with_start: bool = True) -> Parts:
    """Build everything that a recipe's training needs; random weights depend on the seed only.

    Without `with_start` the weights that the recipe starts from are not loaded, because a saved state replaces them.

    Raises:
        TrainingError: as `network_of`.
        ModelError: as `network_of`; or the weights that it starts from cannot be loaded.
    """
    torch.manual_seed(recipe.training.seed)
    network = network_of(recipe)
    if with_start:
        start_network(network, recipe.network.name, recipe.network.start)
    if fabric.world_size > 1 and fabric.device.type == "cuda":  # PyTorch synchronises batch norms only on GPUs
        network = convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    network = network.to(fabric.device).to(memory_format=torch.channels_last).train()
    compiled = cast(nn.Module, torch.compile(network)) if compiles(fabric, recipe.training) else network
    module = cast(nn.Module, fabric.setup(compiled))
    optimizer = build_optimizer(network, recipe.optimizer)
    schedule = Schedule(optimizer, recipe.schedule, recipe.training.steps)
    ema_model = open_ema_model(network, recipe.training.ema)
    wrapped = cast(torch.optim.Optimizer, fabric.setup_optimizers(optimizer))
    return Parts(network, module, optimizer, wrapped, schedule, ema_model)


def take_step(
    parts: Parts, photos: Tensor, targets: Tensor, recipe: Recipe, *, fabric: Fabric
) -> tuple[Tensor, Loss, Tensor | None]:
    """Take one step: predict, compute the loss and its gradient, update the weights.

    Returns logits `(N, 1, H, W)`, the loss, and the gradient's norm before it was clipped to the recipe's `clip_norm`,
    on the device; None if gradients are not clipped.
    """
    logits: Tensor = parts.module(photos)
    loss = total_loss(logits, targets, recipe.loss)
    fabric.backward(loss.total)
    # Without `error_if_nonfinite`, which makes the processor wait for the GPU; `LossWatch` checks later.
    clip_norm, weights = recipe.optimizer.clip_norm, parts.network.parameters()
    norm = nn.utils.clip_grad_norm_(weights, clip_norm) if clip_norm else None
    parts.wrapped_optimizer.step()
    parts.wrapped_optimizer.zero_grad()
    return logits, loss, norm


def network_of(recipe: Recipe) -> nn.Module:
    """Build the network that a recipe trains, with random weights; the encoder's frozen stages are frozen.

    Raises:
        TrainingError: it cannot process the recipe's photos; the message has the nearest size that fits.
        ModelError: it cannot be built, or has no encoder that could be frozen or learn at a rate of its own.
    """
    name, (height, width) = recipe.network.name, recipe.data.size_hw
    network = build_network(name, **recipe.network.options)
    multiple = int(getattr(network, "multiple_of", 1))
    if height % multiple or width % multiple:
        near = [max(round(side / multiple), 1) * multiple for side in (height, width)]
        raise TrainingError(f"data.size_hw = [{height}, {width}]: {name} needs multiples of {multiple}; try {near}")
    encoder = getattr(network, "encoder", None)
    if recipe.optimizer.encoder_factor != 1 and encoder is None:
        raise ModelError(f"optimizer.encoder_factor: {name} has no encoder that could learn at another rate")
    if recipe.network.frozen_stages:
        if not isinstance(encoder, Encoder):
            raise ModelError(f"network.frozen_stages: {name} has no encoder that can be frozen")
        encoder.freeze(recipe.network.frozen_stages)
    return network


def open_samples(run: Run) -> tuple[Samples, Samples]:
    """Samples to train on and to measure on; they share the cache memory that the recipe allows."""
    train, validation, data = (*run.split.train, *run.drawn), run.split.validation, run.recipe.data
    maps, share = run.maps_path if data.window == "edge" else None, data.cache_gb / (len(train) + len(validation))

    def open_side(pairs: tuple[Pair, ...], *, vary: bool) -> Samples:
        own = replace(data, cache_gb=share * len(pairs))
        if data.window == "photo":
            return Samples(run.manifest, pairs, own)
        return WindowSamples(run.manifest, pairs, replace(run.recipe, data=own), maps=maps, vary=vary)

    return open_side(train, vary=True), open_side(validation, vary=False)


def open_feed(
    samples: Samples, recipe: Recipe, steps: range, *, fabric: Fabric, weights: DrawWeights | None = None
) -> Iterator[tuple[int, SampleBatch]]:
    """Yield the number of each step, counted from 0, and this device's share of its batch; raises as `batches`.

    `weights`, how often each sample is drawn, is read again every `DRAW_STEPS` steps; None: all equally often.
    """
    start = steps.start
    while start < steps.stop:
        stop = steps.stop if weights is None else min((start // DRAW_STEPS + 1) * DRAW_STEPS, steps.stop)
        chunk = range(start, stop)
        feed = batches(
            samples,
            chunk,
            batch=recipe.training.batch,
            seed=recipe.training.seed,
            shard=(fabric.global_rank, fabric.world_size),
            workers=recipe.data.workers,
            weights=None if weights is None else weights.at(start),
        )
        with closing(feed):
            yield from zip(chunk, feed, strict=True)
        start = stop


@torch.no_grad()
def note_losses(weights: DrawWeights, batch: SampleBatch, logits: Tensor, targets: Tensor, *, fabric: Fabric) -> None:
    """Update the weights with the loss of each photo of a step on all devices."""
    losses = functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none").mean((1, 2, 3))
    indices = torch.tensor(batch.indices, device=losses.device)
    if fabric.world_size > 1:
        losses, indices = (fabric.all_gather(part).flatten() for part in (losses, indices))  # type: ignore[union-attr]
    weights.note(indices.tolist(), losses.tolist())


def seconds_a_step(recipe: Recipe, fabric: Fabric) -> float:
    """Measure the duration of a step of one network without reading photos; the median of all steps but the first.

    With several devices, it is that of the slowest, so that all of them plan alike.
    """
    parts = build_parts(recipe, fabric)  # loads the weights to start from, so that missing ones are reported early
    share, size_hw = recipe.training.batch // fabric.world_size, recipe.data.size_hw
    channels = 4 if recipe.data.window == "edge" else 3
    noise = torch.randint(0, 256, (share, channels, *size_hw), dtype=torch.uint8)
    alphas = torch.zeros(share, 1, *size_hw, dtype=torch.uint8)
    alphas[:, :, size_hw[0] // 4 : size_hw[0] * 3 // 4, size_hw[1] // 4 : size_hw[1] * 3 // 4] = 255
    batch, times = SampleBatch(noise, alphas, ("Front",) * share, ("",) * share), []
    for step in range(_TIMED_STEPS):
        began = time.perf_counter()
        photos, targets = augmented(batch, recipe, step, fabric=fabric)
        _, loss, _ = take_step(parts, photos, targets, recipe, fabric=fabric)
        float(loss.total.detach())  # waits for the device
        times.append(time.perf_counter() - began)
    return float(reduced(fabric, torch.tensor(median(times[1:]), device=fabric.device), "max"))


def augmented(batch: SampleBatch, recipe: Recipe, step: int, *, fabric: Fabric) -> tuple[Tensor, Tensor]:
    """A step's photos and targets on the device, augmented as the recipe says.

    Random numbers depend only on the seed and the step, those of dropout also on the device. So resuming needs no state
    of earlier steps, and photos are augmented alike on one device and on several, except for pasted garments, which
    come from the device's share of the batch. Returns photos `(N, 3, H, W)`, channels last, and targets `(N, 1, H, W)`,
    float32 in [0, 1].
    """
    seed, rank = recipe.training.seed, fabric.global_rank
    torch.manual_seed(seeded_generator("network", seed, step, rank).initial_seed())
    photos, targets = augment(
        *batch.on(fabric.device),
        views=batch.views,
        config=recipe.augment,
        key=(seed, step, rank * len(batch.views)),
        moves=recipe.data.window == "photo",
    )
    if recipe.data.target != "alpha":
        targets = (targets >= 0.5).to(targets)  # binary again after the resampling
    return photos.contiguous(memory_format=torch.channels_last), targets
