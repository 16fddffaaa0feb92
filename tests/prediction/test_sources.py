import errno
import os
from pathlib import Path

import pytest

from garmentcut.prediction.sources import SourceError, find_sources


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
