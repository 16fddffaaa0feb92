import errno
import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from garmentcut.config import ReadConfig
from garmentcut.dataset import checks, manifest
from garmentcut.dataset import ingest as ingest_module
from garmentcut.dataset.ingest import Ingest, IngestOptions, IngestResult, IngestSummary
from garmentcut.dataset.ledger import IngestLedger
from garmentcut.dataset.manifest import Manifest, fault_of, read_manifest, read_pair
from garmentcut.dataset.split import Scheme
from garmentcut.errors import DatasetError, RunError

NAMES = ["a_Front", "a_Back", "b_Front", "c_Front", "d_FrontRight"]


def test_a_data_set_is_made(shop):
    shop.add(*NAMES, folder="day 1")
    made = shop.ingest().manifest
    assert read_manifest(shop.out) == made
    assert [pair.name for pair in made.pairs] == sorted(NAMES)
    assert made.scheme == "folds 2" and made.splits == ("fold0", "fold1")
    pair = made.pairs[1]
    assert (pair.garment, pair.view, pair.source, pair.faults) == ("a", "Front", "transparency", ())
    assert (pair.photo, pair.alpha) == ("../originals/day 1/a_Front.png", "alpha/a_Front.png")
    photo, alpha = read_pair(made, pair)
    with Image.open(shop.cutouts / "day 1/a_Front.png") as cutout:
        assert np.array_equal(alpha * 255, np.asarray(cutout.getchannel("A")))
    assert photo.size_hw == pair.size_hw == (96, 64)
    rows, columns = np.nonzero(alpha >= 0.5)
    assert pair.box_xyxy == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_every_refusal_has_a_row_and_stops_nobody(shop):
    shop.add("good_Front", "fine_Back", "twin_Front", "odd_Left")
    shop.add("other_Front", seed=1, cutout_seed=2)
    (shop.originals / "twin_Back.png").write_bytes((shop.originals / "twin_Front.png").read_bytes())
    (shop.cutouts / "twin_Back.png").write_bytes((shop.cutouts / "twin_Front.png").read_bytes())
    (shop.originals / "lone_Front.png").write_bytes((shop.originals / "good_Front.png").read_bytes())
    (shop.originals / "half_Front.png").write_bytes((shop.originals / "good_Front.png").read_bytes()[:300])
    (shop.cutouts / "half_Front.png").write_bytes((shop.cutouts / "good_Front.png").read_bytes())
    (shop.originals / "psd_Front.png").write_bytes((shop.originals / "good_Front.png").read_bytes())
    (shop.cutouts / "psd_Front.psd").write_bytes(b"8BPS\0\1\0\0\0\0\0\0 cut short")
    made = shop.ingest().manifest
    assert {pair.name: [fault.code for fault in pair.faults] for pair in made.pairs} == {
        "fine_Back": [],
        "good_Front": [],
        "half_Front": ["unreadable"],
        "lone_Front": ["no_cutout"],
        "odd_Left": ["view"],
        "other_Front": ["other_photo"],
        "psd_Front": ["unreadable"],
        "twin_Back": [],
        "twin_Front": ["duplicate"],
    }
    reasons = {pair.name: pair.faults[0].text for pair in made.pairs if pair.faults}
    assert "half_Front.png: " in reasons["half_Front"]
    assert "psd_Front.psd: " in reasons["psd_Front"]
    assert sorted(path.name for path in (shop.out / "alpha").iterdir()) == [
        *("fine_Back.png", "good_Front.png", "odd_Left.png", "twin_Back.png", "twin_Front.png")
    ]


def test_look_alikes_are_never_separated(shop):
    for number in range(8):
        shop.add(f"g{number}_Front", seed=number)
        shop.add(f"h{number}_Front", seed=number, suffix=".jpg")  # the same, saved again
    made = shop.ingest(scheme=Scheme.of_folds(4)).manifest
    assert {pair.group for pair in made.pairs} == {f"g{number}" for number in range(8)}
    assert all("near_duplicate" in [fault.code for fault in pair.faults] for pair in made.pairs)
    splits = {pair.name: pair.split for pair in made.pairs}
    assert all(splits[f"g{number}_Front"] == splits[f"h{number}_Front"] for number in range(8))


def test_nothing_is_read_twice_but_what_has_changed(shop):
    shop.add(*NAMES)
    shop.ingest()
    assert sorted(shop.read) == sorted(NAMES)
    before = (shop.out / "manifest.jsonl").read_bytes()
    shop.ingest()
    assert shop.read == []
    assert (shop.out / "manifest.jsonl").read_bytes() == before
    shop.add("b_Front", seed=77)
    shop.add("e_Front")
    shop.ingest()
    assert shop.read == ["b_Front", "e_Front"]
    shop.ingest(read=ReadConfig(max_mb=2000))  # may change what is refused
    assert len(shop.read) == 6


def test_what_could_not_be_read_is_tried_again(shop):
    shop.add(*NAMES)
    (shop.originals / "a_Front.png").rename(shop.originals / "aside")
    (shop.originals / "a_Front.png").write_bytes(b"")
    assert shop.codes()["a_Front"] == ["unreadable"]
    (shop.originals / "aside").rename(shop.originals / "a_Front.png")
    assert shop.codes()["a_Front"] == []


def test_rows_of_removed_files_are_removed_with_a_note(shop):
    shop.add(*NAMES)
    shop.ingest()
    for folder in (shop.originals, shop.cutouts):
        (folder / "c_Front.png").unlink()
    (shop.cutouts / "b_Front.png").unlink()
    (shop.out / "alpha/mine.png").write_bytes(b"not garmentcut's")
    outcome = shop.ingest()
    assert outcome.gone == ("c_Front",)
    assert {pair.name for pair in outcome.manifest.pairs} == set(NAMES) - {"c_Front"}
    assert [pair.name for pair in outcome.manifest.pairs if pair.refused] == ["b_Front"]
    left = {path.stem for path in (shop.out / "alpha").iterdir()}
    assert left == {"a_Back", "a_Front", "d_FrontRight", "mine"}
    (shop.originals / "b_Front.png").unlink()
    assert shop.ingest().gone == ()  # the pair was refused before, so nobody misses it


def test_garments_keep_their_split_when_others_come(shop):
    shop.add(*NAMES)
    before = {pair.name: pair.split for pair in shop.ingest().manifest.pairs}
    shop.add(*(f"x{number}_Front" for number in range(9)))
    outcome = shop.ingest()
    after = {pair.name: pair.split for pair in outcome.manifest.pairs}
    assert {name: after[name] for name in before} == before
    assert outcome.moved == ()
    with pytest.raises(DatasetError, match="split as folds 2, seed 0; use --resplit"):
        shop.ingest(scheme=Scheme.of_folds(3))
    outcome = shop.ingest(scheme=Scheme.of_folds(3), resplit=True)
    assert outcome.manifest.splits == ("fold0", "fold1", "fold2")
    assert outcome.moved


def test_a_garment_is_the_same_whatever_case_its_name_comes_in(shop, tmp_path, draw_pair):
    shop.add(*(f"G{number}_Front" for number in range(8)))
    before = {pair.name: pair.split for pair in shop.ingest().manifest.pairs}
    more = type(shop)(tmp_path / "more", draw_pair)
    more.out = shop.out
    more.add(*(f"g{number}_Back" for number in range(8)))
    pairs = more.ingest(add=True).manifest.pairs
    assert {pair.name: pair.split for pair in pairs if pair.view == "Front"} == before
    assert {pair.garment: pair.split for pair in pairs} == {name.partition("_")[0]: before[name] for name in before}
    for path in [*shop.originals.iterdir(), *shop.cutouts.iterdir()]:
        path.rename(path.with_name(path.name.lower()))
    outcome = shop.ingest()
    assert {pair.name: pair.split for pair in outcome.manifest.pairs} == before
    assert shop.read == []


def test_too_few_garments_leave_the_data_set_as_it_was(shop):
    shop.add("a_Front", "a_Back")
    with pytest.raises(DatasetError, match=r"1 garment .* cannot fill 2 splits"):
        shop.ingest()
    assert not (shop.out / "manifest.jsonl").exists()
    shop.add("b_Front")
    shop.ingest()
    assert shop.read == ["b_Front"]  # the others are known


def test_a_data_set_is_not_emptied_by_wrong_folders(shop):
    shop.add("a_Front", "b_Front", "c_Front")
    shop.ingest()
    before = (shop.out / "manifest.jsonl").read_bytes()
    right = shop.originals, shop.cutouts
    shop.originals, shop.cutouts = shop.cutouts, shop.originals
    with pytest.raises(DatasetError, match="name the photos' folder first"):
        shop.ingest()
    shop.originals, shop.cutouts = right
    for path in shop.cutouts.iterdir():
        path.rename(path.with_stem(f"final_{path.stem}"))
    with pytest.raises(DatasetError, match="no pair is usable now, 3 were; it stays as it was"):
        shop.ingest()
    assert (shop.out / "manifest.jsonl").read_bytes() == before
    assert len(list((shop.out / "alpha").iterdir())) == 3


def test_a_data_set_of_refused_pairs_only(shop):
    shop.add("a_Front", seed=1, cutout_seed=2)
    assert shop.codes() == {"a_Front": ["other_photo"]}
    assert read_manifest(shop.out).splits == ()


def test_sizes_are_resampled_on_demand(shop):
    shop.add("a_Front", "b_Front", "c_Front")
    with Image.open(shop.originals / "a_Front.png") as photo:
        photo.resize((128, 192)).save(shop.originals / "a_Front.png")
    assert shop.codes()["a_Front"] == ["size"]
    made = shop.ingest(resample=True).manifest
    assert shop.read == ["a_Front"]
    assert [fault.code for fault in made.pairs[0].faults] == ["resampled"]
    assert read_pair(made, made.pairs[0])[1].shape == (192, 128)
    assert shop.codes()["a_Front"] == ["size"]


class Killed(BaseException):
    pass


def count_down(monkeypatch, steps):
    """Dies at a step that writes; a killed write leaves its staged file, or half a line, behind."""
    left = [steps]

    def dying(step, leave_half):
        def call(self, *args):
            left[0] -= 1
            if left[0] < 0:
                leave_half(self, *args)
                raise Killed
            return step(self, *args)

        return call

    def half_a_file(path, content):
        path.parent.mkdir(exist_ok=True)
        (path.parent / ".garmentcut--0123.part").write_bytes(content[:5])

    def half_a_line(ledger, _):
        with ledger.path.open("ab") as file:
            file.write(b'{"pair": {"na')

    monkeypatch.setattr(checks, "write_atomic", dying(checks.write_atomic, half_a_file))
    monkeypatch.setattr("garmentcut.dataset.manifest.write_atomic", dying(manifest.write_atomic, half_a_file))
    monkeypatch.setattr(IngestLedger, "append", dying(IngestLedger.append, half_a_line))


def test_a_run_killed_at_any_step_goes_on_and_ends_the_same(shop, monkeypatch):
    shop.add(*NAMES)
    shop.ingest()
    expected = (shop.out / "manifest.jsonl").read_bytes()
    for steps in range(2 * len(NAMES) + 1):
        shop.out = shop.out.parent / f"dataset{steps}"
        with monkeypatch.context() as patch:
            count_down(patch, steps)
            with pytest.raises(Killed):
                shop.ingest()
        assert not (shop.out / "manifest.jsonl").exists()
        shop.ingest()
        assert (shop.out / "manifest.jsonl").read_bytes() == expected
        assert len(shop.read) <= len(NAMES)
        assert not [path for path in shop.out.rglob("*") if path.suffix == ".part"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_process_loses_at_most_what_was_under_way(shop):
    shop.add(*NAMES)
    code = f"""
import os, signal
from pathlib import Path
from garmentcut.dataset.ingest import Ingest, IngestOptions
from garmentcut.dataset.split import Scheme
with Ingest(*map(Path, {[str(p) for p in (shop.originals, shop.cutouts, shop.out)]!r}),
            IngestOptions(workers=1, scheme=Scheme.of_folds(2))) as ingest:
    for number, entry in enumerate(ingest.examine(ingest.plan())):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len((shop.out / "ingest.jsonl").read_text().splitlines()) == 3
    assert len(shop.ingest().manifest.usable) == 5
    assert len(shop.read) == 2


@pytest.mark.parametrize("place", ["alpha/", "ingest.jsonl", "manifest.jsonl"])
def test_a_full_disk_stops_the_run_with_a_clear_word(shop, monkeypatch, place):
    shop.add(*NAMES)

    def full(path, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        if place == "alpha/":
            patch.setattr(checks, "write_atomic", full)
        elif place == "ingest.jsonl":
            patch.setattr(IngestLedger, "append", lambda ledger, _: full(ledger.path))
        else:
            patch.setattr(ingest_module, "write_manifest", lambda manifest: full(manifest.folder))
        with pytest.raises(RunError, match=f"{place}.*No space left on device; free some space and run again"):
            shop.ingest()
    assert not (shop.out / "manifest.jsonl").exists()
    assert len(shop.ingest().manifest.usable) == 5


def test_two_runs_never_write_to_one_folder(shop):
    shop.add(*NAMES)
    with (
        Ingest(shop.originals, shop.cutouts, shop.out),
        pytest.raises(DatasetError, match="another run is at work there"),
    ):
        shop.ingest()
    shop.ingest()


def test_folders_that_cannot_be_the_data_sets(shop, tmp_path):
    shop.add(*NAMES)
    for folder in (shop.originals, shop.cutouts):
        with pytest.raises(DatasetError, match="a folder of its own"):
            Ingest(shop.originals, shop.cutouts, folder)
    (tmp_path / "file").touch()
    shop.out = tmp_path / "file"
    with pytest.raises(DatasetError, match="cannot be the dataset's folder"):
        shop.ingest()


def test_a_damaged_manifest_is_not_overwritten(shop):
    shop.add(*NAMES)
    shop.ingest()
    damaged = (shop.out / "manifest.jsonl").read_bytes()[:-30]
    (shop.out / "manifest.jsonl").write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"manifest.jsonl, line 6: not a whole row; restore the file"):
        shop.ingest()
    assert (shop.out / "manifest.jsonl").read_bytes() == damaged
    (shop.out / "manifest.jsonl").unlink()
    shop.ingest()  # and the lock was given back


def test_pairs_are_examined_in_parallel_and_few_at_a_time(shop, monkeypatch):
    shop.add(*(f"g{number}_Front" for number in range(30)))
    together, begun = threading.Barrier(3, timeout=20), [0]
    original = checks.Examination.__call__

    def examine(self, candidate):
        begun[0] += 1
        if begun[0] <= 3:
            together.wait()
        return original(self, candidate)

    monkeypatch.setattr(checks.Examination, "__call__", examine)
    with Ingest(shop.originals, shop.cutouts, shop.out, IngestOptions(workers=3)) as ingest:
        entries = ingest.examine(ingest.plan())
        next(entries)
        assert begun[0] <= 1 + 2 * 3 + 1
        entries.close()


def test_rows_hold_what_is_documented(shop):
    shop.add("a_Front", "b_Front")
    shop.ingest()
    header, row, _ = map(json.loads, (shop.out / "manifest.jsonl").read_text().splitlines())
    assert header == {"garmentcut": "manifest", "version": 1, "scheme": "folds 2", "seed": 0, "rows": 2}
    assert list(row) == [
        *("name", "garment", "view", "photo", "cutout", "alpha", "photo_sha256", "cutout_sha256", "size_hw"),
        *("box_xyxy", "split", "source", "faults", "group", "notes", "verdict"),
    ]


def summary_of(manifest, *extra):
    rows = (*manifest.pairs, *extra)
    outcome = IngestResult(Manifest(manifest.folder, rows, "folds 3", 7), gone=("old_Front",), moved=("g0_Front",))
    return IngestSummary(manifest.folder, num_read=2, rows=rows, outcome=outcome)


def refused(manifest, number, code="empty"):
    faults = fault_of("view", "odd"), fault_of(code, "nothing\nis cut out")
    return replace(manifest.pairs[0], name=f"bad{number}", garment=f"bad{number}", faults=faults, split="")


def test_counts_for_machines(small_dataset):
    first = replace(small_dataset.pairs[0], faults=(fault_of("colors", "brighter"),))
    dataset = replace(small_dataset, pairs=(first, *small_dataset.pairs[1:]))
    counts = summary_of(dataset, refused(dataset, 1)).as_dict()
    assert [counts[key] for key in ("pairs", "usable", "read", "scheme", "seed")] == [4, 3, 2, "folds 3", 7]
    assert (counts["refused"], counts["suspect"]) == ({"empty": 1}, {"colors": 1})
    assert counts["splits"]["fold1"] == {"pairs": 1, "garments": 1, "Back": 1}
    assert counts["faults"][0] == {"name": "bad1", "code": "empty", "text": "nothing\nis cut out"}
    assert (counts["gone"], counts["moved"]) == (["old_Front"], ["g0_Front"])


def test_lines_for_people(small_dataset):
    lines = summary_of(small_dataset, refused(small_dataset, 1)).as_text().splitlines()
    assert lines[0].startswith("4 pairs: 3 usable, 1 refused; 2 read in ")
    assert lines[0].endswith("manifest.jsonl")
    assert lines[1:] == [
        "refused 1: nothing is cut out",
        "fold0: 1 pair, 1 garment, 1 Front",
        "fold1: 1 pair, 1 garment, 1 Back",
        "fold2: 1 pair, 1 garment, 1 FrontRight",
        "refused: bad1: nothing is cut out",
        "note: no longer there: old_Front",
        "note: moved to another split: g0_Front",
    ]


def test_what_a_terminal_obeys_is_written_out(small_dataset):
    named = replace(
        refused(small_dataset, 1), name="bad\x1b[2J", faults=(fault_of("name", "x\x07.png is not named so"),)
    )
    text = summary_of(small_dataset, named).as_text()
    assert "refused: bad\\x1b[2J: x\\x07.png is not named so" in text
    assert "\x1b" not in text and "\x07" not in text


def test_a_flood_is_cut_short(small_dataset):
    flood = summary_of(small_dataset, *(refused(small_dataset, number) for number in range(100)))
    text = flood.as_text()
    assert text.count("refused: bad") == 20
    assert "... and 80 more, listed in manifest.jsonl" in text


def test_what_was_passed_over_is_said(small_dataset):
    skipped = ("/in/a.CR2", "suffix"), ("/in/b.bmp", "suffix"), ("/in/done", "cutouts"), ("/in/Thumbs.db", "junk")
    summary = replace(summary_of(small_dataset), skipped=skipped)
    assert summary.as_text().splitlines()[1:4] == [
        "2 files were not looked at: .bmp 1, .cr2 1",
        "1 hidden or left by operating systems (Thumbs.db, ._x.jpg and the like): skipped",
        "note: not searched, as garmentcut writes there; to use such a folder, name it itself: /in/done",
    ]
    counts = summary.as_dict()
    assert (counts["not_looked_at"], counts["not_looked_at_kinds"], counts["junk"]) == (2, {".bmp": 1, ".cr2": 1}, 1)


def test_a_run_that_could_not_split(small_dataset):
    summary = IngestSummary(small_dataset.folder, 3, rows=small_dataset.pairs)
    assert "no manifest written" in summary.as_text()
    assert summary.as_dict()["splits"] == {}
