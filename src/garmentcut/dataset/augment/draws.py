"""Every random number of a step's augmentation, drawn on the CPU in an order that never changes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from garmentcut.dataset.seeds import SharedGenerator

_MAX_SEED = 2**31


@dataclass(frozen=True)
class Draws:
    """Random numbers, one set a sample, float64 on the CPU.

    Every call takes as many numbers as there are samples, whatever `p` is: switching one augmentation off leaves what
    the others draw as it was, so that two recipes can be compared.

    Attributes:
        generator: on the CPU; a `SharedGenerator` draws for the other devices' samples too.
        num: samples of this device.
        strongest: every strength at its largest, as pages of examples want it; signs and kinds stay random.
    """

    generator: torch.Generator
    num: int
    strongest: bool = False

    def chosen(self, p: float | Sequence[float]) -> Tensor:
        """`(num,)` bool: whether it happens; `p` may differ between the samples."""
        return self.uniform() < torch.as_tensor(p, dtype=torch.float64)

    def share(self, p: float) -> Tensor:
        """`(num,)`: even in [0, 1] where it happens, 0 elsewhere."""
        happens, size = self.chosen(p), self.uniform()
        return torch.where(happens, torch.ones_like(size) if self.strongest else size, 0.0)

    def signed(self, p: float, *shape: int) -> Tensor:
        """`(num, *shape)`: even in [-1, 1] where it happens, 0 elsewhere."""
        happens, size = self.chosen(p), self.uniform(*shape) * 2 - 1
        if self.strongest:
            size = torch.where(size < 0, -1.0, 1.0).to(size)
        return torch.where(happens.view(-1, *(1 for _ in shape)), size, 0.0)

    def uniform(self, *shape: int) -> Tensor:
        """`(num, *shape)`: even in [0, 1)."""
        drawn = torch.rand(self._num_drawn, *shape, generator=self.generator, dtype=torch.float64)
        return drawn[self._own]

    def angle(self) -> Tensor:
        """`(num,)`: even in [0, 2 pi)."""
        return self.uniform() * 2 * math.pi

    def seed(self) -> Tensor:
        """`(num,)` int64 in [0, 2**31)."""
        return torch.randint(_MAX_SEED, (self._num_drawn,), generator=self.generator)[self._own]

    @property
    def _num_drawn(self) -> int:
        return self.num * (self.generator.world_size if isinstance(self.generator, SharedGenerator) else 1)

    @property
    def _own(self) -> slice:
        """The other devices' samples come before and behind."""
        before = self.num * (self.generator.rank if isinstance(self.generator, SharedGenerator) else 0)
        return slice(before, before + self.num)


def rows_of(happens: Tensor) -> Tensor:
    """Numbers of the samples whose bool, or any of whose numbers, is not 0: `(k,)` int64."""
    return happens.reshape(len(happens), -1).any(dim=1).nonzero()[:, 0]


def beside(values: Tensor, pictures: Tensor) -> Tensor:
    """Drawn numbers, float64 `(N, ...)` on the CPU, as float32 beside `pictures`; `(N,)` becomes `(N, 1, 1, 1)`.

    The copy does not wait for the device: what is queued there goes on.
    """
    values = values.reshape(-1, 1, 1, 1) if values.ndim == 1 else values
    return values.to(torch.float32).to(pictures.device, non_blocking=True)


def take(pictures: Tensor, rows: Tensor) -> Tensor:
    """The samples `rows`, a view where that is all of them."""
    return pictures if len(rows) == len(pictures) else pictures[rows.to(pictures.device, non_blocking=True)]


def put(pictures: Tensor, rows: Tensor, changed: Tensor) -> Tensor:
    """A copy of `pictures` with the samples `rows` replaced; the others stay as they are, bit for bit."""
    if len(rows) == len(pictures):
        return changed
    return pictures.index_copy(0, rows.to(pictures.device, non_blocking=True), changed)
