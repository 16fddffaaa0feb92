"""Runs a study's jobs one after another: trains and measures. Several processes may share the jobs.

The network of a run's last step is measured: its weights become a model file, which cuts the held-out photos. A run of
a second pass has several trainings. The second network sees photos through the masks of a first network, which are
worse on new photos. If it were trained with the retoucher's masks, or with masks of photos that the first network was
trained on, it would trust masks too much. So each training photo's first mask comes from a network that has not seen
it, and the masks of held-out photos from one that has seen none of them.
"""

import gc
import hashlib
import itertools
import random
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from garmentcut.dataset.manifest import MANIFEST_NAME, Manifest, Pair, read_manifest, write_manifest
from garmentcut.errors import TrainingError
from garmentcut.evaluation.metrics import distance_to, mask_of
from garmentcut.evaluation.predict import MODEL_NAME, CutPair, Trial, predict
from garmentcut.evaluation.scores import PhotoScore, evaluate, write_scores
from garmentcut.export.onnx import card_of_network, export_network
from garmentcut.model.card import read_model
from garmentcut.model.networks import build_network
from garmentcut.photo.color import srgb_of
from garmentcut.photo.files import write_atomic
from garmentcut.photo.photo import to_8_bit
from garmentcut.photo.write import png_bytes
from garmentcut.study.declare import RANGE_TEST_KEY, RATE, FirstPass, Setting, Variant, words_of
from garmentcut.study.plan import JobClaim, Registry, RunKey, Study, attempts_at, choices_of, should_prune, take_attempt
from garmentcut.training.devices import Devices, launched
from garmentcut.training.logging import JOURNAL_NAME, Ended, Evaluated, read_journal
from garmentcut.training.loop import train_runs
from garmentcut.training.optim import open_ema_model
from garmentcut.training.run import Run, Split, load_state
from garmentcut.training.trial import try_rates

SCORES_NAME = "scores.jsonl"

HIDDEN_LEVEL = 128  # value of all three channels where a photo is hidden from a second pass
_WAIT_S = 2.0

Said = Generator[str, None, None]  # progress messages for a person who watches


class Stopped(Exception):  # noqa: N818 - not an error
    """A training was `interrupted`, for a reason, or `pruned`."""


@dataclass
class StudySession:
    """One process's work on a study."""

    study: Study
    registry: Registry
    devices: Devices
    minutes: float | None = None  # stop after this time; None: never
    wait: Callable[[], None] = lambda: time.sleep(_WAIT_S)  # called while other processes hold all remaining jobs
    interrupted: str = ""  # why it stopped before everything was done; empty: it did not
    _began: float = field(default_factory=time.monotonic)

    def work(self) -> Said:
        """Do all jobs, or as many as the time allows; failures are recorded and do not stop the others."""
        has_said_so = False
        while not self.interrupted:
            if self._minutes_left() == 0:
                self.interrupted = "time is up"
                return
            is_shared = self._others_at_work()  # checked first, so that jobs released meanwhile are found below
            if job := self._next_job():
                has_said_so = False
                yield from job
            elif not (is_shared or self._others_at_work()):  # others may have begun what was free a moment ago
                return
            else:
                if not has_said_so:
                    yield "all that is left is under way in other processes; waiting for them"
                has_said_so = True
                self.wait()

    def _next_job(self) -> Said | None:
        chosen, failures = choices_of(self.study, self.registry)
        for variant in self.study.variants:
            if variant.name not in chosen | failures and (claim := take_attempt(self.registry, variant)):
                words = f"{variant.name}, choosing: {words_of(claim.record.setting) or RANGE_TEST_KEY}"
                return self._do(words, claim, self._try(variant, claim))
        done = {key.path for key in self.study.keys if self.registry.record(key.job).outcome == "done"}
        for key in self.study.keys:
            scores = self.study.run_folder(key) / SCORES_NAME
            if key.variant.name not in chosen or (key.path in done and scores.is_file()):
                continue
            first = key.variant.table.first_pass  # the first networks are those of another variant's run
            if first and replace(key, variant=self.study.variant(first.variant)).path not in done:
                continue
            if claim := self.registry.take(key.job, is_kept=scores.is_file):
                return self._do(key.words, claim, self._measure(key, chosen[key.variant.name].setting, claim))
        return None

    def _do(self, words: str, claim: JobClaim, job: Said) -> Said:
        """Do a job, and close its claim however it ends; a failure must not stop the other jobs."""
        outcome, reason = "failed", ""
        try:
            yield f"{words}: begins"
            for said in job:
                yield f"{words}: {said}"
            outcome = "done"
        except Stopped as stop:
            outcome, reason = stop.args
            self.interrupted = reason if outcome == "interrupted" else ""
        except Exception as error:  # noqa: BLE001 - recorded with its reason
            reason = _reason(error)
        except BaseException:
            outcome, reason = "interrupted", "broken off"
            raise
        finally:
            claim.close(outcome, reason)
            # Release the last training's memory and compiled code, as a study trains many networks in one process.
            gc.collect()
            torch.compiler.reset()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        dice = "" if claim.record.dice is None else f", Dice {claim.record.dice:.4f}"
        yield f"{words}: {outcome}{dice}{': ' if reason else ''}{reason}"

    def _measure(self, key: RunKey, setting: Setting, claim: JobClaim) -> Said:
        """Train and measure a run. It is never pruned, because the remaining runs would look too good."""
        for run in trainings_of(self.study, key, setting):
            yield from self._train(run)
        claim.save(dice=fmean(score.measures.dice for score in score_run(run) if score.measures))

    def _try(self, variant: Variant, claim: JobClaim) -> Said:
        """Try a setting of a variant; it is judged by the mean over its runs so far."""
        finals: list[float] = []
        tune, setting = variant.file.tune, claim.record.setting
        for seed, fold in itertools.product(tune.seeds, tune.folds):
            recipe, split = variant.recipe(seed, setting, tuning=True), self.study.split_of(variant, seed, fold)
            folder = self.study.folder / claim.name / f"seed{seed}-fold{fold}"
            run, steps = Run(folder, recipe, self.study.manifest, split), recipe.training.steps
            if variant.table.range_test:
                with run.held(), launched(self.devices, recipe.training) as fabric:
                    rate = try_rates(run, fabric)
                if rate is None:
                    raise TrainingError("the loss never falls, at no learning rate")
                claim.save(setting={RATE: rate})
                return
            yield from self._train(run, partial(self._judge, variant, claim, finals, steps))
            finals.append(last_evaluation(run).mean_dice)
        claim.save(dice=fmean(finals))

    def _judge(self, variant: Variant, claim: JobClaim, finals: Sequence[float], steps: int, event: Evaluated) -> None:
        """Add an evaluation to a setting's curve; a search prunes a setting that does badly."""
        point = len(finals) * steps + event.step, fmean([*finals, event.mean_dice])
        claim.save(curve=(*claim.record.curve, point))
        others = attempts_at(self.registry, variant) if variant.table.listed is None else ()
        if should_prune(claim.record.curve, others, steps=steps):
            raise Stopped("pruned", "")

    def _train(self, run: Run, judge: Callable[[Evaluated], None] = lambda _: None) -> Said:
        """Train a run to its end, resuming it if it was begun; `judge` sees each evaluation and may stop it."""
        with closing(train_runs([run], self.devices, minutes=self._minutes_left())) as events:
            for _, event in events:
                if isinstance(event, Evaluated):
                    yield f"step {event.step}/{run.recipe.training.steps}, Dice {event.mean_dice:.4f}"
                    judge(event)
                if isinstance(event, Ended) and not event.finished:
                    raise Stopped("interrupted", event.reason)

    def _others_at_work(self) -> bool:
        tuned = (attempts_at(self.registry, variant) for variant in self.study.variants if variant.table.is_tuned)
        records = itertools.chain(*tuned, (self.registry.record(key.job) for key in self.study.keys))
        return any(record.outcome == "running" for record in records)

    def _minutes_left(self) -> float | None:
        if self.minutes is None:
            return None
        return max(self.minutes - (time.monotonic() - self._began) / 60, 0.0)


def trainings_of(study: Study, key: RunKey, chosen: Setting) -> Iterator[Run]:
    """Yield the trainings of a run; the caller must finish each before it asks for the next. The last is measured."""
    first = key.variant.table.first_pass
    if first is None:
        yield study.run_of(key, chosen)
        return
    one_pass = replace(key, variant=study.variant(first.variant))
    folder, whole = study.folder / "first" / key.path, study.splits[key.fold]
    if not (folder / "photos" / MANIFEST_NAME).exists():
        recipe, trials = one_pass.variant.recipe(key.seed), []
        # One training for each other fold, which is held out in addition to the fold that the run holds out.
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
) -> None:
    """Write the photos, flat gray outside their first masks, as a dataset: `photos/`, then `manifest.jsonl`.

    Training photos are written `config.copies` times as `<name>-0`, `<name>-1` ..., each with another widening of the
    mask; held-out photos once, under their own name. `training` and `held_out` pair each photo with a first network
    that has not seen it. Targets are those of the dataset. If the first network finds no garment, the whole photo is
    shown, as when cutting.

    Raises:
        TrainingError: a photo cannot be read; the message names it.
        ModelError: a first network cannot be loaded.
    """
    low, high = config.dilation_px
    measured_on = {pair.name for pair in held_out.pairs}

    def hide(cut: CutPair) -> list[Pair]:
        rgb, mask = srgb_of(to_8_bit(cut.photo.rgb), cut.photo.profile), mask_of(cut.alpha)
        widths = {cut.pair.name: (low + high) // 2}
        if cut.pair.name not in measured_on:
            draws = random.Random(f"{seed} {cut.pair.name}")
            widths = {f"{cut.pair.name}-{number}": draws.randint(low, high) for number in range(config.copies)}
        texts = cut.pair.cutout, cut.pair.alpha
        cutout, alpha = (manifest.path_of(text).resolve().as_posix() for text in texts)
        rows = []
        for name, width in widths.items():
            content = png_bytes(np.where(widened(mask, width)[..., None], rgb, np.uint8(HIDDEN_LEVEL)))
            photo, digest = f"photos/{name}.png", hashlib.sha256(content).hexdigest()
            write_atomic(folder / photo, content)
            rows.append(replace(cut.pair, name=name, photo=photo, photo_sha256=digest, cutout=cutout, alpha=alpha))
        return rows

    rows: list[Pair] = []
    for outcome in predict([*training, held_out], manifest, hide):
        if outcome.found is None:
            raise TrainingError(f"{outcome.pair.name}: {outcome.reason}")
        rows += outcome.found
    write_manifest(Manifest(folder, tuple(rows), manifest.scheme, manifest.seed))


def widened(mask: NDArray[np.bool_], width_px: int) -> NDArray[np.bool_]:
    """A mask and all pixels within a Euclidean distance of `width_px` from it; the whole frame if it is empty."""
    return np.asarray(distance_to(mask) <= width_px) if mask.any() else np.ones_like(mask)


def export_run(run: Run) -> Path:
    """Write a finished run's last weights, averaged if the recipe averages, as `model.onnx`, unless it exists.

    A run also keeps the weights of its best evaluation. Those were chosen by the photos that a study scores, so their
    score is too good, the more so the more a variant's Dice fluctuates. Therefore a study does not use them.

    Raises:
        RunError: the file gives other alphas than the network.
        TrainingError: the run is not finished, or its state cannot be read.
        OSError: such as a full disk.
    """
    path = run.folder / MODEL_NAME
    if not path.exists():
        network = build_network(run.recipe.network.name, **run.recipe.network.options)
        ema_model = open_ema_model(network, run.recipe.training.ema)
        load_state(run.state_path, {"ema_model": ema_model} if ema_model else {"network": network})
        network = cast(Any, ema_model.module) if ema_model else network
        card = card_of_network(network, run.spec(last_evaluation(run)))
        write_atomic(path, export_network(network, card))
    return path


def score_run(run: Run) -> list[PhotoScore]:
    """Cut and measure the photos that a finished run held out; the rows are stored in its folder.

    Raises:
        TrainingError: none of the photos could be read.
        ModelError, RunError, OSError: as `export_run`.
    """
    scores = list(evaluate([_trial(export_run(run), run.split.validation)], run.manifest))
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


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "not enough memory"
    text = " ".join(str(error).split())
    # Messages of garmentcut and the system say what is wrong; for other errors the type says more.
    return text if text and isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {text}"
