from datetime import UTC, datetime
from typing import ClassVar

import pytest

from garmentcut.cluster import storage as module
from garmentcut.cluster.storage import RemoteStorage, is_url, local_path, open_storage
from garmentcut.errors import SourceError


@pytest.fixture(params=["folder", "s3"])
def storage(request, tmp_path):
    if request.param == "folder":
        return open_storage(str(tmp_path / "target"))
    return open_storage(request.getfixturevalue("bucket") + "/target")


def test_files_are_written_listed_read_and_removed(storage):
    assert list(storage.walk()) == []
    storage.put("deep/a.png", b"first")
    storage.put("deep/a.png", b"other")
    storage.put(".hidden/b", b"x" * 7)
    assert {found.name: found.num_bytes for found in storage.walk()} == {"deep/a.png": 5, ".hidden/b": 7}
    assert [found.name for found in storage.walk("deep")] == ["deep/a.png"]
    assert all(abs(found.mtime_ns / 1e9 - datetime.now(UTC).timestamp()) < 3600 for found in storage.walk())
    assert storage.read("deep/a.png") == b"other"
    storage.delete(["deep/a.png", "never/there"])
    with pytest.raises(FileNotFoundError):
        storage.read("deep/a.png")


def test_only_one_creates(storage):
    assert [storage.create("one.json", content) for content in (b"1", b"2")] == [True, False]
    assert storage.read("one.json") == b"1"


def test_an_object_knows_its_etag_and_its_own_url(bucket):
    open_storage(bucket).put("a.png", b"content")
    object = RemoteStorage(f"{bucket}/a.png")
    assert object.info().etag == "9a0364b9e99bb480dd25e1f0284c8555"  # md5 of `content`
    assert object.read("") == b"content"
    assert RemoteStorage(f"{bucket}/b.png").info() is None
    assert RemoteStorage(bucket).info() is None


def test_paths_and_urls(tmp_path):
    assert not is_url("photos/a.jpg")
    assert not is_url("C://photos")
    assert is_url("s3://bucket/a.jpg")
    assert local_path("file:///photos/with%20space") == local_path("/photos/with space")
    assert local_path("s3://bucket") is None
    assert open_storage(f"file://{tmp_path}").url == str(tmp_path.resolve())


@pytest.mark.parametrize("url", ["nosuch://bucket/a", "gs2://bucket"])
def test_an_unknown_kind_of_url(url):
    with pytest.raises(SourceError, match=r"cannot be opened: Protocol not known"):
        open_storage(url).put("a", b"")


class Stumbling:
    """A file system whose first requests fail."""

    def __init__(self, failures, error=None):
        self.left, self.error, self.kept = failures, error or ConnectionError("reset"), {}

    def pipe_file(self, path, data):
        self.left -= 1
        if self.left >= 0:
            raise self.error
        self.kept[path] = data


def test_a_request_that_fails_by_chance_is_repeated(monkeypatch):
    monkeypatch.setattr(module, "_WAITS_S", (0.0, 0.0))
    stumbling = Stumbling(2)
    monkeypatch.setattr(module, "_file_system", lambda _url: (stumbling, "bucket"))
    open_storage("s3://bucket").put("a", b"1")
    assert stumbling.kept == {"bucket/a": b"1"}


def test_a_request_that_always_fails_says_why(monkeypatch):
    monkeypatch.setattr(module, "_WAITS_S", (0.0, 0.0))
    monkeypatch.setattr(module, "_file_system", lambda _url: (Stumbling(9), "bucket"))
    with pytest.raises(OSError, match=r"reset \(tried 3 times\)"):
        open_storage("s3://bucket").put("a", b"1")


def test_what_will_not_pass_is_not_repeated(monkeypatch):
    stumbling = Stumbling(9, PermissionError("Access Denied"))
    monkeypatch.setattr(module, "_file_system", lambda _url: (stumbling, "bucket"))
    with pytest.raises(PermissionError):
        open_storage("s3://bucket").put("a", b"1")
    assert stumbling.left == 8


@pytest.mark.parametrize("status", [409, 412])
def test_a_store_that_refuses_without_a_word(bucket, monkeypatch, status):
    """Ceph answers a conditional put that comes too late with the status alone."""

    class RefusedError(Exception):
        response: ClassVar = {"Error": {"Message": None}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def refuse(*_args, **_options):
        raise OSError(22, None) from RefusedError()

    fs, _ = open_storage(bucket)._opened()
    monkeypatch.setattr(fs, "pipe_file", refuse)
    assert not open_storage(bucket).create("one.json", b"1")
