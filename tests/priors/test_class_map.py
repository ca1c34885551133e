"""Which class a phrase names: exact names, WordNet's head nouns, the user's own map."""

from __future__ import annotations

from pathlib import Path

import pytest

from unboxed.errors import ModelError
from unboxed.priors.class_map import ClassMap, load_class_map, named_classes, words_to_head
from unboxed.text.wordnet import WordNet

CLASSES = ("person", "dog", "hot dog", "cell phone", "sofa,couch", "segmenter:person")
WORDNET = WordNet(
    {"person": ["p"], "man": ["m"], "dog": ["d"], "poodle": ["o"], "animal": ["a"]},
    {"m": ["p"], "o": ["d"], "d": ["a"]},
)


@pytest.mark.parametrize(
    ("phrase", "named"),
    [
        ("a big dog", (1,)),
        ("Dogs", (1,)),
        ("two hot dogs on a plate", (2,)),
        ("a hot day", ()),
        ("a dog collar", ()),  # the head noun says what it is
        ("a man with a dog", ()),
        ("a group of dogs", (1,)),
        ("his phone", ()),  # not a cell phone by name
        ("a couch", (4,)),
        ("a person", (0, 5)),
        ("!", ()),
    ],
)
def test_classes_by_name(phrase: str, named: tuple[int, ...]) -> None:
    assert named_classes(phrase, CLASSES) == named


def test_the_words_up_to_the_head_noun() -> None:
    assert words_to_head("A hot dog on a plate") == ("a", "hot", "dog")
    assert words_to_head("a group of people") == ("a", "group", "of", "people")
    assert words_to_head("…") == ()


def test_wordnet_answers_with_what_the_noun_is_a_kind_of_and_nothing_else() -> None:
    of = ClassMap(CLASSES, WORDNET)
    assert (of("an old man"), of("two poodles"), of("a dog")) == (0, 1, 1)
    assert of("an animal") is None  # a dog is only one kind of animal
    assert of("a unicorn") is None
    assert ClassMap(CLASSES)("an old man") is None


def test_the_users_own_map_goes_first(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"Man\'s best friend": "dog", "unicorn": "person", "dog": "hot dog"}', encoding="utf-8")
    of = ClassMap(CLASSES, WORDNET, load_class_map(path))
    assert of("man's best friend") == 1
    assert of("two unicorns") == 0  # by the head noun
    assert of("a dog") == 2


def test_maps_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'cat'.*its classes are person, dog"):
        ClassMap(CLASSES, own={"kitten": "cat"})
    with pytest.raises(ModelError, match=r"missing\.json cannot be read"):
        load_class_map(tmp_path / "missing.json")
    for content in ("{", "[]", '{"a": 1}'):
        (tmp_path / "bad.json").write_text(content, encoding="utf-8")
        with pytest.raises(ModelError, match=r"bad\.json"):
            load_class_map(tmp_path / "bad.json")
