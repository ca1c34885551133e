"""The words of a text with their character offsets, and their ids."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from unboxed.errors import RunError, plain_reason
from unboxed.runtime.atomic import write_text
from unboxed.runtime.digests import is_changed, with_digest
from unboxed.runtime.json_values import from_json
from unboxed.text.settings import TokenizerName
from unboxed.text.treebank import Word, treebank_words

__all__ = ["END", "MASK_ID", "PAD_ID", "SPECIAL", "START", "UNKNOWN_ID", "Tokenizer", "Vocabulary", "Word", "words"]

SPECIAL = ("<pad>", "<unk>", "<mask>")
PAD_ID, UNKNOWN_ID, MASK_ID = range(3)
START, END = "<start>", "<end>"

_FORMAT = "unboxed-vocabulary"
_VERSION = 1

# A run of letters and digits, with hyphens, apostrophes and stops inside it: "t-shirt", "man's", "3.5".
_WORD = re.compile(r"[^\W_]+(?:[-'’.][^\W_]+)*", re.UNICODE)
_LETTER_APOSTROPHE, _APOSTROPHE = "\u02bc", "’"  # Unicode has one that is a letter
_SPACED = re.compile(r"\S+")


def words(text: str) -> tuple[Word, ...]:
    """The words of `text` in reading order, without punctuation; empty when there are none.

    Examples:
        >>> [word.text for word in words("A man's T-shirt, blue.")]
        ["a", "man's", 't-shirt', 'blue']
    """
    found = _WORD.finditer(text.replace(_LETTER_APOSTROPHE, _APOSTROPHE))
    return tuple(Word(match.group().lower(), match.start(), match.end()) for match in found)


@dataclass(frozen=True)
class Tokenizer:
    """Splits texts into words.

    Attributes:
        name: see `TextConfig.tokenizer`.
        start_end_words: begin with `<start>` and end with `<end>`, words of no characters.
    """

    name: TokenizerName = "words"
    start_end_words: bool = False

    def __call__(self, text: str) -> tuple[Word, ...]:
        """The words of `text` in reading order."""
        if self.name == "words":
            found = words(text)
        elif self.name == "treebank":
            found = treebank_words(text)
        else:
            found = tuple(Word(part.group().lower(), part.start(), part.end()) for part in _SPACED.finditer(text))
        if self.start_end_words:
            found = (Word(START, 0, 0), *found, Word(END, len(text), len(text)))
        return found


@dataclass(frozen=True)
class Vocabulary:
    """Words and their ids, the special words first: `<pad>` 0, `<unk>` 1, `<mask>` 2.

    Attributes:
        words: the word of each id, special words included; no word twice.
        tokenizer: splits captions into these words.

    Raises:
        RunError: the special words are not the first three, a word occurs twice, is empty or is not a string.
    """

    words: tuple[str, ...] = SPECIAL
    tokenizer: Tokenizer = Tokenizer()
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        if self.words[: len(SPECIAL)] != SPECIAL:
            raise RunError(f"A vocabulary begins with {list(SPECIAL)}, this one with {list(self.words[:3])}.")
        for word in self.words:
            if not isinstance(word, str) or not word:
                raise RunError(f"A vocabulary holds words that are not empty; this one holds {word!r}.")
        object.__setattr__(self, "_ids", {word: index for index, word in enumerate(self.words)})
        if len(self._ids) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise RunError(f"A vocabulary holds each word once; this one holds {twice!r} more than once.")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    def encode(self, words: Iterable[str]) -> list[int]:
        """The id of each lower-cased word, that of `<unk>` for words that are not in the vocabulary."""
        return [self._ids.get(word, UNKNOWN_ID) for word in words]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The word of each id; raises `IndexError` for an id outside the vocabulary."""
        return [self.words[index] for index in ids]

    @classmethod
    def from_captions(
        cls, captions: Iterable[str], min_count: int = 1, tokenizer: Tokenizer | None = None
    ) -> Vocabulary:
        """The words that occur at least `min_count` times in the captions: the most frequent first, ties by alphabet.

        The order of the captions does not matter. `<start>` and `<end>` are words whenever the tokenizer gives them.
        """
        tokenizer = tokenizer if tokenizer is not None else Tokenizer()
        marks = (START, END) if tokenizer.start_end_words else ()
        counts = Counter(word.text for caption in captions for word in tokenizer(caption))
        kept = [word for word, count in counts.items() if count >= min_count and word not in (*SPECIAL, *marks)]
        return cls((*SPECIAL, *marks, *sorted(kept, key=lambda word: (-counts[word], word))), tokenizer)

    def save(self, path: Path) -> None:
        """Write the JSON file of a run's vocabulary, atomically."""
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "tokenizer": asdict(self.tokenizer),
            "words": list(self.words),
        }
        write_text(path, json.dumps(with_digest(content), ensure_ascii=False, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """The vocabulary in a file that `save` wrote.

        Raises:
            RunError: a file that is missing, damaged, no vocabulary, or written by a newer version.
        """
        try:
            return cls(*_content(path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"Cannot read the vocabulary {path}: {error}; restore it, or train the run again.") from None
        except RunError as error:
            raise RunError(f"{path}: {error}") from None


def _content(text: str) -> tuple[tuple[str, ...], Tokenizer]:
    """The words and the tokenizer in the text of a vocabulary file; the first version has no tokenizer but `words`."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"The vocabulary is not valid JSON ({plain_reason(error)}); copy the run's vocab.json anew."
        ) from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise RunError(f'A vocabulary is a JSON object with "format": "{_FORMAT}"; this one is something else.')
    if content.get("version") != _VERSION:
        raise RunError(
            f"The vocabulary has version {content.get('version')!r}, this unboxed reads version {_VERSION}; "
            "install a newer unboxed, or train again with this one."
        )
    listed = content.get("words")
    if not isinstance(listed, list):
        raise RunError('The vocabulary has no list "words"; copy the run\'s vocab.json anew.')
    if is_changed(content):
        raise RunError("The vocabulary changed after it was written; copy the run's vocab.json anew.")
    try:
        return tuple(listed), from_json(Tokenizer, content.get("tokenizer", {}))
    except ValueError as error:
        raise RunError(f"The vocabulary has an unknown tokenizer ({plain_reason(error)}); update unboxed.") from None
