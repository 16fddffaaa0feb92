"""A recipe's network `refine`, for the refine stage: the soft edge, from native pixels and segment's alpha."""

import torch
from torch import Tensor, nn

from garmentcut.model.cutnet import neutral
from garmentcut.model.layers import PhotoNetwork, conv_norm_relu, double

_LEAST_ALPHA = 0.01  # of the map, whose logit the answer starts from


class RefineNet(PhotoNetwork):
    """A small U-net (Ronneberger 2015) whose features are added, which corrects the logit of the map it is given.

    Its last convolution starts at zero, so before it has learned anything it answers with its map.

    Args:
        widths: channels at full, half, quarter and eighth size.
    """

    in_channels = 4
    multiple_of = 8

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__((0.5,) * 4, (0.5,) * 4)
        full, half, quarter, eighth = widths
        self.stem = conv_norm_relu(4, full)
        self.down = nn.ModuleList(
            (
                nn.Sequential(_halved(full, half), conv_norm_relu(half, half)),
                nn.Sequential(_halved(half, quarter), conv_norm_relu(quarter, quarter)),
                nn.Sequential(_halved(quarter, eighth), conv_norm_relu(eighth, eighth), conv_norm_relu(eighth, eighth)),
            )
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


def build(widths: tuple[int, int, int, int] = (12, 24, 48, 64)) -> RefineNet:
    """Build the network of a refine stage.

    10,100 multiply-adds a pixel with the default widths.

    Args:
        widths: channels at full, half, quarter and eighth size.
    """
    return RefineNet((widths[0], widths[1], widths[2], widths[3]))


def _halved(channels: int, out: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True))
