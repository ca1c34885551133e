"""A fixed set of class names: maps phrases to them, through their synonyms and the lists of `unboxed.text.synonyms`."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

from unboxed.errors import ExportError
from unboxed.priors.noun_sets import PERSONS
from unboxed.text.phrases import phrase_words
from unboxed.text.synonyms import broader_keys, is_other_thing, name_key, named_lines, synonym_key

__all__ = ["ClassSet"]


class ClassSet:
    """Class names with their synonyms.

    Args:
        synonyms: class name -> other names of it.

    Attributes:
        names: the class names in order.

    Raises:
        ExportError: no name, or one name of two classes.
    """

    def __init__(self, synonyms: dict[str, tuple[str, ...]]) -> None:
        self.names = tuple(synonyms)
        self._given: dict[str, str] = {}
        for name, others in synonyms.items():
            for known in (name, *others):
                other = self._given.setdefault(name_key(known), name)
                if other != name:
                    raise ExportError(f"{known!r} names both the class {other!r} and {name!r}; keep one of them.")
        if not self.names:
            raise ExportError("There are no class names; write one a line, such as `airplane: plane, jet`.")
        self._broad: dict[str, str] = {}
        for key, name in self._given.items():
            self._broad.setdefault(synonym_key(key), name)
        self._persons = self._broad.get(synonym_key("person"), "")

    @classmethod
    def open(cls, path: Path) -> ClassSet:
        """Read a text file with a class a line: `name`, or `name: synonym, synonym`; `#` begins a comment line.

        Numbers before all names are left out. Of a `data.yaml` of YOLO, the classes are those under `names`.

        Raises:
            ExportError: no such file, other content, or one name of two classes.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise ExportError(
                f"The classes {path} cannot be read ({reason}); expected a text file with a class a line, such as "
                "`airplane: plane, jet`."
            ) from None
        lines = list(named_lines("\n".join(_class_lines(text))))
        joined = [name for name, _ in lines if "," in name]
        if joined:
            raise ExportError(
                f"{path} has the line {joined[0]!r}, with commas and no colon; write a class a line, and its synonyms "
                "behind a colon, such as `airplane: plane, jet`."
            )
        twice = [name for i, (name, _) in enumerate(lines) if name in dict(lines[:i])]
        if twice:
            raise ExportError(f"{path} names the class {twice[0]!r} twice; write its synonyms in one line.")
        try:
            return cls(dict(lines))
        except ExportError as error:
            raise ExportError(f"{path}: {error}") from None

    def find(self, phrase: str) -> str | None:
        """The class of a phrase; None for a phrase of no class.

        The names of the set are tried first, on the head noun with as many words before it as possible; then the
        built-in synonyms; then the kinds of things that the head noun belongs to, the nearest one first.

        Examples:
            >>> classes = ClassSet({"airplane": ("Cessna",), "dog": (), "person": ()})
            >>> [classes.find(phrase) for phrase in ("two small jets", "a red cessna", "puppies", "a hot dog", "a cop")]
            ['airplane', 'airplane', 'dog', None, 'person']
        """
        words = phrase_words(phrase).up_to_head
        names = [" ".join(words[first:]) for first in range(len(words))]
        for name in names:
            if (found := self._given.get(name_key(name))) is not None:
                return found
            if is_other_thing(name):
                return self._broad.get(synonym_key(name))
        for key in broader_keys(names):
            if (found := self._broad.get(key)) is not None:
                return found
        if self._persons and words and name_key(words[-1]) in PERSONS:
            return self._persons
        return None


_YAML_NAMES = re.compile(r"^names:[ \t]*(.*)$", re.MULTILINE)
_NUMBERED = re.compile(r"(?:\d+[:.)]?\s+|-\s+)(\S.*)")


def _class_lines(text: str) -> list[str]:
    """The lines of a file of classes, without numbers before the names; of a YAML file those of its `names`."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if found := _YAML_NAMES.search(text):
        if found[1].strip():  # [person, bear] or {0: person, 1: bear}
            lines = found[1].strip().strip("[]{}").split(",")
        else:
            rest = (line for line in text[found.end() :].splitlines() if line.strip())
            lines = list(takewhile(lambda line: line[0] in " \t-", rest))
        lines = [line.strip() for line in lines]
    numbered = [_NUMBERED.fullmatch(line.strip()) for line in lines]
    if all(numbered):
        lines = [match[1] for match in numbered if match is not None]
    return [line.strip().strip("'\"") for line in lines] if found else lines
