from dataclasses import replace

from garmentcut.dataset.faults import fault_of
from garmentcut.dataset.ingest import Outcome
from garmentcut.dataset.manifest import Manifest
from garmentcut.dataset.summary import IngestSummary


def summary_of(manifest, *extra):
    rows = (*manifest.pairs, *extra)
    outcome = Outcome(Manifest(manifest.folder, rows, "folds 3", 7), gone=("old_Front",), moved=("g0_Front",))
    return IngestSummary(manifest.folder, num_read=2, rows=rows, outcome=outcome)


def refused(manifest, number, code="empty"):
    faults = fault_of("view", "odd"), fault_of(code, "nothing\nis cut out")
    return replace(manifest.pairs[0], name=f"bad{number}", garment=f"bad{number}", faults=faults, split="")


def test_counts_for_machines(small_dataset):
    first = replace(small_dataset.pairs[0], faults=(fault_of("colors", "brighter"),))
    dataset = replace(small_dataset, pairs=(first, *small_dataset.pairs[1:]))
    counts = summary_of(dataset, refused(dataset, 1)).as_dict()
    assert [counts[key] for key in ("pairs", "usable", "read", "scheme", "seed")] == [4, 3, 2, "folds 3", 7]
    assert (counts["refused"], counts["suspect"]) == ({"empty": 1}, {"colors": 1})
    assert counts["splits"]["fold1"] == {"pairs": 1, "garments": 1, "Back": 1}
    assert counts["faults"][0] == {"name": "bad1", "code": "empty", "text": "nothing\nis cut out"}
    assert (counts["gone"], counts["moved"]) == (["old_Front"], ["g0_Front"])


def test_lines_for_people(small_dataset):
    lines = summary_of(small_dataset, refused(small_dataset, 1)).as_text().splitlines()
    assert lines[0].startswith("4 pairs: 3 usable, 1 refused; 2 read in ")
    assert lines[0].endswith("manifest.jsonl")
    assert lines[1:] == [
        "refused 1: nothing is cut out",
        "fold0: 1 pairs, 1 garments, 1 Front",
        "fold1: 1 pairs, 1 garments, 1 Back",
        "fold2: 1 pairs, 1 garments, 1 FrontRight",
        "refused: bad1: nothing is cut out",
        "note: no longer there: old_Front",
        "note: moved to another split: g0_Front",
    ]


def test_a_flood_is_cut_short(small_dataset):
    flood = summary_of(small_dataset, *(refused(small_dataset, number) for number in range(100)))
    text = flood.as_text()
    assert text.count("refused: bad") == 20
    assert "... and 80 more, listed in manifest.jsonl" in text


def test_a_run_that_could_not_split(small_dataset):
    summary = IngestSummary(small_dataset.folder, 3, small_dataset.pairs)
    assert "no manifest written" in summary.as_text()
    assert summary.as_dict()["splits"] == {}
