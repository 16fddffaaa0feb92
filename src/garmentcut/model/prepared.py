"""The network `prepared`: adds preprocessing (gray, contrast, histogram, size) to another network, for studies.

Preprocessing happens inside the network, so training, evaluation, export and cutting need not know about it.
"""

from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.errors import ModelError
from garmentcut.model.layers import PhotoNetwork, check_option
from garmentcut.model.networks import build_network
from garmentcut.photo.color import LUMA

Color = Literal["rgb", "gray"]
Levels = Literal["fixed", "unit", "standard", "stretched", "equalized"]
Resampling = Literal["area", "nearest", "linear", "cubic"]

_NUM_LEVELS = 256
_MODES = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}


class Prepared(PhotoNetwork):
    """Shrinks and changes photos, passes them to a network, and enlarges its logits.

    Args:
        network: name of any other network.
        options: that network's options.
        color: `gray`: luma in all three channels.
        levels: `fixed`: normalised by the network's own mean and deviation, as without this; `unit`: not normalised;
            `standard`: normalised by each photo's own; `stretched`: contrast stretch; `equalized`: histogram
            equalisation.
        percent: share of the values that a stretch clips at each end.
        shrink: factor by which photos are reduced for the network.
        resampling: how the photo is shrunk, and how the logits are enlarged; `area` cannot enlarge.

    Raises:
        ModelError: an option is not known, or does not fit.
    """

    luma: Tensor

    def __init__(
        self,
        network: str = "unet",
        options: Mapping[str, Any] | None = None,
        color: Color = "rgb",
        levels: Levels = "fixed",
        percent: float = 2.0,
        shrink: int = 1,
        resampling: tuple[Resampling, Resampling] = ("area", "linear"),
    ) -> None:
        if network == "prepared":
            raise ModelError("network: a prepared network cannot hold another one")
        check_option("color", color, ("rgb", "gray"))
        check_option("levels", levels, ("fixed", "unit", "standard", "stretched", "equalized"))
        check_option("resampling", len(resampling), (2,))
        check_option("resampling down", resampling[0], ("area", *_MODES))
        check_option("resampling up", resampling[1], tuple(_MODES))
        if not 0 <= percent < 50 or shrink < 1:
            raise ModelError(f"percent: from 0 to below 50, and shrink: 1 or more, not {percent} and {shrink}")
        super().__init__()
        self.network = inner = build_network(network, **(options or {}))
        self.color, self.levels, self.share = color, levels, percent / 100
        self.shrink, (self.down, self.up) = shrink, resampling
        self.multiple_of, self.min_side = inner.multiple_of * shrink, inner.min_side * shrink
        self.min_training_photos = inner.min_training_photos
        self.neutral_parts = tuple(f"network.{part}" for part in getattr(inner, "neutral_parts", ()))
        self.register_buffer("luma", torch.tensor(LUMA).view(1, 3, 1, 1), persistent=False)

    @property
    def encoder(self) -> nn.Module:
        """The encoder of the network inside, which can be frozen or learn at another rate."""
        return cast(nn.Module, self.network.encoder)

    def normalize(self, photos: Tensor) -> Tensor:
        """Check photos, and prepare them for the network inside; raises as `forward`."""
        self.check(photos)
        x = shrunk(photos, self.shrink, self.down)
        if self.color == "gray":
            x = (x * self.luma).sum(dim=1, keepdim=True).expand(-1, 3, -1, -1)
        return self._levelled(x)

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of prepared photos, which were `(N, 3, H, W)` before they were shrunk."""
        return enlarged(self.network(x), self.shrink, self.up)

    def load_encoder(self, weights: Mapping[str, Tensor] | None = None) -> str:
        """Load trained weights into the network's encoder; raises ModelError if it has none."""
        load = getattr(self.network, "load_encoder", None)
        if load is None:
            raise ModelError("the network has no encoder to load")
        return str(load(weights))

    def _levelled(self, x: Tensor) -> Tensor:
        if self.levels == "stretched":
            return stretched(x, self.share)
        if self.levels == "equalized":
            return equalized(x)
        if self.levels == "fixed":
            return x
        # The network will subtract its mean and divide by its deviation; this cancels that out.
        values = x if self.levels == "unit" else standardised(x)
        return values * self.network.std + self.network.mean


def standardised(photos: Tensor) -> Tensor:
    """Subtract the mean of each channel of each photo and divide by its standard deviation; `(N, 3, H, W)` float."""
    mean = photos.mean(dim=(2, 3), keepdim=True)
    variance = (photos - mean).square().mean(dim=(2, 3), keepdim=True)
    return (photos - mean) / (variance.sqrt() + 1e-3)


def stretched(photos: Tensor, share: float) -> Tensor:
    """Stretch levels so that `share` of each photo's values becomes 0, and the same share 1.

    One curve for all three channels of a photo: gray stays gray. `(N, 3, H, W)` float in [0, 1] -> the same.
    """
    cumulated, _ = _histogram(photos)
    low, high = ((cumulated < limit).sum(dim=1).view(-1, 1, 1, 1) for limit in (share, 1 - share))
    return ((photos * (_NUM_LEVELS - 1) - low) / (high - low).clamp(min=1)).clamp(0, 1)


def equalized(photos: Tensor) -> Tensor:
    """Replace each value by the share of the photo's values that are not greater, which gives a flat histogram.

    One curve for all three channels of a photo: gray stays gray. `(N, 3, H, W)` float in [0, 1] -> the same.
    """
    cumulated, places = _histogram(photos)
    least = cumulated.gather(1, places.min(dim=1, keepdim=True).values)
    shares = (cumulated.gather(1, places) - least) / (1 - least).clamp(min=1e-6)
    return shares.view_as(photos)


def shrunk(photos: Tensor, factor: int, resampling: Resampling) -> Tensor:
    """Shrink photos by `factor`; `area` averages, the others sample at the centres of the new pixels."""
    if factor == 1:
        return photos
    if resampling == "area":
        return functional.avg_pool2d(photos, factor)
    if resampling == "nearest":
        return photos[:, :, factor // 2 :: factor, factor // 2 :: factor]
    return functional.interpolate(photos, scale_factor=1 / factor, mode=_MODES[resampling], align_corners=False)


def enlarged(logits: Tensor, factor: int, resampling: Resampling) -> Tensor:
    """Enlarge logits by `factor`."""
    if factor == 1:
        return logits
    mode = _MODES[resampling]
    corners = None if mode == "nearest" else False
    return functional.interpolate(logits, scale_factor=float(factor), mode=mode, align_corners=corners)


def _histogram(photos: Tensor) -> tuple[Tensor, Tensor]:
    """Cumulative histogram `(N, 256)` of each photo's values, channels together, and each value's level `(N, 3HW)`."""
    places = (photos.flatten(1) * (_NUM_LEVELS - 1)).round().clamp(0, _NUM_LEVELS - 1).long()
    counts = photos.new_zeros(photos.shape[0], _NUM_LEVELS).scatter_add(1, places, torch.ones_like(photos.flatten(1)))
    return counts.cumsum(dim=1) / places.shape[1], places
