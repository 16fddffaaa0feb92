"""Rows that show the same photo: refused where the file is the same, in one group where it looks the same."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from garmentcut.dataset.duplicates import NEAR, PRINT_BYTES, find_near, find_repeated, group_garments, near_faults
from garmentcut.dataset.faults import fault_of
from garmentcut.dataset.manifest import Pair

_SAME_GARMENT_NEAR = NEAR / 2  # front and back of a plain skirt are alike


def mark_duplicates(
    rows: Iterable[Pair], prints: Mapping[str, bytes], *, known: Collection[str] = ()
) -> tuple[Pair, ...]:
    """Refuse copies of a photo file, mark look-alikes, and name every usable row's group.

    Args:
        rows: of all pairs.
        prints: name to the print of a pair (`garmentcut.dataset.duplicates`).
        known: names already in the data set: of two copies, these stay.

    Returns:
        The rows in their order.
    """
    rows = _refuse_copies(tuple(rows), known)
    usable = [row for row in rows if not row.refused]
    links = _near_links(usable, prints)
    groups = group_garments(
        (row.garment for row in usable), ((usable[i].garment, usable[j].garment) for i, j, _ in links)
    )
    faults = near_faults([row.name for row in usable], links)
    return tuple(
        row
        if row.refused
        else replace(
            row,
            group=groups[row.garment],
            faults=(*row.faults, *([faults[row.name]] if row.name in faults else [])),
        )
        for row in rows
    )


def _refuse_copies(rows: tuple[Pair, ...], known: Collection[str]) -> tuple[Pair, ...]:
    usable = sorted((row for row in rows if not row.refused), key=lambda row: (row.name not in known, row.name))
    copies = find_repeated((row.name, row.photo_sha256) for row in usable)

    def refused(row: Pair) -> Pair:
        text = f"the same photo file as {copies[row.name]}; keep the better cutout of the two, remove the other"
        return replace(row, alpha="", box_xyxy=(0, 0, 0, 0), faults=(*row.faults, fault_of("duplicate", text)))

    return tuple(refused(row) if row.name in copies else row for row in rows)


def _near_links(usable: list[Pair], prints: Mapping[str, bytes]) -> list[tuple[int, int, float]]:
    if not usable:
        return []
    packed = b"".join(prints[row.name] for row in usable)
    near = find_near(np.frombuffer(packed, np.int8).reshape(len(usable), PRINT_BYTES))
    return [
        (i, j, distance)
        for i, j, distance in near
        if usable[i].garment != usable[j].garment or distance < _SAME_GARMENT_NEAR
    ]
