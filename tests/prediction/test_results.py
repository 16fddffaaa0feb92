import json
from dataclasses import replace

from garmentcut.prediction.results import Journal, Row, fingerprint, is_done, may_replace, sha256_of

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


def test_a_torn_line_and_foreign_lines_are_passed_over(tmp_path):
    journal = Journal(tmp_path)
    journal.append(ROW)
    with journal.path.open("ab") as file:
        file.write(b'\n[]\n"x"\n{"input": 3, "flux": 1}\n\xff\xfe\n{"input": "/in/b.jpg", "sta')
    assert Journal(tmp_path).rows == {ROW.input: ROW}


def test_a_row_after_a_torn_line_is_not_lost(tmp_path):
    journal = Journal(tmp_path)
    journal.path.write_bytes(b'{"input": "/in/b.jpg", "sta')
    journal = Journal(tmp_path)
    journal.compact()
    journal.append(ROW)
    assert list(Journal(tmp_path).rows) == [ROW.input]


def test_done_means_same_photo_same_options_files_there(tmp_path):
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"photo")
    (tmp_path / "a.png").write_bytes(b"cutout")
    status = photo.stat()
    row = Row(
        str(photo),
        "a",
        ("a.png",),
        options="o",
        input_bytes=5,
        input_mtime_ns=status.st_mtime_ns,
        input_sha256=sha256_of(photo),
    )

    def done(row, options="o", outputs=("a.png",)):
        return is_done(row, photo, tmp_path, options=options, outputs=outputs)

    assert done(row)
    assert done(replace(row, input_mtime_ns=1))  # copied: other time, same content
    assert not done(None)
    assert not done(replace(row, status="failed"))
    assert not done(row, options="other")
    assert not done(row, outputs=("b.png",))
    photo.write_bytes(b"other")
    assert not done(replace(row, input_mtime_ns=1))
    photo.write_bytes(b"longer than before")
    assert not done(row)
    photo.write_bytes(b"photo")
    (tmp_path / "a.png").unlink()
    assert not done(row)


def test_only_our_own_bytes_may_be_replaced(tmp_path):
    path = tmp_path / "a.png"
    assert may_replace(path, ())
    path.write_bytes(b"ours")
    assert may_replace(path, [sha256_of(path)])
    assert not may_replace(path, ["0" * 64])


def test_fingerprints_tell_options_apart():
    assert fingerprint("a", {"x": 1, "y": (1, 2)}) == fingerprint("a", {"y": [1, 2], "x": 1})
    assert fingerprint("a", {"x": 1}) != fingerprint("a", {"x": 2})
