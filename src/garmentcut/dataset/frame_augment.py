"""Augmentations of a whole photo (geometry, light, colour, lens, sensor, JPEG) and their random numbers.

Photos are `(1, 3, H, W)` float32 in [0, 1], alphas `(1, 1, H, W)`. An augmentation that is off changes no bit.
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name everyone knows it by
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from garmentcut.photo.color import LUMA
from garmentcut.recipe import AugmentConfig

_Floats = NDArray[np.float64]
# Red, green, blue to luma and two colour differences (NTSC's YIQ); hue is the angle in the plane of the differences.
_TO_YIQ = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
_LATTICE = (3, 2)  # as coarse as the light of softboxes and walls
_MOST_REDUCTION = 1.35  # if reduced further, single pixels would fall between the samples of the cubic filter


@dataclass(frozen=True)
class SampleDraws:
    """Random numbers for the augmentations of one sample, drawn on the CPU.

    Each augmentation has its own stream: switching one off does not change what the others draw, so that two recipes
    can be compared.
    """

    config: AugmentConfig  # how often each happens, and how strongly
    key: tuple[int, ...]  # seeds of the sample, none negative; the same key draws the same numbers
    strongest: bool = False  # draw the largest strengths, for pages of examples; signs and kinds stay random

    def stream(self, name: str) -> np.random.Generator:
        """A generator for other random numbers of an augmentation; each name has its own."""
        return np.random.default_rng([*self.key, zlib.crc32(name.encode())])

    def happens(self, name: str) -> bool:
        """Whether an augmentation happens."""
        return bool(self.stream(name).random() < getattr(self.config, name).p)

    def share(self, name: str) -> float:
        """Uniform in [0, amount] if the augmentation happens, else 0."""
        size = 1.0 if self.strongest else float(self.stream(f"{name} size").random())
        return self.happens(name) * size * float(getattr(self.config, name).amount)

    def signs(self, name: str, num: int) -> _Floats:
        """`(num,)`, uniform in [-1, 1] if the augmentation happens, else 0."""
        sizes = self.stream(f"{name} size").uniform(-1, 1, num)
        return self.happens(name) * (np.where(sizes < 0, -1.0, 1.0) if self.strongest else sizes)

    def signed(self, name: str, num: int) -> _Floats:
        """`(num,)`, uniform in [-amount, amount] if the augmentation happens, else 0."""
        return np.asarray(getattr(self.config, name).amount * self.signs(name, num))

    def factor(self, name: str) -> float:
        """Log-uniform between 1 / (1 + amount) and 1 + amount if the augmentation happens, else 1."""
        return float((1 + getattr(self.config, name).amount) ** self.signs(name, 1)[0])


def beside(values: ArrayLike, photo: Tensor) -> Tensor:
    """Numbers as float32 on the photo's device. The copy does not wait for the work queued there."""
    return torch.as_tensor(np.asarray(values, np.float32)).to(photo.device, non_blocking=True)


def gaussian_blur(pictures: Tensor, sigma_px: float) -> Tensor:
    """Blur `(1, C, H, W)`; the border is repeated."""
    reach = math.ceil(3 * sigma_px)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma_px) ** 2)
    kernel = beside(weights / weights.sum(), pictures).view(1, 1, 1, -1)
    lanes = pictures.transpose(0, 1)
    lanes = F.conv2d(F.pad(lanes, (reach, reach, 0, 0), mode="replicate"), kernel)
    lanes = F.conv2d(F.pad(lanes, (0, 0, reach, reach), mode="replicate"), kernel.mT)
    return lanes.transpose(0, 1)


def box_mean(pictures: Tensor, reach: int) -> Tensor:
    """Mean of the square of side `2 * reach + 1` around each pixel; outside the border counts as 0."""
    width = 2 * reach + 1
    return F.avg_pool2d(F.avg_pool2d(pictures, (1, width), 1, (0, reach)), (width, 1), 1, (reach, 0))


def dilate(masks: Tensor, reach: int) -> Tensor:
    """Float: 1 where a mask of 0 and 1 has a 1 in the square of side `2 * reach + 1` around the pixel, else 0."""
    return (box_mean(masks.float(), reach) > 0).float()


def smooth_field(heights: _Floats, photo: Tensor) -> Tensor:
    """Interpolate a coarse lattice `(C, h, w)` smoothly over the whole frame: `(1, C, H, W)`."""
    return F.interpolate(beside(heights, photo)[None], size=photo.shape[2:], mode="bicubic", align_corners=True)


def vary_color(photo: Tensor, draws: SampleDraws) -> Tensor:
    """Vary brightness, contrast, saturation, hue, white balance and gamma."""
    gains = 1 + draws.signed("white_balance", 3) * (1, 0, 1)
    gains = gains * (1 + draws.signed("brightness", 1))
    hue = min(draws.config.hue.amount, 0.5) * draws.signs("hue", 1)[0]
    saturation = 1 + draws.signed("saturation", 1)[0]
    matrix = color_matrix(hue, max(saturation, 0)) @ np.diag(gains.clip(0))
    contrast = max(1 + draws.signed("contrast", 1)[0], 0)
    if contrast != 1 or (matrix != np.eye(3)).any():
        photo = mix_channels(photo, matrix)
        photo = torch.lerp(luma_of(photo).mean(), photo, contrast).clamp(0, 1)
    gamma = draws.factor("gamma")
    return photo if gamma == 1 else photo**gamma


def color_matrix(hue: float, saturation: float) -> _Floats:
    """The `(3, 3)` matrix that rotates the hue by `hue` turns and scales the saturation; luma and grays stay."""
    if hue == 0 and saturation == 1:
        return np.eye(3)  # exactly
    cos, sin = saturation * math.cos(hue * 2 * math.pi), saturation * math.sin(hue * 2 * math.pi)
    return np.asarray(np.linalg.inv(_TO_YIQ) @ [[1, 0, 0], [0, cos, -sin], [0, sin, cos]] @ _TO_YIQ)


def mix_channels(photo: Tensor, matrix: _Floats) -> Tensor:
    """Each pixel's colour times a matrix; not clamped."""
    # Sums of products, because on CUDA a matrix product might be rounded to ten bits (TF32).
    return torch.cat([_weighed(photo, row) for row in matrix], dim=1)


def luma_of(photo: Tensor) -> Tensor:
    """Perceived brightness of each pixel, `(1, 1, H, W)`."""
    return _weighed(photo, LUMA)


def _weighed(photo: Tensor, weights: Sequence[float] | _Floats) -> Tensor:
    red, green, blue = map(float, weights)
    return red * photo[:, :1] + green * photo[:, 1:2] + blue * photo[:, 2:]


def vary_light(photo: Tensor, draws: SampleDraws) -> Tensor:
    """Uneven light: multiply the photo by a smooth field between 1 - amount and 1 + amount."""
    amount = draws.share("light")
    if not amount:
        return photo
    field = smooth_field(draws.stream("field").uniform(-1, 1, (1, *_LATTICE)), photo)
    return (photo * (1 + amount * field / field.abs().max().clamp(min=1e-6))).clamp(0, 1)


def blur_photo(photo: Tensor, draws: SampleDraws) -> Tensor:
    """Out of focus: blur by a Gaussian with a sigma of up to `amount` pixels; the alpha stays sharp."""
    sigma_px = draws.share("blur")
    return gaussian_blur(photo, sigma_px).clamp(0, 1) if sigma_px else photo


def add_noise(photo: Tensor, draws: SampleDraws) -> Tensor:
    """Sensor noise: independent in each pixel and channel, standard deviation up to `amount`."""
    deviation = draws.share("noise")
    if not deviation:
        return photo
    seed = int(draws.stream("grain").integers(2**63))
    generator = torch.Generator(photo.device).manual_seed(seed)
    noise = torch.randn(photo.shape, generator=generator, device=photo.device)
    return (photo + deviation * noise).clamp(0, 1)


def draw_homography(draws: SampleDraws, view: str, size_hw: tuple[int, int]) -> _Floats:
    """Draw the homography that moves the pixels of a frame, or of a window, of this size.

    Views `FrontRight` are mirrored as often as `flip_front_right` says, all others as often as `flip` says. Returns
    `(3, 3)` float64 from the photo to the frame, both in pixels from the middle, x before y; positive angles turn
    clockwise. Exactly the identity if nothing happens.
    """
    height, width = size_hw
    sides = np.array([width, height])
    side = -1.0 if draws.happens("flip_front_right" if view == "FrontRight" else "flip") else 1.0
    angle, zoom = math.radians(draws.signed("rotation", 1)[0]), draws.factor("zoom")
    cos, sin, shift = math.cos(angle), math.sin(angle), draws.signed("shift", 2) * sides
    warp = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [0, 0, 1]])
    warp = warp @ np.diag([side * zoom * draws.factor("aspect"), zoom, 1])
    corners = draws.signed("perspective", 8).reshape(4, 2) * sides
    if corners.any():
        frame = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * sides / 2
        places = frame.astype(np.float32), (frame + corners).astype(np.float32)
        warp = np.asarray(cv2.getPerspectiveTransform(*places), np.float64) @ warp
    return warp


def bend(photo: Tensor, alpha: Tensor, warp: _Floats) -> tuple[Tensor, Tensor]:
    """Warp photo and alpha in one resampling; `warp` is a homography as from `draw_homography`.

    They are warped as one image of four channels, so nothing can move one without the other. What comes in from
    outside the frame repeats the border.
    """
    if (warp == np.eye(3)).all():
        return photo, alpha
    pictures, backward = torch.cat([photo, alpha], dim=1), np.linalg.inv(warp)
    reduction = np.linalg.norm(backward[:2, :2], axis=0).min()
    if reduction > _MOST_REDUCTION:  # antialiasing
        pictures = gaussian_blur(pictures, 0.5 * math.sqrt(reduction**2 - 1))
    height, width = pictures.shape[2:]
    x = torch.arange(width, dtype=torch.float32, device=photo.device) - (width - 1) / 2
    y = torch.arange(height, dtype=torch.float32, device=photo.device)[:, None] - (height - 1) / 2
    # Sums of products, because on CUDA a matrix product might be rounded to ten bits (TF32): an error of whole pixels.
    across, down, depth = (a * x + b * y + c for a, b, c in backward.tolist())
    grid = torch.stack([across / depth * (2 / width), down / depth * (2 / height)], dim=-1)[None]
    # Cubic, because a linear filter would blur only the warped photos. It overshoots, hence the clamp.
    moved = F.grid_sample(pictures, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 1)
    return moved[:, :3], moved[:, 3:]


def compress_jpeg(photo: Tensor, draws: SampleDraws) -> Tensor:
    """Give a photo the artefacts of JPEG at a quality between 100 - amount and 100; it is encoded on the CPU."""
    lost = draws.share("jpeg")
    if not lost:
        return photo
    levels = (photo[0].flip(0) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()  # OpenCV has BGR
    _, file = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, round(min(max(100 - lost, 1), 100))])
    return torch.from_numpy(cv2.imdecode(file, cv2.IMREAD_COLOR)).permute(2, 0, 1).flip(0)[None].to(photo) / 255
