"""Pair, one row of a data set: a photo, its cutout, and what is known of them."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import ConfigDict

from garmentcut.dataset.faults import Fault

VIEWS = ("Front", "FrontRight", "Back")
"""The views that are known."""


@dataclass(frozen=True)
class Pair:
    """A photo and its cutout.

    Attributes:
        name: `<garment>_<view>`, safe as a file name, unique in the manifest.
        garment: id that all views of one garment share.
        view: `Front`, `FrontRight`, `Back` or `unknown`.
        photo: path of the original, with `/`; relative to the data set's folder unless it lies on another drive or
            shares no folder with it; `photos/...` if it was taken out of the cutout. Empty: there is none.
        cutout: path of the retoucher's file, likewise.
        alpha: path of the target, an 8 or 16-bit gray PNG at the photo's size; empty if refused.
        photo_sha256: of the original file, or of the one in `photos/`, hexadecimal; empty: not read.
        cutout_sha256: of the retoucher's file, likewise.
        size_hw: height and width of the photo in pixels; (0, 0): not read.
        box_xyxy: box of `alpha >= 0.5`, right and bottom exclusive; zeros if refused.
        split: `fold0` ..., or `train`, `validation`, `test`; empty if refused.
        source: where in the cutout's file the alpha was, in `garmentcut.photo.truth`'s words.
        faults: what is wrong with it.
        group: garments that look the same share a group, and no split separates them; empty if refused.
        notes: what the readers had to change on the way in.
        verdict: what a person says of the cutout: `wrong`, `right`, `unsure`; empty: nobody has looked.
    """

    name: str
    garment: str
    view: str
    photo: str
    cutout: str
    alpha: str
    photo_sha256: str
    cutout_sha256: str
    size_hw: tuple[int, int]
    box_xyxy: tuple[int, int, int, int]
    split: str
    source: str
    faults: tuple[Fault, ...]
    group: str
    notes: tuple[str, ...] = ()
    verdict: Literal["", "wrong", "right", "unsure"] = ""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @property
    def refused(self) -> bool:
        """True if a fault keeps it out of the data set."""
        return any(fault.severity == "refuses" for fault in self.faults)
