import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from garmentcut.cluster.columns import Kept
from garmentcut.cluster.ledger import PENDING, RESULTS, Entry, Ledger
from garmentcut.cluster.storage import open_storage
from garmentcut.prediction.results import Journal, ResultsError, Row


@pytest.fixture(params=["folder", "s3"])
def target(request, tmp_path):
    if request.param == "folder":
        return open_storage(str(tmp_path / "target"))
    return open_storage(request.getfixturevalue("bucket") + "/target")


def kept(name, digest="1", *, options="o", status="ok"):
    row = Row(name, name, (f"{name}.png",), status, options=options, written={f"{name}.png": (digest,)})
    return Kept(row, "etag" if status == "ok" else "")


def write(target, run, *rows, finished=True):
    entry = Entry(target, run, tuple(each.row.input for each in rows))
    announced = entry.announce(rows)
    if finished:
        entry.finish(rows, announced)


def names(target, folder):
    return sorted(found.name for found in target.walk(folder))


def test_rows_of_parts_and_none_twice(target):
    write(target, 1, kept("a"), kept("b"))
    write(target, 1, kept("c"))
    write(target, 1, kept("b"), kept("a"))  # the same work once more, after its worker was killed
    assert len(names(target, RESULTS)) == 2
    assert names(target, PENDING) == []
    assert sorted(Ledger.read(target).kept) == ["a", "b", "c"]


def test_the_later_run_counts_and_all_hashes_are_kept(target):
    write(target, 1, kept("a", "old", options="before"))
    write(target, 2, kept("a", "new", options="now"))
    row = Ledger.read(target).kept["a"].row
    assert (row.options, row.written) == ("now", {"a.png": ("old", "new")})


def test_what_was_only_announced_is_done_again_but_its_hashes_are_known(target):
    write(target, 1, kept("a", "old"))
    write(target, 2, kept("a", "new"), kept("b"), finished=False)
    known = Ledger.read(target).kept
    assert {name: each.row.status for name, each in known.items()} == {"a": "pending", "b": "pending"}
    assert known["a"].row.written == {"a.png": ("old", "new")}
    assert known["b"].row.written == {"b.png": ("1",)}


def test_an_announcement_that_outlived_its_end_changes_nothing(target):
    entry = Entry(target, 1, ("a",))
    entry.announce([kept("a")])
    entry.finish([kept("a")], "")  # killed before it was removed
    assert Ledger.read(target).kept["a"] == kept("a")


def test_joining_leaves_one_row_a_photo_and_is_done_as_often_as_one_likes(target):
    write(target, 1, kept("b"))
    write(target, 2, kept("a", "old"))
    write(target, 3, kept("a", "new"), finished=False)
    before = Ledger.read(target)
    for run in (3, 4):
        Ledger.read(target).join(run)
        after = Ledger.read(target)
        assert after.kept == before.kept
        assert len(after.parts) == 1
        assert names(target, PENDING) == []
    assert list(after.kept) == ["a", "b"]


def test_a_join_that_is_killed_halfway_loses_nothing(target, monkeypatch):
    write(target, 1, kept("a"), kept("b"))
    write(target, 2, kept("b", "new"))
    ledger = Ledger.read(target)
    before = dict(ledger.kept)

    def kill(*_args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(type(target), "delete", kill)
        ledger.join(2)
    assert Ledger.read(target).kept == before


def test_many_rows_become_several_parts(target, monkeypatch):
    monkeypatch.setattr("garmentcut.cluster.ledger._ROWS_A_PART", 2)
    write(target, 1, *[kept(letter) for letter in "edcba"])
    Ledger.read(target).join(1)
    assert len(names(target, RESULTS)) == 3
    assert list(Ledger.read(target).kept) == list("abcde")


@pytest.mark.parametrize("name", [f"{RESULTS}/part-000001-0123456789abcdef.parquet", f"{PENDING}/x.parquet"])
def test_a_file_that_is_not_ours_is_refused(target, name):
    target.put(name, b"not ours")
    with pytest.raises(ResultsError, match=r"is no part of garmentcut's .*; move it or use another --out"):
        Ledger.read(target)


def test_other_files_beside_the_parts_are_passed_over(target):
    target.put(f"{RESULTS}/skirt.png", b"a cutout of photos/results/skirt.jpg")
    assert Ledger.read(target).kept == {}


def test_a_folder_has_results_jsonl_too_and_what_folder_runs_did_since_counts(tmp_path):
    target = open_storage(str(tmp_path))
    write(target, 1, kept("a"), kept("b"))
    Ledger.read(target).join(1)
    lines = (tmp_path / "results.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        json.loads(json.dumps(asdict(each.row))) for each in (kept("a"), kept("b"))
    ]
    Journal(Path(tmp_path)).append(replace(kept("a", "2", options="later").row))
    row = Ledger.read(target).kept["a"].row
    assert (row.options, row.written) == ("later", {"a.png": ("1", "2")})
