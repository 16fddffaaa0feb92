from pathlib import PurePosixPath

import pytest

from garmentcut.cluster.listing import list_photos
from garmentcut.cluster.storage import open_storage
from garmentcut.errors import SourceError
from garmentcut.prediction.sources import find_sources


@pytest.fixture
def target(tmp_path):
    return open_storage(str(tmp_path / "out"))


def fill(url, *names):
    for name in names:
        open_storage(url).put(name, b"photo")


def places(photos):
    return [str(photo.place) for photo in photos]


def test_in_folders_what_a_folder_run_finds(photos, target):
    listed = list_photos([str(photos)], target)
    found = find_sources([photos], photos.parent / "out")
    assert [(photo.input, photo.place) for photo in listed] == [(str(each.path), each.place) for each in found]
    assert listed[0].num_bytes == (photos / "a_Back.png").stat().st_size
    assert listed[0].mtime_ns == (photos / "a_Back.png").stat().st_mtime_ns
    assert listed == list_photos([f"file://{photos}"], target)


def test_below_a_prefix(bucket, target):
    fill(f"{bucket}/in", "b.jpg", "a/b.PNG", "notes.txt", ".hidden.jpg", ".folder/c.jpg", "a/.d.jpg")
    photos = list_photos([f"{bucket}/in/"], target)
    assert [photo.input for photo in photos] == [f"{bucket}/in/a/b.PNG", f"{bucket}/in/b.jpg"]
    assert places(photos) == ["a/b", "b"]
    assert all(photo.etag and photo.mtime_ns and photo.num_bytes == 5 for photo in photos)


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
    photos = list_photos([f"{bucket}/in"], target)
    assert [bool(photo.refused) for photo in photos] == [True, False]
    assert photos[1].place == PurePosixPath("a/b")


def test_a_file_name_that_is_no_unicode(photos, target):
    try:
        (photos / "bad\udcff.jpg").write_bytes(b"no photo")
    except OSError:
        pytest.skip("the file system takes no such name")
    refused = [photo for photo in list_photos([str(photos)], target) if photo.refused]
    assert [photo.input for photo in refused] == [f"{photos}/bad\\udcff.jpg"]
    assert refused[0].refused == "its name is no valid Unicode; rename it"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (["BUCKET/nowhere"], "no such file or folder"),
        (["BUCKET/texts"], "no photos in s3://"),
        (["BUCKET/out"], "must not be the photos' folder"),
        (["BUCKET/texts", "PHOTOS"], "give either paths or URLs"),
    ],
)
def test_misuse(bucket, photos, inputs, says):
    fill(bucket, "texts/a.txt", "out/a.jpg")
    named = [text.replace("BUCKET", bucket).replace("PHOTOS", str(photos)) for text in inputs]
    with pytest.raises(SourceError, match=says):
        list_photos(named, open_storage(f"{bucket}/out"))
