"""What can be wrong with a pair of photo and cutout: every code, what it means, and whether it refuses the pair."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["refuses", "suspect"]

REFUSING = {
    "name": "the file's name does not fit the pattern",
    "ambiguous": "several photos, or several cutouts, of one garment and view",
    "no_cutout": "a photo without a cutout",
    "no_photo": "a cutout without a photo",
    "unreadable": "photo or cutout cannot be read",
    "size": "the cutout has another size than the photo",
    "empty": "nothing is cut out",
    "full": "nothing is cut away",
    "inverted": "the background is cut out instead of the garment",
    "shifted": "the cutout's colours lie elsewhere in the photo",
    "other_photo": "the cutout's colours are not those of the photo",
    "duplicate": "the same photo file under another name",
    "uncorrected": "a document as garmentcut wrote it, which nobody has corrected",
}
"""Codes of faults that keep a pair out of the data set."""

SUSPECT = {
    "view": "the view is none of those known",
    "resampled": "the cutout was resampled to the photo's size",
    "accepted": "a document as garmentcut wrote it, accepted as it is",
    "unchecked": "no colours in the cutout that could be compared with the photo's",
    "colors": "the cutout's colours differ from the photo's, at the same place",
    "cut_off": "much of the garment's outline is the photo's border",
    "small": "very little is cut out",
    "near_duplicate": "a photo that looks the same, re-saved or scaled: split together with this one",
}
"""Codes of faults that a person should look at; the pair is used."""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a pair.

    Attributes:
        code: a key of `REFUSING` or `SUSPECT`.
        text: what is wrong with this pair and, where it is refused, what would mend it.
        severity: `refuses`: the pair is not used; `suspect`: it is, but look at it.
    """

    code: str
    text: str
    severity: Severity


def fault_of(code: str, text: str) -> Fault:
    """A fault with its code's severity.

    Raises:
        KeyError: there is no such code.
    """
    if code not in REFUSING and code not in SUSPECT:
        raise KeyError(code)
    return Fault(code, text, "refuses" if code in REFUSING else "suspect")
