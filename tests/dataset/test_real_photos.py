"""What the retouchers' own files are like; needs the studio's photos, which are not part of the repository."""

from pathlib import Path

import pytest

from garmentcut.dataset.ingest import Ingest
from garmentcut.dataset.manifest import read_manifest
from garmentcut.dataset.split import prove_split

GARMENTS = Path(__file__).parents[2].parent / "shared/garments"


@pytest.mark.slow
@pytest.mark.skipif(not GARMENTS.is_dir(), reason="no real photos beside the checkout")
def test_the_studios_169_pairs(tmp_path):
    with Ingest(GARMENTS / "original", GARMENTS / "cutout", tmp_path) as ingest:
        plan = ingest.plan()
        assert len(list(ingest.examine(plan))) == 169
        ingest.finish(ingest.rows(plan))
    manifest = read_manifest(tmp_path)
    prove_split(manifest.pairs)
    # Five photos were cut out twice, under two ids each; nothing else is wrong or looks like another.
    assert [[fault.code for fault in pair.faults] for pair in manifest.pairs if pair.faults] == [["duplicate"]] * 5
    assert len(manifest.usable) == 164
    for view, expected in {
        "Front": [31, 31, 32, 32, 32],
        "FrontRight": [0, 0, 1, 1, 1],
        "Back": [0, 0, 1, 1, 1],
    }.items():
        got = [sum(pair.view == view for pair in manifest.of(split)) for split in manifest.splits]
        assert sorted(got) == expected
