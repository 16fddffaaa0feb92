"""What a training does besides its steps: look at the validation photos, keep the best weights, save its state."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from statistics import median

import torch
from lightning.fabric import Fabric
from torch import nn

from garmentcut.dataset.samples import Samples
from garmentcut.model.checkpoint import NetworkSpec, save_network
from garmentcut.photo.files import write_atomic
from garmentcut.recipe import TrainingConfig
from garmentcut.training.devices import machine_in_words
from garmentcut.training.events import Ended, Evaluated, StepDone
from garmentcut.training.journal import Journal, read_journal
from garmentcut.training.parts import Parts
from garmentcut.training.run import Run
from garmentcut.training.sheets import Exhibit, sheet_bytes
from garmentcut.training.state import Progress, save_state
from garmentcut.training.validation import Validation, dice_of, predict, validate

_PHOTOS_ON_A_SHEET = 6
_DEVICE_STEPS_BETWEEN_LOOKS = 10


@dataclass(frozen=True, eq=False)
class Session:
    """One sitting of a training, from its start or where it was resumed.

    Attributes:
        run: what is trained on what.
        fabric: the devices.
        parts: network, optimizer and so on.
        progress: how far it is.
        learn_from: the training photos.
        measure_on: the validation photos.
        journal: of the first process; None in the others, which write nothing.
        seconds_before: of earlier sittings.
        began: on `time.perf_counter`.
    """

    run: Run
    fabric: Fabric
    parts: Parts
    progress: Progress
    learn_from: Samples
    measure_on: Samples
    journal: Journal | None
    seconds_before: float
    began: float = field(default_factory=time.perf_counter)

    @property
    def look_every(self) -> int:
        """Steps between looks at the losses: each makes the processor wait for the device."""
        return 1 if self.fabric.device.type == "cpu" else _DEVICE_STEPS_BETWEEN_LOOKS

    @property
    def seconds(self) -> float:
        """Of all sittings so far."""
        return self.seconds_before + time.perf_counter() - self.began


def begin(session: Session) -> None:
    """Write what is known of the run before its first step."""
    if session.journal is not None:
        fabric, started = session.fabric, session.run.read().get("started", _now())
        where = {"machine": machine_in_words(fabric), "device": fabric.device.type, "num_devices": fabric.world_size}
        session.run.write({"started": started, "finished": None, **where})


def write_steps(session: Session, steps: Iterable[StepDone]) -> Iterator[StepDone]:
    """Put steps into the journal, and pass them on."""
    for done in steps:
        if session.journal is not None:
            pace = {"lr": done.lr, "photos_s": done.photos_s, "seconds": session.seconds}
            session.journal.append("step", done.step, {"loss": done.loss, **done.parts, **pace})
        yield done


def evaluate(session: Session) -> Evaluated:
    """Measure the weights on the validation photos, keep them if they are the best, draw the sample sheet."""
    run, parts, progress = session.run, session.parts, session.progress
    with evaluating(parts.kept):
        seen = validate(parts.kept, session.measure_on, run.recipe.loss, fabric=session.fabric)
        # Photos that it learned from cannot say which weights are better: then the last ones are kept.
        is_best = progress.note(seen.mean_dice, always_best=not run.division.held_out)
        parts.schedule.evaluated(seen.mean_dice)
        progress.ended = _verdict(progress, run.recipe.training)
        event = Evaluated(progress.step, seen.mean_dice, seen.median_dice, seen.loss, is_best)
        if session.journal is not None:
            if is_best:
                save_network(run.best_path, parts.kept, spec_of(run, event))
            write_atomic(run.sheet_path(progress.step), _sheet(session, seen))
            values = {"mean_dice": seen.mean_dice, "median_dice": seen.median_dice, "loss": seen.loss}
            session.journal.append("evaluation", progress.step, {**values, "seconds": session.seconds})
    return event


def save(session: Session) -> None:
    """Save all that a resume needs."""
    if session.journal is not None:
        session.progress.seconds = session.seconds
        save_state(session.run.state_path, session.progress, session.parts.states)


def end(session: Session, reason: str) -> Ended:
    """Write into `run.json` how it went, and save the state."""
    progress = session.progress
    if session.journal is not None:
        best = {"mean_dice": progress.best_dice, "step": progress.best_step} if progress.best_step else None
        finished = {"finished": _now() if progress.ended else None, "seconds": round(session.seconds, 1)}
        rows = read_journal(session.journal.path)
        pace = round(median(row["photos_s"] for row in rows if row["kind"] == "step"), 2)
        session.run.write({**finished, "photos_s": pace, "ended": reason, "step": progress.step, "best": best})
    save(session)  # last: were it killed before, the next session would only do the end again
    return ended(progress, reason)


def ended(progress: Progress, reason: str, *, was_finished: bool = False) -> Ended:
    """The last event of a training."""
    numbers = asdict(progress)
    shown = {key: numbers[key] for key in ("step", "best_dice", "best_step", "seconds")}
    return Ended(reason, **shown, was_finished=was_finished)


def spec_of(run: Run, event: Evaluated) -> NetworkSpec:
    """What is known of weights that are kept."""
    recipe = run.recipe
    seen_before = "" if run.division.held_out else ", photos it was trained on"
    scores = {
        "data": f"{run.manifest.folder.resolve().name}, {run.division.name}{seen_before}",
        "size_hw": list(recipe.data.size_hw),
        "num_photos": len(run.division.validation),
        "mean_dice": event.mean_dice,
        "median_dice": event.median_dice,
    }
    facts = {**run.facts, "step": event.step, "dice": scores}
    return NetworkSpec(
        name=recipe.network.name,
        options=recipe.network.options,
        size_hw=recipe.data.size_hw,
        target=recipe.data.target,
        facts=facts,
    )


def _verdict(progress: Progress, config: TrainingConfig) -> str:
    if progress.step >= config.steps:
        return "all steps"
    return "no gain" if 0 < config.patience <= progress.num_without_gain else ""


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """The network in evaluation mode, and back after."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(was_training)


@torch.no_grad()
def _sheet(session: Session, seen: Validation) -> bytes:
    num, samples = len(session.measure_on), session.measure_on
    drawn = []
    for index in range(0, num, -(-num // _PHOTOS_ON_A_SHEET)):
        sample = samples[index]
        logits, target = predict(session.parts.kept, sample, fabric=session.fabric)
        wanted, alpha = (plane[0, 0].cpu().numpy() for plane in (target, logits.sigmoid()))
        photo = sample.photo[:3].permute(1, 2, 0).numpy()
        drawn.append(Exhibit(sample.name, photo, wanted, alpha, float(dice_of(logits, target))))
    title = (
        f"step {session.progress.step}: mean Dice {seen.mean_dice:.4f}, median {seen.median_dice:.4f} of {num} photos"
    )
    return sheet_bytes(drawn, title)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
