"""What several networks are made of: convolutions with their ReLUs, He's initialisation, maps on a grid of pixels."""

from torch import Tensor, nn
from torch.nn import functional


def conv_relu(
    channels: int, width: int, *, padding: int = 1, dilation: int = 1, batch_norm: bool = False
) -> list[nn.Module]:
    """A 3x3 convolution, a batch norm if wanted, and a ReLU."""
    convolution = nn.Conv2d(channels, width, 3, padding=padding, dilation=dilation)
    norm = [nn.BatchNorm2d(width)] if batch_norm else []
    return [convolution, *norm, nn.ReLU(inplace=True)]


def conv_norm_relu(channels: int, width: int, kernel: int) -> list[nn.Module]:
    """A convolution without bias that keeps the size, a batch norm and a ReLU."""
    convolution = nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]


def he_normal(module: nn.Module) -> None:
    """Initialise convolutions for ReLUs: N(0, 2 / fan in), biases 0 (He 2015, arXiv 1502.01852, "MSRA" in Caffe)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def extend(photos: Tensor) -> Tensor:
    """One row and one column more, the last ones again: (N, C, H, W) to (N, C, H + 1, W + 1).

    On sides of s k + 1 pixels the k + 1 values of a map at stride s lie on pixels 0, s, ... s k, the first and the last
    on the photo's corners. Then bilinear enlargement with aligned corners is exact, as the DeepLabs and PSPNet want it.
    """
    return functional.pad(photos, (0, 1, 0, 1), mode="replicate")


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear to the height and width of `like`, corners aligned; see `extend`."""
    return functional.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)
