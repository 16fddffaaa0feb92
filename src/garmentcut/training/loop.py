"""The training loop, from the first step to the last, in one place."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext

from lightning.fabric import Fabric

from garmentcut.training.devices import machine_in_words
from garmentcut.training.errors import failures_explained
from garmentcut.training.events import Event
from garmentcut.training.feed import augmented, open_feed, open_samples
from garmentcut.training.journal import Journal
from garmentcut.training.losses import total_loss
from garmentcut.training.parts import build_parts, shorten_gradient
from garmentcut.training.run import Run
from garmentcut.training.session import Session, begin, end, ended, evaluate, save, write_steps
from garmentcut.training.state import load_state
from garmentcut.training.stopping import StopRequest
from garmentcut.training.watch import LossWatch


def train(run: Run, fabric: Fabric, stop: StopRequest) -> Generator[Event, None, None]:
    """Train from the first step, or from where the run stands, to the end, or until it is asked to stop.

    All that is random follows from the seed and the number of the step, nothing from what came before: a training that
    was killed and resumed ends with the same weights, bit for bit on a CPU.

    Args:
        run: what to train on what; `run.check_resumable()` has passed.
        fabric: launched.
        stop: asked between steps.

    Yields:
        Each step, each evaluation, and the end.

    Raises:
        TrainingError: the loss is no number, memory or disk is full, and so on; the state last saved is kept.
        PhotoError: a photo cannot be read; names the file.
    """
    recipe, training = run.recipe, run.recipe.training
    if (told := load_state(run.state_path, {})).ended:
        yield ended(told, told.ended, was_finished=True)
        return
    with _opened(run, fabric) as session:
        parts, progress, reason = session.parts, session.progress, ""
        steps_left = range(progress.step, training.steps)
        watch = LossWatch(fabric, training.steps, training.batch)
        for step, batch in open_feed(session.learn_from, recipe, steps_left, fabric=fabric):
            # ------------------------------------ one step ------------------------------------
            photos, targets = augmented(batch, recipe, step, fabric=fabric)
            lr = parts.schedule.lr
            loss = total_loss(parts.module(photos), targets, recipe.loss)
            fabric.backward(loss.total)
            norm = shorten_gradient(parts, recipe.optimizer.clip_norm)
            parts.optimizer.step()
            parts.optimizer.zero_grad()
            parts.schedule.step()
            parts.follow()
            progress.step = step + 1
            # ----------------------------------------------------------------------------------
            watch.add(progress.step, loss, norm=norm, lr=lr, names=batch.names)
            is_due = progress.step % training.evaluate_every == 0 or progress.step == training.steps

            # Every few steps: look at the losses, and whether to stop.
            if is_due or progress.step % session.look_every == 0:
                yield from write_steps(session, watch.read())
                reason = stop.agreed(fabric)

            # Every `evaluate_every` steps, and after the last: look at the validation photos, and save.
            if is_due:
                yield evaluate(session)
                watch.skip_time()
            if progress.ended or reason:
                break
            if is_due:
                save(session)
        yield end(session, progress.ended or reason)


@contextmanager
def _opened(run: Run, fabric: Fabric) -> Iterator[Session]:
    """Build all parts, give them the state of the last session if there was one, and open the journal."""
    with failures_explained(run.recipe, run.state_path, machine_in_words(fabric)):
        parts = build_parts(run.recipe, fabric, with_start=not run.state_path.exists())
        progress = load_state(run.state_path, parts.states)
        samples = open_samples(run)
        with Journal(run.folder, last_step=progress.step) if fabric.is_global_zero else nullcontext() as journal:
            session = Session(run, fabric, parts, progress, *samples, journal, progress.seconds)
            begin(session)
            yield session
