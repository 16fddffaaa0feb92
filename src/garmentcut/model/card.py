"""The card of a model: what it is, how to feed it, how good it is; carried inside the ONNX file."""

import hashlib
import json
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from garmentcut.model.metadata import OnnxError, metadata_of, with_metadata, without_metadata

_KEY = "garmentcut.card"
_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ModelError(ValueError):
    """A model file that cannot be used; the message names the file and the mend."""


@dataclass(frozen=True, config=_STRICT)
class Score:
    """One measured result."""

    data: str
    """The photos it was measured on, and whether the model had seen them."""
    convention: Literal["alpha >= 128", "alpha > 0"]
    """Which pixels of a retoucher's cutout count as garment."""
    num_photos: int
    mean_dice: float
    median_dice: float


@dataclass(frozen=True, config=_STRICT)
class ModelCard:
    """Everything a caller must know to run a model and to judge it."""

    name: str
    network: str
    """Architecture, in words or as the name of a builder."""
    working_size_hw: tuple[int, int]
    """Height and width in pixels of the photos it was trained at."""
    multiple_of: Annotated[int, Field(ge=1)]
    """Sides of the input must be a multiple of this."""
    input_name: str
    output_name: str
    input_scale: float
    """8-bit RGB times this is the network's input."""
    convention: str
    """The target it was trained on: `alpha`, `alpha > 0` or `alpha >= 128`."""
    training_data: str
    licence: str
    edge_bias: float = 0.0
    """Logit at which alpha is 0.5: above zero moves the edge inwards."""
    edge_gain: Annotated[float, Field(gt=0)] = 1.0
    """alpha = sigmoid(edge_gain * (logit - edge_bias)): above one makes the rim narrower."""
    scores: tuple[Score, ...] = field(default=())
    trained_on: tuple[str, ...] = ()
    """First 12 hex digits of the SHA-256 of each photo it was trained on."""
    parity: float | None = None
    """Largest difference of its alpha from torch's that the export found."""
    sha256: str = ""
    """Of the network without the card; filled in by `with_card`."""

    @property
    def label(self) -> str:
        """Name and the first digits of the hash: tells two trainings of one recipe apart."""
        return f"{self.name}@{self.sha256[:8]}"


def with_card(model: bytes, card: ModelCard) -> bytes:
    """Put a card into an ONNX file, replacing the one it has.

    Args:
        model: content of an ONNX file.
        card: its `sha256` is computed here.

    Raises:
        ModelError: not an ONNX file.
    """
    try:
        network = without_metadata(model, _KEY)
    except OnnxError as error:
        raise ModelError(str(error)) from error
    content: dict[str, Any] = TypeAdapter(ModelCard).dump_python(card, mode="json")
    content["sha256"] = hashlib.sha256(network).hexdigest()
    return with_metadata(network, _KEY, json.dumps(content, ensure_ascii=False))


def card_of(model: bytes) -> ModelCard:
    """The card inside an ONNX file's content.

    Raises:
        ModelError: not an ONNX file, no card, a card this version does not know, or a network that is not the one the
            card was written for (a damaged download, say).
    """
    try:
        text, network = metadata_of(model, _KEY), without_metadata(model, _KEY)
    except OnnxError as error:
        raise ModelError(str(error)) from error
    if text is None:
        raise ModelError("has no garmentcut card, so nobody knows how to feed it; use a file that garmentcut made")
    try:
        card = TypeAdapter(ModelCard).validate_json(text)
    except ValidationError as error:
        key = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ModelError(f"has a card that this version of garmentcut does not know ({key}); update one") from error
    if hashlib.sha256(network).hexdigest() != card.sha256:
        raise ModelError("is damaged: its network does not match the hash on its card; copy it again")
    return card


def read_model(path: Path) -> tuple[bytes, ModelCard]:
    """A model file's content and its card.

    Raises:
        ModelError: missing, or as `card_of`; names the file.
    """
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    try:
        return model, card_of(model)
    except ModelError as error:
        raise ModelError(f"{path} {error}") from error
