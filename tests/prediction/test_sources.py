import errno
import json
import os
from pathlib import Path

import pytest

from garmentcut.errors import SourceError
from garmentcut.prediction.sources import SKIPPED_NAME, NotLookedAt, find_sources, write_skipped


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def places(sources):
    return [str(source.place) for source in sources]


def test_folders_are_searched_and_mirrored(tmp_path):
    touch(tmp_path / "in", "b.JPG", "a.png", "sub/a.png", "sub/deep/c.tiff", "notes.txt", ".hidden.png", ".git/d.png")
    assert places(find_sources([tmp_path / "in"], tmp_path / "out")) == ["a", "b", "sub/a", "sub/deep/c"]


def test_the_output_folder_inside_the_input_is_not_read(tmp_path):
    touch(tmp_path, "a.png", "out/a.png", "out/sub/b.png", "outside/c.png")
    assert places(find_sources([tmp_path], tmp_path / "out")) == ["a", "outside/c"]


def test_output_folders_of_other_runs_are_not_read(tmp_path):
    touch(tmp_path, "a.png", "cutouts/.garmentcut.lock", "cutouts/a.png")
    assert places(find_sources([tmp_path], tmp_path / "masks")) == ["a"]
    assert places(find_sources([tmp_path / "cutouts"], tmp_path / "masks")) == ["a"]  # unless asked for


def test_a_folder_that_cannot_be_read_is_found_itself(tmp_path, monkeypatch):
    touch(tmp_path, "a.png", "secret/b.png")
    scan = os.scandir

    def refusing(path):
        if str(path).endswith("secret"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [source.path for source in find_sources([tmp_path], tmp_path / "out")][1:] == [tmp_path / "secret"]
    assert places(find_sources([tmp_path], tmp_path / "out")) == ["a", "secret (folder)"]
    assert places(find_sources([tmp_path / "secret"], tmp_path / "out")) == ["secret (folder)"]


def test_a_link_gives_its_own_name(tmp_path):
    touch(tmp_path, "store/8f3a.jpg")
    (tmp_path / "dress.jpg").symlink_to(tmp_path / "store/8f3a.jpg")
    assert places(find_sources([tmp_path / "dress.jpg"], tmp_path / "out")) == ["dress"]


def test_several_folders_keep_their_names(tmp_path):
    touch(tmp_path, "monday/a.png", "tuesday/a.png", "single.webp")
    found = find_sources([tmp_path / "monday", tmp_path / "tuesday", tmp_path / "single.webp"], tmp_path / "out")
    assert places(found) == ["monday/a", "tuesday/a", "single"]


def test_a_photo_given_twice_is_cut_once(tmp_path):
    touch(tmp_path, "in/a.png")
    assert (
        len(find_sources([tmp_path / "in", tmp_path / "in/a.png", tmp_path / "in/../in/a.png"], tmp_path / "out")) == 1
    )


def test_a_link_to_a_folder_above_does_not_go_round(tmp_path):
    touch(tmp_path, "in/a.png")
    (tmp_path / "in/loop").symlink_to(tmp_path / "in", target_is_directory=True)
    assert places(find_sources([tmp_path / "in"], tmp_path / "out")) == ["a"]


@pytest.mark.parametrize(
    ("inputs", "out", "says"),
    [
        (["nowhere"], "out", "nowhere: no such file or directory"),
        (["in"], "in", "output folder must not be the photos' folder"),
        (["empty"], "out", "no photos in"),
    ],
)
def test_misuse_is_named(tmp_path, inputs, out, says):
    touch(tmp_path, "in/a.png", "empty/readme.txt")
    with pytest.raises(SourceError, match=says):
        find_sources([tmp_path / name for name in inputs], tmp_path / out)


def test_what_is_passed_over_is_reported_with_a_code(tmp_path):
    names = "a.jpg a.CR3 b.bmp c.txt d.psd e Thumbs.db ._a.jpg .hidden.jpg $RECYCLE.BIN/x.jpg old/.garmentcut.lock"
    touch(tmp_path / "in", *names.split(), "old/x.png")
    (tmp_path / "in/other").symlink_to(tmp_path / "in")
    skipped = []
    assert places(find_sources([tmp_path / "in"], tmp_path / "out", skipped=skipped)) == ["a"]
    root = f"{tmp_path / 'in'}/"
    assert {one.path.removeprefix(root): one.code for one in skipped} == {
        "a.CR3": "camera_raw",
        "b.bmp": "other_format",
        "d.psd": "other_format",
        "c.txt": "no_picture",
        "e": "no_picture",
        "Thumbs.db": "junk",
        "._a.jpg": "junk",
        "$RECYCLE.BIN": "junk",
        ".hidden.jpg": "hidden",
        "old": "cutouts",
        "other": "link",
    }
    counted = NotLookedAt(skipped)
    assert counted.as_text() == (
        "6 files were not looked at: .bmp 1, .cr3 1, .psd 1, .txt 1, links to folders 1, without suffix 1"
    )
    assert counted.num_junk == 4
    (tmp_path / "out").mkdir()
    write_skipped(tmp_path / "out", skipped)
    lines = [json.loads(line) for line in (tmp_path / "out" / SKIPPED_NAME).read_text().splitlines()]
    assert {line["path"]: line["code"] for line in lines} == dict(skipped)
    assert "export it as TIFF or JPEG" in next(line["reason"] for line in lines if line["code"] == "camera_raw")
    write_skipped(tmp_path / "out", [])
    assert not (tmp_path / "out" / SKIPPED_NAME).exists()


def test_a_folder_of_raw_files_alone_says_so(tmp_path):
    touch(tmp_path / "in", "a.nef", "b.nef")
    with pytest.raises(SourceError, match=r"no photos in .*; 2 files were not looked at: \.nef 2$"):
        find_sources([tmp_path / "in"], tmp_path / "out")
    (tmp_path / "in/b.nef").unlink()
    with pytest.raises(SourceError, match=r"; 1 file was not looked at: \.nef 1$"):
        find_sources([tmp_path / "in"], tmp_path / "out")


def test_a_path_that_is_too_long_stops_nobody(tmp_path):
    touch(tmp_path / "in", "a.jpg")
    here = os.open(tmp_path / "in", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("x" * 250, dir_fd=here)
        below = os.open("x" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    first, folder = find_sources([tmp_path / "in"], tmp_path / "out")
    assert first.path.name == "a.jpg"
    assert str(folder.place).endswith("x (folder)")
