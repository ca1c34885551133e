"""Random numbers from counters: every draw has an address, so a resumed run draws what an uninterrupted one draws."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["generator", "seed_of"]


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """The generator of one purpose at one place, such as `generator(seed, "order", epoch)`.

    The same address always gives the same numbers; different addresses give independent ones.
    """
    return np.random.default_rng(_sequence(seed, purpose, counters))


def seed_of(seed: int, purpose: str, *counters: int) -> int:
    """A 63-bit seed of the same address, for generators that are not NumPy's."""
    return int(_sequence(seed, purpose, counters).generate_state(1, np.uint64)[0] >> 1)


def _sequence(seed: int, purpose: str, counters: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), *counters])
