"""Which class of a detector a phrase names: the labels that a detector can teach (CKD).

The paper's own map is not public. This is a reconstruction: exact names first, then the head noun by WordNet, where a
class must be what the noun is a kind of; or a map of the user's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from unboxed.errors import ModelError
from unboxed.text.inflection import noun_key
from unboxed.text.phrases import head_noun
from unboxed.text.tokens import words
from unboxed.text.wordnet import WordNet

__all__ = ["ClassMap", "load_class_map", "named_classes", "words_to_head"]

_KIND_OF = 0.71  # above every affinity of a class that is only one kind of what the noun means


class ClassMap:
    """Phrase -> class.

    Args:
        class_names: the detector's K classes. Of two with one name (“segmenter:person”) the first is meant.
        wordnet: asked for phrases that name no class; None: they have none.
        own: phrase -> class name, which goes before everything else.

    Raises:
        ModelError: `own` names a class that the detector does not have.
    """

    def __init__(
        self, class_names: Sequence[str], wordnet: WordNet | None = None, own: Mapping[str, str] | None = None
    ) -> None:
        self.class_names = tuple(class_names)
        self._wordnet = wordnet
        self._own: dict[tuple[str, ...], int] = {}
        for phrase, name in (own or {}).items():
            if name not in self.class_names:
                raise ModelError(
                    f"The class map gives {phrase!r} the class {name!r}, which the detector does not have; its classes "
                    f"are {', '.join(self.class_names[:12])}{', …' if len(self.class_names) > 12 else ''}."
                )
            self._own[_key(phrase)] = self.class_names.index(name)
        self._head = lru_cache(maxsize=None)(self._by_wordnet)

    def __call__(self, phrase: str) -> int | None:
        """The index of the class that a phrase names, or None."""
        own = self.own(phrase)
        if own is not None:
            return own
        named = named_classes(phrase, self.class_names)
        return named[0] if named else self._head(head_noun(phrase))

    def own(self, phrase: str) -> int | None:
        """The class that the user's map gives the phrase, or else its head noun."""
        exact = self._own.get(_key(phrase))
        return self._own.get(_key(head_noun(phrase))) if exact is None else exact

    def _by_wordnet(self, head: str) -> int | None:
        if self._wordnet is None or not head:
            return None
        affinities = [self._wordnet.affinity(head, name) for name in self.class_names]
        best = max(affinities, default=0.0)
        return affinities.index(best) if best >= _KIND_OF else None


def load_class_map(path: Path) -> dict[str, str]:
    """A user's own map, a JSON object {phrase: class}.

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


def named_classes(phrase: str, class_names: Sequence[str]) -> tuple[int, ...]:
    """The classes whose name the phrase says, its head noun last; of several the longest names only.

    Examples:
        >>> named_classes("two hot dogs", ("dog", "hot dog")), named_classes("a dog", ("dog", "segmenter:dog"))
        ((1,), (0, 1))
    """
    said = tuple(map(noun_key, words_to_head(phrase)))
    candidates = _by_last_word(tuple(class_names)).get(said[-1], ()) if said else ()
    found = [(len(own), k) for own, k in candidates if own.issubset(said)]
    longest = max((length for length, _ in found), default=0)
    return tuple(dict.fromkeys(k for length, k in found if length == longest))


def words_to_head(phrase: str) -> tuple[str, ...]:
    """The lower-cased words of a phrase up to its head noun: "a hot dog on a plate": a, hot, dog."""
    found = [word.text for word in words(phrase)]
    head = head_noun(phrase)
    return tuple(found[: len(found) - found[::-1].index(head)]) if head in found else ()


@lru_cache(maxsize=16)
def _by_last_word(class_names: tuple[str, ...]) -> dict[str, list[tuple[frozenset[str], int]]]:
    """Key of the last word of a class name -> the keys of all its words, and the class."""
    found: dict[str, list[tuple[frozenset[str], int]]] = {}
    for k, name in enumerate(class_names):
        for variant in name.rpartition(":")[2].split(","):
            if own := _key(variant):
                found.setdefault(own[-1], []).append((frozenset(own), k))
    return found


def _key(text: str) -> tuple[str, ...]:
    return tuple(noun_key(word.text) for word in words(text))
