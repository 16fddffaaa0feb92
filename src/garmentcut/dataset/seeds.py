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


class SharedGenerator(torch.Generator):
    """Numbers for a batch that several devices share: all draw those of the whole batch, and each takes its own.

    So a sample's numbers do not tell how many devices there were.

    Attributes:
        rank: of this device.
        world_size: number of devices.
    """

    rank: int = 0
    world_size: int = 1


def shared_generator(seed: int, step: int, *, rank: int, world_size: int) -> SharedGenerator:
    """As `step_generator` of the first device, for a batch that is shared.

    Args:
        seed: of the training.
        step: counted from 0.
        rank: of the device.
        world_size: number of devices, each with as many samples.
    """
    generator = SharedGenerator()
    generator.manual_seed(step_generator(seed, step).initial_seed())
    generator.rank, generator.world_size = rank, world_size
    return generator
