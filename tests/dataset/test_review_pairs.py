from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from garmentcut.dataset.decisions import Decision, decision_stem, write_decision
from garmentcut.dataset.ingest import Ingest, IngestOptions
from garmentcut.dataset.ledger import sha256_of
from garmentcut.dataset.naming import NamePattern, PairingError
from garmentcut.dataset.review_pairs import ReviewSource, find_reviewed

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


def test_what_was_accepted_as_it_was_is_taken_if_asked_for(decide, tmp_path):
    for number in range(5):
        decide(f"g{number}_Front", "accepted")
    decide("c_Front", "rejected")
    assert len(ingest(tmp_path, with_accepted=True)[1].usable) == 5
    assert find_reviewed(ReviewSource((tmp_path / "batch",)), PATTERN) == []


def test_a_sheer_garment_is_taken_though_its_alpha_is_no_mask(decide, tmp_path):
    for number in range(5):
        decide(f"g{number}_Front", soft=True)
    assert len(ingest(tmp_path)[1].usable) == 5


def test_a_photo_that_changed_or_is_gone_is_refused(decide, tmp_path):
    for name in ("a_Front", "b_Front", "c_Front"):
        decide(name)
    (tmp_path / "photos" / "a_Front.png").unlink()
    Image.new("RGB", (96, 144)).save(tmp_path / "photos" / "b_Front.png")
    (tmp_path / "batch" / f"{decision_stem('c_Front', '')}.alpha.png").unlink()
    found = {
        one.name: [f.code for f in one.faults] for one in find_reviewed(ReviewSource((tmp_path / "batch",)), PATTERN)
    }
    assert found == {"a_Front": ["no_photo"], "b_Front": ["other_photo"], "c_Front": ["no_cutout"]}


def test_of_two_batches_the_newest_decision_counts(decide, tmp_path):
    decide("a_Front", batch="late", at="2026-02-01")
    decide("a_Front", batch="early", at="2026-01-01")
    source = ReviewSource((tmp_path / "late", tmp_path / "early"))
    assert [one.cutout.is_relative_to(tmp_path / "late") for one in find_reviewed(source, PATTERN)] == [True]


def test_a_folder_that_nobody_reviewed(tmp_path):
    with pytest.raises(PairingError, match="nobody has reviewed it"):
        find_reviewed(ReviewSource((tmp_path,)), PATTERN)
