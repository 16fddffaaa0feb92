import io
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

import pytest
from fsspec import AbstractFileSystem, register_implementation

from garmentcut.cluster import storage as module
from garmentcut.cluster.storage import Storage, is_url, list_photos, local_path, open_storage, read_photo
from garmentcut.config import ReadConfig
from garmentcut.errors import PhotoError, SourceError
from garmentcut.prediction.sources import find_sources


@pytest.fixture(params=["folder", "s3"])
def storage(request, tmp_path):
    if request.param == "folder":
        (tmp_path / "target").mkdir()
        return open_storage(str(tmp_path / "target"))
    return open_storage(request.getfixturevalue("bucket") + "/target")


def test_files_are_written_listed_read_and_removed(storage):
    assert storage.walk() == []
    storage.put("deep/a.png", b"first")
    storage.put("deep/a.png", b"other")
    storage.put(".hidden/b", b"x" * 7)
    assert sorted(storage.walk()) == [".hidden/b", "deep/a.png"]
    assert storage.walk("deep") == ["deep/a.png"]
    assert storage.read("deep/a.png") == b"other"
    for name in ("deep/a.png", "never/there"):
        storage.delete(name)
    with pytest.raises(FileNotFoundError):
        storage.read("deep/a.png")


def test_a_share_that_is_not_mounted_is_not_made_up(tmp_path):
    """Before, a worker wrote to its machine's own disk, and rows and cutouts were missing in the target."""
    with pytest.raises(OSError):
        Storage(str(tmp_path / "share" / "target")).put("deep/a.png", b"")
    assert not any(tmp_path.iterdir())


def test_only_one_creates(storage):
    assert [storage.create("one.json", content) for content in (b"1", b"2")] == [True, False]
    assert storage.read("one.json") == b"1"


def test_a_stream_that_arrives_in_pieces_is_read_to_its_end():
    """As from a web server that does not tell a file's size: reading gives what has arrived, however little."""

    class Stream(io.BytesIO):
        def read(self, most=-1):
            return super().read(min(most, 7) if most >= 0 else 7)

    class Web(AbstractFileSystem):
        protocol = "pieces"

        def _open(self, *_, **__):
            return Stream(bytes(range(100)))

    register_implementation("pieces", Web, clobber=True)
    read = Storage("pieces://server/a.png").read
    assert [read("", most_bytes=most) for most in (10, 1000)] == [bytes(range(10)), bytes(range(100))]


def test_an_object_knows_its_etag_and_its_own_url(bucket):
    open_storage(bucket).put("a.png", b"content")
    object = Storage(f"{bucket}/a.png")
    assert object.read("") == b"content"
    (photo,) = list_photos([object.url], open_storage(f"{bucket}/out"))
    assert (photo.input, photo.place, photo.input_bytes) == (object.url, "a", 7)
    assert photo.input_etag == "9a0364b9e99bb480dd25e1f0284c8555"  # md5 of `content`
    assert abs(photo.input_mtime_ns / 1e9 - datetime.now(UTC).timestamp()) < 3600
    assert Storage(f"{bucket}/b.png").listed() == {}
    assert read_photo(photo, ReadConfig()) == b"content"
    assert read_photo(replace(photo, input_bytes=0), ReadConfig()) == b"content"  # a store that does not say its size
    open_storage(bucket).put("empty.png", b"")
    limits = ReadConfig(max_mb=1)
    open_storage(bucket).put("large.png", bytes(2_000_000))
    with pytest.raises(PhotoError, match=r"1 MB: over read.max_mb = 1"):  # its size became known as it was read
        read_photo(replace(photo, input=f"{bucket}/large.png", input_bytes=0), limits)
    read = open_storage(f"{bucket}/large.png").read
    assert [len(read("", most_bytes=most)) for most in (10, 3_000_000, 0)] == [10, 2_000_000, 2_000_000]
    for changes, code in (
        ({"input": f"{bucket}/empty.png"}, "empty"),
        ({"input": f"{bucket}/gone.png"}, "missing"),
        ({"input_bytes": 10**12}, "too_large"),
    ):
        with pytest.raises(PhotoError) as caught:
            read_photo(replace(photo, **changes), ReadConfig())
        assert caught.value.code == code


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
        self.left, self.error, self.stored = failures, error or ConnectionError("reset"), {}

    def pipe_file(self, path, data):
        self.left -= 1
        if self.left >= 0:
            raise self.error
        self.stored[path] = data


def test_a_request_that_fails_by_chance_is_repeated(monkeypatch):
    monkeypatch.setattr(module, "_WAITS_S", (0.0, 0.0))
    stumbling = Stumbling(2)
    monkeypatch.setattr(module, "_file_system", lambda _url: (stumbling, "bucket"))
    open_storage("s3://bucket").put("a", b"1")
    assert stumbling.stored == {"bucket/a": b"1"}


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

    fs, _ = module._file_system(bucket)
    monkeypatch.setattr(fs, "pipe_file", refuse)
    assert not open_storage(bucket).create("one.json", b"1")


@pytest.fixture
def target(tmp_path):
    return open_storage(str(tmp_path / "out"))


def fill(url, *names):
    for name in names:
        open_storage(url).put(name, b"photo")


def places(photos):
    return [photo.place for photo in photos]


def test_in_folders_what_a_folder_run_finds(photos, target):
    listed = list_photos([str(photos)], target)
    found = find_sources([photos], photos.parent / "out")
    assert [(photo.input, photo.place) for photo in listed] == [(str(each.path), str(each.place)) for each in found]
    assert listed[0].input_bytes == (photos / "a_Back.png").stat().st_size
    assert listed[0].input_mtime_ns == (photos / "a_Back.png").stat().st_mtime_ns
    assert listed == list_photos([f"file://{photos}"], target)


def test_below_a_prefix(bucket, target):
    fill(f"{bucket}/in", "b.jpg", "a/b.PNG", "notes.txt", ".hidden.jpg", ".folder/c.jpg", "a/.d.jpg")
    fill(f"{bucket}/in", "c.CR3", "__MACOSX/b.jpg")
    skipped = []
    photos = list_photos([f"{bucket}/in/"], target, skipped=skipped)
    assert [photo.input for photo in photos] == [f"{bucket}/in/a/b.PNG", f"{bucket}/in/b.jpg"]
    assert {one.path.removeprefix(f"{bucket}/in/"): one.code for one in skipped} == {
        "notes.txt": "no_picture",
        ".hidden.jpg": "hidden",
        ".folder/c.jpg": "hidden",
        "a/.d.jpg": "hidden",
        "c.CR3": "camera_raw",
        "__MACOSX/b.jpg": "junk",
    }
    assert places(photos) == ["a/b", "b"]
    assert all(photo.input_etag and photo.input_mtime_ns and photo.input_bytes == 5 for photo in photos)


def test_several_prefixes_and_single_objects_each_photo_once(bucket, target):
    fill(bucket, "x/a.jpg", "y/a.jpg", "y/b.jpg")
    photos = list_photos([f"{bucket}/x", f"{bucket}/y", f"{bucket}/y/b.jpg"], target)
    assert places(photos) == ["x/a", "y/a", "y/b"]
    assert places(list_photos([f"{bucket}/y/b.jpg"], target)) == ["b"]


def test_cutouts_are_no_photos(bucket):
    fill(bucket, "a.jpg", "cut/a.png", "earlier/.garmentcut/runs/000001.json", "earlier/b.png", "deep/.garmentcut.lock")
    fill(bucket, "deep/c.png", "earlier2/d.png")
    photos = list_photos([bucket], open_storage(f"{bucket}/cut"))
    assert places(photos) == ["a", "earlier2/d"]


def test_names_that_are_no_paths_are_rows_with_a_reason(bucket, target):
    import s3fs

    fs = s3fs.S3FileSystem(use_listings_cache=False)
    for name in ("in/a//b.jpg", "in/a/b.jpg"):
        fs.call_s3("put_object", Bucket=bucket[5:], Key=name, Body=b"photo")
    for place in ("in", "in/a"):  # also where the empty part comes first
        photos = list_photos([f"{bucket}/{place}"], target)
        assert [photo.code for photo in photos] == ["bad_name", ""]
        assert [photo.input for photo in photos] == [f"{bucket}/in/a//b.jpg", f"{bucket}/in/a/b.jpg"]
        assert photos[1].place == ("a/b" if place == "in" else "b")


def test_names_that_paths_would_make_one_are_passed_over(target):
    fill("memory://dots/in", "a/./b.jpg", "a/b.jpg")
    skipped = []
    assert places(list_photos(["memory://dots/in"], target, skipped=skipped)) == ["a/b"]
    assert [(one.path, one.code) for one in skipped] == [("memory://dots/in/a/./b.jpg", "hidden")]


def test_a_file_name_that_is_no_unicode(photos, target):
    try:
        (photos / "bad\udcff.jpg").write_bytes(b"no photo")
    except OSError:
        pytest.skip("the file system takes no such name")
    refused = [photo for photo in list_photos([str(photos)], target) if not photo.ok]
    assert [photo.input for photo in refused] == [f"{photos}/bad\\udcff.jpg"]
    assert refused[0].reason == "its name is no valid Unicode; rename it"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (["BUCKET/nowhere"], "no such file or folder"),
        (["BUCKET/texts"], "no photos in s3://"),
        (["BUCKET/out"], "must not be the photos' folder"),
        (["BUCKET/texts", "PHOTOS"], "do not mix paths and URLs"),
    ],
)
def test_misuse(bucket, photos, inputs, says):
    fill(bucket, "texts/a.txt", "out/a.jpg")
    named = [text.replace("BUCKET", bucket).replace("PHOTOS", str(photos)) for text in inputs]
    with pytest.raises(SourceError, match=says):
        list_photos(named, open_storage(f"{bucket}/out"))
