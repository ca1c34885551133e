"""Random numbers have addresses."""

from __future__ import annotations

from unboxed.runtime.seeds import generator, seed_of


def test_the_same_address_gives_the_same_numbers_and_another_address_others() -> None:
    assert generator(3, "order", 1).random(4).tolist() == generator(3, "order", 1).random(4).tolist()
    others = [
        generator(*address).random() for address in [(3, "order", 1), (4, "order", 1), (3, "order", 2), (3, "x", 1)]
    ]
    assert len(set(others)) == len(others)
    assert seed_of(0, "dropout", 5) == seed_of(0, "dropout", 5) != seed_of(0, "dropout", 6)
    assert 0 <= seed_of(0, "dropout", 5) < 2**63
