import json
import os
from dataclasses import replace

import pytest

from garmentcut.config import load_config
from garmentcut.dataset.corrections import Decision, decision_stem, write_decision
from garmentcut.photo.files import NotLookedAt
from garmentcut.prediction.folder import FolderCutter
from garmentcut.prediction.results import Row
from garmentcut.prediction.sources import find_sidecars, find_sources
from garmentcut.prediction.steps import review_state
from garmentcut.prediction.verdict import move_outputs

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"
 xmp:Rating="4" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def photo(draw, tmp_path):
    path = tmp_path / "in/day/a.png"
    draw(path)
    return path


def cut(cutter, tmp_path, *, overwrite=False, **settings):
    out = tmp_path / "out"
    config = load_config(overrides={key.replace("__", "."): value for key, value in settings.items()})
    with FolderCutter(cutter, out, config=config, overwrite=overwrite) as folder:
        (row,) = folder.cut(folder.plan(find_sources([tmp_path / "in"], out)))
    return row


def keep_adjustments(photo, text="exposure 1"):
    folder = photo.parent / "CaptureOne/Settings166"
    folder.mkdir(parents=True)
    (folder / f"{photo.name}.cos").write_text(text)
    (folder / "another.png.cos").write_text("of another photo")
    (photo.parent / "CaptureOne/Cache").mkdir()
    (photo.parent / "CaptureOne/Cache/a.png.cot").write_bytes(b"a thumbnail, made again by Capture One")


def test_lightrooms_sidecar_travels_under_the_cutouts_name(red_cutter, photo, tmp_path):
    photo.with_suffix(".xmp").write_text(XMP)
    row = cut(red_cutter, tmp_path, output__formats=("tiff", "mask"))
    assert row.sidecars == ("day/a.xmp",)
    text = (tmp_path / "out/day/a.xmp").read_text()
    assert 'xmp:Rating="4"' in text
    assert 'tiff:Orientation="1"' in text  # the cutout is upright
    assert not (tmp_path / "out/day/a_mask.xmp").exists()


def test_a_sidecar_with_the_photos_whole_name_gets_the_cutouts_whole_name(red_cutter, photo, tmp_path):
    (photo.parent / "a.png.xmp").write_text(XMP)
    assert cut(red_cutter, tmp_path, output__formats=("webp",)).sidecars == ("day/a.webp.xmp",)


def test_capture_ones_adjustments_travel_and_its_thumbnails_do_not(red_cutter, photo, tmp_path):
    keep_adjustments(photo)
    row = cut(red_cutter, tmp_path, output__formats=("tiff",))
    assert row.sidecars == ("day/CaptureOne/Settings166/a.tif.cos",)
    assert (tmp_path / "out" / row.sidecars[0]).read_text() == "exposure 1"
    assert sorted(path.name for path in (tmp_path / "out/day/CaptureOne").rglob("*.*")) == ["a.tif.cos"]


def test_crops_of_the_whole_frame_do_not_travel_with_a_trimmed_cutout(red_cutter, photo, tmp_path):
    keep_adjustments(photo)
    photo.with_suffix(".xmp").write_text(XMP)
    row = cut(red_cutter, tmp_path, output__trim=True)
    assert row.sidecars == ("day/a.xmp",)
    assert row.notes == ("a.png.cos was left behind: it fits the whole frame only",)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_of_somebody_else_is_never_replaced(red_cutter, photo, tmp_path, overwrite):
    photo.with_suffix(".xmp").write_text(XMP)
    (tmp_path / "out/day").mkdir(parents=True)
    (tmp_path / "out/day/a.xmp").write_text("a retoucher's")
    row = cut(red_cutter, tmp_path, overwrite=overwrite)
    assert (row.ok, row.sidecars) == (True, ())
    assert row.notes == ("day/a.xmp is there already, not as garmentcut wrote it, and was left as it is",)
    assert (tmp_path / "out/day/a.xmp").read_text() == "a retoucher's"


def test_our_own_copy_is_brought_up_to_date_when_the_photo_is_cut_again(red_cutter, photo, tmp_path):
    photo.with_suffix(".xmp").write_text(XMP)
    cut(red_cutter, tmp_path)
    photo.with_suffix(".xmp").write_text(XMP.replace("4", "5"))
    row = cut(red_cutter, tmp_path, output__hidden="keep")
    assert 'xmp:Rating="5"' in (tmp_path / "out/day/a.xmp").read_text()
    assert len(row.written["day/a.xmp"]) == 2


def test_a_sidecar_moves_with_its_cutouts_verdict(red_cutter, photo, tmp_path):
    photo.with_suffix(".xmp").write_text(XMP)
    row = replace(cut(red_cutter, tmp_path), verdict="review")
    names = {f"review/{name}": hashes for name, hashes in row.written.items()}
    moved = move_outputs(tmp_path / "out", replace(row, written={**row.written, **names}))
    assert (moved.outputs, moved.sidecars) == (("review/day/a.png",), ("review/day/a.xmp",))
    assert all((tmp_path / "out" / name).is_file() for name in (*moved.outputs, *moved.sidecars))
    assert not (tmp_path / "out/day/a.xmp").exists()


def test_what_cannot_be_copied_costs_a_note_and_not_the_photo(red_cutter, photo, tmp_path):
    photo.with_suffix(".xmp").write_bytes(b"")
    row = cut(red_cutter, tmp_path)
    assert (row.ok, row.sidecars) == (True, ())
    assert row.notes == ("a.xmp was left behind: empty file; copy it again",)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_are_not_followed(photo, tmp_path):
    (tmp_path / "secret").write_text("password")
    photo.with_suffix(".xmp").symlink_to(tmp_path / "secret")
    (photo.parent / "CaptureOne").mkdir()
    (photo.parent / "CaptureOne/Settings1").symlink_to(tmp_path)
    assert find_sidecars(photo) == []
    (photo.parent / "CaptureOne/Settings1").unlink()
    (photo.parent / "CaptureOne").rmdir()
    (photo.parent / "CaptureOne").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "Settings2").mkdir()
    (tmp_path / "Settings2" / f"{photo.name}.cos").write_text("elsewhere")
    assert find_sidecars(photo) == []


def test_sidecars_are_not_told_as_files_that_nobody_looked_at(photo, tmp_path):
    keep_adjustments(photo)
    photo.with_suffix(".xmp").write_text(XMP)
    skipped = []
    find_sources([tmp_path / "in"], tmp_path / "out", skipped=skipped)
    assert {one.code for one in skipped} == {"sidecar"}
    assert NotLookedAt(skipped).num_files == 0


def test_a_row_tells_of_them(red_cutter, photo, tmp_path):
    photo.with_suffix(".xmp").write_text(XMP)
    cut(red_cutter, tmp_path)
    assert json.loads((tmp_path / "out/results.jsonl").read_text())["sidecars"] == ["day/a.xmp"]


def test_a_decision_is_on_these_pixels_and_unless_it_corrected_them_on_this_models_cutout(tmp_path):
    row = Row("/in/a.jpg", "a", model="ours@1", input_sha256="a" * 64)
    assert review_state(tmp_path, row) == "open"
    stem = decision_stem("a", row.input)
    for state in ("accepted", "rejected", "corrected"):
        (tmp_path / "a.alpha.png").touch()
        write_decision(tmp_path, stem, Decision(row.input, row.input_sha256, "a", state, "a.alpha.png", model="ours@1"))
        others = review_state(tmp_path, replace(row, model="ours@2"))
        assert review_state(tmp_path, row) == state
        assert others == ("corrected" if state == "corrected" else "open")
        assert review_state(tmp_path, replace(row, input_sha256="b" * 64)) == "open"  # the photo was exchanged
        (tmp_path / "a.alpha.png").unlink()
        assert review_state(tmp_path, row) == ("open" if state == "corrected" else state)  # its correction was deleted
    (decision,) = (tmp_path / ".garmentcut/review").iterdir()
    decision.write_text("{")
    assert review_state(tmp_path, row) == "open"
