"""A recipe's network `simple`, the proposal's first: deliberately small, what everything else has to beat."""

from collections.abc import Sequence

from torch import Tensor, nn

from garmentcut.errors import ModelError
from garmentcut.model.layers import Block, PhotoNetwork, conv_norm_relu


class Simple(PhotoNetwork):
    """A convolution at each scale on the way down, two on the way up, skips between; no start from ImageNet.

    A pixel of the result depends on the photo within 19 pixels around it: it knows cloth, not garments.

    Args: as `build`.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__(mean=(0.5,) * 3, std=(0.5,) * 3)
        self.multiple_of = 2 ** (len(channels) - 1)
        self.down = nn.ModuleList(conv_norm_relu(*pair) for pair in zip((3, *channels), channels, strict=False))
        scales = list(zip(channels[:0:-1], channels[-2::-1], strict=True))
        self.up = nn.ModuleList(Block(deep, skip, skip) for deep, skip in scales)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(channels[0], 1, 1)

    def logits(self, x: Tensor) -> Tensor:
        """Logits `(N, 1, H, W)` of normalised photos `(N, 3, H, W)`."""
        skips: list[Tensor] = []
        for layer in self.down:
            skips.append(layer(self.pool(skips[-1]) if skips else x))  # (N, 16, H, W), (N, 32, H/2, W/2) ...
        deep = skips.pop()
        for block in self.up:
            deep = block(deep, skips.pop())
        logits: Tensor = self.head(deep)
        return logits


def build(channels: Sequence[int] = (16, 32, 64)) -> Simple:
    """Build it: 69,985 parameters with these channels, from full size to a quarter.

    Args:
        channels: at each scale, full size first.

    Raises:
        ModelError: fewer than two scales, or a scale without channels.
    """
    if len(channels) < 2 or min(channels) < 1:
        raise ModelError(f"channels: at least two numbers above 0, not {list(channels)}")
    return Simple(channels)
