"""What runs left behind."""

import pytest

from garmentcut.study.ledger import Ledger
from garmentcut.study.results import gather
from garmentcut.study.work import RUNS, Sitting
from garmentcut.training.devices import Devices


@pytest.fixture
def ledger(tmp_path):
    with Ledger(tmp_path / "out") as opened:
        yield opened


def test_everything_of_a_run(make_study, ledger, fake_training):
    study = make_study()
    list(Sitting(study, ledger, Devices("cpu")).work())
    results = gather(study, ledger, chosen={}, hopeless={})
    assert [run.cell for run in results.runs] == list(study.cells)
    run = results.runs[0]
    assert (run.outcome, run.machine, run.seconds, run.num_trained_on, run.num_garments) == (
        "done",
        "1 core",
        3.0,
        6,
        6,
    )
    assert run.mean_dice == pytest.approx(0.9)
    assert [look.step for look in run.curve] == [2, 4]
    assert [run.cell.arm.name for run in results.of(study.arms[1])] == ["slow"] * 4
    assert results.num_unfinished == 0
    assert fake_training.trained


def test_states(make_study, ledger):
    study = make_study()
    keys = [cell.key for cell in study.cells]
    held = ledger.take(RUNS, keys[0])
    ledger.take(RUNS, keys[1]).close("failed", reason="no memory")
    ledger.take(RUNS, keys[2]).close("interrupted", reason="time is up")
    ledger.take(RUNS, keys[3]).close("done", 0.9)  # but its scores are gone
    results = gather(study, ledger, chosen={}, hopeless={"slow": "nothing could be chosen"})
    states = [(run.outcome, run.reason, run.is_failed) for run in results.runs[:6]]
    assert states[0] == ("running", "", False)
    assert states[1] == ("failed", "no memory", True)
    assert states[2] == ("interrupted", "time is up", False)
    assert states[3][0] == "not run"
    assert "no scores" in states[3][1]
    assert states[4] == ("not run", "", False)
    assert states[5] == ("not run", "nothing could be chosen", True)
    assert results.num_unfinished == 8
    held.close("done", 0.9)
