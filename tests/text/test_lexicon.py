"""Keys of nouns: equal for the forms of one noun, different for different nouns."""

from __future__ import annotations

import pytest

from unboxed.text.lexicon import noun_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("dog", "dogs"), ("woman", "women"), ("baby", "babies"), ("cookie", "cookies"), ("horse", "horses")],
        *[("bus", "buses"), ("glass", "glasses"), ("box", "boxes"), ("beach", "beaches"), ("moustache", "moustaches")],
        *[("shoe", "shoes"), ("potato", "potatoes"), ("person", "people"), ("child", "children"), ("man", "man's")],
        *[("tie", "ties"), ("house", "houses"), ("fireman", "firemen"), ("bush", "bushes"), ("man", "men’s")],
    ],
)
def test_forms_of_a_noun_have_one_key(one: str, other: str) -> None:
    assert noun_key(one) == noun_key(other)


@pytest.mark.parametrize(("one", "other"), [("cap", "cape"), ("car", "care"), ("kit", "kite"), ("gras", "grass")])
def test_different_nouns_have_different_keys(one: str, other: str) -> None:
    assert noun_key(one) != noun_key(other)
