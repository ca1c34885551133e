"""Keys of English nouns that are equal for singular, plural and possessive."""

from __future__ import annotations

import re

__all__ = ["noun_key"]

_IRREGULAR = {
    "calves": "calf",
    "children": "child",
    "feet": "foot",
    "geese": "goose",
    "halves": "half",
    "knives": "knife",
    "leaves": "leaf",
    "lives": "life",
    "loaves": "loaf",
    "mice": "mouse",
    "people": "person",
    "scarves": "scarf",
    "shelves": "shelf",
    "teeth": "tooth",
    "wives": "wife",
    "wolves": "wolf",
}
_NO_PLURAL_S = ("ss", "us", "is")
_SILENT_E = re.compile(r"(?<=ch|sh)e$|(?<=[sxzo])e$")


def noun_key(word: str) -> str:
    """A key that is equal for the singular, the plural and the possessive of a lower-cased English noun.

    A key is only for comparison. It is not always a word: since a plural in “-es” may come from a singular with or
    without “e”, the key has no “e” (“horse” and “horses” give “hors”), and “-ie” becomes “-y”.

    Examples:
        >>> [noun_key(word) for word in ("dogs", "women", "babies", "cookie", "glasses", "horse", "man's", "bus")]
        ['dog', 'woman', 'baby', 'cooky', 'glass', 'hors', 'man', 'bus']
    """
    word = word.replace("’", "'").removesuffix("'s")
    word = _IRREGULAR.get(word, word)
    if word.endswith("men"):
        return word[:-2] + "an"
    if len(word) > 3 and word.endswith("s") and not word.endswith(_NO_PLURAL_S):
        word = word[:-1]
    if len(word) > 3 and word.endswith("ie"):
        return word[:-2] + "y"
    return _SILENT_E.sub("", word)
