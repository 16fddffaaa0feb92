"""The card inside each model file: how to run the model, and how good it is; also the file's stage networks."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import from_json

from garmentcut.config import STRICT
from garmentcut.errors import ModelError

_Float = TypeVar("_Float", np.float32, np.float64)

UNKNOWN = "unknown"
"""In a list of the photos that a network was trained on: there were others, which were not recorded."""

CARD_KEY = "garmentcut.card"
"""Key of the ONNX metadata entry that holds the card."""
# Values on a card are limited; otherwise a malicious file could exhaust the memory or hang.
_Side = Annotated[int, Field(ge=32, le=4096)]
_AnySide = Annotated[int, Field(ge=1, le=8192)]
_Multiple = Annotated[int, Field(ge=1, le=512)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Number = Annotated[float, Field(ge=-1000, le=1000, allow_inf_nan=False)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Numbers = tuple[_Finite, ...]
_Pixels = Annotated[float, Field(ge=0, le=65536)]
_GONE_KEYS = {"first_look", "int8_ranges"}
OLD_KEYS = {"trained_prints": "trained_hashes"}
_OLD_DOUBT_KEYS = {"signs": "features", "looks_mean": "appearance_mean", "looks_precision": "appearance_precision"}
_OLD_FEATURES = {
    "rim": "edge_softness",
    "wide_rim": "wide_edge",
    "parts": "components",
    "two_looks": "stage_disagreement",
}
"""Names in cards that were written until November 2026, and their present names."""
_OUT_OF_BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number", "too_long"}


@dataclass(frozen=True, config=STRICT)
class Score:
    """One measured result."""

    data: str
    """The photos it was measured on, and whether the model had seen them."""
    convention: Literal["alpha >= 128", "alpha > 0"]
    """Which pixels of a retoucher's cutout count as garment."""
    num_photos: Annotated[int, Field(ge=0)]
    mean_dice: _Share
    median_dice: _Share


@dataclass(frozen=True, config=STRICT)
class StageSizes:
    """Input sizes of the networks of a model with three stages; see `garmentcut.prediction.cutter`.

    The file's own network is the segment stage's; the other two are attached to it.
    """

    locate_hw: tuple[_Side, _Side] = (384, 256)
    """Height and width in pixels of the small copies for the locate stage's training; the height sets the scale."""
    segment_reduction: Annotated[int, Field(ge=1, le=8)] = 2
    """Factor by which the frame is reduced, each way, for the segment stage."""
    margin_px: Annotated[int, Field(ge=0, le=4096)] = 96
    """Margin around the garment's box that the segment stage sees, in pixels of the frame."""
    tile_px: Annotated[int, Field(ge=64, le=1024, multiple_of=8)] = 192
    """Side of the refine stage's tiles, in pixels of the frame."""
    garment_px: tuple[_Pixels, _Pixels] = (0.0, 0.0)
    """Smallest and largest training garment: square root of its box's area, in pixels of the frame. Smaller or larger
    ones are scaled to these sizes, as far as the photo's own pixels go. Zeros: not known, never scaled."""
    locate: str = ""
    """Architecture of the locate stage's network, in words."""
    refine: str = ""
    """Architecture of the refine stage's network, in words."""


@dataclass(frozen=True, config=STRICT)
class DoubtModel:
    """doubt = sigmoid(bias + weights · (features - center) / scale): a logistic regression of a share.

    The last feature compares the cutout with the training photos: `unlike` is the log of the Mahalanobis distance of
    its appearance (colours, size, place) from theirs, sqrt((appearance - mean)ᵀ precision (appearance - mean)).
    """

    features: tuple[str, ...]
    """Names, in the order of the numbers below, from `garmentcut.prediction.doubt.FEATURES`, then `unlike`."""
    center: _Numbers
    scale: Annotated[_Numbers, Field(min_length=1)]
    weights: _Numbers
    bias: _Finite
    appearance_mean: _Numbers
    appearance_precision: tuple[_Numbers, ...]
    limits: _Numbers
    """90 % quantile of each feature among the photos; a feature beyond it is a reason."""
    foreign_distance: _Finite | None = None
    """Mahalanobis distance beyond which a photo is foreign, as about one in eighty of the training photos is. None: not
    known."""
    data: str = ""
    """What it was learned from, in words."""
    num_photos: int = 0
    num_garments: int = 0
    rank_correlation: float | None = None
    """Spearman's, of doubt and 1 - surface Dice at 2 px, each photo by a model that had not seen its garment."""

    @model_validator(mode="after")
    def _fits_together(self) -> "DoubtModel":
        lengths = {len(numbers) for numbers in (self.features, self.center, self.scale, self.weights, self.limits)}
        sides = {len(self.appearance_mean), len(self.appearance_precision), *map(len, self.appearance_precision)}
        if len(lengths) > 1 or len(sides) > 1 or min(self.scale) <= 0:
            raise ValueError("its numbers do not fit together")
        return self


@dataclass(frozen=True, config=STRICT)
class Threshold:
    """The doubt up to which photos are accepted, for one guaranteed risk."""

    risk: _Share
    """Of the accepted garments, at most this share has a photo that falls short."""
    max_doubt: _Share | None = None
    """None: the calibration cannot guarantee the risk."""
    reason: str = ""
    """Why it cannot."""
    num_accepted: int = 0
    """Garments of the calibration at or below the threshold."""
    num_short: int = 0
    """How many of these fall short."""
    share_accepted: tuple[_Share, _Share, _Share] | None = None
    """Share of all garments of the calibration, with its 95 % interval: share, low, high."""


@dataclass(frozen=True, config=STRICT)
class Acceptance:
    """What a calibration on a studio's own photos guarantees."""

    quality: _Share
    """Surface Dice at 2 px below which an accepted photo falls short."""
    confidence: _Share
    """Probability that the guarantee holds, over random draws of the calibration's garments."""
    data: str
    """The photos, and whether the model had seen them."""
    num_photos: int
    num_garments: int
    risk: _Share
    """Risk of the threshold that is used by default."""
    thresholds: tuple[Threshold, ...] = field(default=())

    def threshold_of(self, risk: float) -> Threshold | None:
        """The threshold for the largest guaranteed risk up to `risk`; else one that says why there is none.

        A threshold that guarantees a lower risk guarantees this one too. None: none was sought for so low a risk.
        """
        fitting = sorted((one for one in self.thresholds if one.risk <= risk + 1e-9), key=lambda one: -one.risk)
        guaranteed = [one for one in fitting if one.max_doubt is not None]
        return next(iter(guaranteed or fitting), None)


@dataclass(frozen=True, config=STRICT)
class ModelCard:
    """Everything that is needed to run a model and to judge it."""

    name: str
    network: str
    """Architecture, in words or as a key of `garmentcut.model.networks.NETWORKS`."""
    working_size_hw: tuple[_AnySide, _AnySide]
    """Height and width in pixels of the photos it was trained at."""
    multiple_of: _Multiple
    """Sides of the input must be a multiple of this."""
    input_name: str
    output_name: str
    input_scale: Annotated[float, Field(gt=0, le=1000)]
    """The network's input is 8-bit RGB times this factor."""
    convention: str
    """The target it was trained on: `alpha`, `alpha > 0` or `alpha >= 128`."""
    training_data: str
    licence: str
    edge_bias: _Number = 0.0
    """Logit at which alpha is 0.5; values above zero move the edge inwards."""
    edge_gain: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """alpha = sigmoid(edge_gain * (logit - edge_bias)); values above one make the soft edge narrower."""
    choke_px: Annotated[float, Field(ge=-64, le=64)] = 0.0
    """Moves the finished edge inwards, in pixels of the photo; below zero outwards. Found by `garmentcut calibrate` for
    a studio."""
    stages: StageSizes | None = None
    """For a model with three stages; `working_size_hw` is then the frame to which photos are scaled. None: one network
    sees the whole photo."""
    sees_map: bool = False
    """The network's input has a fourth channel, the previous stage's alpha, with 8 bits like the others."""
    scores: tuple[Score, ...] = field(default=())
    trained_on: tuple[str, ...] = ()
    """First 12 hex digits of the SHA-256 of each photo it was trained on, including those of the weights it started
    from; `unknown`: there were others, which were not recorded."""
    trained_hashes: str = ""
    """Perceptual hashes of garments it was trained on (`garmentcut.dataset.split`), as far as known; base64."""
    started_from: str = "not stated"
    """What its training started from, in words."""
    parity: float | None = None
    """Largest difference between its alpha and torch's that the export found."""
    doubt: DoubtModel | None = None
    """Estimates the quality of its cutouts; None: it cannot."""
    acceptance: Acceptance | None = None
    """Which cutouts are accepted; written by `garmentcut calibrate`."""
    sha256: str = ""
    """SHA-256 of the network without the card; filled in by `with_card`."""

    def stage_card(self, stage: str) -> "ModelCard":
        """A card to run one of the three stages by itself: `locate`, `segment` or `refine`."""
        is_last = stage == "refine"
        plain: dict[str, Any] = {} if is_last else {"edge_bias": 0.0, "edge_gain": 1.0}
        return replace(self, name=f"{self.name}, {stage} stage", stages=None, sees_map=is_last, **plain)

    @property
    def label(self) -> str:
        """The name and the first digits of the hash, which distinguish two trainings of the same recipe."""
        return f"{self.name}@{self.sha256[:8]}"


def alpha_of_logits(logits: NDArray[_Float], edge_bias: float, edge_gain: float) -> NDArray[_Float]:
    """Alpha by a card's edge: sigmoid(edge_gain * (logit - edge_bias)), without overflow; any shape and precision."""
    precise = logits.dtype.type
    alpha: NDArray[_Float] = 1 / (1 + np.exp(-np.clip((logits - precise(edge_bias)) * precise(edge_gain), -60, 60)))
    return alpha


def with_card(model: bytes, card: ModelCard) -> bytes:
    """Put a card into an ONNX file, replacing the one it has; the card's `sha256` is computed here.

    Raises:
        ModelError: not an ONNX file.
    """
    network = split_card(model)[1]
    card = replace(card, sha256=hashlib.sha256(network).hexdigest())
    content = TypeAdapter(ModelCard).dump_python(card, mode="json")
    return with_card_text(network, json.dumps(content, ensure_ascii=False))


def card_of(model: bytes) -> ModelCard:
    """The card inside an ONNX file's content.

    Raises:
        ModelError: not an ONNX file, no card, a card this version does not know, or a network that does not match the
            card (a damaged download, for example).
    """
    if not model:
        raise ModelError("is empty; copy it again")
    text, network = split_card(model)
    if text is None:
        raise ModelError("has no garmentcut card, so its input is unknown; use a file that garmentcut made")
    card = parse_card(text)
    if hashlib.sha256(network).hexdigest() != card.sha256:
        raise ModelError("is damaged: its network does not match the hash on its card; copy it again")
    return card


def parse_card(text: str | bytes) -> ModelCard:
    """Parse a card's JSON text; names of older versions are translated.

    Raises:
        ModelError: not JSON, or a card this version does not know; the message names the key.
    """
    try:
        content = from_json(text)
    except ValueError as error:
        raise ModelError("has a card that is not JSON; update garmentcut, or copy the file again") from error
    try:
        return TypeAdapter(ModelCard).validate_python(_with_new_names(content))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "not a table"
        if first["type"] in _OUT_OF_BOUNDS:
            raise ModelError(f"has a card whose {key} makes no sense: {first['msg'].lower()}") from error
        raise ModelError(f"has a card that this version of garmentcut does not know ({key}); update one") from error


def _with_new_names(content: Any) -> Any:
    """A card's content with old names replaced by present ones.

    Raises:
        ModelError: this version cannot run the card's model.
    """
    if not isinstance(content, dict):
        return content
    if content.get("first_look") is not None:
        raise ModelError(
            "holds two networks, as models of earlier versions did; use the embedded one, or train one of three stages"
        )
    content = {OLD_KEYS.get(key, key): value for key, value in content.items() if key not in _GONE_KEYS}
    doubt = content.get("doubt")
    if not isinstance(doubt, dict):
        return content
    doubt = {_OLD_DOUBT_KEYS.get(key, key): value for key, value in doubt.items()}
    if isinstance(names := doubt.get("features"), list):
        doubt["features"] = [_OLD_FEATURES.get(name, name) if isinstance(name, str) else name for name in names]
    return {**content, "doubt": doubt}


def read_model(path: Path) -> tuple[bytes, ModelCard]:
    """A model file's content and its card.

    Raises:
        ModelError: missing, or as `card_of`; the message names the file.
    """
    try:
        model = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}; name another file, or default for the embedded model") from error
    try:
        return model, card_of(model)
    except ModelError as error:
        raise ModelError(f"{path} {error}") from error


# The card is text inside an ONNX file, read and written without the onnx package, which would add thirty megabytes to
# the base install: the file is one protobuf message (onnx.proto3, `ModelProto`), whose field 14, `metadata_props`,
# holds pairs of text. Two messages written one after the other are one merged message, so a pair is just appended.
_METADATA_PROPS = 14
# Not fields of ONNX, whose numbers are below 30; every reader skips them, and keeps them.
_ATTACHMENTS = {"locate": 1001, "refine": 1002}
_VARINT, _LENGTH = 0, 2
_FIXED_BYTES = {1: 8, 5: 4}


def split_card(model: bytes) -> tuple[bytes | None, bytes]:
    """The card's text (of several, the last; None if there is none), and all other bytes unchanged."""
    text, rest = None, bytearray()
    for number, payload, field_bytes in _fields(model):
        pair = {key: value for key, value, _ in _fields(payload)} if number == _METADATA_PROPS else {}
        if pair.get(1) == CARD_KEY.encode():
            text = pair.get(2, b"")
        else:
            rest += field_bytes
    return text, bytes(rest)


def with_card_text(network: bytes, text: str) -> bytes:
    """The content of an ONNX file with a card's text appended."""
    pair = _length_delimited(1, CARD_KEY.encode()) + _length_delimited(2, text.encode())
    return network + _length_delimited(_METADATA_PROPS, pair)


def with_stage(model: bytes, stage: str, network: bytes) -> bytes:
    """An ONNX file's content with the network of `locate` or `refine` attached, in place of an earlier one.

    It is stored in a field that ONNX does not have. Protobuf readers skip such a field, so for every tool the file
    stays the same network (docs/decisions/007-locate-then-cut.md).
    """
    rest = [field_bytes for number, _, field_bytes in _fields(model) if number != _ATTACHMENTS[stage]]
    return b"".join([*rest, _length_delimited(_ATTACHMENTS[stage], network)])


def stage_network_of(model: bytes, card: ModelCard, stage: str) -> bytes:
    """The network of one stage in the content of a file that holds three; raises ModelError if it is not there."""
    if stage == "segment":
        return model
    found = [payload for number, payload, _ in _fields(model) if number == _ATTACHMENTS[stage]]
    if not found:
        raise ModelError(f"{card.label} should hold a {stage} stage, and does not; export it again")
    return found[-1]


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Number, payload and all bytes of each field of a protobuf message (encoding: protobuf.dev)."""
    at = 0
    while at < len(message):
        start, payload = at, b""
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind == _LENGTH:
            length, at = _varint(message, at)
            payload, at = message[at : at + length], at + length
        elif kind in _FIXED_BYTES:
            at += _FIXED_BYTES[kind]
        else:
            raise ModelError("is not an ONNX file")
        if at > len(message):
            raise ModelError("is not an ONNX file, or was cut short")
        yield key >> 3, payload, message[start:at]


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at
    raise ModelError("is not an ONNX file, or was cut short")


def _length_delimited(number: int, payload: bytes) -> bytes:
    return _packed(number << 3 | _LENGTH) + _packed(len(payload)) + payload


def _packed(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
