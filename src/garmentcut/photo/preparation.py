"""A cutout made ready for its files: trimmed, cleaned, laid on a background, traced; each worked out once."""

from functools import cached_property
from typing import Literal

from garmentcut.config import OutputConfig
from garmentcut.photo.cutout import Cutout
from garmentcut.photo.path import PenPath, Resource
from garmentcut.photo.photo import OutputError, Pixels

_MAX_TRIMMED_PIXELS = 100_000_000  # a margin may enlarge a photo, not eat the memory

Hidden = Literal["clear", "keep"]
PathKind = Literal["none", "editable"]


class Preparation:
    """One cutout on its way to files of one or several formats.

    What a format does by itself, where the output says `auto`, is an argument.

    Args:
        cutout: full size, as the cutter made it.
        output: background, trim, margin, path and what happens to hidden pixels.
        name: the photo's, for layers named after it.
        marked: False where a customer wants no metadata, not even garmentcut's own.
    """

    def __init__(self, cutout: Cutout, output: OutputConfig, *, name: str = "", marked: bool = True) -> None:
        self.output, self.name, self.marked = output, name, marked
        self._whole = cutout
        self._paths: dict[str, PenPath] = {}

    @cached_property
    def untouched(self) -> Cutout:
        """The photo and its alpha; trimmed, if that is wanted."""
        return self._trimmed(self._whole)

    @cached_property
    def cleaned(self) -> Cutout:
        """The same with clean rim colours, taken from the whole photo, and hidden pixels black."""
        return self._trimmed(self._whole.cleaned)

    def wanted(self, auto: Hidden) -> Cutout:
        """The cutout with its hidden pixels as wanted."""
        hidden = auto if self.output.hidden == "auto" else self.output.hidden
        return self.untouched if hidden == "keep" else self.cleaned

    def flat(self, auto: Hidden) -> Pixels:
        """`(H, W, 4)` straight alpha, or on a background `(H, W, 3)`."""
        if self.output.background is None:
            return self.wanted(auto).rgba()
        return self.cleaned.over(self.output.background)

    def path(self, auto: PathKind) -> PenPath | None:
        """The clipping path; None: none is wanted, or only `auto` asked for one and there is none to be had.

        Raises:
            OutputError: a path was asked for by name, and there is no outline, or it is too ragged.
        """
        kind = auto if self.output.path == "auto" else self.output.path
        if kind == "none":
            return None
        if kind not in self._paths:
            from garmentcut.photo.outline import path_tolerance_px, trace_outline  # loads contourpy

            tolerance_px = path_tolerance_px(kind, self._whole.alpha.shape[0])
            self._paths[kind] = trace_outline(self.untouched.alpha, tolerance_px=tolerance_px)
        fault = _fault_of(self._paths[kind])
        if fault and self.output.path != "auto":
            raise OutputError(f"{fault}; use path = 'none'", code="no_path")
        return None if fault else self._paths[kind]

    def resources(self, auto: PathKind) -> list[Resource]:
        """The clipping path as Photoshop's image resources; none without a path."""
        path = self.path(auto)
        if path is None:
            return []
        from garmentcut.photo.path import path_resources

        return path_resources(path)

    def _trimmed(self, cutout: Cutout) -> Cutout:
        if not self.output.trim:
            return cutout
        margin_px = self.output.margin_px
        left, top, right, bottom = cutout.garment_box_xyxy or (0, 0, 0, 0)
        num_pixels = (right - left + 2 * margin_px) * (bottom - top + 2 * margin_px)
        if num_pixels > max(_MAX_TRIMMED_PIXELS, cutout.alpha.size):
            raise OutputError(
                f"a margin of {margin_px} pixels makes {num_pixels / 1e6:.0f} megapixels; use a smaller one",
                code="does_not_fit",
            )
        try:
            return cutout.trimmed(margin_px)
        except ValueError as error:
            raise OutputError(str(error), code="nothing_visible") from error


def _fault_of(path: PenPath) -> str:
    from garmentcut.photo.path import MOST_KNOTS

    num_knots = sum(len(outline.knots) for outline in path.subpaths)
    if num_knots > MOST_KNOTS:
        return f"its outline is too ragged for a path ({num_knots} knots)"
    return "" if num_knots else "no outline for a path: nothing is half opaque"
