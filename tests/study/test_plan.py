import math
import os
import signal
import traceback
import warnings
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace

import pytest

from garmentcut.dataset.manifest import read_manifest
from garmentcut.model.checkpoint import NetworkSpec, save_network
from garmentcut.model.networks import build_network
from garmentcut.photo.files import FolderLock
from garmentcut.study.declare import StudyError
from garmentcut.study.plan import (
    Choice,
    Chosen,
    JobRecord,
    Registry,
    open_study,
    should_prune,
    take_attempt,
)

SIZES = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "all"
seeds = [0, 1]
folds = [0]
[variants.all]
[variants.two]
garments = 2
[variants.five]
garments = 5
"""


def test_names_and_folders(make_study, tmp_path):
    study = make_study()
    key = study.keys[1]
    assert (key.path, key.words) == ("slow/seed0-fold0", "slow, seed 0, fold 0")
    run = study.run_of(key, {"loss.dice": 7.0})
    assert run.folder == tmp_path / "out/runs/slow/seed0-fold0"
    assert (run.recipe.loss.dice, run.recipe.training.seed, run.recipe.optimizer.lr) == (7.0, 0, 1e-9)
    assert run.split.held_out == ("fold0",)
    assert {pair.split for pair in run.split.train} == {"fold1", "fold2"}


def test_a_choice_of_parts(make_study):
    study = make_study(choice=Choice(seeds=(3,), folds=(2,), settings={"training.steps": "9"}))
    assert [key.path for key in study.keys] == ["fast/seed3-fold2", "slow/seed3-fold2"]
    assert study.run_of(study.keys[0], {}).recipe.training.steps == 9


def test_a_start_that_knows_the_photos_of_a_fold_is_refused(make_study, tmp_path):
    first = make_study()
    run = first.run_of(first.keys[0], {})
    network = build_network(run.recipe.network.name, **run.recipe.network.options)
    held = run.split.validation[0].photo_sha256[:12]
    facts = {"trained_on": [held]}
    save_network(tmp_path / "parent", network, NetworkSpec(run.recipe.network.name, {}, (64, 64), "alpha", facts))
    settings = {"network.start": str(tmp_path / "parent")}
    with pytest.raises(StudyError, match=r"have learned from 1 photo of fold 0, .* --seen to continue"):
        make_study(choice=Choice(settings=settings))
    assert make_study(choice=Choice(settings=settings, use_seen=True)).keys
    assert make_study(choice=Choice(settings=settings, folds=(1,))).keys  # which it has not seen


def test_smaller_numbers_of_garments_are_among_larger_ones(make_study):
    study = make_study(SIZES)
    drawn = {}
    for key in study.keys:
        split = study.split_of(key.variant, key.seed, key.fold)
        drawn[key.variant.name, key.seed] = {pair.garment for pair in split.train}
        assert split.validation == study.splits[0].validation
    for seed in (0, 1):
        assert [len(drawn[name, seed]) for name in ("two", "five", "all")] == [2, 5, 6]
        assert drawn["two", seed] < drawn["five", seed] < drawn["all", seed]
    assert drawn["two", 0] != drawn["two", 1]


def test_more_garments_than_there_are(make_study):
    with pytest.raises(StudyError, match="learns from 7 garments, fold 0 leaves 6"):
        make_study(SIZES.replace("garments = 5", "garments = 7"))


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        (Choice(folds=(9,)), "has no split 'fold9'"),
        (Choice(variants=("none",)), "there is no variant 'none'"),
        (Choice(settings={"training.step": "1"}), "did you mean training.steps"),
    ],
)
def test_parts_that_are_not_there(make_study, choice, says):
    with pytest.raises(StudyError, match=says):
        make_study(choice=choice)


def test_seeds_that_it_is_tuned_on(make_study):
    text = SIZES.replace("garments = 2", "tune.loss.dice = [1, 2]") + "[tune]\nseeds = [5]\nfolds = [1]\n"
    with pytest.raises(StudyError, match=r"with these seeds and folds: tune\.seeds: 5 is in the report"):
        make_study(text, Choice(seeds=(5,)))


def test_a_second_pass_needs_its_first(study_file, dataset, tmp_path):
    text = """
    title = "t"
    question = "q"
    recipe = "base.toml"
    reference = "plain"
    seeds = [0]
    folds = [0]
    [variants.plain]
    [variants.one]
    loss.dice = 2
    [variants.two]
    first_pass = { variant = "one" }
    """
    path, manifest = study_file(text), read_manifest(dataset)
    assert open_study(path, manifest, tmp_path).keys[-1].variant.name == "two"
    with pytest.raises(StudyError, match="variant 'two' needs variant 'one'"):
        open_study(path, manifest, tmp_path, Choice(variants=("two",)))


NOTHING = {name: Chosen({}, None, 0, 0) for name in ("fast", "slow")}


def test_the_same_study_comes_back(make_study):
    study = make_study()
    study.claim_folder()
    study.claim_folder()


def test_something_else_is_there(make_study, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/photo.jpg").write_text("x")
    with pytest.raises(StudyError, match="not empty, and not a study's"):
        make_study().claim_folder()


def test_other_pairs_or_splits(make_study):
    study = make_study()
    study.claim_folder()
    manifest = study.manifest
    fewer = replace(manifest, pairs=manifest.pairs[:-1])
    first, *rest = manifest.pairs
    elsewhere = "fold1" if first.split == "fold0" else "fold0"
    moved = replace(manifest, pairs=(replace(first, split=elsewhere), *rest))
    for other, says in ((fewer, "the pairs have changed"), (moved, "the splits have changed")):
        with pytest.raises(StudyError, match=says):
            replace(study, manifest=other).claim_folder()


def test_a_folder_that_cannot_be_made(make_study, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StudyError, match="choose another --out"):
        make_study().claim_folder()


def test_runs_of_other_settings_are_not_passed_off_as_these(make_study):
    study = make_study()
    run = study.run_of(study.keys[0], {})
    run.write({})
    study.check_recipes(NOTHING)
    changed = make_study(choice=Choice(settings={"training.steps": 9}))
    with pytest.raises(StudyError, match=r"other runs of variant 'fast': training.steps was 4, is 9\. Choose another"):
        changed.check_recipes(NOTHING)
    changed.check_recipes({})  # nothing is known yet of what it is to be


def share(folder, told):
    """Take jobs and do them until there are no more."""
    registry = Registry(folder)
    for number in range(6):
        if claim := registry.take(f"runs/job{number}"):
            claim.save(dice=0.5)
            claim.close("done")
            os.write(told, f"{claim.name}\n".encode())  # whole, between the other's lines


def hold(folder, told):
    """Take a job and keep it."""
    claim = Registry(folder).take("runs/job")  # given back once it is forgotten
    claim.save(curve=((3, 0.25),))
    os.write(told, b"holding\n")
    signal.alarm(600)  # should nobody be left to kill it
    signal.pause()


def start(work, *args):
    """A process forked from this one, which has loaded torch, that does some work and ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of this one's other threads, which the work does not need
        child = os.fork()
    if not child:
        code = 1
        try:
            work(*args)
            code = 0
        except Exception:  # noqa: BLE001 - told, and seen in the exit code
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


@pytest.fixture(scope="module")
def forked(tmp_path_factory):
    """Two folders of a registry, the jobs that two processes took of one, and what kills the holder of the other's."""
    folders, (reading, told) = [tmp_path_factory.mktemp(name) for name in ("shared", "held")], os.pipe()
    children = [start(share, folders[0], told) for _ in range(2)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    holders = [start(hold, folders[1], told)]
    os.close(told)

    def kill():
        while holders:
            os.kill(holders[-1], signal.SIGKILL)
            os.waitpid(holders.pop(), 0)

    with os.fdopen(reading) as lines:
        taken = []
        while (line := lines.readline().strip()) != "holding":
            assert line, "it ended before its time"
            taken.append(line)
        yield *folders, taken, kill
        kill()


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path)


def test_a_job_is_taken_once(registry):
    assert registry.record("runs/job") == JobRecord()
    claim = registry.take("runs/job")
    assert registry.take("runs/job") is None
    assert registry.record("runs/job").outcome == "running"
    claim.save(dice=0.75)
    claim.close("done")
    assert (registry.record("runs/job").outcome, registry.record("runs/job").dice) == ("done", 0.75)
    assert registry.take("runs/job") is None


def test_jobs_of_the_same_last_name_are_apart(registry):
    registry.take("runs/job").close("done")
    assert registry.take("tune/a/job") is not None


def test_it_is_done_again_if_what_it_made_is_gone(registry):
    registry.take("runs/job").close("done")
    assert registry.take("runs/job", is_kept=lambda: True) is None
    assert registry.take("runs/job", is_kept=lambda: False) is not None


def test_a_failed_job_is_tried_again_by_the_next_command_only(tmp_path):
    registry = Registry(tmp_path)
    registry.take("runs/job").close("failed", "no memory")
    assert (registry.record("runs/job").outcome, registry.record("runs/job").reason) == ("failed", "no memory")
    assert registry.take("runs/job") is None
    registry = Registry(tmp_path)
    assert registry.take("runs/job", tries_again=False) is None
    registry.take("runs/job").close("failed", "again")
    assert registry.take("runs/job") is None
    assert registry.record("runs/job").reason == "again"


def test_a_job_fails_once_even_if_the_clock_is_set_back(registry, monkeypatch):
    """Before, it was tried again and again until the clock had caught up."""
    monkeypatch.setattr("garmentcut.study.plan.time.time", lambda: 1.0)
    registry.take("runs/job").close("failed", "no memory")
    assert registry.take("runs/job") is None


def test_an_interrupted_job_goes_on(registry):
    registry.take("runs/job").close("interrupted", "time is up")
    assert registry.record("runs/job").outcome == "interrupted"
    assert registry.take("runs/job") is not None


def test_a_check_keeps_nobody_from_taking_the_job(tmp_path, monkeypatch):
    """A process that found the job of a killed one locked by another's check would take it for under way, and end."""
    checking, other = Registry(tmp_path), Registry(tmp_path)
    checking.take("runs/job").lock.release()
    release, taking = FolderLock.release, []
    with ThreadPoolExecutor() as pool, monkeypatch.context() as patched:

        def release_slowly(lock):
            if lock.path.name == "job.lock" and not taking:
                taking.append(pool.submit(other.take, "runs/job"))
                wait(taking, timeout=0.3)
            release(lock)

        patched.setattr(FolderLock, "release", release_slowly)
        checking.record("runs/job")
        assert taking[0].result() is not None


def test_a_record_keeps_what_json_and_unicode_have_no_signs_for(registry):
    claim = registry.take("runs/job")
    claim.save(setting={"optimizer.clip": math.inf}, curve=((1, 0.5), (2, math.nan)))
    claim.close("failed", "photos/b\udce8ret.png: damaged")
    record = registry.record("runs/job")
    assert (record.reason, record.setting) == ("photos/b\udce8ret.png: damaged", {"optimizer.clip": math.inf})
    assert math.isnan(record.curve[1][1])


def test_two_processes_share_the_jobs(forked):
    shared, _, taken, _ = forked
    names = [f"runs/job{number}" for number in range(6)]
    assert sorted(taken) == names
    assert {Registry(shared).record(name).outcome for name in names} == {"done"}


def test_a_killed_processs_job_is_taken_over(forked):
    _, held, _, kill = forked
    registry = Registry(held)
    assert registry.record("runs/job").outcome == "running"
    assert registry.take("runs/job") is None
    kill()
    record = registry.record("runs/job")
    assert (record.outcome, record.reason, record.curve) == ("interrupted", "its process was killed", ((3, 0.25),))
    claim = registry.take("runs/job")
    assert claim.record.curve == ()  # it begins anew
    claim.close("done")
    assert registry.record("runs/job").outcome == "done"


SEARCH = """
[tune]
seeds = [5]
folds = [1]
trials = 3
[variants.one]
tune.optimizer.lr = { low = 0.1, high = 1.0 }
tune.loss.dice = [1.0, 2.0]
"""


def test_a_search_draws_so_many_and_goes_on_with_what_was_left(make_study, study_head, registry):
    (variant,) = make_study(study_head + SEARCH).variants
    first, second = (take_attempt(registry, variant) for _ in range(2))
    assert 0.1 <= first.record.setting["optimizer.lr"] <= 1
    assert first.record.setting["loss.dice"] in (1.0, 2.0)
    assert second.record.setting != first.record.setting
    first.save(dice=0.1)
    first.close("done")
    second.close("interrupted", "time is up")
    resumed = take_attempt(registry, variant)
    assert (resumed.name, resumed.record.setting) == (second.name, second.record.setting)
    resumed.close("failed", "no number")  # counts, and is not tried again
    third = take_attempt(Registry(registry._folder.parent), variant)
    assert third.name not in (first.name, second.name)
    third.save(dice=0.2)
    third.close("done")
    assert take_attempt(registry, variant) is None


def test_what_is_below_the_median_should_prune():
    others = [JobRecord("done", dice=0.9, curve=((10, 0.8 + number / 100), (20, 0.9))) for number in range(6)]
    assert not should_prune(((10, 0.83),), others, steps=30)
    assert should_prune(((10, 0.81),), others, steps=30)
    assert not should_prune(((5, 0.85), (10, 0.7)), others, steps=30)  # it was better
    assert not should_prune(((10, 0.1),), others, steps=31)  # too early
    assert not should_prune(((11, 0.1),), others, steps=30)  # nothing to compare with
    assert not should_prune(((10, 0.1),), others[:4], steps=30)
    assert not should_prune(((10, 0.1),), [replace(one, outcome="pruned") for one in others], steps=30)


def test_a_record_that_is_none(tmp_path):
    registry = Registry(tmp_path)
    registry.take("runs/job").close("done")
    (tmp_path / "jobs/runs/job.json").write_text("something else")
    with pytest.raises(StudyError, match=r"job\.json cannot be read .*delete it"):
        registry.record("runs/job")
