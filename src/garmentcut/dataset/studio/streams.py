"""Named random streams: every part of a photo draws from its own, so that changing one part leaves the others alone."""

import zlib
from collections.abc import Mapping

import numpy as np


def named_stream(seed: int, *names: str) -> np.random.Generator:
    """Return the random generator that belongs to one part of one photo.

    Args:
        seed: The photo's seed, 0 or more.
        names: What is drawn from it, e.g. `"garment", "folds"`; other names give an independent stream.
    """
    keys = [zlib.crc32(name.encode()) for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *keys])))


def pick(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """Return one key of `weights`, as likely as its weight is large."""
    point = rng.random() * sum(weights.values())
    for name, weight in weights.items():
        point -= weight
        if point < 0:
            return name
    return next(reversed(list(weights)))


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Return a number in [low, high), all equally likely."""
    return float(low + (high - low) * rng.random())


def happens(rng: np.random.Generator, chance: float) -> bool:
    """Return True with this chance in [0, 1]."""
    return bool(rng.random() < chance)
