"""The part of a card about doubt, made by `calibrate`, read by `verdict`: a regression, and guaranteed thresholds."""

from dataclasses import field
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid", use_attribute_docstrings=True)
_Share = Annotated[float, Field(ge=0, le=1)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Numbers = tuple[_Number, ...]


@dataclass(frozen=True, config=_STRICT)
class DoubtModel:
    """doubt = sigmoid(bias + weights · (features - center) / scale): a logistic regression on a share.

    The last feature compares the cutout with the training photos: `unlike` is the log of the Mahalanobis distance of
    its appearance (colours, size, place) from theirs, sqrt((appearance - mean)ᵀ precision (appearance - mean)).
    """

    features: tuple[str, ...]
    """Names, in the order of the numbers below; `garmentcut.prediction.doubt.FEATURES`, then `unlike`."""
    center: _Numbers
    scale: Annotated[_Numbers, Field(min_length=1)]
    weights: _Numbers
    bias: _Number
    appearance_mean: _Numbers
    appearance_precision: tuple[_Numbers, ...]
    limits: _Numbers
    """Of each feature: where the tenth of the photos begins that shows most of it; beyond, it is a reason."""
    foreign_distance: _Number | None = None
    """Mahalanobis distance beyond which a photo is foreign: at most one in a hundred of the training photos' lies
    there. None: not known."""
    data: str = ""
    """What it was learned from, in words."""
    num_photos: int = 0
    num_garments: int = 0
    rank_correlation: float | None = None
    """Spearman's, of doubt with 1 - surface Dice at 2 px, each photo by a model that had not seen its garment."""

    @model_validator(mode="after")
    def _fits_together(self) -> "DoubtModel":
        lengths = {len(numbers) for numbers in (self.features, self.center, self.scale, self.weights, self.limits)}
        sides = {len(self.appearance_mean), len(self.appearance_precision), *map(len, self.appearance_precision)}
        if len(lengths) > 1 or len(sides) > 1 or min(self.scale) <= 0:
            raise ValueError("its numbers do not fit together")
        return self


@dataclass(frozen=True, config=_STRICT)
class Threshold:
    """Up to which doubt photos are accepted, for one guaranteed risk."""

    risk: _Share
    """Of the accepted garments, at most this share has a photo that falls short."""
    max_doubt: _Share | None = None
    """None: these photos cannot guarantee it."""
    reason: str = ""
    """Why not."""
    num_accepted: int = 0
    """Garments of the calibration at or under the threshold."""
    num_short: int = 0
    """Of which fall short."""
    share_accepted: tuple[_Share, _Share, _Share] | None = None
    """Of all garments of the calibration, with its 95 % interval: share, low, high."""


@dataclass(frozen=True, config=_STRICT)
class Acceptance:
    """What was guaranteed on a studio's own photos."""

    quality: _Share
    """Surface Dice at 2 px under which an accepted photo falls short."""
    confidence: _Share
    """Probability that the guarantee holds, over draws of the calibration's garments."""
    data: str
    """The photos, and whether the model had seen them."""
    num_photos: int
    num_garments: int
    risk: _Share
    """Which of the thresholds holds where nothing else is asked for."""
    thresholds: tuple[Threshold, ...] = field(default=())

    def threshold_of(self, risk: float) -> Threshold | None:
        """The threshold of the largest guaranteed risk up to `risk`; else one that says why there is none.

        A threshold that guarantees less risk guarantees this one too. None: no threshold was sought for so little risk.
        """
        fitting = sorted((one for one in self.thresholds if one.risk <= risk + 1e-9), key=lambda one: -one.risk)
        guaranteed = [one for one in fitting if one.max_doubt is not None]
        return next(iter(guaranteed or fitting), None)
