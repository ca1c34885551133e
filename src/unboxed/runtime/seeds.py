"""Random numbers from counters: a generator depends only on (seed, purpose, counters); resumed runs are identical."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["generator", "seed_of"]


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """The generator for one purpose at one position, such as `generator(seed, "order", epoch)`.

    The same arguments always give the same numbers; different arguments give independent ones.
    """
    return np.random.default_rng(_sequence(seed, purpose, counters))


def seed_of(seed: int, purpose: str, *counters: int) -> int:
    """A seed in [0, 2^63) for the same arguments, for generators other than NumPy's."""
    return int(_sequence(seed, purpose, counters).generate_state(1, np.uint64)[0]) >> 1


def _sequence(seed: int, purpose: str, counters: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters])
