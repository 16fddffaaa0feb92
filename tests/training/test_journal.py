import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from garmentcut.training.errors import TrainingError
from garmentcut.training.journal import Journal, read_journal


def write(folder, steps, *, last_step):
    with Journal(folder, last_step=last_step) as journal:
        for step in steps:
            journal.append("step", step, {"loss": 1 / step, "lr": 1e-3})


def test_rows_come_back(tmp_path):
    write(tmp_path, [1, 2, 3], last_step=0)
    rows = read_journal(tmp_path / "journal.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert rows[2] == {"kind": "step", "step": 3, "loss": 0.333333, "lr": 0.001}


def test_what_is_no_finite_number_is_null(tmp_path):
    with Journal(tmp_path, last_step=0) as journal:
        journal.append("evaluation", 1, {"loss": float("nan"), "mean_dice": 0.5})
    assert '"loss": null, "mean_dice": 0.5' in (tmp_path / "journal.jsonl").read_text()


def test_a_row_stands_on_disk_at_once(tmp_path):
    with Journal(tmp_path, last_step=0) as journal:
        journal.append("evaluation", 1, {"mean_dice": 0.5})
        assert json.loads((tmp_path / "journal.jsonl").read_text())["mean_dice"] == 0.5


def test_no_step_stands_in_it_twice_after_a_resume(tmp_path):
    write(tmp_path, range(1, 8), last_step=0)
    write(tmp_path, range(5, 10), last_step=4)  # killed after 7, resumed from a checkpoint of 4
    assert [row["step"] for row in read_journal(tmp_path / "journal.jsonl")] == list(range(1, 10))


def test_nor_in_tensorboard(tmp_path):
    write(tmp_path, range(1, 8), last_step=0)
    write(tmp_path, range(5, 10), last_step=4)
    board = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [event.step for event in board.Scalars("step/loss")] == list(range(1, 10))


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
    with pytest.raises(TrainingError, match=r"journal\.jsonl, line 1, is no row"):
        Journal(tmp_path, last_step=0)
    assert path.read_text() == line + "\n"
