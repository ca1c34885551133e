"""The detector classes that a phrase names: by the names of the classes, or by a class map of the user's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from unboxed.errors import ModelError
from unboxed.text.inflection import noun_key
from unboxed.text.phrases import PhraseWords
from unboxed.text.tokens import words

__all__ = ["ClassMap", "classes_by_name", "load_class_map"]


class ClassMap:
    """A user's map from phrases to classes.

    Args:
        classes: phrase -> class name.
        class_names: the detector's K classes. Of two with one name the first is taken.

    Raises:
        ModelError: `classes` holds a class that the detector does not have.
    """

    def __init__(self, classes: Mapping[str, str], class_names: Sequence[str]) -> None:
        self._class_of: dict[tuple[str, ...], int] = {}
        for phrase, name in classes.items():
            if name not in class_names:
                raise ModelError(
                    f"The class map gives {phrase!r} the class {name!r}, which the detector does not have; its classes "
                    f"are {', '.join(class_names[:12])}{', …' if len(class_names) > 12 else ''}."
                )
            self._class_of[_keys(word.text for word in words(phrase))] = class_names.index(name)

    def __call__(self, phrase: PhraseWords) -> int | None:
        """The index of the class that the map gives the phrase, or else its head noun; None without either."""
        exact = self._class_of.get(_keys(phrase.words))
        return self._class_of.get(_keys([phrase.head])) if exact is None else exact


def load_class_map(path: Path) -> dict[str, str]:
    """The class map in a file, a JSON object {phrase: class}.

    Raises:
        ModelError: no such file, or not such an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"The class map {path} cannot be read ({error}); name a JSON file {{phrase: class}}."
        ) from None
    except ValueError as error:
        raise ModelError(f"The class map {path} is no JSON ({error}); write {{phrase: class}}.") from None
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content.values()):
        raise ModelError(f"The class map {path} must be a JSON object {{phrase: class}}, all in quotes.")
    return content


def classes_by_name(phrase: PhraseWords, class_names: Sequence[str]) -> tuple[int, ...]:
    """The classes whose name occurs in the phrase and ends in its head noun; only the longest names of several.

    Args:
        phrase: see `unboxed.text.phrases.phrase_words`.
        class_names: a name may have variants, separated by commas, and a source before a colon.

    Examples:
        >>> from unboxed.text.phrases import phrase_words
        >>> classes_by_name(phrase_words("two hot dogs"), ("dog", "hot dog"))
        (1,)
        >>> classes_by_name(phrase_words("a dog"), ("dog", "segmenter:dog"))
        (0, 1)
    """
    keys = _keys(phrase.up_to_head)
    candidates = _by_last_word(tuple(class_names)).get(keys[-1], ()) if keys else ()
    found = [(len(name_keys), k) for name_keys, k in candidates if name_keys.issubset(keys)]
    longest = max((length for length, _ in found), default=0)
    return tuple(dict.fromkeys(k for length, k in found if length == longest))


@lru_cache(maxsize=16)
def _by_last_word(class_names: tuple[str, ...]) -> dict[str, list[tuple[frozenset[str], int]]]:
    """Key of the last word of a class name -> the keys of all its words, and the class."""
    found: dict[str, list[tuple[frozenset[str], int]]] = {}
    for k, name in enumerate(class_names):
        for variant in name.rpartition(":")[2].split(","):
            if keys := _keys(word.text for word in words(variant)):
                found.setdefault(keys[-1], []).append((frozenset(keys), k))
    return found


def _keys(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(noun_key, texts))
