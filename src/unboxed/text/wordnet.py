"""The nouns of WordNet and their hypernyms, read from one file, or from NLTK where its data are installed.

The file holds one noun synset or one lemma a line, tab separated, UTF-8, plain or gzipped:

    S <synset> <lexicographer file> <lemma|lemma|…> <hypernym synsets, blank separated>
    L <lemma> <its synsets, the most frequent sense first, blank separated>

Nothing is ever downloaded.
"""

from __future__ import annotations

import gzip
import importlib
import io
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from unboxed.errors import ModelError, plain_reason
from unboxed.runtime.atomic import atomic_path
from unboxed.text.synonyms import name_key

__all__ = ["WordNet"]

_HEAD_SENSES, _CLASS_SENSES = 3, 1
_LATER_SENSE = 0.15
_INFLECTED = 0.03
_LARGEST = 256 * 2**20  # bytes; that of all nouns has 16 million


class WordNet:
    """Noun synsets, their hypernyms and their lemmas.

    Args:
        senses: lemma -> its synsets, the most frequent sense first. Lemmas are compared in lower case.
        hypernyms: synset -> the synsets that it is directly a kind of; a synset without any may be missing.
    """

    def __init__(self, senses: Mapping[str, Sequence[str]], hypernyms: Mapping[str, Sequence[str]]) -> None:
        lower: dict[str, tuple[str, ...]] = {}
        for lemma, synsets in senses.items():
            key = lemma.lower().replace("_", " ")
            # The senses of "china" (porcelain) come before those of "China" (the country).
            lower[key] = tuple(synsets) + lower.get(key, ()) if lemma == key else lower.get(key, ()) + tuple(synsets)
        self._senses = lower
        self._hypernyms = {synset: tuple(above) for synset, above in hypernyms.items() if above}
        self._ancestors: dict[str, dict[str, int]] = {}
        self._targets: dict[str, list[tuple[str, tuple[str, ...]]]] = {}

    @classmethod
    def open(cls, path: Path) -> WordNet:
        """The nouns of a file.

        Raises:
            ModelError: no such file, or lines of another form.
        """
        if not path.is_file():
            raise ModelError(
                f"There is no WordNet file {path}; name one, of the form in the guide “The semantic prior”, or none."
            )
        senses: dict[str, tuple[str, ...]] = {}
        hypernyms: dict[str, tuple[str, ...]] = {}
        try:
            raw = path.read_bytes()
            text = (_unpacked(raw) if raw[:2] == b"\x1f\x8b" else raw).decode("utf-8-sig")
        except (OSError, EOFError, zlib.error, ValueError) as error:
            raise ModelError(f"The WordNet file {path} cannot be read ({plain_reason(error)}); get it anew.") from error
        for number, line in enumerate(text.splitlines(), start=1):
            match line.split("\t"):
                case ["S", synset, _, _, above]:
                    hypernyms[synset] = tuple(above.split())
                case ["S", synset, _, _]:
                    hypernyms[synset] = ()
                case ["L", lemma, synsets] if synsets.split():
                    senses[lemma] = tuple(synsets.split())
                case _:
                    raise ModelError(
                        f"{path}, line {number}: expected S, synset, file, lemmas, hypernyms or L, lemma, synsets, tab "
                        f"separated; found {line[:60]!r}."
                    )
        if not senses:
            raise ModelError(f"{path} holds no lemma (no line that begins with L); name a WordNet file.")
        return cls(senses, hypernyms)

    @classmethod
    def from_nltk(cls) -> WordNet:
        """The nouns of NLTK's WordNet, where NLTK and its data are installed.

        Raises:
            ModelError: they are not.
        """
        try:
            corpus: Any = importlib.import_module("nltk.corpus").wordnet
            senses = {
                name: tuple(synset.name() for synset in corpus.synsets(name, "n"))
                for name in sorted(corpus.all_lemma_names("n"))
            }
            hypernyms = {
                synset.name(): tuple(above.name() for above in synset.hypernyms()) for synset in corpus.all_synsets("n")
            }
        except (ImportError, AttributeError, LookupError) as error:
            raise ModelError(
                f"NLTK's WordNet is not installed ({plain_reason(error)}). Install nltk and its `wordnet` data, or "
                "name a WordNet file."
            ) from error
        return cls({lemma: synsets for lemma, synsets in senses.items() if synsets}, hypernyms)

    def save(self, path: Path) -> None:
        """Write the file that `open` reads, gzipped; the lexicographer files and the lemmas of synsets are empty."""
        lines = [f"S\t{synset}\t\t\t{' '.join(above)}" for synset, above in self._hypernyms.items()]
        lines += [f"L\t{lemma}\t{' '.join(synsets)}" for lemma, synsets in self._senses.items()]
        with atomic_path(path) as partial:
            partial.write_bytes(gzip.compress("\n".join([*lines, ""]).encode("utf-8"), mtime=0))

    def __contains__(self, noun: object) -> bool:
        return isinstance(noun, str) and bool(self.lemmas(noun))

    def lemmas(self, noun: str) -> tuple[str, ...]:
        """The lemmas that a noun may be a form of: itself if it is a lemma, then those of which it is an inflection."""
        noun = " ".join(noun.lower().split())
        inflected = self._by_key.get(name_key(noun), ())
        return (noun, *(lemma for lemma in inflected if lemma != noun)) if noun in self._senses else inflected

    def synsets(self, lemma: str) -> tuple[str, ...]:
        """The senses of a lemma, the most frequent first; none for a word that is no lemma."""
        return self._senses.get(lemma.lower(), ())

    def meaning(self, class_name: str) -> str:
        """The first sense of a class name, which is that of its synonyms too; the name itself where it is no lemma.

        Variants and source are read as by `affinity`; the first variant that is a lemma counts.
        """
        lemmas = [lemma for name in _variants(class_name) for lemma in self.lemmas(name)]
        return self.synsets(lemmas[0])[0] if lemmas else class_name

    def ancestors(self, synset: str) -> Mapping[str, int]:
        """The synsets that a synset is a kind of, itself included, each with its least number of steps."""
        if synset not in self._ancestors:
            found = {synset: 0}
            level = [synset]
            while level:
                above = [parent for child in level for parent in self._hypernyms.get(child, ())]
                depth = found[level[0]] + 1
                level = [parent for parent in dict.fromkeys(above) if parent not in found]
                found.update(dict.fromkeys(level, depth))
            self._ancestors[synset] = found
        return self._ancestors[synset]

    def affinity(self, noun: str, class_name: str) -> float:
        """How well a noun of a caption fits a detector's class, in [0, 1].

        * 1 for the same lemma.
        * .95 - .02 a step, at least .5, where the noun is a kind of the class ("poodle", dog).
        * .7 - .08 a step, at least 0, where the class is a kind of the noun ("animal", dog).
        * 0 otherwise.

        The last two are multiplied by 1 - .15 for every more frequent sense of the noun, and by .97 where the noun is
        read as an inflection of another lemma. The noun has its three most frequent senses, the class its first.

        Args:
            noun: a word or a compound such as "hot dog", in any inflection.
            class_name: may have variants, separated by commas, and a source before a colon. Of a name that WordNet
                does not have, the last word is taken ("sports ball": ball).
        """
        if class_name not in self._targets:
            self._targets[class_name] = [self._target(name) for name in _variants(class_name)]
        targets = self._targets[class_name]
        if name_key(noun) in [key for key, _ in targets]:
            return 1.0
        return max((self._fit(noun, synsets) for _, synsets in targets), default=0.0)

    def _target(self, name: str) -> tuple[str, tuple[str, ...]]:
        """The key of a class name, and its synsets."""
        lemmas = self.lemmas(name) or self.lemmas(name.split()[-1])
        return name_key(name), self.synsets(lemmas[0])[:_CLASS_SENSES] if lemmas else ()

    def _fit(self, noun: str, targets: tuple[str, ...]) -> float:
        best = 0.0
        for form, lemma in enumerate(self.lemmas(noun)):
            for place, synset in enumerate(self.synsets(lemma)[:_HEAD_SENSES]):
                sure = (1 - _LATER_SENSE * place) * (1 - _INFLECTED * (form > 0))
                for target in targets:
                    if (depth := self.ancestors(synset).get(target)) is not None:
                        best = max(best, sure * max(0.5, 0.95 - 0.02 * depth))
                    elif (depth := self.ancestors(target).get(synset)) is not None:
                        best = max(best, sure * max(0.0, 0.7 - 0.08 * depth))
        return best

    @cached_property
    def _by_key(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, list[str]] = defaultdict(list)
        for lemma in self._senses:
            found[name_key(lemma)].append(lemma)
        return {key: tuple(sorted(lemmas, key=lambda lemma: (len(lemma), lemma))) for key, lemmas in found.items()}


def _unpacked(packed: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
        content = stream.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise ValueError(f"it holds more than {_LARGEST / 2**20:.0f} MiB")
    return content


def _variants(class_name: str) -> list[str]:
    return [name for part in class_name.rpartition(":")[2].split(",") if (name := " ".join(part.lower().split()))]
