"""Which convolutions of a network may calculate in 8 bits, and with which numbers: found on a studio's own photos.

All of them at once do harm: the first layers see the finest differences. So each is tried alone, and those are taken
that spare the most work for the least harm, until the harm adds up to a limit. What the whole then does is measured on
crops that had no part in the choice.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import RuntimeConfig
from garmentcut.dataset.manifest import Manifest, Pair, read_pair
from garmentcut.evaluation.overlap import dice
from garmentcut.evaluation.trials import Trial
from garmentcut.model.card import ModelCard, read_model
from garmentcut.photo.photo import PhotoError
from garmentcut.prediction.cutter import Cutter
from garmentcut.prediction.int8 import calculate_in_int8, convolutions_of
from garmentcut.prediction.runtime import Runtime, alpha_of_logits

NUM_PHOTOS = 24
"""Of which every third finds the ranges, and the others say what they came to."""

LEAST_DICE = 0.9995
"""Of the masks in 8 bits and in float32, on the mean: less is no bargain."""

_MOST_HARM = 2e-3  # of all convolutions: change of alpha, summed, over the garment's area
_NUM_TRIED_ON = 2
Pixels = NDArray[np.uint8]
Ranges = dict[str, tuple[float, float]]


class Int8FitError(ValueError):
    """Nothing was found that could be used; the message says why."""


@dataclass(frozen=True)
class Int8Fit:
    """What was found.

    Attributes:
        ranges: for the card.
        num_convolutions: of the network.
        num_crops: that were measured on.
        dice: of the masks in 8 bits and in float32: mean over these crops.
        least_dice: of one of them.
        share_of_time: processor time in 8 bits over that in float32, medians.
    """

    ranges: Ranges
    num_convolutions: int
    num_crops: int
    dice: float
    least_dice: float
    share_of_time: float


def look_at_inputs(trial: Trial, manifest: Manifest) -> Iterator[tuple[Pair, "list[Pixels] | str"]]:
    """Cut some of a trial's photos, and keep what its network was shown.

    Yields:
        Each pair with its network's inputs, `(H, W, 3)` uint8 (4 where it sees a map); or why there are none.
    """
    cutter = Cutter.load(trial.model, config=RuntimeConfig(backend="openvino", int8=False))
    step = max(len(trial.pairs) // NUM_PHOTOS, 1)
    for pair in trial.pairs[::step][:NUM_PHOTOS]:
        recorder = Recorder(cutter.runtime)
        try:
            replace(cutter, runtime=recorder)(read_pair(manifest, pair)[0])
            yield pair, recorder.seen
        except PhotoError as error:
            yield pair, str(error)


def fit_int8(trial: Trial, inputs: Sequence[Pixels]) -> Int8Fit:
    """Choose the convolutions of a model's (second) network.

    Args:
        trial: of which the model counts.
        inputs: `(H, W, 3)` uint8 (4 where it sees a map), of at least six photos.

    Raises:
        Int8FitError: too few inputs; or 8 bits change the alpha too much.
        garmentcut.model.card.ModelError: the model cannot be used.
    """
    if len(inputs) < 6:
        raise Int8FitError(f"{len(inputs)} crops are too few to find ranges on; 6 photos at least are needed")
    bench = NetworkBench(*read_model(trial.model))
    found_on, tried_on = list(inputs[::3]), [crop for place, crop in enumerate(inputs) if place % 3]
    ranges = bench.ranges(found_on)
    kept = bench.chosen(ranges, found_on[:_NUM_TRIED_ON])
    plain, small = bench.network({}), bench.network(kept)
    overlaps, times = [], []
    for crop in tried_on:
        (first, slow), (second, fast) = bench.timed(plain, crop), bench.timed(small, crop)
        overlaps.append(dice(second >= 0.5, first >= 0.5))
        times.append(fast / slow)
    mean = float(np.mean(overlaps))
    if mean < LEAST_DICE:
        raise Int8FitError(
            f"8 bits change the masks to a Dice of {mean:.4f}; {LEAST_DICE} is the least, so keep float32"
        )
    return Int8Fit(kept, len(ranges), len(tried_on), mean, float(min(overlaps)), float(np.median(times)))


@dataclass
class Recorder:
    """A runtime that keeps what it is shown."""

    inner: Runtime

    def __post_init__(self) -> None:
        self.name, self.streams = self.inner.name, self.inner.streams
        self.seen: list[Pixels] = []

    def __call__(self, rgb: Pixels) -> NDArray[np.float32]:
        """See `Runtime`."""
        self.seen.append(np.array(rgb))
        return self.inner(rgb)


class NetworkBench:
    """One network in OpenVINO, as it is and with some convolutions in 8 bits."""

    def __init__(self, content: bytes, card: ModelCard) -> None:
        import openvino

        self._core, self._content, self._card = openvino.Core(), content, card

    def network(self, ranges: Ranges, size_hw: tuple[int, int] | None = None) -> Any:
        """Not yet compiled."""
        network = self._core.read_model(self._content)
        if ranges:
            calculate_in_int8(network, ranges)
        if size_hw is not None:
            network.reshape([1, 4 if self._card.sees_map else 3, *size_hw])
        return network

    def compiled(self, network: Any) -> Any:
        """Ready to run on all cores."""
        settings = {"NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        return self._core.compile_model(network, "CPU", settings)

    def ranges(self, crops: Sequence[Pixels]) -> Ranges:
        """Least and largest input of each convolution, over some crops."""
        from openvino import opset13

        network, axes = self.network({}), np.arange(4)
        names = []
        for node in convolutions_of(network):
            names.append(node.get_friendly_name())
            ends = (reduce(node.input_value(0), axes) for reduce in (opset13.reduce_min, opset13.reduce_max))
            network.add_outputs([end.output(0) for end in ends])
        compiled = self.compiled(network)
        found = np.array([[value.item() for value in list(compiled(self._fed(crop)).values())[1:]] for crop in crops])
        low, high = found[:, ::2].min(axis=0), found[:, 1::2].max(axis=0)
        return {name: (float(low[place]), float(high[place])) for place, name in enumerate(names)}

    def chosen(self, ranges: Ranges, crops: Sequence[Pixels]) -> Ranges:
        """The convolutions that spare the most work for the least harm."""
        work = self._work(crops[0])
        expected = [self.alpha(self.compiled(self.network({})), crop) for crop in crops]
        garment, harm = sum(float(alpha.sum()) for alpha in expected), {}
        for name, limits in ranges.items():
            tried = self.compiled(self.network({name: limits}))
            harm[name] = sum(
                float(np.abs(self.alpha(tried, crop) - alpha).sum())
                for crop, alpha in zip(crops, expected, strict=True)
            )
        kept: Ranges = {}
        total = 0.0
        for name in sorted(ranges, key=lambda name: harm[name] / work[name]):
            total += harm[name] / max(garment, 1.0)
            if total > _MOST_HARM:
                break
            kept[name] = ranges[name]
        if not kept:
            raise Int8FitError("not one convolution can do with 8 bits; keep float32")
        return kept

    def alpha(self, compiled: Any, crop: Pixels) -> NDArray[np.float32]:
        """`(H, W)` float32 in [0, 1], with the card's edge."""
        return alpha_of_logits(compiled(self._fed(crop))[self._card.output_name][0, 0], self._card)

    def timed(self, network: Any, crop: Pixels) -> tuple[NDArray[np.float32], float]:
        """Alpha, and processor time of a second call, compiled for the crop's shape as in use."""
        fixed = network.clone()
        fixed.reshape([1, 4 if self._card.sees_map else 3, *crop.shape[:2]])
        compiled = self.compiled(fixed)
        alpha = self.alpha(compiled, crop)
        start = time.process_time()
        compiled(self._fed(crop))
        return alpha, time.process_time() - start

    def _fed(self, crop: Pixels) -> NDArray[np.float32]:
        fed: NDArray[np.float32] = crop.transpose(2, 0, 1)[None].astype(np.float32) * np.float32(self._card.input_scale)
        return fed

    def _work(self, crop: Pixels) -> dict[str, float]:
        """Products of each convolution."""
        network = self.network({}, (crop.shape[0], crop.shape[1]))
        return {
            node.get_friendly_name(): float(np.prod(node.input_value(1).get_shape()[1:]))
            * float(np.prod(node.output(0).get_shape()))
            for node in convolutions_of(network)
        }
