"""Random numbers that depend on names alone, never on what was drawn before: resuming needs no state."""

import hashlib

import torch


def seeded_generator(*names: str | int) -> torch.Generator:
    """A generator on the CPU of its own for these names, such as `("order", seed, epoch)`.

    The names are hashed: torch's generator looks at 32 bits of a seed only, and neighbouring seeds must not collide.
    """
    digest = hashlib.blake2b(repr(names).encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest))


def step_generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """What one step's augmentation on one device draws from: the same whether or not the training was resumed.

    Args:
        seed: of the training.
        step: counted from 0.
        rank: of the device.
    """
    return seeded_generator("augment", seed, step, rank)
