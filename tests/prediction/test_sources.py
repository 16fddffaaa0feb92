import errno
import json
import os
from pathlib import Path, PurePosixPath

import pytest

from garmentcut.errors import ConfigError, SourceError
from garmentcut.photo.files import NotLookedAt
from garmentcut.photo.spec import Subject, read_specification
from garmentcut.prediction.sources import (
    SKIPPED_NAME,
    Source,
    by_garment,
    find_sources,
    garment_of,
    name_deliveries,
    name_each,
    name_outputs,
    subject_of,
    write_skipped,
)


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


def source(place, suffix=".jpg"):
    return Source(Path(f"/photos/{place}{suffix}"), PurePosixPath(place))


@pytest.fixture
def read(tmp_path):
    def read_outputs(*outputs):
        text = "".join(f"[[output]]\nfile = {{name = '{name}', formats = {formats}}}\n" for name, formats in outputs)
        (tmp_path / "customer.toml").write_text(text)
        return read_specification(tmp_path / "customer.toml")

    return read_outputs


def names(sources, specification, owners=None):
    return [named.outputs for named in name_deliveries(sources, specification, owners=owners or {}).values()]


@pytest.mark.parametrize(
    ("place", "subject"),
    [
        ("day/12_34_Front", Subject("12_34", "Front", "12_34_Front")),
        ("a_front_right", Subject("a", "FrontRight", "a_front_right")),
        ("a.b_BACK", Subject("a.b", "Back", "a.b_BACK")),
        ("a_detail", Subject("a", "detail", "a_detail")),
        ("IMG_0001", Subject("IMG_0001", "", "IMG_0001")),
    ],
)
def test_subjects(place, subject):
    assert subject_of(PurePosixPath(place)) == subject


def test_known_views_of_a_garment_belong_together_wherever_they_lie():
    together = {garment_of(source(place)) for place in ("x/Kjole_Front", "y/kjole_back", "KJOLE_FrontRight")}
    assert len(together) == 1
    alone = {garment_of(source(place)) for place in ("kjole_detail", "kjole", "IMG_1", "IMG_2")}
    assert len(alone | together) == 5


def test_garments_one_behind_the_other_and_front_first():
    places = ["a_Back", "b_Front", "IMG_1", "a_Front", "b_Back", "a_FrontRight"]
    ordered = [str(each.place) for each in by_garment(map(source, places))]
    assert ordered == ["a_Front", "a_FrontRight", "a_Back", "b_Front", "b_Back", "IMG_1"]


def test_names_of_several_outputs_in_the_photos_folder(read):
    specification = read(("{garment}/{view}", ["png", "mask"]), ("list/{stem}", ["jpeg"]))
    assert names([source("day/a_Front"), source("b_Back")], specification) == [
        ("day/a/Front.png", "day/a/Front_mask.png", "day/list/a_Front.jpg"),
        ("b/Back.png", "b/Back_mask.png", "list/b_Back.jpg"),
    ]


def test_counters_number_what_would_else_be_alike(read):
    sources = [source(place) for place in ("a_Front", "a_Back", "b_Front", "IMG_1")]
    assert names(sources, read(("{garment}_{counter:02}", ["png"]))) == [
        ("a_01.png",),
        ("a_02.png",),
        ("b_01.png",),
        ("IMG_1_01.png",),
    ]
    assert names(sources, read(("shop{counter}", ["png", "webp"])))[3] == ("shop4.png", "shop4.webp")


def test_counters_are_kept(read):
    specification = read(("{garment}_{counter}", ["png"]))
    owners = {"a_1.png": "/photos/a_Back.jpg", "a_3.png": "/photos/gone.jpg", "a_07.png": "/photos/a_Front.jpg"}
    places = ["a_Front", "a_FrontRight", "a_Back", "A_detail"]
    found = names([source(place) for place in places], specification, owners)
    assert found == [("a_2.png",), ("a_4.png",), ("a_1.png",), ("A_5.png",)]


@pytest.mark.parametrize(
    ("places", "pattern", "message"),
    [
        (
            ("a_Front", "a_Back"),
            "{garment}",
            "file.name gives a.png to both /photos/a_Front.jpg and /photos/a_Back.jpg; add",
        ),
        (("a_Front", "A_Front"), "{stem}", "gives A_Front.png to both"),
        (("a_Front", "a-x_Front"), "{view}", "gives Front.png to both"),
        (("ny\u0301_Front", "n\u00fd_Front"), "{stem}", "to both"),
        (("IMG_1", "IMG_2"), "{view}", "gives unknown.png to both"),
    ],
)
def test_two_photos_with_one_name(read, places, pattern, message):
    with pytest.raises(ConfigError, match=message):
        names(map(source, places), read((pattern, ["png"])))


def test_two_outputs_with_one_name(read):
    specification = read(("{stem}", ["png"]), ("x", ["png"]), ("{garment}_{view}", ["png"]))
    with pytest.raises(ConfigError, match=r"outputs 1 and 3 both write a_Front.png for /photos/a_Front.jpg; give each"):
        names([source("a_Front")], specification)
    with pytest.raises(ConfigError, match=r"outputs 1 and 2 both write a_mask.png for .*a.jpg"):
        names([source("a")], read(("{stem}", ["mask"]), ("{stem}_mask", ["png"])))


def test_the_same_stem_in_two_folders_is_no_clash(read):
    assert names([source("x/a"), source("y/a")], read(("{stem}", ["png"]))) == [("x/a.png",), ("y/a.png",)]


def output_names(*inputs, suffixes=(".png",), **earlier):
    sources = [Source(Path(path), PurePosixPath(path).relative_to("/").with_suffix("")) for path in inputs]
    return {str(path): named.outputs for path, named in name_outputs(sources, suffixes, **earlier).items()}


def test_the_stem_names_the_output():
    assert output_names("/a.jpg", "/s/a.jpg") == {"/a.jpg": ("a.png",), "/s/a.jpg": ("s/a.png",)}


def test_alike_stems_are_kept_apart():
    assert output_names("/a.jpg", "/a.png") == {"/a.jpg": ("a_jpg.png",), "/a.png": ("a_png.png",)}


@pytest.mark.parametrize(
    ("one", "two"), [("/A.jpg", "/a.png"), ("/e\u0301.jpg", "/\u00e9.png"), ("/S/a.jpg", "/s/a.png")]
)
def test_names_alike_on_other_file_systems_are_kept_apart(one, two):
    outputs = [output for (output,) in output_names(one, two).values()]
    assert outputs[0].casefold() != outputs[1].casefold()
    assert "_jpg" in outputs[0]


def test_a_disambiguated_name_may_be_taken_too():
    made = output_names("/a.jpg", "/a.png", "/a_jpg.webp", "/a_png.webp")
    assert len({output for (output,) in made.values()}) == 4


def test_a_mask_and_a_photo_called_mask_do_not_meet():
    made = output_names("/a.jpg", "/a_mask.jpg", suffixes=(".png", "_mask.png"))
    assert len({output for outputs in made.values() for output in outputs}) == 4


def test_an_earlier_run_keeps_its_output_names():
    earlier = {"places": {"/a.jpg": "a"}, "owners": {"a.png": "/a.jpg"}}
    assert output_names("/a.jpg", "/a.png", **earlier) == {"/a.jpg": ("a.png",), "/a.png": ("a_png.png",)}


def test_a_name_owned_by_a_photo_of_another_folder_is_not_given_away():
    assert output_names("/a.jpg", owners={"a.png": "/elsewhere/a.jpg"}) == {"/a.jpg": ("a_jpg.png",)}


def test_names_of_each_garment_are_kept_free():
    sources = [Source(Path(f"/in/{name}"), PurePosixPath(name.split(".")[0])) for name in ("a.jpg", "a-1.jpg", "b.jpg")]
    names = {path.name: named.outputs for path, named in name_outputs(sources, [".png"], each=True).items()}
    assert names == {"a.jpg": ("a_jpg.png",), "a-1.jpg": ("a-1.png",), "b.jpg": ("b.png",)}
    assert name_each(("review/b.png", "review/b_mask.png"), ("png", "mask"), 2) == (
        "review/b-1.png",
        "review/b-1_mask.png",
        "review/b-2.png",
        "review/b-2_mask.png",
    )
