"""Joins three trained networks into one model file, for `run_folder`: locate and refine are attached to segment's."""

from collections.abc import Iterable
from dataclasses import replace

from garmentcut.dataset.split import packed_hashes, unpacked_hashes
from garmentcut.export.packing import packed
from garmentcut.model.card import CARD_KEY, StageSizes, card_of, with_attachment, with_card, without_metadata
from garmentcut.recipe import STAGES


def export_stages(
    locate: bytes,
    segment: bytes,
    refine: bytes,
    *,
    frame_hw: tuple[int, int],
    boxes_xyxy: Iterable[tuple[int, int, int, int]] = (),
    tile_px: int,
    learned_by: tuple[str, ...] = STAGES,
) -> bytes:
    """Join three exported networks.

    Args:
        locate: content of a model file.
        segment: likewise; its card's `working_size_hw` says how small it sees the frame.
        refine: likewise, of four channels; its card speaks for the whole model.
        frame_hw: size that photos are brought to.
        boxes_xyxy: of the garments that were learned, in pixels of the frame.
        tile_px: side of the refine stage's tiles.
        learned_by: stages whose training photos the card lists.

    Returns:
        Content of a model file. The locate stage's weights are kept in 8 bits, for it only finds a box; the others' in
        16.

    Raises:
        ModelError: one of them is no model file.
    """
    cards = [card_of(model) for model in (locate, segment, refine)]
    sizes = StageSizes(
        locate_hw=cards[0].working_size_hw,
        tile_px=tile_px,
        garment_px=garment_range(boxes_xyxy),
        locate=cards[0].network,
        refine=cards[2].network,
    )
    bare = [without_metadata(model, CARD_KEY) for model in (locate, segment, refine)]
    joined = with_attachment(packed(bare[1], 16), packed(bare[0], 8), "locate")
    joined = with_attachment(joined, packed(bare[2], 16), "refine")
    learned = [card for card, stage in zip(cards, STAGES, strict=True) if stage in learned_by]
    trained_on = tuple(dict.fromkeys(mark for card in learned for mark in card.trained_on))
    hashes = packed_hashes(tuple(one for card in learned for one in unpacked_hashes(card.trained_hashes)))
    card = replace(
        cards[2],
        network=cards[1].network,
        working_size_hw=frame_hw,
        multiple_of=cards[1].multiple_of,
        sees_map=False,
        stages=sizes,
        trained_on=trained_on,
        trained_hashes=hashes,
        parity=max((card.parity or 0.0) for card in cards),
    )
    return with_card(joined, card)


def garment_range(boxes_xyxy: Iterable[tuple[int, int, int, int]]) -> tuple[float, float]:
    """Roots of the areas of the smallest and the largest box; zeros if there are none."""
    roots = [((right - left) * (bottom - top)) ** 0.5 for left, top, right, bottom in boxes_xyxy]
    return (round(min(roots), 1), round(max(roots), 1)) if roots else (0.0, 0.0)
