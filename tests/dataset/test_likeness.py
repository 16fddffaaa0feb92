from dataclasses import replace

import numpy as np
import pytest

from garmentcut.dataset.duplicates import print_of
from garmentcut.dataset.faults import fault_of
from garmentcut.dataset.likeness import mark_duplicates


@pytest.fixture
def marked(small_dataset, draw_pair):
    """Marks rows given as `(garment, view, photo hash, seed of its looks)`."""

    def call(*given, known=()):
        rows, prints = [], {}
        for garment, view, digest, seed in given:
            name = f"{garment}_{view}"
            pair = replace(small_dataset.pairs[0], name=name, garment=garment, view=view, photo_sha256=digest)
            rows.append(replace(pair, split="", group=""))
            rgb, alpha = draw_pair(seed)
            prints[name] = print_of(np.asarray(rgb), alpha).tobytes()
        return {row.name: row for row in mark_duplicates(rows, prints, known=known)}

    return call


def test_a_copy_of_a_file_is_refused_and_names_the_first(marked):
    rows = marked(("b", "Front", "1", 1), ("a", "Front", "1", 1), ("c", "Front", "2", 2))
    assert [name for name, row in rows.items() if row.refused] == ["b_Front"]
    assert "the same photo file as a_Front" in rows["b_Front"].faults[0].text
    assert rows["b_Front"].alpha == rows["b_Front"].group == ""
    assert rows["a_Front"].faults == rows["c_Front"].faults == ()


def test_of_two_copies_the_one_already_there_stays(marked):
    rows = marked(("b", "Front", "1", 1), ("a", "Front", "1", 1), known=["b_Front"])
    assert [name for name, row in rows.items() if row.refused] == ["a_Front"]


def test_look_alikes_are_suspect_and_share_a_group(marked):
    rows = marked(("b", "Front", "1", 1), ("c", "Front", "2", 1), ("c", "Back", "3", 3), ("d", "Front", "4", 2))
    assert {name: row.group for name, row in rows.items()} == {
        "b_Front": "b",
        "c_Front": "b",
        "c_Back": "b",
        "d_Front": "d",
    }
    assert {name: [f.code for f in row.faults] for name, row in rows.items() if row.faults} == {
        "b_Front": ["near_duplicate"],
        "c_Front": ["near_duplicate"],
    }
    assert not any(row.refused for row in rows.values())


def test_refused_rows_take_no_part(small_dataset):
    gone = replace(small_dataset.pairs[0], faults=(fault_of("empty", ""),), photo_sha256="1", group="")
    (row,) = mark_duplicates([gone], {})
    assert row is gone
