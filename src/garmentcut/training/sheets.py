"""Exhibit sheets: a row a photo, so that a person sees what the network has learned so far."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_CELL_HEIGHT, _LABEL_PX, _GAP_PX = 300, 20, 4
_COLUMNS = ("photo", "target", "prediction", "difference")
_INK, _PAPER = (30, 30, 30), (255, 255, 255)
_JPEG_QUALITY = 88


@dataclass(frozen=True, eq=False)
class Exhibit:
    """One photo of a sheet.

    Attributes:
        name: of the pair.
        photo: uint8 `(H, W, 3)` sRGB.
        target: float32 `(H, W)` in [0, 1].
        alpha: the prediction, likewise.
        dice: of the two, at 0.5.
    """

    name: str
    photo: NDArray[np.uint8]
    target: NDArray[np.float32]
    alpha: NDArray[np.float32]
    dice: float


def sheet_bytes(exhibits: Sequence[Exhibit], title: str) -> bytes:
    """Draw photo, target, prediction and difference of each exhibit; a JPEG file.

    In the difference, red is missing garment, blue is too much, on a faint photo.
    """
    rows = [_row(exhibit) for exhibit in exhibits]
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, _LABEL_PX + sum(row.height for row in rows)), _PAPER)
    ImageDraw.Draw(sheet).text((_GAP_PX, 0), title, _INK, ImageFont.load_default(_LABEL_PX - _GAP_PX))
    top = _LABEL_PX
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=_JPEG_QUALITY)
    return content.getvalue()


def _row(sample: Exhibit) -> Image.Image:
    pictures = (sample.photo, _gray(sample.target), _gray(sample.alpha), _difference(sample))
    cells = [_cell(picture) for picture in pictures]
    row = Image.new("RGB", (sum(cell.width + _GAP_PX for cell in cells), _CELL_HEIGHT + _LABEL_PX), _PAPER)
    draw, left = ImageDraw.Draw(row), 0
    for cell, label in zip(cells, _labels(sample), strict=True):
        row.paste(cell, (left, _LABEL_PX))
        draw.text((left + _GAP_PX, 2), label, _INK, ImageFont.load_default(_LABEL_PX - 2 * _GAP_PX))
        left += cell.width + _GAP_PX
    return row


def _labels(sample: Exhibit) -> Iterable[str]:
    garment, _, view = sample.name.rpartition("_")
    return (f"{garment[:8]} {view}", *_COLUMNS[1:3], f"Dice {sample.dice:.4f}")


def _cell(picture: NDArray[np.uint8]) -> Image.Image:
    width = max(1, round(picture.shape[1] * _CELL_HEIGHT / picture.shape[0]))
    return Image.fromarray(picture).resize((width, _CELL_HEIGHT), Image.Resampling.BOX)


def _gray(alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.repeat(np.rint(alpha * 255).astype(np.uint8)[..., None], 3, axis=2)


def _difference(sample: Exhibit) -> NDArray[np.uint8]:
    faint = 255 - (255 - sample.photo.astype(np.float32)) * 0.35
    error = (sample.alpha - sample.target)[..., None]
    too_much = np.clip(error, 0, 1) * (np.array([30, 60, 255], np.float32) - faint)
    missing = np.clip(-error, 0, 1) * (np.array([255, 30, 30], np.float32) - faint)
    shown: NDArray[np.uint8] = np.rint(np.clip(faint + too_much + missing, 0, 255)).astype(np.uint8)
    return shown
