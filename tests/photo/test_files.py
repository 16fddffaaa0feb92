import errno
import os
import stat

import pytest

from garmentcut.photo.files import LOCK_NAME, StagedFile, remove_staged, skip_code, walk_files, write_atomic


def test_written_whole_with_the_users_rights(tmp_path):
    path = tmp_path / "new" / "folder" / ("ø" * 120 + ".png")
    write_atomic(path, b"first")
    write_atomic(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]
    if os.name == "posix":
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("step", ["fsync", "open", "replace"])
def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "dress.png"
    path.write_bytes(b"old")

    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "replace":
            patch.setattr("pathlib.Path.replace", fail)
        else:
            patch.setattr(os, step, fail)
        with pytest.raises(OSError, match="No space left"):
            write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "dress.png"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "dress.png", b"new")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "dress.png").mkdir()
    with pytest.raises(OSError, match="directory") as error:
        write_atomic(tmp_path / "dress.png", b"new")
    assert (error.value.filename, error.value.filename2) == (str(tmp_path / "dress.png"), None)
    assert str(error.value).endswith("dress.png'")
    assert list(tmp_path.iterdir()) == [tmp_path / "dress.png"]


def test_staged_until_committed(tmp_path):
    staged = StagedFile(tmp_path / "dress.png", b"new")
    assert not staged.path.exists()
    assert len(list(tmp_path.iterdir())) == 1
    staged.discard()
    staged.discard()
    assert not list(tmp_path.iterdir())


def test_what_killed_runs_left_is_removed_and_nothing_else(tmp_path):
    StagedFile(tmp_path / "deep" / "dress.png", b"half")
    (tmp_path / "deep" / "mine.part").touch()
    remove_staged(tmp_path)
    remove_staged(tmp_path / "missing")
    assert len(list(tmp_path.glob("deep/*"))) == 2  # folders below may belong to another run
    remove_staged(tmp_path / "deep", owner="somebody")
    assert len(list(tmp_path.glob("deep/*"))) == 2
    remove_staged(tmp_path / "deep")
    assert list(tmp_path.glob("deep/*")) == [tmp_path / "deep" / "mine.part"]


def test_what_operating_systems_leave_is_no_photo():
    junk = ("$RECYCLE.BIN", "@Recycle", "@eaDir", ".Spotlight-V100", "__MACOSX", "Thumbs.db", "._x.jpg", "Icon\r")
    assert {*map(skip_code, (*junk, "@Recently-Snapshot", "Network Trash Folder"))} == {"junk"}
    assert "junk" not in map(skip_code, ("x.jpg", "_x.jpg", ".x.jpg", "recycle", "x._y.jpg"))


def test_folders_are_walked_by_name_and_junk_is_reported(tmp_path):
    names = "b/2.jpg a.jpg b/1.JPG b/._1.jpg @eaDir/a.jpg .x/c.jpg b/c.txt out/d.jpg no/e.jpg"
    for name in names.split():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "out" / LOCK_NAME).touch()
    skipped, errors = {}, []
    (tmp_path / "linked").symlink_to(tmp_path / "b")
    passed = [tmp_path / "no"]
    found = walk_files(tmp_path, (".jpg",), passed=passed, on_error=errors.append, on_skip=skipped.__setitem__)
    assert list(found) == [str(tmp_path / name) for name in ("a.jpg", "b/1.JPG", "b/2.jpg")]
    codes = {
        "@eaDir": "junk",
        "b/._1.jpg": "junk",
        ".x": "hidden",
        "b/c.txt": "suffix",
        "out": "cutouts",
        "linked": "link",
    }
    assert skipped == {str(tmp_path / name): code for name, code in codes.items()}
    assert not errors
