"""What an ingest found, in a few lines for people and as a tree for machines."""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from garmentcut.dataset.faults import REFUSING, SUSPECT
from garmentcut.dataset.ingest import Outcome
from garmentcut.dataset.manifest import MANIFEST_NAME, Fault, Pair

_SHOWN = 20


@dataclass
class IngestSummary:
    """Counts of a run, and its faults by name.

    Attributes:
        folder: the data set's.
        num_read: pairs that were read; the others were known.
        rows: all pairs, once they are examined.
        outcome: None until the manifest is written.
    """

    folder: Path
    num_read: int
    rows: tuple[Pair, ...] = ()
    outcome: Outcome | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def refused(self) -> list[tuple[Pair, Fault]]:
        """Refused rows, each with the fault that refuses it."""
        return [(row, next(f for f in row.faults if f.severity == "refuses")) for row in self.rows if row.refused]

    @property
    def suspect(self) -> list[tuple[Pair, Fault]]:
        """Each fault of a row that is used none the less."""
        return [(row, fault) for row in self.rows if not row.refused for fault in row.faults]

    def as_dict(self) -> dict[str, Any]:
        """For machines: counts, splits by view, faults by name."""
        outcome = self.outcome
        return {
            "pairs": len(self.rows),
            "usable": len(self.rows) - len(self.refused),
            "refused": _counts(self.refused),
            "suspect": _counts(self.suspect),
            "read": self.num_read,
            "seconds": round(time.perf_counter() - self.started, 3),
            "scheme": outcome.manifest.scheme if outcome else "",
            "seed": outcome.manifest.seed if outcome else 0,
            "splits": _splits(outcome.manifest.usable) if outcome else {},
            "out": str(self.folder),
            "manifest": str(self.folder / MANIFEST_NAME) if outcome else "",
            "faults": [{"name": row.name, "code": f.code, "text": f.text} for row, f in self.refused + self.suspect],
            "gone": list(outcome.gone) if outcome else [],
            "moved": list(outcome.moved) if outcome else [],
        }

    def as_text(self) -> str:
        """For people: counts, splits, then a line for each fault."""
        counts = self.as_dict()
        where = f"rows in {counts['manifest']}" if self.outcome else "no manifest written"
        lines = [f"{counts['pairs']} pairs: {counts['usable']} usable, {len(self.refused)} refused; "]
        lines[0] += f"{self.num_read} read in {counts['seconds']:.1f} s; {where}"
        lines += [f"refused {number}: {REFUSING[code]}" for code, number in counts["refused"].items()]
        lines += [f"suspect {number}: {SUSPECT[code]}" for code, number in counts["suspect"].items()]
        lines += [f"{split}: {_line(views)}" for split, views in counts["splits"].items()]
        lines += _shown(self.refused, "refused") + _shown(self.suspect, "suspect")
        lines += _named(counts["gone"], "no longer there") + _named(counts["moved"], "moved to another split")
        return "\n".join(lines)


def _counts(found: list[tuple[Pair, Fault]]) -> dict[str, int]:
    return dict(Counter(fault.code for _, fault in found).most_common())


def _splits(pairs: tuple[Pair, ...]) -> dict[str, dict[str, int]]:
    """Pairs and garments of each split, and its pairs of each view."""
    splits: dict[str, dict[str, int]] = {}
    for name in sorted({pair.split for pair in pairs}):
        mine = [pair for pair in pairs if pair.split == name]
        views = Counter(pair.view for pair in mine)
        splits[name] = {
            "pairs": len(mine),
            "garments": len({pair.garment for pair in mine}),
            **dict(sorted(views.items())),
        }
    return splits


def _line(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counts.items())


def _shown(found: list[tuple[Pair, Fault]], word: str) -> list[str]:
    lines = [f"{word}: {row.name}: {' '.join(fault.text.split())}" for row, fault in found[:_SHOWN]]
    more = len(found) - _SHOWN
    return [*lines, f"... and {more} more, listed in {MANIFEST_NAME}"] if more > 0 else lines


def _named(names: list[str], what: str) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"note: {what}: {', '.join(names[:_SHOWN])}{more}"]
