import errno
import os
import shutil
import subprocess
import sys

import pytest

from garmentcut.errors import LockTakenError
from garmentcut.photo import files
from garmentcut.photo.files import FolderLock

fcntl = pytest.importorskip("fcntl", reason="locks by flock are POSIX's")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out/.lock"


@pytest.fixture(params=[errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS])
def without_locks(request, monkeypatch):
    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


def test_one_holder_at_a_time_and_the_file_stays(path):
    taken = f"another run is at work there \\(process {os.getpid()} on "
    with FolderLock(path), pytest.raises(LockTakenError, match=taken):
        FolderLock(path).acquire()
    assert path.is_file()
    FolderLock(path).acquire()


@pytest.mark.usefixtures("without_locks")
def test_without_file_locks_it_holds_all_the_same(path):
    with FolderLock(path) as held:
        assert "has no locks, so this run holds the folder by .lock.000001" in held.note
        with pytest.raises(LockTakenError):
            FolderLock(path).acquire()
        assert not held.problem()
    assert [each.name for each in path.parent.iterdir()] == [".lock"]  # the marker stays, the claim goes
    with FolderLock(path) as held:
        assert not held.problem()


@pytest.mark.usefixtures("without_locks")
def test_a_file_that_only_looks_like_a_claim_is_none(path):
    for name in (".lock.000009 (copy)", ".lock.000009-PC", ".lock.9~"):  # as a share's client may leave
        (path.parent / name).touch()
    with FolderLock(path, timeout_s=0) as held:
        assert ".lock.000001" in held.note
        assert not held.problem()


@pytest.mark.usefixtures("without_locks")
def test_a_folder_that_cannot_be_listed_for_a_moment_is_not_lost(path, monkeypatch):
    with FolderLock(path, renewed_every_s=0.05) as held:
        with monkeypatch.context() as patch:
            patch.setattr(os, "scandir", unlistable)
            patch.setattr(os, "listdir", unlistable)
            held._over.wait(0.3)
        assert not held.problem()


def unlistable(*_):
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


@pytest.mark.usefixtures("without_locks")
class TestDeadHolders:
    def test_whose_process_is_gone(self, path):
        code = "import os, sys, fcntl, errno, pathlib\nfrom garmentcut.photo.files import FolderLock\n"
        code += "def refuse(*_): raise OSError(errno.ENOLCK, '')\nfcntl.flock = refuse\n"
        code += "FolderLock(pathlib.Path(sys.argv[1])).acquire(); os._exit(9)"
        assert subprocess.run([sys.executable, "-c", code, path]).returncode == 9
        assert (path.parent / ".lock.000001").exists()
        with FolderLock(path) as held:
            assert "000002" in held.note
        assert [each.name for each in path.parent.iterdir()] == [".lock"]

    def test_that_was_asleep_for_too_long(self, path, monkeypatch):
        asleep = FolderLock(path, renewed_every_s=0.05)
        asleep.acquire()
        monkeypatch.setattr(files, "TAKEN_FOR_DEAD_S", -1.0)
        with FolderLock(path) as heir:
            assert not heir.problem()
            asleep._over.wait(0.3)
            assert "another run has taken" in asleep.problem()
            asleep.release()
            assert not heir.problem()


def test_a_folder_that_was_removed_or_replaced_is_noticed(path):
    with FolderLock(path) as held:
        assert not held.problem()
        path.unlink()
        assert "was removed or unmounted" in held.problem()
    with FolderLock(path) as held:
        shutil.rmtree(path.parent)
        assert "was removed or unmounted" in held.problem()
        path.parent.mkdir()
        with FolderLock(path) as other:
            assert not other.problem()
            assert "was replaced by another" in held.problem()


def test_new_inode_numbers_are_no_new_folder(path, monkeypatch):
    with FolderLock(path) as held:
        monkeypatch.setattr(files, "_identity", lambda status: (7, status.st_ino + 1))
        assert not held.problem()
        assert not held.problem()
