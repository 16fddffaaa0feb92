import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest

from garmentcut.errors import SourceError
from garmentcut.photo.files import sha256_of
from garmentcut.prediction.results import (
    DAMAGED_NAME,
    Journal,
    Row,
    fingerprint,
    is_unchanged,
    may_replace,
    read_row,
)

ROW = Row("/in/a.jpg", "a", ("a.png",), options="o", size_hw=(3, 2), written={"a.png": ("1", "2")})


def test_rows_come_back(tmp_path):
    journal = Journal(tmp_path)
    journal.append(ROW)
    journal.append(replace(ROW, input="/in/b\udce9.jpg", status="failed", reason="damaged", notes=("x", "y")))
    assert Journal(tmp_path).rows == journal.rows


def test_the_last_row_of_a_photo_counts_and_compacting_leaves_one(tmp_path):
    journal = Journal(tmp_path)
    for seconds in (1.0, 2.0):
        journal.append(replace(ROW, seconds=seconds))
    assert len(journal.path.read_bytes().splitlines()) == 2
    journal.compact()
    (line,) = journal.path.read_text().splitlines()
    assert json.loads(line)["seconds"] == 2.0


def test_a_torn_last_line_is_passed_over(tmp_path):
    journal = Journal(tmp_path)
    journal.append(ROW)
    with journal.path.open("ab") as file:
        file.write(b'{"input": "/in/b.jpg", "sta')
    assert Journal(tmp_path).rows == {ROW.input: ROW}


@pytest.mark.parametrize(
    "line",
    [
        b'{"image": "x", "label": 1}',
        b'{"input": 5}',
        b'{"input": ["x"]}',
        b'"text"',
        b"",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"input": "/in/a.jpg", "place": "../evil"}',
        b'{"input": "/in/a.jpg", "written": {"/etc/evil": ["1"]}}',
        b'{"input": "/in/a.jpg", "status": "great"}',
    ],
)
def test_somebody_elses_results_are_refused_and_kept(tmp_path, line):
    content = line + b"\n"
    (tmp_path / "results.jsonl").write_bytes(content)
    with pytest.raises(SourceError, match=r"results\.jsonl, line 1, is not a garmentcut row"):
        Journal(tmp_path)
    assert (tmp_path / "results.jsonl").read_bytes() == content


def test_keys_of_other_versions_are_passed_over(tmp_path):
    (tmp_path / "results.jsonl").write_bytes(b'{"input": "/in/a.jpg", "place": "a", "flux": 1}\n')
    assert Journal(tmp_path).rows == {"/in/a.jpg": Row("/in/a.jpg", "a")}


def test_rows_of_many_threads_stay_whole(tmp_path):
    journal = Journal(tmp_path)
    rows = [replace(ROW, input=f"/in/{number}.jpg", reason="x" * 20_000) for number in range(200)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(journal.append, rows))
    assert Journal(tmp_path).rows == {row.input: row for row in rows}


def test_a_row_after_a_torn_line_is_not_lost(tmp_path):
    journal = Journal(tmp_path)
    journal.path.write_bytes(b'{"input": "/in/b.jpg", "sta')
    journal = Journal(tmp_path)
    journal.compact()
    journal.append(ROW)
    assert list(Journal(tmp_path).rows) == [ROW.input]


def test_the_mark_of_an_object_store_is_written_only_where_there_is_one(tmp_path):
    rows = [replace(ROW, input="/in/b.jpg"), replace(ROW, input="s3://in/a.jpg", input_etag="mark")]
    for row in rows:
        Journal(tmp_path).append(row)
    assert list(Journal(tmp_path).rows.values()) == rows
    lines = map(json.loads, (tmp_path / "results.jsonl").read_text().splitlines())
    assert [line.get("input_etag") for line in lines] == [None, "mark"]


def test_only_our_own_bytes_may_be_replaced(tmp_path):
    path = tmp_path / "a.png"
    assert may_replace(path, ())
    path.write_bytes(b"ours")
    assert may_replace(path, [sha256_of(path)])
    assert not may_replace(path, ["0" * 64])


def test_fingerprints_tell_options_apart():
    assert fingerprint("a", {"x": 1, "y": (1, 2)}) == fingerprint("a", {"y": [1, 2], "x": 1})
    assert fingerprint("a", {"x": 1}) != fingerprint("a", {"x": 2})


def test_old_names_of_keys_are_read():
    content = asdict(replace(ROW, appearance=(1.0, 2.0)))
    content["looks"] = content.pop("appearance")
    assert read_row(json.dumps(content).encode()).appearance == (1.0, 2.0)


@pytest.mark.parametrize("name", ["S:M/a", "C:colon", "a\\b", "\x1b[31m", "c\n", "q?*|", "..x", "a..b/c."])
def test_any_name_that_the_file_system_gives_is_read_back(tmp_path, name):
    row = replace(ROW, input=f"/in/{name}.jpg", place=name, outputs=(f"{name}.png",), written={f"{name}.png": ("1",)})
    Journal(tmp_path).append(row)
    assert Journal(tmp_path).rows == {row.input: row}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("notes", 5),
        ("notes", "ab"),
        ("notes", [5]),
        ("seconds", "1"),
        ("seconds", float("nan")),
        ("size_hw", [1]),
        ("size_hw", "ab"),
        ("input_bytes", None),
        ("input_mtime_ns", 1.5),
        ("written", {"a.png": "x"}),
        ("written", []),
        ("appearance", ["x"]),
        ("reason", None),
        ("code", []),
    ],
)
def test_a_damaged_line_is_set_aside_and_kept(tmp_path, field, value):
    journal = Journal(tmp_path)
    journal.append(ROW)
    damaged = json.dumps({"input": "/in/b.jpg", field: value}).encode()
    journal.path.write_bytes(damaged + b"\n" + journal.path.read_bytes() + b"\0\0\n")
    journal = Journal(tmp_path)
    assert journal.rows == {ROW.input: ROW}
    assert len(journal.damaged) == 2
    journal.compact()
    assert Journal(tmp_path).damaged == journal.damaged == []
    assert (tmp_path / DAMAGED_NAME).read_bytes() == damaged + b"\n\0\0\n"


def test_files_that_a_damaged_line_tells_of_are_still_ours(tmp_path):
    output = tmp_path / "a.png"
    output.write_bytes(b"cutout")
    journal = Journal(tmp_path)
    journal.append(replace(ROW, written={"a.png": (sha256_of(output),)}))
    journal.append(replace(ROW, input="/in/b.jpg"))
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"input": "/in/a.jpg"', b'"input": "/in/a.jpg'))
    journal = Journal(tmp_path)
    journal.compact()
    assert journal.is_ours(output, ())
    output.write_bytes(b"retouched")
    assert not journal.is_ours(output, ())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_never_waited_for(tmp_path):
    """It stood among the photos, or where a cutout is to be written, and the second run never began."""
    pipe = tmp_path / "a.jpg"
    os.mkfifo(pipe)
    assert not is_unchanged(replace(ROW, input=str(pipe), input_bytes=0), pipe)
    with pytest.raises(OSError, match="not a regular file"):
        may_replace(pipe, ["1"])
