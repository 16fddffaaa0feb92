"""A recipe's network `deeplab_largefov`: VGG-16, its last layers dilated to see far (Chen 2014, arXiv 1412.7062)."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional

from garmentcut.model.layers import PhotoNetwork, check_option
from garmentcut.model.papers.backbone import (
    Weights,
    dense_layers,
    enlarge,
    extend,
    load_dense,
    load_vgg,
    vgg_blocks,
    vgg_weights,
)

Head = Literal["upsample", "plain"]


class DeepLabLargeFov(PhotoNetwork):
    """DeepLab-LargeFOV (Chen, Papandreou, Kokkinos, Murphy & Yuille 2014, arXiv 1412.7062), without its CRF.

    `blocks`: VGG-16's convolutions, the last block dilated by 2. 3x3 max-pools follow: strides 2, 4, 8, 8, 8; after the
    fifth a 3x3 average. `dense`: fc6, 3x3 dilated by 12, and fc7, 1x1, both 1024 wide with dropout 0.5.
    `score`: fc8, 1x1, N(0, 0.01); its published learning rate is ten times the others', which a recipe cannot say.

    The published net takes sides of 8 k + 1 (321 gives 41x41 scores, each in the middle of its pixels). Here the photo
    gets one more row and column, its last ones again, and the enlarged scores lose them: sides are multiples of 8.

    Args:
        head: What the loss sees in training. `upsample`: scores enlarged bilinearly. `plain`: each score stands for the
            8x8 pixels around it, in place of labels made eight times smaller. Enlarged bilinearly for use, both.
        num_classes: Channels of the logits; 21 as published.
    """

    multiple_of = 8

    def __init__(self, head: Head = "upsample", *, num_classes: int = 1) -> None:
        super().__init__()
        check_option("head", head, ("upsample", "plain"))
        self.head = head
        self.blocks = vgg_blocks(16, last_dilation=2)
        self.pools = nn.ModuleList(
            nn.MaxPool2d(3, stride, padding=1, ceil_mode=True) for stride in (2, 2, 2, 1, 1)
        ).append(nn.AvgPool2d(3, 1, padding=1))
        self.dense = dense_layers(1024, 3, padding=12, dilation=12)
        self.score = nn.Conv2d(1024, num_classes, 1)
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.zeros_(self.score.bias)  # type: ignore[arg-type]  # it has one

    def logits(self, x: Tensor) -> Tensor:
        """Logits (N, classes, H, W) of normalised photos (N, 3, H, W)."""
        height, width = x.shape[2:]
        x = extend(x)
        scores = self.scores(x)
        if self.training and self.head == "plain":
            # Score i lies on pixel 8 i, so its cell begins four pixels before.
            return functional.interpolate(scores, scale_factor=8.0)[:, :, 4 : 4 + height, 4 : 4 + width]
        return enlarge(scores, x)[:, :, :-1, :-1]

    def scores(self, x: Tensor) -> Tensor:
        """Scores (N, classes, k + 1, l + 1) of (N, 3, 8 k + 1, 8 l + 1): one on every eighth pixel from the corners."""
        for block, pool in zip(self.blocks, self.pools[:5], strict=True):
            x = pool(block(x))
        return self.score(self.dense(self.pools[5](x)))  # type: ignore[no-any-return]

    def load_encoder(self, weights: Weights | None = None) -> str:
        """Take over VGG-16 trained on ImageNet; its dense layers are thinned where the weights have them.

        Of fc6's 7x7 positions every third and of both layers' 4096 units every fourth is kept, "simple decimation".

        Args:
            weights: In torchvision's keys; None fetches them from its hub.

        Returns:
            What was loaded.

        Raises:
            ValueError: they are not VGG-16's.
            OSError: the hub cannot be reached.
        """
        weights = vgg_weights(16) if weights is None else weights
        load_vgg(self.blocks, weights, of="VGG-16")
        return f"VGG-16's 13 convolutions; {load_dense(self.dense, weights)}"


def build(head: Head = "upsample") -> DeepLabLargeFov:
    """DeepLab-LargeFOV for one class."""
    return DeepLabLargeFov(head)
