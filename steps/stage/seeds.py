"""Independent random streams, derived from the one seed of a run."""

import zlib

import numpy as np


def sequence(seed: int, *keys: str | int) -> np.random.SeedSequence:
    """Return the seed sequence of one job.

    Args:
        seed: Seed of the whole run, not negative.
        keys: What tells the job from all others, for instance stage, benchmark and number.
    """
    return np.random.SeedSequence([seed, *(zlib.crc32(str(key).encode()) for key in keys)])


def generator(seed: int, *keys: str | int) -> np.random.Generator:
    """Return the random number generator of one job; see :func:`sequence`."""
    return np.random.default_rng(sequence(seed, *keys))


def seed_globally(seed: int, *keys: str | int) -> None:
    """Seed NumPy's legacy global state, which MadMiner draws from; see :func:`sequence`."""
    np.random.seed(sequence(seed, *keys).generate_state(4))


def integer(seed: int, *keys: str | int) -> int:
    """Return the seed of one job as an integer of 32 bits; see :func:`sequence`."""
    return int(sequence(seed, *keys).generate_state(1)[0])
