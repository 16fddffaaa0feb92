"""What the training loop reports: events for its caller, the journal on disk, TensorBoard and MLflow."""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NamedTuple

import torch
from lightning.fabric import Fabric
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from garmentcut.errors import TrainingError, TrainingStopped
from garmentcut.photo.files import write_atomic
from garmentcut.training.devices import reduced
from garmentcut.training.losses import Loss

JOURNAL_NAME, MLFLOW_NAME = "journal.jsonl", "mlflow_run"
_MLFLOW_ROWS = 1000  # most rows per request
_LOGGER = getLogger("garmentcut")


@dataclass(frozen=True)
class StepDone:
    """One optimizer step of all devices together."""

    step: int  # number of the step, from 1
    steps: int  # number of steps of the training
    loss: float  # weighted sum of the parts
    parts: dict[str, float]  # the loss's terms, unweighted
    lr: float  # learning rate of this step
    photos_s: float  # photos per second, recently


@dataclass(frozen=True)
class Evaluated:
    """One evaluation on the validation photos."""

    step: int  # the step after which it was made
    # Of the masks alpha >= 0.5 at the training's size.
    mean_dice: float
    median_dice: float
    loss: float  # mean, by the recipe's loss
    is_best: bool  # these weights are now `best.safetensors`


@dataclass(frozen=True)
class Ended:
    """The last event of a training."""

    reason: str  # finished: `all steps` or `no gain` (early stopping); not finished: `time is up` or `interrupted`
    step: int  # the last step that was taken
    best_dice: float  # best mean Dice; below 0: never evaluated
    best_step: int  # the step of that evaluation
    seconds: float  # total duration of all sessions and of all earlier stages
    was_finished: bool = False  # nothing was done, because the training was finished already
    stage: str = ""  # with stages: folder, below the run's, of the network that the other fields are about
    steps: int = 0  # number of steps of that network's training

    @property
    def finished(self) -> bool:
        """True if there is nothing more to train."""
        return self.reason in ("all steps", "no gain")


@dataclass(frozen=True)
class Planned:
    """The first event of a training with stages: how long it will take."""

    seconds: float  # estimated duration on this machine
    steps: dict[str, int]  # of each stage's final network
    hours: float | None = None  # requested duration


@dataclass(frozen=True)
class MapsDone:
    """Some of the photos have the maps that the refine stage learns from."""

    photos: int  # with maps, of those that the same networks make
    of: int  # number of these photos


Event = StepDone | Evaluated | Ended | Planned | MapsDone


class TrainingJournal:
    """Appends rows to `journal.jsonl` and `tensorboard/`, and to MLflow if requested; a context that closes them.

    Rows of steps after `last_step`, which a killed run wrote after its last checkpoint, are dropped. MLflow is used if
    the variable `MLFLOW_TRACKING_URI` names a server or a store; it gets the recipe's `options` too.

    Raises:
        TrainingError: the existing file is not a journal, or MLflow is requested but not installed.
    """

    def __init__(self, run_dir: Path, *, last_step: int, options: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._mlflow = _Mlflow(run_dir, options) if os.environ.get("MLFLOW_TRACKING_URI") else None
        self.path = run_dir / JOURNAL_NAME
        kept = [row for row in read_journal(self.path) if row["step"] <= last_step]
        write_atomic(self.path, "".join(map(_line, kept)).encode())
        self._file = self.path.open("a", encoding="utf-8", newline="\n")
        self._board = SummaryWriter(str(run_dir / "tensorboard"), purge_step=last_step + 1)

    def __enter__(self) -> "TrainingJournal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        self._file.close()
        self._board.close()
        if self._mlflow is not None:
            self._mlflow.close("FAILED" if kind else "FINISHED")

    def append(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        """Write a row immediately; `kind` is `step` or `evaluation`, steps count from 1."""
        self._file.write(_line({"kind": kind, "step": step, **values}))
        self._file.flush()
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, step)
        if self._mlflow is not None:
            self._mlflow.append(kind, step, values)


class _Mlflow:
    """An MLflow run with the same rows as the journal. Its id is kept in the run's folder, so that it can be resumed.

    A failing server never stops a training: a warning is logged, and nothing more is sent. Rows are sent together at
    each evaluation. After a resume, steps since the last checkpoint are recorded twice, with the same values.
    """

    def __init__(self, run_dir: Path, options: Mapping[str, Any]) -> None:
        try:
            from mlflow import entities
            from mlflow.tracking import MlflowClient
        except ModuleNotFoundError as error:
            raise TrainingError(
                f"MLFLOW_TRACKING_URI is set and {error.name} is not installed; run: pip install 'garmentcut[mlflow]',"
                " or unset it"
            ) from error
        self._entities, self._waiting, self._run_id = entities, list[Any](), ""
        self._path, self._client = run_dir / MLFLOW_NAME, None
        with self._never_stopping():
            self._client = MlflowClient()
            self._open(run_dir.resolve().name, options)

    def append(self, kind: str, step: int, values: Mapping[str, float]) -> None:
        now = time.time_ns() // 1_000_000
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._waiting += [self._entities.Metric(f"{kind}/{name}", value, now, step) for name, value in finite.items()]
        if kind == "evaluation" or len(self._waiting) > _MLFLOW_ROWS // 2:
            self._send()

    def close(self, status: str) -> None:
        self._send()
        with self._never_stopping():
            if self._client is not None:
                self._client.set_terminated(self._run_id, status)

    def _open(self, name: str, options: Mapping[str, Any]) -> None:
        assert self._client is not None
        if self._path.exists():
            self._run_id = self._path.read_text().strip()
            self._client.update_run(self._run_id, status="RUNNING")
            return
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", "garmentcut")
        found = self._client.get_experiment_by_name(wanted)
        experiment = found.experiment_id if found else self._client.create_experiment(wanted)
        self._run_id = self._client.create_run(experiment, run_name=name).info.run_id
        params = [self._entities.Param(key, str(value)[:500]) for key, value in options.items()]
        for start in range(0, len(params), 100):  # MLflow's limit per request
            self._client.log_batch(self._run_id, params=params[start : start + 100])
        write_atomic(self._path, self._run_id.encode())

    def _send(self) -> None:
        rows, self._waiting = self._waiting, []
        with self._never_stopping():
            if self._client is not None and rows:
                self._client.log_batch(self._run_id, metrics=rows)

    @contextmanager
    def _never_stopping(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # noqa: BLE001 - a server or its client may raise anything
            _LOGGER.warning("MLflow: %s; this training is no longer sent to it", str(error).partition("\n")[0])
            self._client = None


def read_journal(path: Path) -> list[dict[str, Any]]:
    """The rows of a journal in order, without a last line that a kill cut off; TrainingError for any other bad line."""
    if not path.exists():
        return []
    *lines, _ = path.read_bytes().split(b"\n")
    return [_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def _row(line: bytes, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
        if isinstance(row, dict) and isinstance(row["step"], int):
            return row
    except (ValueError, KeyError, RecursionError):
        pass
    raise TrainingError(f"{where}, is not a row of a training's journal; move the file or choose another --out")


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps({key: _shown(value) for key, value in row.items()}, allow_nan=False) + "\n"


def _shown(value: Any) -> Any:
    """The number with six digits; None if it is not finite, because JSON has no such numbers."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


class LossError(TrainingStopped):
    """A loss or gradient is not a finite number."""


class _Step(NamedTuple):
    """One optimizer step of this device."""

    number: int  # from 1
    lr: float  # learning rate
    names: tuple[str, ...]  # of the photos in this device's share of the batch
    parts: tuple[str, ...]  # names of the loss's terms
    values: Tensor  # the loss, its terms, and the gradient's norm if it was asked for; float64, still on the device


class LossWatch:
    """Collects the losses of steps; `read` averages them over the devices and raises if one is not finite.

    `steps` is the number of steps of the training, `batch` the number of photos per step on all devices together.
    """

    def __init__(self, fabric: Fabric, steps: int, batch: int) -> None:
        self._fabric, self._steps, self._batch = fabric, steps, batch
        self._waiting: list[_Step] = []
        self._since = time.perf_counter()

    def add(self, number: int, loss: Loss, *, norm: Tensor | None, lr: float, names: tuple[str, ...]) -> None:
        """Keep a step's loss for the next `read`.

        Loss and names are those of this device's share of the batch. `norm` is the norm of the gradient of all devices
        before clipping; None if it is not clipped.
        """
        scalars = [loss.total.detach(), *loss.parts.values(), *([] if norm is None else [norm])]
        values = torch.stack([scalar.double() for scalar in scalars])
        self._waiting.append(_Step(number, lr, names, tuple(loss.parts), values))

    def read(self) -> list[StepDone]:
        """The steps since the last call; LossError, on all devices, if a loss or gradient is not finite."""
        steps, self._waiting = self._waiting, []
        own = torch.stack([step.values for step in steps])  # (steps, values)
        mean = reduced(self._fabric, own, "mean").cpu()
        if not mean.isfinite().all():
            self._raise(steps, own.cpu(), mean)
        photos_s = len(steps) * self._batch / (time.perf_counter() - self._since)
        self.skip_time()
        # The last value may be the gradient's norm, after the loss and its terms.
        return [
            StepDone(step.number, self._steps, total, dict(zip(step.parts, parts, strict=False)), step.lr, photos_s)
            for step, (total, *parts) in zip(steps, mean.tolist(), strict=True)
        ]

    def skip_time(self) -> None:
        """Do not count the time since the last `read` in the photos per second; no steps were taken in it."""
        self._since = time.perf_counter()

    def _raise(self, steps: list[_Step], own: Tensor, mean: Tensor) -> None:
        index = int((~mean.isfinite().all(1)).nonzero()[0, 0])
        step = steps[index]
        # Only the device that computed the loss knows the photos.
        rank = -1 if own[index].isfinite().all() else self._fabric.global_rank
        guilty = int(reduced(self._fabric, torch.tensor(rank, device=self._fabric.device), "max"))
        names = self._fabric.broadcast(step.names, src=guilty)
        values = zip(("loss", *step.parts), mean[index].tolist(), strict=False)
        parts = ", ".join(f"{name} {value:.4g}" for name, value in values)
        gradient = "; its gradient is not finite" if mean[index, 0].isfinite() else ""
        raise LossError(
            f"step {step.number}, learning rate {step.lr:.3g}: {parts}{gradient}, on photos {', '.join(names)}"
        )
