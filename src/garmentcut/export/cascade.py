"""A trained cascade as one model file: the second look is its network, the first is attached, one card for both."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from garmentcut.dataset.samples import MARGIN_PX
from garmentcut.export.card import ExportError
from garmentcut.export.packing import packed
from garmentcut.model.card import CARD_KEY, FirstLook, card_of, with_card
from garmentcut.model.metadata import with_attachment, without_metadata

_STEP_PX = 64
_NOT_HELD = 10_000  # times the area of all: no box may be left out
_MOST_SHAPES = 4  # each is compiled when it is first met, in half a second, and kept: some 200 MB


def export_cascade(
    first: bytes,
    second: bytes,
    *,
    boxes_xyxy: Iterable[tuple[int, int, int, int]] = (),
    margin_px: int = MARGIN_PX,
    frame_hw: tuple[int, int] | None = None,
    least_agreement: float = 0.0,
) -> bytes:
    """Join two exported networks.

    Args:
        first: content of a model file: sees whole photos, in small.
        second: content of a model file: sees crops, and a map if its network takes four channels.
        boxes_xyxy: of the garments that the second look learned, in pixels of the working size: the crops' few sizes
            and the largest and smallest garment follow from them.
        margin_px: that it learned with.
        least_agreement: of the two looks; see `FirstLook`.
        frame_hw: size of the whole photos from which its crops were taken; None: its card's working size.

    Returns:
        Content of a model file.

    Raises:
        ExportError: the networks do not fit together.
        ModelError: one of them is no model file.
    """
    looked, card = card_of(first), card_of(second)
    if looked.first_look or card.first_look:
        raise ExportError(f"{card.name}: a cascade is made of two single networks")
    if (looked.input_name, looked.output_name, looked.input_scale) != (
        card.input_name,
        card.output_name,
        card.input_scale,
    ):
        raise ExportError(f"{card.name}: the looks must be fed alike: names of input and output, and its scale")
    boxes, working_hw = list(boxes_xyxy), frame_hw or card.working_size_hw
    look = FirstLook(
        network=looked.network,
        size_hw=looked.working_size_hw,
        multiple_of=looked.multiple_of,
        margin_px=margin_px,
        shapes_hw=crop_shapes(boxes, working_hw, margin_px=margin_px),
        garment_px=garment_range(boxes),
        least_agreement=least_agreement,
        training_data=looked.training_data,
        trained_on=looked.trained_on,
    )
    # The first look finds a box: it need not be drawn with the second's precision.
    bare_second, bare_first = (without_metadata(model, CARD_KEY) for model in (second, first))
    joined = with_attachment(packed(bare_second, 16), packed(bare_first, 8))
    return with_card(joined, replace(card, first_look=look, working_size_hw=working_hw))


def crop_shapes(
    boxes_xyxy: Iterable[tuple[int, int, int, int]], working_hw: tuple[int, int], *, margin_px: int
) -> tuple[tuple[int, int], ...]:
    """The few sizes of crops, multiples of 64, that hold all boxes with least area on the whole.

    Found greedily, then each once more with the others given; for hundreds of boxes that is a second.

    Returns:
        Height and width of each, sorted; none if there are no boxes.
    """
    boxes = np.array(list(boxes_xyxy), int).reshape(-1, 4)
    if not len(boxes):
        return ()
    wanted = np.stack([boxes[:, 3] - boxes[:, 1], boxes[:, 2] - boxes[:, 0]], axis=1) + 2 * margin_px
    most_hw = np.array([-(-side // _STEP_PX) * _STEP_PX for side in working_hw])
    wanted = np.minimum(wanted, most_hw)
    sides = [range(_rounded(wanted[:, axis].min()), _rounded(wanted[:, axis].max()) + 1, _STEP_PX) for axis in (0, 1)]
    shapes = np.array([(height, width) for height in sides[0] for width in sides[1]])
    holds = (shapes[:, None] >= wanted).all(axis=2)  # (shapes, boxes)
    costs = np.where(holds, shapes.prod(axis=1)[:, None], most_hw.prod() * _NOT_HELD)
    chosen: list[int] = []
    for _ in range(_MOST_SHAPES):
        chosen.append(_best(costs, chosen))
    for place in range(len(chosen)):
        rest = chosen[:place] + chosen[place + 1 :]
        chosen[place] = _best(costs, rest)
    return tuple(sorted({(int(shapes[index, 0]), int(shapes[index, 1])) for index in chosen}))


def garment_range(boxes_xyxy: Iterable[tuple[int, int, int, int]]) -> tuple[float, float]:
    """Roots of the areas of the smallest and the largest box; zeros if there are none."""
    roots = [((right - left) * (bottom - top)) ** 0.5 for left, top, right, bottom in boxes_xyxy]
    return (round(min(roots), 1), round(max(roots), 1)) if roots else (0.0, 0.0)


def _best(costs: NDArray[np.int64], chosen: list[int]) -> int:
    so_far = costs[chosen].min(axis=0) if chosen else np.full(costs.shape[1], np.iinfo(costs.dtype).max)
    return int(np.minimum(costs, so_far).sum(axis=1).argmin())


def _rounded(size: int) -> int:
    return int(-(-int(size) // _STEP_PX) * _STEP_PX)
