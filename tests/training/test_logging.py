import json
import math
import sys
import time
from types import ModuleType, SimpleNamespace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from garmentcut.errors import TrainingError
from garmentcut.training.logging import LossError, LossWatch, TrainingJournal, read_journal
from garmentcut.training.loop import train
from garmentcut.training.losses import Loss


class Asked:
    """Asks to stop after some looks."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def reason(self):
        self.looks -= 1
        return "interrupted" if self.looks == 0 else ""


def write(folder, steps, *, last_step):
    with TrainingJournal(folder, last_step=last_step) as journal:
        for step in steps:
            journal.append("step", step, {"loss": 1 / step, "lr": 1e-3})


def test_rows_come_back(tmp_path):
    write(tmp_path, [1, 2, 3], last_step=0)
    rows = read_journal(tmp_path / "journal.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[2] == {"kind": "step", "step": 3, "loss": 0.333333, "lr": 0.001}


def test_what_is_no_finite_number_is_null(tmp_path):
    with TrainingJournal(tmp_path, last_step=0) as journal:
        journal.append("evaluation", 1, {"loss": float("nan"), "mean_dice": 0.5})
    assert '"loss": null, "mean_dice": 0.5' in (tmp_path / "journal.jsonl").read_text()


def test_a_row_stands_on_disk_at_once(tmp_path):
    with TrainingJournal(tmp_path, last_step=0) as journal:
        journal.append("evaluation", 1, {"mean_dice": 0.5})
        assert json.loads((tmp_path / "journal.jsonl").read_text())["mean_dice"] == 0.5


def test_no_step_stands_in_it_twice_after_a_resume(tmp_path):
    write(tmp_path, range(1, 8), last_step=0)
    write(tmp_path, range(5, 10), last_step=4)  # killed after 7, resumed from a checkpoint of 4
    assert [row["step"] for row in read_journal(tmp_path / "journal.jsonl")] == list(range(1, 10))


def test_nor_in_tensorboard(tmp_path):
    write(tmp_path, range(1, 8), last_step=0)
    time.sleep(1.1)  # TensorBoard sorts its files by name: by the second, then 10 before 9 of those of one process
    write(tmp_path, range(5, 10), last_step=4)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("step/loss")] == list(range(1, 10))


def test_mlflow_gets_the_same_numbers(small_run, fabric, never, tmp_path, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = small_run()
    list(train(run, fabric, Asked(4)))
    list(train(run, fabric, never))  # resumed: the same run of MLflow
    client = tracking.MlflowClient()
    (told,) = client.search_runs([client.get_experiment_by_name("garmentcut").experiment_id])
    assert (told.info.status, told.info.run_name) == ("FINISHED", "run")
    assert (told.data.params["network.name"], told.data.params["training.steps"]) == ("simple", "6")
    rows = [row for row in read_journal(run.folder / "journal.jsonl") if row["kind"] == "step"]
    sent = {metric.step: metric.value for metric in client.get_metric_history(told.info.run_id, "step/loss")}
    assert sent == pytest.approx({row["step"]: row["loss"] for row in rows}, rel=1e-5)


def test_without_mlflow_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TrainingError, match=r"pip install 'garmentcut\[mlflow\]'"):
        TrainingJournal(tmp_path, last_step=0)


def test_a_server_that_fails_stops_no_training(tmp_path, monkeypatch, caplog):
    class Client:
        def get_experiment_by_name(self, _name):
            raise ConnectionError("refused")

    modules = {"mlflow": ModuleType("mlflow"), "mlflow.tracking": ModuleType("mlflow.tracking")}
    modules["mlflow"].entities = SimpleNamespace(Metric=lambda *values: values)
    modules["mlflow.tracking"].MlflowClient = Client
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    write(tmp_path, [1, 2], last_step=0)
    assert len(read_journal(tmp_path / "journal.jsonl")) == 2
    assert caplog.text.count("MLflow: refused; this training is no longer sent to it") == 1


def test_the_torn_last_line_of_a_killed_run_is_passed_over(tmp_path):
    write(tmp_path, [1, 2], last_step=0)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"kind": "step", "st')
    assert len(read_journal(path)) == 2
    write(tmp_path, [3], last_step=2)
    assert [row["step"] for row in read_journal(path)] == [1, 2, 3]


@pytest.mark.parametrize("line", ["milk, eggs", '["step"]', '{"step": "one"}', "3"])
def test_a_file_of_somebody_elses_is_left_alone(tmp_path, line):
    path = tmp_path / "journal.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(TrainingError, match=r"journal\.jsonl, line 1, is not a row"):
        TrainingJournal(tmp_path, last_step=0)
    assert path.read_text() == line + "\n"


def loss_of(total, **parts):
    return Loss(torch.tensor(total), {name: torch.tensor(value) for name, value in parts.items()})


def test_the_steps_come_back_with_their_losses(fabric):
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(1, loss_of(0.5, bce=0.25, dice=0.125), norm=torch.tensor(3.0), lr=0.1, names=("a",))
    watch.add(2, loss_of(0.25, bce=0.125, dice=0.0625), norm=torch.tensor(1.0), lr=0.2, names=("b",))
    first, second = watch.read()
    assert (first.step, first.steps, first.loss, first.lr) == (1, 10, 0.5, 0.1)
    assert second.parts == {"bce": 0.125, "dice": 0.0625}
    assert first.photos_s == second.photos_s > 0


def test_each_step_is_read_once(fabric):
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(1, loss_of(0.5, bce=0.5), norm=None, lr=0.1, names=("a",))
    watch.read()
    watch.add(2, loss_of(0.5, bce=0.5), norm=None, lr=0.1, names=("a",))
    assert [done.step for done in watch.read()] == [2]


def test_the_losses_are_no_part_of_a_graph_any_more(fabric):
    weight = torch.ones((), requires_grad=True)
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(1, Loss(weight * 2, {"bce": torch.tensor(2.0)}), norm=None, lr=0.1, names=("a",))
    assert not watch._waiting[0].values.requires_grad


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_first_bad_step_is_named_with_its_photos(fabric, bad):
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(4, loss_of(0.5, bce=0.5), norm=None, lr=0.1, names=("good",))
    watch.add(5, loss_of(bad, bce=bad), norm=None, lr=0.25, names=("dress_Front", "vest_Back"))
    watch.add(6, loss_of(math.nan, bce=math.nan), norm=None, lr=0.1, names=("late",))
    with pytest.raises(
        LossError, match=rf"step 5, learning rate 0.25: loss {bad}, .* dress_Front, vest_Back"
    ) as caught:
        watch.read()
    assert "good" not in str(caught.value)


def test_a_gradient_that_is_no_number(fabric):
    watch = LossWatch(fabric, steps=10, batch=4)
    watch.add(1, loss_of(0.5, bce=0.5), norm=torch.tensor(math.inf), lr=0.1, names=("a",))
    with pytest.raises(LossError, match=r"loss 0\.5, bce 0\.5; its gradient is not finite"):
        watch.read()
