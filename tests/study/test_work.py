"""Working through a study: order, failures, stops, several at once."""

import pytest

from garmentcut.errors import TrainingError
from garmentcut.study.jobs import Began, Finished, Looked
from garmentcut.study.ledger import Ledger
from garmentcut.study.results import gather
from garmentcut.study.work import RUNS, Sitting, Waiting
from garmentcut.training.devices import Devices
from garmentcut.training.logging import LossError

CPU = Devices("cpu")
TUNED = """
title = "t"
question = "q"
recipe = "base.toml"
reference = "plain"
seeds = [0]
folds = [0, 1]
[tune]
seeds = [5, 6]
folds = [2]
settings.training.steps = 2
[arms.plain]
[arms.tuned]
tune.optimizer.lr = [0.1, 0.2, 0.3]
"""


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "out") as opened:
        yield opened


def work(study, ledger, **options):
    sitting = Sitting(study, ledger, CPU, **options)
    return sitting, list(sitting.work())


def names(fake):
    return ["/".join(folder.parts[-2:]) for folder in fake.trained]


def test_seed_by_seed_and_fold_by_fold_so_that_a_part_can_be_compared(make_study, ledger, fake_training):
    sitting, told = work(make_study(), ledger)
    cells = [f"{arm}/seed{seed}-fold{fold}" for seed in (0, 1) for fold in (0, 1) for arm in ("fast", "slow")]
    assert names(fake_training) == cells
    assert [type(event) for event in told[:4]] == [Began, Looked, Looked, Finished]
    assert told[3] == Finished("fast, seed 0, fold 0", "done", mean_dice=pytest.approx(0.9))
    assert sitting.interrupted == ""
    assert [entry.value for entry in ledger.entries(RUNS).values()] == pytest.approx([0.9] * 8)


def test_what_is_done_is_not_done_again(make_study, ledger, fake_training):
    study = make_study()
    work(study, ledger)
    assert work(study, ledger)[1] == []
    (study.run_folder(study.cells[3]) / "scores.jsonl").unlink()
    work(study, ledger)
    assert names(fake_training)[8:] == [study.cells[3].key]


def test_a_run_that_fails_is_a_row_and_the_others_go_on(make_study, tmp_path, ledger, fake_training):
    def dice(run):
        if run.folder.parts[-2:] == ("slow", "seed0-fold0"):
            raise LossError("the loss is nan at step 3")
        if run.folder.parts[-2:] == ("slow", "seed0-fold1"):
            raise MemoryError
        if run.folder.parts[-2:] == ("fast", "seed1-fold1"):
            raise KeyError("bug")
        return 0.9

    fake_training.dice = dice
    study = make_study()
    sitting, told = work(study, ledger)
    results = gather(study, ledger, chosen=sitting.chosen, hopeless={})
    assert {run.cell.key: run.reason for run in results.runs if run.is_failed} == {
        "slow/seed0-fold0": "the loss is nan at step 3",
        "slow/seed0-fold1": "not enough memory",
        "fast/seed1-fold1": "KeyError: 'bug'",
    }
    assert sum(isinstance(event, Finished) and event.outcome == "done" for event in told) == 5
    fake_training.dice = lambda _: 0.9
    with Ledger(tmp_path / "out") as later:  # the next command tries them again
        work(study, later)
        assert gather(study, later, chosen={}, hopeless={}).num_unfinished == 0


def test_asked_to_stop_it_stops_and_goes_on_later(make_study, ledger, fake_training):
    study = make_study()
    fake_training.stop_at = 4
    sitting, told = work(study, ledger)
    assert sitting.interrupted == "interrupted"
    assert told[-1] == Finished("fast, seed 0, fold 0", "interrupted", "interrupted")
    assert gather(study, ledger, chosen={}, hopeless={}).runs[0].outcome == "interrupted"
    assert work(study, ledger)[0].interrupted == ""
    assert len(fake_training.trained) == 8


def test_broken_off_at_once_it_lets_go(make_study, ledger, fake_training):
    def dice(_):
        raise KeyboardInterrupt

    fake_training.dice = dice
    with pytest.raises(KeyboardInterrupt):
        work(make_study(), ledger)
    entry = ledger.entries(RUNS)["fast/seed0-fold0"]
    assert entry.outcome == "interrupted"
    assert not ledger.is_held(RUNS, entry.key)


def test_no_time_left(make_study, ledger, fake_training):
    sitting, told = work(make_study(), ledger, minutes=0)
    assert (sitting.interrupted, told, fake_training.trained) == ("time is up", [], [])


def test_what_another_process_holds_is_waited_for(make_study, tmp_path, ledger, fake_training):
    study = make_study()
    with Ledger(tmp_path / "out") as others:
        held = others.take(RUNS, "slow/seed1-fold1")
        waits = []

        def wait():
            waits.append(len(fake_training.trained))
            if len(waits) == 2:
                held.close("interrupted", reason="its user went home")

        _, told = work(study, ledger, wait=wait)
    assert waits == [7, 7]
    assert sum(isinstance(event, Waiting) for event in told) == 1
    assert names(fake_training)[-1] == "slow/seed1-fold1"  # left behind, so taken up


def test_an_arm_is_tuned_before_it_is_run(make_study, ledger, fake_training):
    fake_training.dice = lambda run: 0.9 - (run.recipe.optimizer.lr - 0.2) ** 2
    study = make_study(TUNED)
    sitting, told = work(study, ledger)
    tuned = names(fake_training)[:6]
    assert tuned == [f"lr-{lr}/seed{seed}-fold2" for lr in (0.1, 0.2, 0.3) for seed in (5, 6)]
    assert told[0] == Began("tuned, choosing: lr 0.1")
    assert sitting.chosen["tuned"].setting == {"optimizer.lr": 0.2}
    assert sitting.chosen["tuned"].dice == pytest.approx(0.9)
    assert sitting.chosen["plain"].setting == {}
    run = study.run_of(study.cells[1], sitting.chosen["tuned"].setting)
    assert (run.recipe.optimizer.lr, run.recipe.training.steps) == (0.2, 4)
    assert names(fake_training)[6:] == [f"{arm}/seed0-fold{fold}" for fold in (0, 1) for arm in ("plain", "tuned")]


def test_an_arm_that_cannot_be_tuned_is_not_run(make_study, ledger, fake_training):
    def dice(run):
        if "tune" in run.folder.parts:
            raise TrainingError("never falls")
        return 0.9

    fake_training.dice = dice
    study = make_study(TUNED)
    sitting, _ = work(study, ledger)
    assert "nothing could be chosen, every attempt failed, the first because: never falls" in sitting.hopeless["tuned"]
    results = gather(study, ledger, chosen=sitting.chosen, hopeless=sitting.hopeless)
    assert [(run.outcome, run.is_failed) for run in results.of(study.arms[1])] == [("not run", True)] * 2
    assert all(run.outcome == "done" for run in results.of(study.arms[0]))


def test_a_search_gives_bad_settings_up(make_study, ledger, fake_training):
    fake_training.dice = lambda run: 0.9 - (run.recipe.optimizer.lr - 0.2) ** 2
    text = TUNED.replace("[0.1, 0.2, 0.3]", "{ low = 0.01, high = 0.9 }").replace("[tune]", "[tune]\ntrials = 24")
    study = make_study(text)
    sitting, told = work(study, ledger)
    chosen = sitting.chosen["tuned"]
    assert chosen.num_tried == 24
    assert abs(chosen.setting["optimizer.lr"] - 0.2) < 0.15
    assert any(isinstance(event, Finished) and event.outcome == "pruned" for event in told)


def test_a_range_tests_rate_is_taken(make_study, ledger, fake_training, monkeypatch):
    monkeypatch.setattr("garmentcut.study.jobs.Trainer.test_range", lambda _self, _run: 0.0625)
    text = TUNED.replace("tune.optimizer.lr = [0.1, 0.2, 0.3]", "range_test = true")
    sitting, _ = work(make_study(text), ledger)
    assert sitting.chosen["tuned"].setting == {"optimizer.lr": 0.0625}
    assert len(fake_training.trained) == 4
