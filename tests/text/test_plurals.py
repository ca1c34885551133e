"""How many things phrases name."""

from __future__ import annotations

import pytest

from unboxed.text.plurals import phrase_number


@pytest.mark.parametrize(
    ("phrase", "number"),
    [
        ("a dog", 1),
        ("two people", 2),
        ("The five computers", 5),
        ("both men", 2),
        ("a couple", 2),
        ("a couple of dogs", 2),
        ("3 red cars", 3),
        ("12 eggs", 12),
        ("a dozen eggs", 12),
        ("the other two", 2),
        ("two of the men", 2),
        ("dogs", None),
        ("a group of people", None),
        ("a crowd", None),
        ("some sheep", None),
        ("99 balloons", None),
        ("a toy fish", 1),
        ("one of the dogs", 1),
        ("player number six", 1),
        ("number 3", 1),
        ("a two story house", 1),
        ("a man with two dogs", 1),
        ("two men with a dog", 2),
        ("a pile of leaves", 1),
        ("black shorts", 1),
        ("a pair of glasses", 1),
        ("two pairs of glasses", 2),
        ("a pair of dogs", 2),
        ("grass", 1),
        ("", 1),
        ("!", 1),
    ],
)
def test_the_number_of_a_phrase(phrase: str, number: int | None) -> None:
    assert phrase_number(phrase) == number
