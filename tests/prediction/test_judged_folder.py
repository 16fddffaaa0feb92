"""A folder run with a model that doubts: rows, folders, heat maps, the views of a garment."""

import errno
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import CutConfig, load_config
from garmentcut.errors import ConfigError, FolderError
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Journal
from garmentcut.prediction.sources import find_sources
from garmentcut.prediction.verdict import ViewComparison


@pytest.fixture
def doubting(red_cutter, make_doubt, make_acceptance):
    """doubting(max_doubt): doubts a garment with holes; accepts one without."""

    def make(max_doubt=0.5, **weights):
        weights = weights or {"holes": 4.0}
        doubt = make_doubt(bias=-2.0, **weights)
        return Cutter(
            replace(red_cutter.card, doubt=doubt, acceptance=make_acceptance(r05=max_doubt)), red_cutter.runtime
        )

    return make


def draw_photo(path, *, hole=False, bottom=70, cloth=(255, 0, 0)):
    pixels = np.full((96, 64, 3), 200, np.uint8)
    pixels[20:bottom, 20:44] = cloth
    if hole:
        pixels[38:46, 28:36] = 200
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def cut(cutter, folder, out, **keys):
    config = load_config(overrides={f"folder.{key}": value for key, value in keys.items()})
    with FolderCutter(cutter, out, config=config) as run:
        plan = run.plan(find_sources([folder], out))
        return {row.place: row for row in run.cut(plan)}, plan


def rows_of(out):
    return {row["place"]: row for row in map(json.loads, (out / "results.jsonl").read_text().splitlines())}


def test_rows_carry_doubt_verdict_and_reasons(doubting, tmp_path):
    draw_photo(tmp_path / "in/a.png")
    draw_photo(tmp_path / "in/b.png", hole=True)
    rows, _ = cut(doubting(), tmp_path / "in", tmp_path / "out")
    assert (rows["a"].verdict, rows["b"].verdict) == ("accept", "review")
    assert rows["a"].doubt == pytest.approx(1 / (1 + np.exp(2)), abs=1e-4)
    assert rows["b"].reasons == ("hole at the middle",) or rows["b"].reasons == ("hole at the chest",)
    written = rows_of(tmp_path / "out")
    assert [written[place]["doubt"] for place in "ab"] == [rows[place].doubt for place in "ab"]
    assert (tmp_path / "out/.garmentcut/heat/b.png").is_file()
    assert not (tmp_path / "out/.garmentcut/heat/a.png").exists()


def test_a_model_that_cannot_tell_has_no_doubt(red_cutter, tmp_path):
    draw_photo(tmp_path / "in/a.png")
    rows, _ = cut(red_cutter, tmp_path / "in", tmp_path / "out")
    assert (rows["a"].doubt, rows["a"].verdict, rows["a"].reasons) == (None, "", ())


def test_a_choked_cutout_is_not_accepted_under_a_guarantee_for_others(doubting, tmp_path):
    draw_photo(tmp_path / "in/a.png")
    cutter = doubting()
    rows, _ = cut(replace(cutter, config=CutConfig(choke_px=4.0)), tmp_path / "in", tmp_path / "out")
    assert (rows["a"].doubt is not None, rows["a"].verdict) == (True, "")


def test_a_risk_that_cannot_be_guaranteed_stops_before_anything_is_cut(doubting, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot guarantee folder\.accept_risk 0\.05"):
        FolderCutter(doubting(None), tmp_path / "out", config=load_config(overrides={"folder.accept_risk": 0.05}))


def test_outputs_are_sorted_and_follow_a_new_threshold(doubting, tmp_path):
    draw_photo(tmp_path / "in/a.png")
    draw_photo(tmp_path / "in/day/b.png", hole=True)
    out = tmp_path / "out"
    cut(doubting(), tmp_path / "in", out, by_verdict=True)
    assert (out / "accepted/a.png").is_file()
    assert (out / "review/day/b.png").is_file()
    _, plan = cut(doubting(), tmp_path / "in", out, by_verdict=True)
    assert len(plan.done) == 2
    _, plan = cut(doubting(0.95), tmp_path / "in", out, by_verdict=True)
    assert [path.name for path in plan.todo] == ["b.png"]  # only its verdict is another
    assert (out / "accepted/day/b.png").is_file()
    assert not (out / "review/day/b.png").exists()
    assert not (out / ".garmentcut/heat/day/b.png").exists()
    _, plan = cut(doubting(0.95), tmp_path / "in", out)
    assert len(plan.todo) == 2  # unsorted again
    assert (out / "day/b.png").is_file()
    assert not (out / "accepted/day/b.png").exists()


def test_another_doubt_model_judges_anew(doubting, tmp_path):
    draw_photo(tmp_path / "in/a.png")
    cut(doubting(), tmp_path / "in", tmp_path / "out")
    rows, _ = cut(doubting(holes=5.0), tmp_path / "in", tmp_path / "out")
    assert list(rows) == ["a"]


def test_the_odd_view_of_a_garment_is_doubted_more_and_moved(doubting, tmp_path):
    for view, bottom in (("Front", 70), ("Back", 70), ("FrontRight", 40)):
        draw_photo(tmp_path / f"in/g1_{view}.png", bottom=bottom)
    draw_photo(tmp_path / "in/g2_Front.png", bottom=40)
    out = tmp_path / "out"
    rows, _ = cut(doubting(), tmp_path / "in", out, by_verdict=True)
    odd = rows["g1_FrontRight"]
    assert (odd.verdict, odd.reasons) == ("review", ("length unlike its Back and Front",))
    assert odd.doubt == pytest.approx(odd.own_doubt + 0.5 * (1 - odd.own_doubt), abs=1e-4)
    assert [rows[place].verdict for place in ("g1_Front", "g1_Back", "g2_Front")] == ["accept"] * 3
    assert (out / "review/g1_FrontRight.png").is_file()
    assert not (out / "accepted/g1_FrontRight.png").exists()
    assert rows_of(out)["g1_FrontRight"]["outputs"] == ["review/g1_FrontRight.png"]
    _, plan = cut(doubting(), tmp_path / "in", out, by_verdict=True)
    assert not plan.todo

    draw_photo(tmp_path / "in/g1_FrontRight.png", bottom=69)  # photographed again: now it fits
    rows, _ = cut(doubting(), tmp_path / "in", out, by_verdict=True)
    assert (rows["g1_FrontRight"].verdict, rows["g1_FrontRight"].reasons) == ("accept", ())
    assert (out / "accepted/g1_FrontRight.png").is_file()


def test_a_view_that_comes_later_changes_the_rows_of_earlier_ones(doubting, tmp_path):
    draw_photo(tmp_path / "in/g1_Front.png")
    cut(doubting(), tmp_path / "in", tmp_path / "out")
    assert rows_of(tmp_path / "out")["g1_Front"]["verdict"] == "accept"
    draw_photo(tmp_path / "in/g1_Back.png", bottom=40)
    cut(doubting(), tmp_path / "in", tmp_path / "out")
    assert [rows_of(tmp_path / "out")[f"g1_{view}"]["verdict"] for view in ("Front", "Back")] == ["review", "review"]


def test_views_that_a_killed_run_had_not_compared_are_compared_by_the_next(doubting, tmp_path, monkeypatch):
    for view, bottom in (("Front", 70), ("Back", 70), ("FrontRight", 40)):
        draw_photo(tmp_path / f"in/g1_{view}.png", bottom=bottom)
    draw_photo(tmp_path / "in/g2_Front.png", bottom=40)
    out, config = tmp_path / "out", load_config(overrides={"folder.by_verdict": True})
    with monkeypatch.context() as killed:
        killed.setattr(ViewComparison, "_compared", lambda *_: iter(()))
        killed.setattr(Journal, "compact", lambda _: None)
        cut(doubting(), tmp_path / "in", out, by_verdict=True)
    assert (out / "accepted/g1_FrontRight.png").is_file()

    with FolderCutter(doubting(), out, config=config) as run:
        plan = run.plan(find_sources([tmp_path / "in"], out))
        verdicts = {row.place: row.verdict for row in plan.done}
        assert not list(run.cut(plan))
    assert verdicts == {"g1_Front": "accept", "g1_Back": "accept", "g1_FrontRight": "review", "g2_Front": "accept"}
    assert rows_of(out)["g1_FrontRight"]["flags"] == ["length_unlike_views"]
    assert (out / "review/g1_FrontRight.png").is_file()
    assert not (out / "accepted/g1_FrontRight.png").exists()


def test_views_that_must_be_cut_again_are_not_compared_before(doubting, tmp_path):
    for view, bottom in (("Front", 70), ("Back", 40)):
        draw_photo(tmp_path / f"in/g1_{view}.png", bottom=bottom)
    cut(doubting(), tmp_path / "in", tmp_path / "out")
    before = (tmp_path / "out/results.jsonl").read_text()
    with FolderCutter(doubting(0.95), tmp_path / "out") as run:  # with another threshold both have another verdict
        assert {row.verdict for row in run.journal.rows.values()} == {"review"}
    assert (tmp_path / "out/results.jsonl").read_text() == before


def test_a_disk_that_is_full_when_views_are_compared(doubting, tmp_path, monkeypatch):
    for view, cloth in (("Front", (255, 0, 0)), ("FrontRight", (255, 0, 255)), ("Back", (255, 0, 0))):
        draw_photo(tmp_path / f"in/g1_{view}.png", cloth=cloth)
    append = Journal.append

    def append_until_full(journal, row):
        if "color_unlike_views" in row.flags:
            raise OSError(errno.ENOSPC, "No space left on device", str(journal.path))
        append(journal, row)

    monkeypatch.setattr(Journal, "append", append_until_full)
    rows = []
    with FolderCutter(doubting(), tmp_path / "out") as run, pytest.raises(FolderError, match="No space left"):
        for row in run.cut(run.plan(find_sources([tmp_path / "in"], tmp_path / "out"))):
            rows.append(row)
    assert [row.ok for row in rows] == [True] * 3, "what was finished is reported first"
