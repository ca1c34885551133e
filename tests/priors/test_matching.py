"""The classes that a phrase names: by class names, and by a class map of the user's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unboxed.errors import ModelError
from unboxed.priors.matching import ClassMap, MatchingResources, PhraseMatcher, classes_by_name, load_class_map
from unboxed.priors.settings import PriorSettings
from unboxed.text.phrases import phrase_words

CLASSES = ("person", "dog", "hot dog", "cell phone", "sofa,couch", "segmenter:person")


@pytest.mark.parametrize(
    ("phrase", "classes"),
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
def test_classes_by_name(phrase: str, classes: tuple[int, ...]) -> None:
    assert classes_by_name(phrase_words(phrase), CLASSES) == classes


@pytest.mark.parametrize(
    ("phrase", "classes"),
    [
        ("a television", [1]),
        ("an old television set", [1]),
        ("two phones", [2]),
        ("a sofa", [3]),
        ("a settee", [3]),
        ("a dog", []),
        ("!", []),
    ],
)
def test_synonyms_of_class_names_need_no_lexical_file(phrase: str, classes: list[int]) -> None:
    settings = PriorSettings(match=("synonyms",), part_weight=0)
    matcher = PhraseMatcher(settings, ("person", "tv", "segmenter:cell phone", "bench,couch"), MatchingResources())
    assert np.flatnonzero(matcher(phrase_words(phrase))).tolist() == classes


def test_a_map_gives_whole_phrases_a_class_before_head_nouns(tmp_path: Path) -> None:
    path = tmp_path / "map.json"
    path.write_text('{"Man\'s best friend": "dog", "unicorn": "person", "dog": "hot dog"}', encoding="utf-8")
    class_map = ClassMap(load_class_map(path), CLASSES)
    assert class_map(phrase_words("man's best friend")) == (1,)
    assert class_map(phrase_words("two unicorns")) == (0,)  # by the head noun
    assert class_map(phrase_words("a dog")) == (2,)
    assert class_map(phrase_words("a friend")) == ()


def test_unusable_maps_are_model_errors(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'cat'.*its classes are person, dog"):
        ClassMap({"kitten": "cat"}, CLASSES)
    with pytest.raises(ModelError, match=r"missing\.json cannot be read"):
        load_class_map(tmp_path / "missing.json")
    for content in ("{", "[]", '{"a": 1}'):
        (tmp_path / "bad.json").write_text(content, encoding="utf-8")
        with pytest.raises(ModelError, match=r"bad\.json"):
            load_class_map(tmp_path / "bad.json")
