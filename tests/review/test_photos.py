import json
import os

import pytest

from garmentcut.prediction.results import Journal, Row
from garmentcut.review.photos import Feed


def row(name, **more):
    return Row(f"/photos/{name}.png", place=name, **more)


def places(rows):
    return [row.place for row in rows]


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def test_only_what_is_new_comes(tmp_path, journal):
    feed = Feed(tmp_path)
    assert feed.rows() == []
    journal.append(row("a"))
    journal.append(row("b", status="failed", reason="torn"))
    assert places(feed.rows()) == ["a", "b"]
    assert feed.rows() == []
    journal.append(row("c"))
    assert places(feed.rows()) == ["c"]


def test_a_row_comes_once_its_files_are_there(tmp_path, journal):
    feed = Feed(tmp_path)
    journal.append(row("a", status="pending"))
    assert feed.rows() == []
    journal.append(row("a"))
    assert places(feed.rows()) == ["a"]


def test_half_a_line_is_waited_for(tmp_path, journal):
    feed = Feed(tmp_path)
    journal.append(row("a"))
    line = journal.path.read_bytes()
    journal.path.write_bytes(line + line.replace(b"/a.png", b"/b.png")[:40])
    assert [one.input for one in feed.rows()] == ["/photos/a.png"]
    journal.path.write_bytes(line + line.replace(b"/a.png", b"/b.png"))
    assert [one.input for one in feed.rows()] == ["/photos/b.png"]


def test_a_tidied_file_is_read_from_its_begin(tmp_path, journal):
    feed = Feed(tmp_path)
    for name in ("b", "a", "b"):
        journal.append(row(name))
    assert places(feed.rows()) == ["b", "a"]
    journal.compact()
    journal.append(row("c"))
    assert places(feed.rows()) == ["a", "b", "c"]


def test_another_file_with_the_same_inode_and_more_in_it_is_kept_apart(tmp_path, journal):
    feed = Feed(tmp_path)
    journal.append(row("a"))
    assert places(feed.rows()) == ["a"]
    inode = journal.path.stat().st_ino
    lines = [json.dumps({"input": f"/photos/{name}.png", "place": name}) + "\n" for name in ("x", "y", "z")]
    with journal.path.open("r+b") as file:
        file.write("".join(lines).encode().ljust(feed._offset + 50, b"\n"))
    os.utime(journal.path)
    assert journal.path.stat().st_ino == inode
    assert places(feed.rows()) == ["x", "y", "z"]
