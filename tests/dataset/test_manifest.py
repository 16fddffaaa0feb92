import json
from dataclasses import replace

import numpy as np
import pytest

from garmentcut.dataset.manifest import (
    REFUSING,
    SUSPECT,
    Manifest,
    fault_of,
    read_manifest,
    read_pair,
    read_target,
    target_bytes,
    with_verdicts,
    write_manifest,
)
from garmentcut.errors import DatasetError, PhotoError
from garmentcut.photo.write import png_bytes


@pytest.fixture
def manifest(small_dataset):
    """Three usable pairs and a refused one."""
    refused = replace(
        small_dataset.pairs[0],
        name="g9_Front",
        garment="g9",
        alpha="",
        split="",
        group="",
        box_xyxy=(0, 0, 0, 0),
        faults=(fault_of("empty", "nothing is cut out"), fault_of("view", "odd")),
        notes=("photo: caf\u00e9",),
    )
    made = Manifest(small_dataset.folder, (refused, *small_dataset.pairs), "folds 3", 7)
    write_manifest(made)
    return made


def edit(manifest, change, line=2):
    path = manifest.folder / "manifest.jsonl"
    lines = path.read_text().splitlines()
    lines[line - 1] = change(lines[line - 1])
    path.write_text("\n".join(lines) + "\n")


def test_what_is_written_is_read(manifest):
    read = read_manifest(manifest.folder)
    assert read == replace(manifest, pairs=tuple(sorted(manifest.pairs, key=lambda pair: pair.name)))
    assert [pair.name for pair in read.usable] == ["g0_Front", "g1_Back", "g2_FrontRight"]
    assert read.splits == ("fold0", "fold1", "fold2")
    assert [pair.name for pair in read.of("fold2", "fold0")] == ["g0_Front", "g2_FrontRight"]
    assert read.pairs[3].refused and not read.pairs[0].refused


def test_its_fingerprint_is_of_contents_not_of_places(manifest):
    moved = replace(
        manifest, pairs=tuple(replace(pair, photo="elsewhere", split="test") for pair in manifest.pairs[::-1])
    )
    other = replace(manifest, pairs=(*manifest.pairs[:-1], replace(manifest.pairs[-1], cutout_sha256="0" * 64)))
    fewer = replace(manifest, pairs=manifest.pairs[:-1])
    assert moved.sha256 == manifest.sha256
    assert len({manifest.sha256, other.sha256, fewer.sha256}) == 3


def test_unknown_splits_are_named(manifest):
    with pytest.raises(DatasetError, match="no split test; it has fold0, fold1, fold2"):
        manifest.of("fold0", "test")


def changed(**values):
    return lambda line: json.dumps({**json.loads(line), **values})


@pytest.mark.parametrize(
    ("line", "change", "says"),
    [
        (1, lambda _: "", "line 1, does not say that it is a manifest"),
        (1, lambda _: "[]", "line 1, does not say"),
        (1, changed(garmentcut="results"), "line 1, does not say"),
        (1, changed(version=float("nan")), "line 1, does not say"),
        (1, changed(version=2), "written by a later garmentcut"),
        (1, changed(rows=5), "4 rows where its first line says 5"),
        (3, lambda line: line[:-9], "line 3: not a whole row"),
        (3, lambda _: "", "line 3: not a whole row"),
        (3, changed(size_hw=[96]), "line 3: size_hw"),
        (3, changed(size_hw=["a", 64]), "line 3: size_hw.0"),
        (3, changed(colour="red"), "line 3: colour: Unexpected"),
        (3, changed(faults=[{"code": "empty", "text": "", "severity": "bad"}]), "line 3: faults.0.severity"),
        (3, changed(view="Side"), "line 3: view 'Side' is none of"),
        (3, changed(alpha=""), "line 3: no alpha, and not refused"),
        (3, changed(split=""), "line 3: no split, and not refused"),
        (3, changed(box_xyxy=[0, 0, 65, 96]), "line 3: box_xyxy does not lie in the photo"),
        (3, changed(name="g0_Front"), "lines 2 and 3: both are g0_Front"),
    ],
)
def test_lines_torn_or_edited_are_named(manifest, line, change, says):
    edit(manifest, change, line)
    with pytest.raises(DatasetError, match=f"manifest.jsonl.*{says}") as caught:
        read_manifest(manifest.folder)
    assert "garmentcut" in str(caught.value)  # and says what to do


def test_a_lost_end_is_noticed(manifest):
    path = manifest.folder / "manifest.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    with pytest.raises(DatasetError, match="3 rows where its first line says 4"):
        read_manifest(manifest.folder)


def test_no_manifest(tmp_path):
    with pytest.raises(DatasetError, match=r"no manifest.jsonl there; make one with `garmentcut ingest`"):
        read_manifest(tmp_path)


def test_pairs_are_read(manifest, studio):
    photo, alpha = read_pair(manifest, manifest.usable[1])
    drawn = studio(96, 64)
    assert (photo.rgb == drawn.photo).all()
    assert (alpha == drawn.alpha).all()


def test_photos_changed_since_are_refused(manifest, studio):
    pair = manifest.usable[0]
    manifest.path_of(pair.photo).write_bytes(png_bytes(studio(48, 64).photo))
    with pytest.raises(PhotoError, match=r"g0_Front.png: 64x48 instead of 64x96 pixels: changed since"):
        read_pair(manifest, pair)
    manifest.path_of(pair.photo).unlink()
    with pytest.raises(PhotoError, match=r"g0_Front.png: no such file"):
        read_pair(manifest, pair)


def test_codes_are_known_once():
    assert not set(REFUSING) & set(SUSPECT)
    assert fault_of("shifted", "by 3 px").severity == "refuses"
    assert fault_of("colors", "brighter").severity == "suspect"
    with pytest.raises(KeyError):
        fault_of("odd", "")


def test_verdicts_are_kept_and_manifests_without_them_are_read(manifest):
    pairs = tuple(replace(pair, verdict="wrong") if pair.name == "g1_Back" else pair for pair in manifest.pairs)
    write_manifest(replace(manifest, pairs=pairs))
    assert {pair.name: pair.verdict for pair in read_manifest(manifest.folder).usable} == {
        "g0_Front": "",
        "g1_Back": "wrong",
        "g2_FrontRight": "",
    }
    edit(manifest, lambda line: line.replace(', "verdict": "wrong"', ""), line=3)
    assert not any(pair.verdict for pair in read_manifest(manifest.folder).pairs)
    edit(manifest, lambda line: line.replace('"verdict": ""', '"verdict": "ugly"'), line=2)
    with pytest.raises(DatasetError, match="line 2: verdict"):
        read_manifest(manifest.folder)


def test_a_verdict_is_on_a_cutout_and_goes_with_it(manifest):
    earlier = [replace(pair, verdict="wrong") for pair in manifest.usable]
    fresh = [replace(pair, verdict="") for pair in manifest.usable]
    assert [pair.verdict for pair in with_verdicts(fresh, earlier)] == ["wrong"] * 3
    fresh[1] = replace(fresh[1], cutout_sha256="f" * 64)  # cut out again
    fresh[2] = replace(fresh[2], verdict="right")
    assert [pair.verdict for pair in with_verdicts(fresh, earlier)] == ["wrong", "", "wrong"]
    fresh[0] = replace(fresh[0], name="renamed_Front")  # the same files
    assert with_verdicts(fresh, earlier)[0].verdict == "wrong"


@pytest.mark.parametrize(("levels", "depth"), [(255, 8), (65535, 16)])
def test_alphas_survive_exactly(levels, depth, tmp_path):
    alpha = np.linspace(0, levels, 257 * 3).round().reshape(3, 257).astype(np.float32) / np.float32(levels)
    content = target_bytes(alpha)
    (tmp_path / "a.png").write_bytes(content)
    assert content[24] == depth  # IHDR's bit depth
    assert np.array_equal(read_target(tmp_path / "a.png", (3, 257)), alpha)


def test_finer_alphas_are_off_by_half_a_16_bit_level(tmp_path):
    alpha = np.random.default_rng(0).random((50, 40), np.float32)
    (tmp_path / "a.png").write_bytes(target_bytes(alpha))
    assert np.abs(read_target(tmp_path / "a.png", (50, 40)) - alpha).max() <= 0.51 / 65535


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "empty file"),
        (b"GIF89a", "not a PNG"),
        (png_bytes(np.zeros((4, 4), np.uint8))[:-20], "damaged"),
        (png_bytes(np.zeros((4, 5), np.uint8)), r"\(4, 5\) where the photo has \(4, 4\)"),
        (png_bytes(np.zeros((4, 4, 3), np.uint8)), r"\(4, 4, 3\) where"),
    ],
)
def test_targets_that_cannot_be_used(content, says, tmp_path):
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(PhotoError, match=f"a.png: .*{says}.*ingest` again"):
        read_target(tmp_path / "a.png", (4, 4))
