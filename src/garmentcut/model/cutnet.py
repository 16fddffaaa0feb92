"""garmentcut's own networks, by their names in a recipe.

* `cutnet`, for whole photos: pretrained encoder, U-shaped decoder, raw pixels at the edge;
* `segment`, for the locate and segment stages: pretrained encoder, light decoder; no exact edge;
* `refine`, for the refine stage: the soft edge, from native pixels and segment's alpha.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from garmentcut.errors import ModelError
from garmentcut.model.layers import Decoder, Encoder, PhotoNetwork, conv_norm_relu, double, neutral


class CutNet(PhotoNetwork):
    """Decides by wide context where the garment is, and by nearby pixels where its edge is.

    `encoder`: features at strides 2 to 32. `context`: adds what is elsewhere in the frame to the coarsest of them.
    `decoder`: back to stride 2, joining the encoder's features and, last, the photo's own pixels, unshuffled. `head`:
    four logits per position, shuffled to one per pixel. `detail`: corrects these at full size.

    `context` and `detail` add to their input, at first nothing, so they can be added to a network trained without them:
    its logits stay the same until it is trained further (`neutral_parts`).

    At 1152x1728, on OpenVINO, in seconds of processor time (all threads together, Zen 3), the encoder's included:

    | options | GFLOP | parameters | seconds |
    | --- | --- | --- | --- |
    | `context = false, detail = false` | 116 | 3.98 M | 1.12 |
    | default | 118 | 4.08 M | 1.14 |
    | `light = true` | 44 | 3.25 M | 0.73 |

    Args:
        encoder: its name in timm; its features must halve at every step.
        channels: of the decoder's blocks, coarse to fine; one fewer than the encoder has halvings.
        context: let the coarsest features see the whole frame; see `Context`.
        detail: correct the logits at full size; see `Detail`.
        light: a decoder of depthwise-separable convolutions, in two thirds of the time; accuracy not measured yet.
        in_channels: channels of the input; 3 for photos.

    Raises:
        ModelError: an option does not fit.
    """

    neutral_parts = ("context.", "detail.")

    def __init__(
        self,
        encoder: str = "tf_efficientnet_lite0",
        channels: Sequence[int] = (128, 96, 64, 32),
        context: bool = True,
        detail: bool = True,
        light: bool = False,
        in_channels: int = 3,
    ) -> None:
        trunk = Encoder(encoder, in_channels)
        super().__init__(trunk.mean, trunk.std)
        self.in_channels, self.multiple_of = in_channels, trunk.strides[-1]
        deep, skips = trunk.channels[-1], trunk.channels[-2::-1]
        if trunk.strides[0] == 4:
            skips = [*skips, 0]  # only the photo at stride 2
        skips[-1] += 4 * in_channels
        if len(channels) != len(skips) or min(channels) < 1:
            wanted = f"{len(skips)} numbers above 0, one for each halving of {encoder} but the first"
            raise ModelError(f"channels: {wanted}, not {list(channels)}")
        self.encoder = trunk
        self.context = Context(deep) if context else nn.Identity()
        self.decoder = Decoder([deep, *channels], skips, light=light)
        self.head = nn.Conv2d(channels[-1], 4, 3, padding=1)
        self.detail = Detail(in_channels) if detail else None

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised photos `(N, in_channels, H, W)`."""
        *features, deep = self.encoder(x)  # (N, 16, H/2, W/2) ... (N, 320, H/32, W/32), say
        deep = self.context(deep)  # (N, 320, H/32, W/32)
        skips, pixels = features[::-1], functional.pixel_unshuffle(x, 2)  # all pixels, (N, 4 in_channels, H/2, W/2)
        if len(skips) == len(self.decoder.blocks):  # otherwise the encoder begins at stride 4
            pixels = torch.cat([skips.pop(), pixels], dim=1)
        half: Tensor = self.decoder(deep, [*skips, pixels])  # (N, 32, H/2, W/2)
        logits: Tensor = functional.pixel_shuffle(self.head(half), 2)  # (N, 1, H, W)
        return self.detail(logits, x) if self.detail else logits

    def load_encoder(self, weights: Mapping[str, Tensor] | None = None) -> str:
        """Load trained weights into the encoder; see `Encoder.load`."""
        return self.encoder.load(weights)


class Context(nn.Module):
    """Adds to each position features from 6 and 12 positions away, and the mean of the whole frame.

    A feature of EfficientNet-Lite0 depends on at most 425 pixels on each side, but a studio photo is 1728 pixels high,
    so no feature sees both shoulder and hem. Twelve positions at stride 32 add 384 pixels. Depthwise, on 128
    channels: 0.3 GFLOP. (The idea is that of atrous spatial pyramid pooling, Chen 2017, arXiv 1706.05587.)
    """

    def __init__(self, channels: int, width: int = 128) -> None:
        super().__init__()
        self.narrow = conv_norm_relu(channels, width, 1)
        self.near = nn.Conv2d(width, width, 3, padding=6, dilation=6, groups=width)
        self.far = nn.Conv2d(width, width, 3, padding=12, dilation=12, groups=width)
        self.whole = nn.Conv2d(width, width, 1)
        self.widen = neutral(nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, H, W)` -> the same."""
        narrow = self.narrow(x)
        seen = self.near(narrow) + self.far(narrow) + self.whole(narrow.mean(dim=(2, 3), keepdim=True))
        return x + self.widen(functional.relu(seen))  # type: ignore[no-any-return]


class Detail(nn.Module):
    """Corrects logits at full size from a 5x5 neighbourhood of logits and pixels.

    The four logits that a pixel shuffle puts into a 2x2 square come from four independent filters, and the photo has
    only passed through two convolutions at half size; here every pixel is treated alike. 1.5 GFLOP at 1152x1728.
    """

    def __init__(self, in_channels: int = 3, width: int = 8) -> None:
        super().__init__()
        self.look = nn.Conv2d(1 + in_channels, width, 3, padding=1)
        self.correct = neutral(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, logits: Tensor, x: Tensor) -> Tensor:
        """`(N, 1, H, W)` and the normalised photo `(N, in_channels, H, W)` -> `(N, 1, H, W)`."""
        return logits + self.correct(functional.relu(self.look(torch.cat([logits, x], dim=1))))  # type: ignore[no-any-return]


class SegmentNet(PhotoNetwork):
    """An encoder, and a top-down decoder (Lin 2017, arXiv 1612.03144) to half of the input's size, then bilinear.

    Features are added, not joined, and each addition is followed by a 3x3 convolution. There is no pixel shuffle, whose
    four independent filters would print a grid on sheer cloth.

    Args:
        encoder: its features halve at every step from stride 2 on.
        width: channels of the decoder, an even number; half of it at stride 2.

    Raises:
        ModelError: an option does not fit.
    """

    def __init__(self, encoder: str = "tf_efficientnet_lite0", width: int = 64) -> None:
        if width < 2 or width % 2:
            raise ModelError(f"width: an even number above 0, not {width}")
        trunk = Encoder(encoder)
        super().__init__(trunk.mean, trunk.std)
        if trunk.strides[0] != 2:
            raise ModelError(f"encoder: {encoder} has no features at half the size; take another")
        self.multiple_of = trunk.strides[-1]
        self.encoder = trunk
        fine, *coarse = trunk.channels
        self.lateral = nn.ModuleList(conv_norm_relu(channels, width, 1)[:2] for channels in coarse)
        self.context = _Context(coarse[-1], width)
        self.smooth = nn.ModuleList(conv_norm_relu(width, width) for _ in coarse)
        self.narrow = nn.Conv2d(width, width // 2, 1, bias=False)
        self.detail = conv_norm_relu(fine, width // 2, 1)[:2]
        self.head = nn.Sequential(conv_norm_relu(width // 2, width // 2), nn.Conv2d(width // 2, 1, 3, padding=1))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.03  # batches of 8 windows are noisy

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised photos `(N, 3, H, W)`."""
        fine, *features = self.encoder(x)  # (N, 16, H/2, W/2), (N, 24, H/4, W/4) ... (N, 320, H/32, W/32)
        added = [project(feature) for project, feature in zip(self.lateral, features, strict=True)]
        deep = functional.relu(added[-1] + self.context(features[-1]))
        deep = self.smooth[-1](deep)
        for smooth, lateral in zip(list(self.smooth)[-2::-1], added[-2::-1], strict=True):
            deep = smooth(functional.relu(double(deep) + lateral))  # ... (N, width, H/4, W/4)
        half = functional.relu(double(self.narrow(deep)) + self.detail(fine))  # (N, width/2, H/2, W/2)
        logits: Tensor = double(self.head(half))
        return logits

    def load_encoder(self, weights: Mapping[str, Tensor] | None = None) -> str:
        """Load trained weights into the encoder; see `Encoder.load`."""
        return self.encoder.load(weights)


class _Context(nn.Module):
    """Context that the coarsest features lack: positions farther away, and the mean of the whole window."""

    def __init__(self, channels: int, out: int, width: int = 128) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, width, 1)
        self.around = nn.Conv2d(width, width, 3, padding=6, dilation=6, groups=width)
        self.widen = nn.Conv2d(width, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(N, channels, H, W)` -> `(N, out, H, W)`."""
        seen = self.widen(functional.relu(self.around(functional.relu(self.narrow(x)))))
        return seen + seen.mean(dim=(2, 3), keepdim=True)  # type: ignore[no-any-return]


_LEAST_ALPHA = 0.01  # of the map, to whose logit the correction is added


class RefineNet(PhotoNetwork):
    """A small U-Net (Ronneberger 2015) with added skips, which corrects the logit of the map in its input.

    Its last convolution starts at zero, so an untrained network returns its map. 10,100 multiply-adds per pixel with
    the default widths.

    Args:
        widths: channels at full, half, quarter and eighth size.
    """

    in_channels = 4
    multiple_of = 8

    def __init__(self, widths: tuple[int, int, int, int] = (12, 24, 48, 64)) -> None:
        super().__init__((0.5,) * 4, (0.5,) * 4)
        full, half, quarter, eighth = widths
        self.stem = conv_norm_relu(4, full)
        self.down = nn.ModuleList(
            nn.Sequential(conv_norm_relu(channels, out, stride=2), *(conv_norm_relu(out, out) for _ in range(num)))
            for channels, out, num in ((full, half, 1), (half, quarter, 1), (quarter, eighth, 2))
        )
        pairs = ((eighth, quarter), (quarter, half), (half, full))
        self.narrow = nn.ModuleList(nn.Conv2d(deep, out, 1) for deep, out in pairs)
        self.up = nn.ModuleList(conv_norm_relu(out, out) for _, out in pairs)
        self.correct = neutral(nn.Conv2d(full, 1, 3, padding=1))

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised tiles `(N, 4, H, W)`: red, green, blue, and the map."""
        features = [self.stem(x)]
        for down in self.down:
            features.append(down(features[-1]))
        deep = features.pop()
        for narrow, up in zip(self.narrow, self.up, strict=True):
            deep = up(double(narrow(deep)) + features.pop())
        alpha = ((x[:, 3:] + 1) / 2).clamp(_LEAST_ALPHA, 1 - _LEAST_ALPHA)
        return self.correct(deep) + torch.log(alpha / (1 - alpha))  # type: ignore[no-any-return]
