"""Counter-based random numbers depend on their arguments only."""

from __future__ import annotations

from unboxed.runtime.seeds import generator, seed_of


def test_the_same_arguments_give_the_same_numbers_and_others_give_others() -> None:
    assert generator(3, "order", 1).random(4).tolist() == generator(3, "order", 1).random(4).tolist()
    others = [
        generator(*arguments).random() for arguments in [(3, "order", 1), (4, "order", 1), (3, "order", 2), (3, "x", 1)]
    ]
    assert len(set(others)) == len(others)
    assert seed_of(0, "dropout", 5) == seed_of(0, "dropout", 5) != seed_of(0, "dropout", 6)
    assert 0 <= seed_of(0, "dropout", 5) < 2**63
