"""What the networks of the papers share at both ends: photos are checked and normalised, logits are float32."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from garmentcut.model.inputs import check_input

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class PhotoNetwork(nn.Module):
    """Photos in, logits of the same size out; a subclass writes `logits`.

    Attributes:
        multiple_of: Both sides of a photo must be a multiple of this.
        min_side: Both sides must be at least this, in pixels.
        min_training_photos: Photos a training step needs: 2 where a batch norm sees but one value of each photo.

    Args:
        mean: Subtracted from each channel of the photo, which is in [0, 1]; ImageNet's by default.
        std: What the channels are then divided by.
    """

    multiple_of: int = 1
    min_side: int = 1
    min_training_photos: int = 1
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    def forward(self, photos: Tensor) -> Tensor:
        """Logits of photos.

        Args:
            photos: float32 (N, 3, H, W), sRGB in [0, 1].

        Returns:
            float32 (N, 1, H, W).

        Raises:
            ValueError: the photos are of another type or shape, or have sides that the network cannot take.
        """
        return self.logits(self.normalize(photos)).float()

    def normalize(self, photos: Tensor) -> Tensor:
        """Check photos, then bring them to the range that the network is trained in.

        Raises:
            ValueError: as `forward`.
        """
        check_input(photos, self.multiple_of)
        if not torch.compiler.is_exporting():  # an exporter would freeze these sides
            self._check_least(len(photos), photos.shape[2:])
        return (photos - self.mean) / self.std

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, 1, H, W) of normalised photos (N, 3, H, W)."""
        raise NotImplementedError

    def _check_least(self, num_photos: int, size_hw: torch.Size) -> None:
        if min(size_hw) < self.min_side:
            raise ValueError(f"expected sides of at least {self.min_side} pixels, not {size_hw[0]}x{size_hw[1]}")
        if self.training and num_photos < self.min_training_photos:
            raise ValueError(f"expected at least {self.min_training_photos} photos a training step, not {num_photos}")


def check_option(name: str, value: object, known: Sequence[object]) -> None:
    """Refuse what a builder does not know.

    Raises:
        ValueError: `value` is not one of `known`.
    """
    if value not in known:
        raise ValueError(f"{name} is {' or '.join(map(repr, known))}, not {value!r}")
