import hashlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from psd_tools import PSDImage
from psd_tools.psd.layer_and_mask import MaskParameters
from typer.testing import CliRunner

from garmentcut.cli import app
from garmentcut.dataset.corrections import (
    DECISIONS_FOLDER,
    Decision,
    ReviewSource,
    decision_on,
    decision_stem,
    find_reviewed,
    write_decision,
)
from garmentcut.dataset.ingest import Ingest, IngestOptions
from garmentcut.dataset.manifest import read_pair
from garmentcut.dataset.split import Scheme
from garmentcut.errors import DatasetError, PhotoError
from garmentcut.naming import NamePattern
from garmentcut.photo.files import sha256_of
from garmentcut.photo.photo import Cutout
from garmentcut.photo.psd_roundtrip import layered_psd
from garmentcut.photo.trace import trace_outline
from garmentcut.photo.truth import read_cutout
from garmentcut.photo.write import png_bytes

PATTERN = NamePattern("<garment>_<view>")


@pytest.fixture
def decide(tmp_path, studio):
    """decide(name, state="corrected", soft=False, batch="batch"): a photo decided on; its alpha as kept."""

    def write(name, state="corrected", *, soft=False, batch="batch", **more):
        scene = studio(height=144, width=96)
        photo, folder = tmp_path / "photos" / f"{name}.png", tmp_path / batch
        photo.parent.mkdir(exist_ok=True)
        rng = np.random.default_rng(list(name.encode()))
        print_of_cloth = rng.integers(0, 255, (6, 4, 3)).repeat(24, axis=0).repeat(24, axis=1)
        rgb = np.where(scene.alpha[..., None] > 0.5, print_of_cloth, scene.photo)  # or they would look alike
        Image.fromarray(rgb.astype(np.uint8)).save(photo)
        alpha = np.rint(scene.alpha * (180 if soft else 255)).astype(np.uint8)
        stem = decision_stem(name, str(photo))
        (folder / stem).parent.mkdir(parents=True, exist_ok=True)
        for kind in ("alpha", "predicted"):
            Image.fromarray(alpha).save(folder / f"{stem}.{kind}.png")
        decision = Decision(
            str(photo), sha256_of(photo), name, state, f"{stem}.alpha.png", "", f"{stem}.predicted.png", at="2026-01-01"
        )
        write_decision(folder, stem, replace(decision, **more))
        return alpha

    return write


def ingest(tmp_path, **options):
    review = ReviewSource((tmp_path / "batch",), **options)
    with Ingest(None, None, tmp_path / "dataset", IngestOptions(review=review)) as work:
        plan = work.plan()
        entries = list(work.examine(plan))
        return entries, work.finish(work.rows(plan)).manifest


def test_corrections_become_pairs_and_nothing_else_does(decide, tmp_path):
    target = decide("a_Front")
    for number in range(5):
        decide(f"g{number}_Back")
    decide("b_Front", "accepted")
    decide("c_Front", "rejected")
    decide("d_Front", "open")
    _, manifest = ingest(tmp_path)
    assert [pair.name for pair in manifest.usable] == ["a_Front", *(f"g{number}_Back" for number in range(5))]
    pair = manifest.usable[0]
    assert (pair.garment, pair.view) == ("a", "Front")
    assert not any(fault.code == "unchecked" for pair in manifest.usable for fault in pair.faults)
    with Image.open(tmp_path / "dataset" / pair.alpha) as image:
        np.testing.assert_array_equal(np.array(image), target)
    assert ingest(tmp_path)[0] == []  # nothing is read twice


def test_a_correction_of_a_known_garment_belongs_to_it_in_any_case(decide, tmp_path):
    for number in range(5):
        decide(f"g{number}_Front")
    ingest(tmp_path)
    for number in range(5):
        decide(f"G{number}_Back")
    assert {pair.garment for pair in ingest(tmp_path)[1].usable} == {f"g{number}" for number in range(5)}


def test_what_was_accepted_as_it_was_is_taken_if_asked_for(decide, tmp_path):
    for number in range(5):
        decide(f"g{number}_Front", "accepted")
    decide("c_Front", "rejected")
    assert len(ingest(tmp_path, with_accepted=True)[1].usable) == 5
    assert find_reviewed(ReviewSource((tmp_path / "batch",)), PATTERN, {}) == []


def test_a_sheer_garment_is_taken_though_its_alpha_is_no_mask(decide, tmp_path):
    for number in range(5):
        decide(f"g{number}_Front", soft=True)
    assert len(ingest(tmp_path)[1].usable) == 5


def test_one_correction_alone_cannot_be_split_and_the_way_out_is_named(decide, tmp_path):
    decide("g1_Front")
    with pytest.raises(DatasetError, match=r"1 garment .* cannot fill 5 splits .* --out DATASET --add"):
        ingest(tmp_path)


def test_a_photo_that_changed_or_is_gone_is_refused(decide, tmp_path):
    for name in ("a_Front", "b_Front", "c_Front"):
        decide(name)
    (tmp_path / "photos" / "a_Front.png").unlink()
    Image.new("RGB", (96, 144)).save(tmp_path / "photos" / "b_Front.png")
    (tmp_path / "batch" / f"{decision_stem('c_Front', '')}.alpha.png").unlink()
    found = {
        one.name: [f.code for f in one.faults]
        for one in find_reviewed(ReviewSource((tmp_path / "batch",)), PATTERN, {})
    }
    assert found == {"a_Front": ["no_photo"], "b_Front": ["other_photo"], "c_Front": ["no_cutout"]}


def test_of_two_batches_the_newest_decision_counts(decide, tmp_path):
    decide("a_Front", batch="late", at="2026-02-01")
    decide("a_Front", batch="early", at="2026-01-01")
    source = ReviewSource((tmp_path / "late", tmp_path / "early"))
    assert [one.cutout.is_relative_to(tmp_path / "late") for one in find_reviewed(source, PATTERN, {})] == [True]


def test_a_folder_that_nobody_reviewed(tmp_path):
    with pytest.raises(DatasetError, match="nobody has reviewed it"):
        find_reviewed(ReviewSource((tmp_path,)), PATTERN, {})


NAMES = "a_Front", "a_Back", "b_Front", "c_Front"


def painted(alpha, top=30):
    """Another mask, `(H, W)` uint8, of no shape that any path has."""
    mask = np.rint(alpha * 255).astype(np.uint8)
    mask[top : top + 20, 10:40] = np.linspace(0, 255, 30).astype(np.uint8)
    return mask


def corrected(data, mask):
    """A document whose layer mask was painted; layer and file are renamed on the way, as Photoshop's users do."""
    document = PSDImage.open(io.BytesIO(data))
    layer = document[-1]
    layer.remove_mask()
    layer.create_mask(Image.fromarray(mask), top=0, left=0)
    layer.name = "Ebene 0 Kopie"
    document._updated = False
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


class Studio:
    """A folder of documents, perhaps one of originals, and the data set made of them."""

    def __init__(self, root, draw):
        self.originals, self.psds, self.out, self._draw = root / "originals", root / "psds", root / "dataset", draw
        self.masks, self.photos = {}, {}
        for folder in (self.originals, self.psds):
            folder.mkdir()

    def draw(self, name):
        rgb, alpha = self._draw(int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]))
        return Cutout(rgb, alpha)

    def add(self, *names, correct=True, trim=False, top=30):
        for name in names:
            cutout = self.draw(name)
            self.photos[name], self.masks[name] = cutout.rgb, painted(cutout.alpha, top)
            written = cutout.trimmed() if trim else cutout
            data = layered_psd(written, path=trace_outline(written.alpha), name=name)
            mask = self.masks[name] if not trim else np.rint(written.alpha * 200).astype(np.uint8)
            (self.psds / f"{name}.psd").write_bytes(corrected(data, mask) if correct else data)

    def add_original(self, *names, folder=None, suffix=".png"):
        for name in names:
            Image.fromarray(self.draw(name).rgb).save((folder or self.originals) / f"{name}{suffix}")

    def ingest(self, *, with_originals=False, scheme=None, **options):
        folders = (self.originals, self.psds) if with_originals else (self.psds, None)
        if not (self.out / "manifest.jsonl").exists():
            scheme = Scheme.of_folds(2)
        with Ingest(*folders, self.out, IngestOptions(workers=2, scheme=scheme, **options)) as ingest:
            plan = ingest.plan()
            self.read = [entry.pair.name for entry in ingest.examine(plan)]
            self.outcome = ingest.finish(ingest.rows(plan))
            return {pair.name: pair for pair in self.outcome.manifest.pairs}

    def check(self, *names):
        """Photos are the originals bit for bit, targets the painted masks."""
        rows = {pair.name: pair for pair in self.outcome.manifest.pairs}
        for name in names:
            photo, alpha = read_pair(self.outcome.manifest, rows[name])
            np.testing.assert_array_equal(photo.rgb, self.photos[name])
            np.testing.assert_array_equal(np.rint(alpha * 255), self.masks[name])


@pytest.fixture
def studio_of(tmp_path, draw_pair):
    return Studio(tmp_path, draw_pair)


def codes(rows):
    return {name: [fault.code for fault in row.faults] for name, row in rows.items()}


def test_one_folder_of_corrected_documents_is_a_data_set(studio_of):
    studio_of.add(*NAMES)
    rows = studio_of.ingest()
    assert codes(rows) == {name: [] for name in NAMES}
    studio_of.check(*NAMES)
    row = rows["a_Front"]
    assert (row.photo, row.cutout, row.source) == ("photos/a_Front.png", "../psds/a_Front.psd", "layer mask")
    assert row.photo_sha256 == hashlib.sha256((studio_of.out / row.photo).read_bytes()).hexdigest()
    assert "photo: out of the layer 'Ebene 0 Kopie', as garmentcut wrote it" in row.notes


def test_nothing_is_read_twice_but_what_has_changed(studio_of):
    studio_of.add(*NAMES)
    studio_of.ingest()
    before = (studio_of.out / "manifest.jsonl").read_bytes()
    studio_of.ingest()
    assert studio_of.read == []
    assert (studio_of.out / "manifest.jsonl").read_bytes() == before
    (studio_of.out / "photos/a_Front.png").unlink()
    studio_of.add("b_Front")
    with (studio_of.psds / "b_Front.psd").open("ab") as file:
        file.write(b" ")
    studio_of.ingest()
    assert studio_of.read == ["a_Front", "b_Front"]
    studio_of.check(*NAMES)


def test_the_photo_is_taken_from_its_folder_where_it_is_there(studio_of):
    studio_of.add(*NAMES)
    studio_of.add_original("a_Front", "c_Front")
    rows = studio_of.ingest(with_originals=True)
    assert codes(rows) == {name: [] for name in NAMES}
    assert [rows[name].photo for name in NAMES] == [
        *("../originals/a_Front.png", "photos/a_Back.png", "photos/b_Front.png", "../originals/c_Front.png")
    ]
    studio_of.check(*NAMES)
    studio_of.add_original("a_Back")  # it turns up
    rows = studio_of.ingest(with_originals=True)
    assert studio_of.read == ["a_Back"]
    assert rows["a_Back"].photo == "../originals/a_Back.png"
    assert sorted(path.name for path in (studio_of.out / "photos").iterdir()) == ["b_Front.png"]
    (studio_of.originals / "a_Back.png").unlink()
    assert studio_of.ingest(with_originals=True)["a_Back"].photo == "photos/a_Back.png"
    studio_of.check(*NAMES)


def test_a_document_without_a_photo_needs_one_beside_it(studio_of):
    studio_of.add(*NAMES)
    cutout, path = studio_of.draw("a_Front"), studio_of.psds / "a_Front.psd"
    document = PSDImage.new("RGB", cutout.alpha.shape[::-1])
    document.create_pixel_layer_from_array(np.dstack([cutout.rgb, studio_of.masks["a_Front"]]), name="Cut")
    document._updated = False
    document.save(path)
    rows = studio_of.ingest()
    (fault,) = rows["a_Front"].faults
    assert fault.code == "no_photo"
    assert fault.text.endswith("; its document holds no layer that covers the image without a hole")
    studio_of.add_original("a_Front", folder=studio_of.psds)
    rows = studio_of.ingest()
    assert rows["a_Front"].photo == "../psds/a_Front.png"
    studio_of.check(*NAMES)
    studio_of.add_original("a_Front", folder=studio_of.psds, suffix=".tif")
    assert codes(studio_of.ingest())["a_Front"] == ["ambiguous"]


def test_cutouts_beside_the_documents_are_not_taken_for_photos(studio_of):
    """`garmentcut cut --format png --format mask --format psd` writes them side by side."""
    studio_of.add(*NAMES)
    for name in NAMES:
        cutout = studio_of.draw(name)
        (studio_of.psds / f"{name}.png").write_bytes(png_bytes(cutout.cleaned.rgba()))
        (studio_of.psds / f"{name}_mask.png").write_bytes(png_bytes(cutout.rounded_alpha()))
        (studio_of.psds / f"{name}.webp").write_bytes(b"whatever")
    (studio_of.psds / "sheet.jpg").write_bytes(b"whatever")
    assert codes(studio_of.ingest()) == {name: [] for name in NAMES}
    studio_of.check(*NAMES)


def test_what_nobody_corrected_is_no_target_unless_it_is_accepted(studio_of):
    studio_of.add("a_Front", "b_Front")
    studio_of.add("c_Front", correct=False)
    rows = studio_of.ingest()
    assert codes(rows) == {"a_Front": [], "b_Front": [], "c_Front": ["uncorrected"]}
    assert "--accept-unchanged" in rows["c_Front"].faults[0].text
    studio_of.ingest()
    assert studio_of.read == []
    rows = studio_of.ingest(accept_unchanged=True)
    assert studio_of.read == ["c_Front"]
    assert codes(rows)["c_Front"] == ["accepted"] and not rows["c_Front"].refused
    alpha = read_pair(studio_of.outcome.manifest, rows["c_Front"])[1]
    np.testing.assert_array_equal(alpha, read_cutout(studio_of.psds / "c_Front.psd").alpha)
    assert codes(studio_of.ingest())["c_Front"] == ["uncorrected"]
    assert not (studio_of.out / "photos/c_Front.png").exists()
    studio_of.add_original(*NAMES)
    assert codes(studio_of.ingest(with_originals=True))["c_Front"] == ["uncorrected"]


def test_density_and_feather_of_a_mask_are_corrections(studio_of):
    studio_of.add(*NAMES)
    for name, parameters in (("a_Front", {"user_mask_feather": 1.5}), ("a_Back", {"user_mask_density": 128})):
        path = studio_of.psds / f"{name}.psd"
        path.write_bytes(layered_psd(studio_of.draw(name)))
        document = PSDImage.open(path)
        data = next(layer for layer in document if layer.has_mask())._record.mask_data
        data.flags.parameters_applied, data.parameters = True, MaskParameters(**parameters)
        document._updated = False
        document.save(path)
    assert codes(studio_of.ingest()) == {name: ["background"] if name == "a_Back" else [] for name in NAMES}


def test_a_trimmed_document_holds_no_photo_and_says_why(studio_of):
    studio_of.add("a_Front", "b_Front")
    studio_of.add("c_Front", trim=True)
    rows = studio_of.ingest()
    (fault,) = rows["c_Front"].faults
    assert fault.code == "no_photo"
    assert "holds the photo trimmed, laid on another canvas" in fault.text
    studio_of.add_original("a_Front", "c_Front")
    assert codes(studio_of.ingest(with_originals=True))["c_Front"] == ["size"]


def test_corrections_are_added_to_a_data_set(studio_of):
    studio_of.add(*NAMES)
    before = studio_of.ingest()
    for name in NAMES[1:]:
        (studio_of.psds / f"{name}.psd").unlink()
    studio_of.add("a_Front", top=60)  # corrected again
    studio_of.add("d_Front")
    rows = studio_of.ingest(add=True)
    assert sorted(studio_of.read) == ["a_Front", "d_Front"]
    assert set(rows) == {*NAMES, "d_Front"} and studio_of.outcome.gone == ()
    studio_of.check(*NAMES, "d_Front")
    assert {name: rows[name].split for name in NAMES} == {name: row.split for name, row in before.items()}
    again = studio_of.ingest(add=True)
    assert studio_of.read == [] and again == rows


def test_a_refused_newcomer_does_not_take_the_place_of_a_good_pair(studio_of):
    studio_of.add(*NAMES)
    studio_of.ingest()
    studio_of.add("a_Front", correct=False)
    (studio_of.psds / "b_Front.psd").write_bytes(b"no document")
    rows = studio_of.ingest(add=True)
    assert not any(row.refused for row in rows.values())
    assert rows["a_Front"].notes[-1].startswith("a newer cutout was refused: mask and path are as garmentcut wrote")
    assert "export it again" in rows["b_Front"].notes[-1] or "newer cutout" in rows["b_Front"].notes[-1]
    studio_of.check("a_Front", "b_Front")
    rows = studio_of.ingest()
    assert codes(rows)["a_Front"] == ["uncorrected"], "without --add the folders alone decide"


def test_what_was_refused_by_its_name_is_refused_no_longer_once_it_is_renamed_or_named_by_a_pattern(studio_of):
    studio_of.add(*NAMES, "IMG1", "IMG2", "IMG3")
    assert sum(row.refused for row in studio_of.ingest().values()) == 3
    (studio_of.psds / "IMG1.psd").rename(studio_of.psds / "d_Front.psd")
    (studio_of.psds / "IMG2.psd").unlink()
    rows = studio_of.ingest(add=True)
    assert [row.cutout for row in rows.values() if row.refused] == ["../psds/IMG3.psd"] and "d_Front" in rows
    away = studio_of.psds.parent / "away"
    away.mkdir()
    for name in (*NAMES, "d_Front"):
        (studio_of.psds / f"{name}.psd").rename(away / f"{name}.psd")
    rows = studio_of.ingest(add=True, pattern="<garment>", cutout_pattern="<garment>")
    assert not any(row.refused for row in rows.values()) and "IMG3_unknown" in rows


def test_rows_whose_photos_are_gone_are_not_kept(studio_of):
    studio_of.add(*NAMES)
    studio_of.add_original(*NAMES)
    studio_of.ingest(with_originals=True)
    (studio_of.originals / "b_Front.png").unlink()
    for name in NAMES[1:]:
        (studio_of.psds / f"{name}.psd").unlink()
    rows = studio_of.ingest(add=True)
    assert studio_of.outcome.gone == ("b_Front",)
    assert set(rows) == {"a_Front", "a_Back", "c_Front"}
    assert rows["a_Front"].photo.startswith("photos/") and rows["c_Front"].photo.startswith("../originals/")


def test_folders_that_cannot_be_worked_with(studio_of):
    with pytest.raises(DatasetError, match=r"no cutouts there; looked for \.psb \.psd"):
        studio_of.ingest()
    studio_of.add("a_Front")
    with pytest.raises(DatasetError, match="if they are PSDs, name the folder once"):
        Ingest(studio_of.psds, studio_of.psds, studio_of.out)


def test_the_ledger_says_where_the_photo_was(studio_of):
    studio_of.add(*NAMES)
    studio_of.ingest()
    lines = [json.loads(line) for line in (studio_of.out / "ingest.jsonl").read_text().splitlines()]
    for line in lines:
        assert line["inside"] and line["photo"] == line["cutout"]
        assert line["photo_bytes"] == (studio_of.out / line["pair"]["photo"]).stat().st_size


WHOLE = {"input": "a", "input_sha256": "0", "place": "a", "state": "open"}
STATE, TIME = (json.dumps(WHOLE | wrong).encode() for wrong in ({"state": "done"}, {"at": "yesterday"}))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b"[]", b'{"input": 1}', b"\xff\0", b'{"state": "open"}', STATE, TIME]
)
def test_a_decision_that_cannot_be_read_is_named_and_the_others_count(decide, tmp_path, content):
    """Before, a person's correction was left out without a word, and `cut` put the model's cutout in its place."""
    decide("a_Front")
    decide("b_Front")
    (path,) = (tmp_path / "batch").rglob("a_Front.decision.json")
    path.write_bytes(content)
    found = find_reviewed(ReviewSource((tmp_path / "batch",)), PATTERN, {})
    faults = {candidate.name: [fault.text for fault in candidate.faults] for candidate in found}
    assert faults["b_Front"] == []
    assert f"{path}: a decision that cannot be read; put back a copy" in faults["a_Front"][0]
    with pytest.raises(PhotoError, match=r"decision\.json: a decision that cannot be read") as refused:
        decision_on(tmp_path / "batch", "a_Front", str(tmp_path / "photos/a_Front.png"), "0" * 64)
    assert refused.value.code == "bad_correction"


def test_an_unreadable_folder_of_decisions_is_named(decide, tmp_path, without_rights):
    """Before, the decisions in it were left out without a word."""
    decide("a_Front")
    closed = tmp_path / "batch" / DECISIONS_FOLDER / "closed"
    closed.mkdir()
    closed.chmod(0)
    command = ["ingest", "--from-review", str(tmp_path / "batch"), "--out", str(tmp_path / "set")]
    with without_rights():
        done = CliRunner().invoke(app, command)
    closed.chmod(0o755)
    assert done.exit_code == 2 and f"{closed}: Permission denied; its decisions cannot be read" in done.stderr


def test_where_nothing_was_corrected_it_is_said_what_is_taken(decide, tmp_path):
    decide("a_Front", state="accepted")
    done = CliRunner().invoke(app, ["ingest", "--from-review", str(tmp_path / "batch"), "--out", str(tmp_path / "set")])
    assert done.exit_code == 0 and done.stdout.startswith("0 pairs: ")
    assert "next: correct cutouts in garmentcut review; accepted ones need --with-accepted" in done.stderr
