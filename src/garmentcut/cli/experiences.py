"""Cut photos whose cutouts are known, with a progress bar; what could not be read is told and left out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from garmentcut.cli.app import INTERRUPTED, MISUSE, fail

if TYPE_CHECKING:
    from garmentcut.dataset.manifest import Manifest
    from garmentcut.evaluation.uncertainty import Experience


@contextmanager
def telling_failures() -> Iterator[None]:
    """Whatever a calibration cannot go on with is told as misuse."""
    try:
        from garmentcut.dataset.manifest import DatasetError
        from garmentcut.errors import EvaluationError
        from garmentcut.model.card import ModelError
    except ImportError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[train]'", MISUSE)
    try:
        yield
    except ImportError as error:
        fail(f"{error.name} is not installed; run: pip install 'garmentcut[train]'", MISUSE)
    except (DatasetError, EvaluationError, ModelError) as error:
        fail(str(error), MISUSE)
    except KeyboardInterrupt:
        fail("stopped; nothing was written", INTERRUPTED)


def gather(model: Path, manifest: "Manifest", splits: list[str]) -> "list[Experience]":
    """What a model file, a run or a folder of fold runs makes of a dataset's photos.

    Raises:
        garmentcut.errors.EvaluationError: no model there, or nothing to cut.
        garmentcut.model.card.ModelError: a model that cannot be used.
    """
    from garmentcut.evaluation.predict import plan_trials, predict
    from garmentcut.evaluation.uncertainty import experience_of
    from garmentcut.terminal import progress_bar

    trials = plan_trials(model, manifest, splits=splits)
    found = []
    with progress_bar(sum(len(trial.pairs) for trial in trials), "photos") as advance:
        for outcome in predict(trials, manifest, experience_of):
            advance(outcome.pair.name, outcome.reason)
            if outcome.found is not None:
                found.append(outcome.found)
            else:
                typer.echo(f"garmentcut: left out: {outcome.pair.name}: {outcome.reason}", err=True)
    return found
