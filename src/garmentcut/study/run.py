"""Runs a study's jobs: takes one, trains, measures, takes the next; several processes may share them.

What is measured is the network of a run's last step: its weights become a model file, which cuts the photos that were
held out. A second pass's run has several trainings. Its photos are seen through first masks, and a second network that
learned from masks drawn by the retoucher, or by a first network that had been trained on the same photos, would be
spoiled, since first masks of new photos are worse. So each training photo's first mask comes from a network that had
never seen it, and those of held-out photos from one that had seen none of them.
"""

import gc
import hashlib
import random
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from garmentcut.dataset.manifest import MANIFEST_NAME, Manifest, Pair, read_manifest, write_manifest
from garmentcut.errors import TrainingError
from garmentcut.evaluation.metrics import mask_of
from garmentcut.evaluation.predict import MODEL_NAME, CutPair, Trial, predict
from garmentcut.evaluation.scores import PhotoScore, evaluate, write_scores
from garmentcut.export.card import card_of_network
from garmentcut.export.onnx import export_network
from garmentcut.model.card import read_model
from garmentcut.model.networks import build_network
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import write_atomic
from garmentcut.photo.photo import to_8_bit
from garmentcut.photo.png import png_bytes
from garmentcut.study.declare import RATE, FirstPass, StudyError, Variant
from garmentcut.study.plan import (
    RUNS,
    Chosen,
    JobClaim,
    Registry,
    RunKey,
    Study,
    TuningAttempt,
    settle,
    take_attempt,
    tuning_registry,
    tuning_runs,
)
from garmentcut.training.devices import Devices, launched
from garmentcut.training.logging import JOURNAL_NAME, Ended, Evaluated, read_journal
from garmentcut.training.loop import train_runs
from garmentcut.training.optim import open_ema_model
from garmentcut.training.run import Run, load_state
from garmentcut.training.splits import Split
from garmentcut.training.trial import try_rates

SCORES_NAME = "scores.jsonl"

HIDDEN_LEVEL = 128
"""Of all three channels, where a photo is hidden from a second pass."""

_WAIT_S = 2.0


@dataclass(frozen=True)
class Began:
    """A job was taken; `job` says which, in words."""

    job: str


@dataclass(frozen=True)
class Validated:
    """A training measured itself on its held-out photos, at its own size."""

    job: str
    step: int
    steps: int
    mean_dice: float


@dataclass(frozen=True)
class Finished:
    """A job is over.

    Attributes:
        job: in words.
        outcome: `done`, `pruned`, `failed`, or `interrupted`.
        reason: why it failed or was interrupted.
        mean_dice: of the held-out photos at their own size, or while tuning at the training's; None: not measured.
    """

    job: str
    outcome: str
    reason: str = ""
    mean_dice: float | None = None


@dataclass(frozen=True)
class Waiting:
    """All that is left is in other processes' hands."""


Event = Began | Validated | Finished | Waiting
Job = Generator[Event, None, Finished]


class Interrupted(Exception):  # noqa: N818 no error: the user, or the clock, asked for it
    """A training was asked to stop."""


@dataclass
class StudySession:
    """One process's work on a study.

    Attributes:
        study: what is to be done.
        registry: who does what.
        devices: what to train on.
        minutes: to stop after; None: never.
        wait: called while others hold all that is left.
        interrupted: why it stopped before all was done; empty: it did not.
        permanent_failures: variants that cannot be run, and why.
    """

    study: Study
    registry: Registry
    devices: Devices
    minutes: float | None = None
    wait: Callable[[], None] = lambda: time.sleep(_WAIT_S)
    interrupted: str = ""
    permanent_failures: dict[str, str] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    def work(self) -> Iterator[Event]:
        """Do all there is to do, or until the time is up; what fails is noted, and the rest goes on."""
        has_said_so = False
        while not self.interrupted:
            if self._minutes_left() == 0:
                self.interrupted = "time is up"
                return
            is_shared = self._others_at_work()  # looked at first: what they leave behind meanwhile is found next
            if job := self._next_job():
                has_said_so = False
                for event in job:
                    if isinstance(event, Finished) and event.outcome == "interrupted":
                        self.interrupted = event.reason
                    yield event
            elif not is_shared:
                return
            else:
                if not has_said_so:
                    yield Waiting()
                has_said_so = True
                self.wait()

    @property
    def chosen(self) -> dict[str, Chosen]:
        """What tuning came to, of each variant for which it is over; nothing for those that are not tuned."""
        found = {variant.name: self._settled(variant) for variant in self.study.variants}
        return {name: chosen for name, chosen in found.items() if chosen is not None}

    def _settled(self, variant: Variant) -> Chosen | None:
        if variant.name in self.permanent_failures:
            return None
        try:
            return settle(self.study, self.registry, variant)
        except StudyError as error:
            self.permanent_failures[variant.name] = str(error)
            return None

    def _next_job(self) -> Iterator[Event] | None:
        chosen = self.chosen
        for variant in self.study.variants:
            is_open = variant.name not in chosen and variant.name not in self.permanent_failures
            if is_open and (attempt := take_attempt(self.study, self.registry, variant)):
                return _guarded(attempt.words, attempt.claim, self._try(attempt))
        done = {key for key, entry in self.registry.entries(RUNS).items() if entry.outcome == "done"}
        for key in self.study.keys:
            scores = self.study.run_folder(key) / SCORES_NAME
            if key.variant.name not in chosen or (key.path in done and scores.is_file()):
                continue
            first = key.variant.first_pass  # its networks come from another variant's run
            if first and replace(key, variant=self.study.variant(first.variant)).path not in done:
                continue
            if claim := self.registry.take(RUNS, key.path, is_kept=scores.is_file):
                return _guarded(key.words, claim, self._measure(key, chosen[key.variant.name].setting, claim))
        return None

    def _measure(self, key: RunKey, setting: Mapping[str, Any], claim: JobClaim) -> Job:
        """Train and measure a run; it is never given up, or the survivors would look too good."""
        run = None
        for run in trainings_of(self.study, key, setting):
            yield from self._train(run, key.words, lambda _step, _dice: False)
        assert run is not None  # every run has a training
        scores = [score.measures.dice for score in score_run(run) if score.measures]
        mean = sum(scores) / len(scores)
        claim.close("done", mean)
        return Finished(key.words, "done", mean_dice=mean)

    def _try(self, attempt: TuningAttempt) -> Job:
        """Try a setting of a variant; it is judged by the mean over its runs, so far as they are."""
        words, claim, finals, steps = attempt.words, attempt.claim, list[float](), 0
        for run in tuning_runs(self.study, attempt):
            if attempt.variant.range_test:
                claim.close("done", 0.0, **{RATE: self._test_range(run)})
                return Finished(words, "done")

            def is_pruned(step: int, dice: float, steps: int = steps) -> bool:
                return claim.report(steps + step, (sum(finals) + dice) / (len(finals) + 1))

            last = yield from self._train(run, words, is_pruned)
            if last is None:
                claim.close("pruned")
                return Finished(words, "pruned")
            finals.append(last)
            steps += run.recipe.training.steps
        mean = sum(finals) / len(finals)
        claim.close("done", mean)
        return Finished(words, "done", mean_dice=mean)

    def _train(
        self, run: Run, words: str, is_given_up: Callable[[int, float], bool]
    ) -> Generator[Event, None, float | None]:
        """Train a run to its end, from where it stands; its last Dice, or None: given up on the way."""
        with closing(train_runs([run], self.devices, minutes=self._minutes_left())) as events:
            for _, event in events:
                if isinstance(event, Evaluated):
                    yield Validated(words, event.step, run.recipe.training.steps, event.mean_dice)
                    if is_given_up(event.step, event.mean_dice):
                        return None
                if isinstance(event, Ended) and not event.finished:
                    raise Interrupted(event.reason)
        return last_evaluation(run).mean_dice

    def _test_range(self, run: Run) -> float:
        with run.held(), launched(self.devices, run.recipe.training) as fabric:
            rate = try_rates(run, fabric)
        if rate is None:
            raise TrainingError("the loss never falls, at no learning rate")
        return rate

    def _minutes_left(self) -> float | None:
        if self.minutes is None:
            return None
        return max(self.minutes - (time.monotonic() - self._began) / 60, 0.0)

    def _others_at_work(self) -> bool:
        ours = {key.path for key in self.study.keys}
        jobs = [(RUNS, entry) for entry in self.registry.entries(RUNS).values() if entry.key in ours]
        for name in (tuning_registry(variant) for variant in self.study.variants if variant.is_tuned):
            jobs += [(name, entry) for entry in self.registry.entries(name).values()]
        return any(entry.outcome == "running" and self.registry.is_held(name, entry.key) for name, entry in jobs)


def trainings_of(study: Study, key: RunKey, chosen: Mapping[str, Any]) -> Iterator[Run]:
    """The trainings behind one measured run; the caller trains each to its end before it asks for the next.

    The last one is measured.

    Args:
        study: the study.
        key: of the run.
        chosen: values of what is tuned.
    """
    first = key.variant.first_pass
    if first is None:
        yield study.run_of(key, chosen)
        return
    one_pass = replace(key, variant=study.variant(first.variant))
    folder, whole = study.folder / "first" / key.path, study.splits[key.fold]
    if not (folder / "photos" / MANIFEST_NAME).exists():
        recipe, trials = one_pass.variant.recipe(key.seed), []
        # One training for each other fold, which it holds out, beside the fold that the whole run holds out.
        for name in sorted({pair.split for pair in whole.train}):
            seen, unseen = ([p for p in whole.train if (p.split == name) is held] for held in (False, True))
            split = Split(name, tuple(seen), tuple(unseen), (name, *whole.held_out))
            run = Run(folder / name, recipe, study.manifest, split)
            yield run
            trials.append(_trial(export_run(run), split.validation))
        held_out = _trial(study.run_folder(one_pass) / MODEL_NAME, whole.validation)
        write_masked(folder / "photos", study.manifest, trials, held_out, config=first, seed=key.seed)
    manifest = read_manifest(folder / "photos")
    train = tuple(pair for pair in manifest.usable if pair.split not in whole.held_out)
    split = Split(whole.name, train, manifest.of(whole.name), whole.held_out)
    yield Run(study.run_folder(key), key.variant.recipe(key.seed), manifest, split)


def write_masked(
    folder: Path, manifest: Manifest, training: Sequence[Trial], held_out: Trial, *, config: FirstPass, seed: int
) -> Manifest:
    """Write the photos seen through first masks, all else a flat gray, as a dataset.

    Photos to learn from are there `config.copies` times, each with another widening, as `<name>-0`, `<name>-1` ...;
    held-out ones once, under their own name. Targets are the dataset's own. Where the first network finds no garment,
    the photo is shown whole, as it would be in use.

    Args:
        folder: gets `photos/` and, last, `manifest.jsonl`.
        manifest: the dataset.
        training: first networks and the photos to learn from that they had never seen, each photo in one.
        held_out: likewise of photos to measure on.
        config: of the widening.
        seed: of the widenings.

    Raises:
        TrainingError: a photo cannot be read; names it.
        ModelError: a first network cannot be loaded.
    """
    low, high = config.dilation_px

    def widths_of(pair: Pair, *, is_held_out: bool) -> Iterator[tuple[str, int]]:
        if is_held_out:
            yield pair.name, (low + high) // 2
            return
        draws = random.Random(f"{seed} {pair.name}")
        for number in range(config.copies):
            yield f"{pair.name}-{number}", draws.randint(low, high)

    rows: list[Pair] = []
    for trial in (*training, held_out):

        def draw(cut: CutPair, *, is_held_out: bool = trial is held_out) -> list[Pair]:
            rgb, mask = srgb_of(to_8_bit(cut.photo.rgb), cut.photo.profile), mask_of(cut.alpha)
            widths = widths_of(cut.pair, is_held_out=is_held_out)
            return [
                _write_hidden(folder, manifest, cut.pair, name, rgb, widened(mask, width)) for name, width in widths
            ]

        for outcome in predict([trial], manifest, draw):
            if outcome.found is None:
                raise TrainingError(f"{outcome.pair.name}: {outcome.reason}")
            rows += outcome.found
    masked = Manifest(folder, tuple(rows), manifest.scheme, manifest.seed)
    write_manifest(masked)
    return masked


def widened(mask: NDArray[np.bool_], width_px: int) -> NDArray[np.bool_]:
    """A mask and all pixels at most `width_px` from it, as the crow flies; all of the frame if the mask is empty."""
    if not mask.any():
        return np.ones_like(mask)
    away: Any = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near: NDArray[np.bool_] = away <= width_px
    return near


def export_run(run: Run) -> Path:
    """Write a finished run's last weights as `model.onnx`, averaged if the recipe averages, if it is not there yet.

    A run also keeps the weights of its best evaluation. Those were chosen by the photos that a study scores, so their
    score there is too good, the more so the more often a variant's Dice jumps: a study does not look at them.

    Raises:
        RunError: the file would give other alphas than the network.
        TrainingError: the run is not finished, or its state cannot be read.
        OSError: a full disk, and the like.
    """
    path = run.folder / MODEL_NAME
    if not path.exists():
        network = build_network(run.recipe.network.name, **run.recipe.network.options)
        if ema_model := open_ema_model(network, run.recipe.training.ema):
            load_state(run.state_path, {"ema_model": ema_model})
            network = cast(nn.Module, ema_model.module)
        else:
            load_state(run.state_path, {"network": network})
        card = card_of_network(network, run.spec(last_evaluation(run)))
        write_atomic(path, export_network(network, card))
    return path


def score_run(run: Run, pairs: Sequence[Pair] | None = None) -> list[PhotoScore]:
    """Cut and measure the photos that a finished run held out; the rows are kept in its folder.

    Args:
        run: finished.
        pairs: other photos than those it was measured on.

    Raises:
        TrainingError: not one of the photos could be read.
        ModelError, RunError, OSError: as `export_run`.
    """
    trial = _trial(export_run(run), tuple(pairs or run.split.validation))
    scores = list(evaluate([trial], run.manifest))
    if all(score.measures is None for score in scores):
        raise TrainingError(f"{scores[0].name}: {scores[0].reason}; nor could any other held-out photo be measured")
    write_scores(scores, run.folder)
    return scores


def last_evaluation(run: Run) -> Evaluated:
    """A run's last evaluation of its held-out photos, at the training's size.

    Raises:
        TrainingError: there was none.
    """
    rows = [row for row in read_journal(run.folder / JOURNAL_NAME) if row["kind"] == "evaluation"]
    if not rows:
        raise TrainingError(f"{run.folder} holds no finished training; delete it, and run the same command again")
    return Evaluated(rows[-1]["step"], rows[-1]["mean_dice"], rows[-1]["median_dice"], rows[-1]["loss"], is_best=False)


def _trial(model: Path, pairs: tuple[Pair, ...]) -> Trial:
    return Trial(model, read_model(model)[1], pairs)


def _write_hidden(
    folder: Path, manifest: Manifest, pair: Pair, name: str, rgb: NDArray[np.uint8], shown: NDArray[np.bool_]
) -> Pair:
    """Write a photo of which only a part is shown; its row."""
    content = png_bytes(np.where(shown[..., None], rgb, np.uint8(HIDDEN_LEVEL)))
    write_atomic(folder / "photos" / f"{name}.png", content)
    return replace(
        pair,
        name=name,
        photo=f"photos/{name}.png",
        photo_sha256=hashlib.sha256(content).hexdigest(),
        cutout=manifest.path_of(pair.cutout).resolve().as_posix(),
        alpha=manifest.path_of(pair.alpha).resolve().as_posix(),
    )


def _guarded(words: str, claim: JobClaim, job: Job) -> Iterator[Event]:
    """A job whose claim is closed however it ends; what is wrong with one must not stop the others."""
    try:
        yield Began(words)
        finished = yield from job
    except Interrupted as stop:
        claim.close("interrupted", reason=str(stop))
        finished = Finished(words, "interrupted", str(stop))
    except Exception as error:  # noqa: BLE001 a row with its reason
        reason = _reason(error)
        claim.close("failed", reason=reason)
        finished = Finished(words, "failed", reason)
    except BaseException:
        claim.close("interrupted", reason="broken off")
        raise
    finally:
        # Let go of the last training's memory and compiled code: a study trains many networks in one process.
        gc.collect()
        torch.compiler.reset()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    yield finished


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "not enough memory"
    text = " ".join(str(error).split())
    # Ours, and the system's, say what is wrong; of others the kind says more.
    return text if text and isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"
