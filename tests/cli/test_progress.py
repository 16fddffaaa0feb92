import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from garmentcut.cli import cut
from garmentcut.cli.cut import Summary
from garmentcut.cli.shell import progress_bar
from garmentcut.dataset.corrections import Decision, decision_stem, write_decision
from garmentcut.observe.monitor import Monitor
from garmentcut.photo.files import NotLookedAt
from garmentcut.prediction.results import Row, foreign_warning
from garmentcut.prediction.sources import Skipped

OK, FAILED = Row("/in/a.jpg", "a", ("a.png",), notes=("CMYK converted to sRGB",)), Row("/in/b\n.jpg", "b")


def summary():
    made = Summary(Path("out"), Path("out/results.jsonl"), NotLookedAt(), counts=Counter(skipped=2))
    made.add(OK)
    made.add(Row(FAILED.input, "b", status="failed", code="damaged", reason="not whole"))
    return made


def test_counts_for_machines():
    counts = summary().as_dict()
    assert [counts[key] for key in ("photos", "cut", "skipped", "failed")] == [4, 1, 2, 1]
    assert counts["failures"] == [{"input": "/in/b\n.jpg", "code": "damaged", "reason": "not whole"}]
    assert counts["notes"] == [{"input": "/in/a.jpg", "notes": ["CMYK converted to sRGB"]}]


def test_a_photo_that_a_watch_cuts_again_counts_once_as_it_is_now():
    made = summary()
    made.add(Row(FAILED.input, "b", ("b.png",)))
    made.add(Row("/in/a.jpg", status="failed", code="empty", reason="empty"))
    counts = made.as_dict()
    assert [counts[key] for key in ("photos", "cut", "skipped", "failed")] == [4, 1, 2, 1]
    assert ([row["reason"] for row in counts["failures"]], counts["notes"]) == (["empty"], [])


def test_lines_for_people():
    first, *rest = summary().as_text().splitlines()
    assert first.startswith("4 photos: 1 cut, 2 done before, 1 failed, ")
    assert rest == ["failed: /in/b\\n.jpg: not whole", "note: /in/a.jpg: CMYK converted to sRGB"]


def test_foreign_photos_are_told_with_what_to_do():
    made = Summary(Path("out"), Path("out/results.jsonl"), NotLookedAt())
    for number in range(3):
        made.add(Row(f"/in/{number}.jpg", doubt=0.02, flags=("foreign",)[: number > 0], reasons=("unlike",)))
    assert (made.as_dict()["foreign"], made.as_dict()["doubtful"]) == (2, 2)
    warning = made.as_text().splitlines()[1]
    assert warning.startswith("2 of 3 photos look unlike the studio this model learned from. Do not use these cutouts")
    assert "garmentcut review out" in warning
    assert "garmentcut train --help" in warning
    assert foreign_warning(0, 3, "out") == ""
    assert foreign_warning(1, 1, "out").startswith("1 of 1 photo looks unlike")


def test_a_watch_counts_what_it_has_at_its_end_and_warns_of_each_foreign_photo_once(tmp_path, monkeypatch, capsys):
    first, second = (Row(f"/in/{name}.jpg", name, doubt=0.02, flags=("foreign",)) for name in "ab")
    closed = Row("/in/closed", status="failed", code="unreadable", reason="cannot be read: Permission denied")
    rows, events = [first, closed, first, second, first], []
    journal = SimpleNamespace(path=tmp_path / "results.jsonl", rows={row.input: row for row in (first, second)})
    folder = SimpleNamespace(out_dir=tmp_path, journal=journal, record_order=lambda: None)
    monkeypatch.setattr("garmentcut.prediction.watch.Watch", lambda *_, **_keys: SimpleNamespace(rows=lambda: rows))
    monkeypatch.setattr(cut, "log_event", lambda event, **fields: events.append((event, fields)))
    assert cut._watch(folder, [], Monitor(), as_json=True) == 0
    warnings = [fields["text"][:18] for event, fields in events if event == "foreign"]
    assert warnings == ["1 of 1 photo looks", "2 of 2 photos look"]
    assert events[-1] == ("stopped", {"cut": 2, "failed": 0})  # the folder can be read by now, so it has no row
    told = json.loads(capsys.readouterr().out)
    assert (told["photos"], told["failed"], told["failures"]) == (2, 0, [])


def test_a_flood_of_failures_is_cut_short():
    flood = Summary(Path("out"), Path("out/results.jsonl"), NotLookedAt())
    for number in range(100):
        flood.add(Row(f"/in/{number}.jpg", status="failed", reason="damaged"))
    assert len(flood.as_text().splitlines()) == 22
    assert "and 80 more" in flood.as_text()


def test_a_bar_with_rate_on_a_terminal():
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    code = """
from garmentcut.cli.shell import progress_bar
with progress_bar(2, "photos") as advance:
    advance("/in/first.jpg", "")
    advance("/in/second.jpg", "damaged")
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=theirs, env=environment, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert done.stdout == b""
    assert "2/2" in shown
    assert "photos/s" in shown
    assert "failed: /in/second.jpg: damaged" in shown


def test_no_bar_where_nobody_looks(capsys):
    with progress_bar(2, "pairs") as advance:
        advance("a_Front", "")
        advance("b_Front", "shifted")
    assert capsys.readouterr() == ("", "")


def test_verdicts_are_counted():
    made = Summary(Path("out"), Path("out/results.jsonl"), NotLookedAt())
    made.add(Row("/in/0.jpg", verdict="accept"), was_done=True)
    for number, verdict in enumerate(("accept", "review", "review", ""), 1):
        made.add(Row(f"/in/{number}.jpg", verdict=verdict))
    made.add(Row("/in/b.jpg", status="failed", reason="damaged", verdict="review"))
    assert [made.as_dict()[key] for key in ("accepted", "review")] == [2, 2]
    assert "2 accepted, 2 to review" in made.as_text()
    assert "accepted" not in summary().as_text()


def test_the_doubtful_are_named_and_what_happened_to_the_folders_is_said():
    passed_over = NotLookedAt([Skipped("/in/a.CR3", "camera_raw"), Skipped("/in/Thumbs.db", "junk")])
    made = Summary(Path("out"), Path("out/results.jsonl"), passed_over, counts=Counter(damaged_lines=1, gone=2))
    made.add(Row("/in/a.jpg", "a", doubt=0.25, reasons=("soft or sheer edge at the hem",), flags=("soft_edge",)))
    made.add(Row("/in/b.jpg", "b", doubt=0.05, flags=("replaced",)))
    made.add(Row("/in/c\x1b.jpg", "c", doubt=0.01, verdict="review"))
    made.add(Row("/in/d.jpg", "d", doubt=0.5, verdict="accept"))
    counts = made.as_dict()
    assert [counts[key] for key in ("failed", "doubtful", "not_looked_at", "replaced", "junk")] == [0, 2, 1, 1, 1]
    assert [doubt["input"] for doubt in counts["doubts"]] == ["/in/a.jpg", "/in/c\x1b.jpg"]
    first, *rest = made.as_text().splitlines()
    assert first.startswith("4 photos: 4 cut, 2 doubtful, 1 accepted, 1 to review, ")
    assert rest == [
        "doubtful: /in/a.jpg: soft or sheer edge at the hem; doubt 0.25",
        "doubtful: /in/c\\x1b.jpg: doubt 0.01",
        "2 photos of these went with the output folder: cut before, files gone",
        "1 photo replaced by a new one of the same name",
        "1 file was not looked at: .cr3 1; listed in out/.garmentcut/skipped.jsonl",
        "1 hidden or left by operating systems (Thumbs.db, ._x.jpg and the like): skipped",
        "1 damaged line of results.jsonl set aside in out/.garmentcut/damaged.jsonl",
    ]


def test_photos_whose_share_is_gone_are_explained_once():
    made = Summary(Path("out"), Path("out/results.jsonl"), NotLookedAt())
    for name in "ab":
        assert "no longer there" not in made.as_text()
        made.add(Row(f"/in/{name}.jpg", status="failed", reason="no such file", code="missing"))
    assert made.as_text().splitlines()[-1].startswith("2 photos are no longer there; if their disk or share is gone, ")


def test_what_somebody_accepted_or_corrected_in_the_review_is_doubtful_no_longer(tmp_path):
    made = Summary(tmp_path, tmp_path / "results.jsonl", NotLookedAt())
    (tmp_path / "corrected.png").write_bytes(b"an alpha")
    for state in ("accepted", "corrected", "rejected", "open"):
        row = Row(f"/in/{state}.jpg", state, doubt=0.9, verdict="review", flags=("foreign",), reasons=("unlike",))
        kept = "corrected.png" if state == "corrected" else ""
        decision = Decision(row.input, "", state, state, alpha=kept)
        write_decision(tmp_path, decision_stem(state, row.input), decision)
        made.add(row, was_done=True)
        if state == "corrected":
            assert made.as_text().splitlines() == [
                f"2 photos: 0 cut, 2 done before, 2 accepted, 0 to review; rows in {tmp_path}/results.jsonl"
            ]
    assert [made.as_dict()[key] for key in ("doubtful", "foreign", "accepted", "review")] == [2, 4, 2, 2]
    assert [doubt["input"] for doubt in made.as_dict()["doubts"]] == ["/in/rejected.jpg", "/in/open.jpg"]
    assert "4 of 4 photos look unlike the studio" in made.as_text()


@pytest.mark.parametrize("was_done", [True, False])
def test_that_a_moved_photos_files_keep_their_names_is_said_whether_or_not_it_was_cut_again(was_done):
    made = Summary(Path("out"), Path("out/results.jsonl"), NotLookedAt())
    made.add(Row("/in/new.jpg", "old", ("old.tif",), flags=("moved",)), was_done=was_done)
    assert made.as_dict()["moved"] == 1
    assert "1 photo moved since the cut; the files keep their names" in made.as_text()
