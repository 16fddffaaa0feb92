"""Start trainings on the devices, one after another, and nothing that another process is at work on."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from lightning.fabric import Fabric

from garmentcut.dataset.split import prove_split
from garmentcut.training.devices import Devices, is_first_process, open_fabric
from garmentcut.training.events import Ended, Event
from garmentcut.training.loop import train
from garmentcut.training.run import Run
from garmentcut.training.stopping import StopRequest


def train_runs(
    runs: Sequence[Run], devices: Devices, *, minutes: float | None = None
) -> Generator[tuple[Run, Event], None, None]:
    """Train runs of one recipe, each from where it stands; all is checked before the first step of the first.

    With several devices this starts the same command again for each of the others; there, nothing is yielded.

    Args:
        runs: one at least, all of one recipe.
        devices: what to train on.
        minutes: after these, the run under way saves its state and ends; the others are not begun.

    Yields:
        A run and what it tells.

    Raises:
        TrainingError: a folder holds something else or is in use, a device is not there, a run broke off.
        DatasetError: the split leaks.
    """
    with ExitStack() as stack:
        if is_first_process():  # before the others are started: what is wrong is said once
            _check(runs, stack)
        fabric = stack.enter_context(launched(devices, runs[0]))
        stop = stack.enter_context(StopRequest(minutes))
        for run in runs:
            for event in train(run, fabric, stop):
                if fabric.is_global_zero:
                    yield run, event
            if isinstance(event, Ended) and not event.finished:
                break


def _check(runs: Sequence[Run], stack: ExitStack) -> None:
    prove_split(runs[0].manifest.pairs)
    for run in runs:
        run.check_resumable()
        stack.enter_context(run.held())


@contextmanager
def launched(devices: Devices, run: Run) -> Iterator[Fabric]:
    """The devices, ready for a run, and let go of after it.

    Raises:
        TrainingError: no such device.
    """
    fabric = open_fabric(devices, run.recipe.training)
    fabric.launch()
    try:
        yield fabric
    except BaseException:
        # The other processes would wait for this one for ever.
        for process in getattr(fabric.strategy.launcher, "procs", ()):
            process.kill()
        raise
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
