"""Nouns that replace those of captions: random ones, or those of a language model (Gupta et al., ECCV 2020, 3.2).

For a noun s of a caption c and every noun s' of the training captions, a masked language model gives

    p(s' | c)     with the noun masked: high where s' fits the sentence
    q(s' | s, c)  with the noun visible: high where s' is the noun itself or a synonym

The K = 30 nouns best by p are ranked again by p / (q + 1e-6), and the first 25 are kept. The noun itself and its
synonyms have a high q and fall into the tail that is dropped.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from unboxed.negatives.base import CaptionNouns, MaskedLanguageModel, Negatives
from unboxed.negatives.masked_lm import MaskedLMSettings, small_model_fingerprint, train_masked_lm
from unboxed.runtime.progress import track
from unboxed.text.lexicon import noun_key
from unboxed.text.tokens import words
from unboxed.types import Array

__all__ = ["LanguageModelWords", "RandomWords", "SubstitutionSettings", "format_examples", "rank"]

_VERSION, _BATCH = "substitution 2", 256
_RANDOM_VERSION, _RANDOM_BATCH = "random words 2", 512
# The least share of a word's occurrences that must be nouns for it to be a substitute. Without it, one phrase that ends
# in “blue” or “is” by a mistake of an annotator or the chunker would make a noun of the word.
_NOUN_SHARE = 0.2


@dataclass(frozen=True)
class SubstitutionSettings:
    """How substitutes are chosen. The defaults are the paper's, except for `exclude_seen`.

    Attributes:
        pool: K, how many nouns best by p are ranked again.
        keep: how many of the pool are kept; where the pool is smaller, the same share of it.
        rerank: rank the pool by p / (q + epsilon); False keeps the order of p (the paper's ablation).
        epsilon: of the quotient.
        digits: digits after the point to which the quotient is rounded before it is sorted (the original code: 3, so
            that many quotients are 0 and stay in the order of p); None does not round.
        exclude_seen: leave out nouns that any caption of the same image contains, in singular or plural: they are true
            of the image. An addition to the paper, from captions alone. The noun itself is always left out.

    Raises:
        ValueError: `keep` is not in 1..`pool`.
    """

    pool: int = 30
    keep: int = 25
    rerank: bool = True
    epsilon: float = 1e-6
    exclude_seen: bool = True
    digits: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.keep <= self.pool:
            raise ValueError(f"keep is {self.keep}; it must be from 1 to pool, {self.pool}.")

    def facts(self) -> dict[str, object]:
        """The settings by name, for the fingerprint of substitutes; without `digits` where it rounds nothing."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class LanguageModelWords:
    """Substitutes chosen by a masked language model. Implements `NegativeSource`.

    The candidates are the nouns of the captions that are in the model's vocabulary. Words that are mostly no nouns are
    left out.

    Attributes:
        model: a pretrained `TransformersLM`, a small one of `train_masked_lm`, or the settings of a small one, which
            `find` trains on the captions.
        settings: how substitutes are chosen.
    """

    model: MaskedLanguageModel | MaskedLMSettings
    settings: SubstitutionSettings = field(default_factory=SubstitutionSettings)

    def fingerprint(self, nouns: CaptionNouns) -> str:
        """See `NegativeSource`."""
        if isinstance(self.model, MaskedLMSettings):
            model_fingerprint = small_model_fingerprint(nouns.captions, self.model)
        else:
            model_fingerprint = self.model.fingerprint
        return nouns.digest(_VERSION, self.settings.facts(), model_fingerprint)

    def find(self, nouns: CaptionNouns, *, progress: bool = False) -> Negatives:
        """See `NegativeSource`."""
        model = self.model
        if isinstance(model, MaskedLMSettings):
            model = train_masked_lm(nouns.captions, model, progress=progress)
        exclusions = _Exclusions(nouns, self.settings.exclude_seen)
        column_V = np.flatnonzero(model.in_vocabulary(exclusions.nouns)).astype(np.int32)
        candidates = [exclusions.nouns[column] for column in column_V]
        found_SN = np.full((len(nouns.position_S), self.settings.keep), -1, dtype=np.int32)
        # Captions of one length together, so that hardly anything is padded; the slots of a caption stay together.
        length_C = np.array([len(caption) for caption in nouns.captions], dtype=np.int64)
        order_S = np.argsort(length_C[nouns.caption_of_S], kind="stable") if candidates else np.zeros(0, dtype=np.intp)
        starts = range(0, len(order_S), _BATCH)
        for start in track(starts, "Substitutes", len(starts), progress):
            rows = order_S[start : start + _BATCH]
            captions = [nouns.captions[caption] for caption in nouns.caption_of_S[rows]]
            log_p_NV, log_q_NV = model.log_probabilities(captions, nouns.position_S[rows].tolist(), candidates)
            chosen_NK = rank(log_p_NV, log_q_NV, exclusions.mask(rows)[:, column_V], self.settings)
            found_SN[rows] = np.where(chosen_NK >= 0, column_V[chosen_NK], -1)
        return Negatives(exclusions.nouns, nouns.offsets, nouns.position_S, found_SN, self.fingerprint(nouns))


@dataclass(frozen=True)
class RandomWords:
    """Substitutes sampled from the nouns of the captions: the baseline. Implements `NegativeSource`.

    Nouns are sampled in proportion to how often they occur in the captions. The paper's random baseline takes whole
    captions of other images as negatives. Replacing one noun keeps the rest of the caption equal, so that a comparison
    with `LanguageModelWords` measures the language model's choice of the word alone.

    Attributes:
        count: substitutes of each slot, without repeats; fewer where there are not so many nouns.
        exclude_seen: leave out nouns that any caption of the same image contains, see `SubstitutionSettings`.
        seed: of the sampling.
    """

    count: int = 25
    exclude_seen: bool = True
    seed: int = 0

    def fingerprint(self, nouns: CaptionNouns) -> str:
        """See `NegativeSource`."""
        return nouns.digest(_RANDOM_VERSION, self.count, self.exclude_seen, self.seed)

    def find(self, nouns: CaptionNouns, *, progress: bool = False) -> Negatives:
        """See `NegativeSource`; needs no progress bar."""
        exclusions = _Exclusions(nouns, self.exclude_seen)
        frequency_V = np.bincount(exclusions.noun_of_S, minlength=len(exclusions.nouns)).astype(np.float32)
        found_SN = np.full((len(nouns.position_S), self.count), -1, dtype=np.int32)
        size = min(self.count, len(frequency_V))
        for start in range(0, len(found_SN), _RANDOM_BATCH):
            rows = np.arange(start, min(start + _RANDOM_BATCH, len(found_SN)))
            random = np.random.default_rng((self.seed, start))
            # The smallest of exponential times of rates f are a sample without repeats in proportion to f.
            time_NV = random.standard_exponential((len(rows), len(frequency_V)), dtype=np.float32) / frequency_V
            time_NV[exclusions.mask(rows)] = np.inf
            first_NK = np.argpartition(time_NV, size - 1, axis=1)[:, :size]
            order_NK = np.take_along_axis(time_NV, first_NK, axis=1).argsort(axis=1)
            first_NK = np.take_along_axis(first_NK, order_NK, axis=1)
            possible_NK = np.isfinite(np.take_along_axis(time_NV, first_NK, axis=1))
            found_SN[rows, :size] = np.where(possible_NK, first_NK, -1)
        return Negatives(exclusions.nouns, nouns.offsets, nouns.position_S, found_SN, self.fingerprint(nouns))


def rank(
    log_p_NV: Array, log_q_NV: Array, excluded_NV: npt.NDArray[np.bool_], settings: SubstitutionSettings
) -> npt.NDArray[np.intp]:
    """The pool of each slot by p, ranked again by p / (q + epsilon), without its tail.

    Args:
        log_p_NV, log_q_NV: `[N, V]` log-probabilities, the noun masked and visible.
        excluded_NV: `[N, V]` True for a candidate that must not be chosen.
        settings: `pool`, `keep`, `rerank`, `epsilon`, `digits`.

    Returns:
        `[N, keep]` indices of candidates, best first; rows with fewer end in -1. Equal scores keep the order of p, and
        equal p the order of the candidates.
    """
    p_NV = np.where(excluded_NV, -np.inf, log_p_NV)
    pool = min(settings.pool, p_NV.shape[1])
    # argpartition breaks ties at the end of the pool arbitrarily; the stable sort of the few at or above it does not.
    least_N = -np.partition(-p_NV, pool - 1, axis=1)[:, pool - 1]
    chosen_NK = np.full((len(p_NV), settings.keep), -1, dtype=np.intp)
    for row, (p_V, q_V, least) in enumerate(zip(p_NV, log_q_NV, least_N, strict=True)):
        best = np.flatnonzero((p_V >= least) & np.isfinite(p_V))
        best = best[np.argsort(-p_V[best], kind="stable")][:pool]
        keep = math.ceil(len(best) * settings.keep / settings.pool)
        if settings.rerank:
            quotient = np.exp(p_V[best].astype(np.float64)) / (np.exp(q_V[best].astype(np.float64)) + settings.epsilon)
            if settings.digits is not None:
                quotient = quotient.round(settings.digits)
            best = best[np.argsort(-quotient, kind="stable")]
        chosen_NK[row, :keep] = best[:keep]
    return chosen_NK


class _Exclusions:
    """The vocabulary of substitutes, and which of them must not be used in which slot.

    Args:
        nouns: C captions with S slots.
        exclude_seen: see `SubstitutionSettings`.

    Attributes:
        nouns: the V distinct nouns, in alphabetical order.
        noun_of_S: `[S]` the index in `nouns` of each slot's noun.
    """

    def __init__(self, nouns: CaptionNouns, exclude_seen: bool) -> None:
        slot_texts = [nouns.words[c][w] for c, w in zip(nouns.caption_of_S, nouns.position_S, strict=True)]
        self.nouns = tuple(sorted(set(slot_texts)))
        column = {noun: index for index, noun in enumerate(self.nouns)}
        self.noun_of_S = np.array([column[noun] for noun in slot_texts], dtype=np.int32)
        count = Counter(word for texts in nouns.words for word in texts)
        count_as_noun_V = np.bincount(self.noun_of_S, minlength=len(self.nouns))
        self._rarely_noun_V = count_as_noun_V < _NOUN_SHARE * np.array([count[noun] for noun in self.nouns])
        self._image_of_S = [nouns.image_ids[caption] for caption in nouns.caption_of_S]
        self._seen_columns = self._columns_by_image(nouns) if exclude_seen else {}

    def _columns_by_image(self, nouns: CaptionNouns) -> dict[str, npt.NDArray[np.intp]]:
        """Image id -> indices of the nouns that a caption of the image contains in any inflection."""
        columns_of_key: dict[str, list[int]] = {}
        for index, noun in enumerate(self.nouns):
            columns_of_key.setdefault(noun_key(noun), []).append(index)
        seen: dict[str, set[str]] = {}
        for image_id, texts in zip(nouns.image_ids, nouns.words, strict=True):
            seen.setdefault(image_id, set()).update(texts)
        return {
            image_id: np.array(
                sorted(index for key in {noun_key(word) for word in texts} for index in columns_of_key.get(key, ())),
                dtype=np.intp,
            )
            for image_id, texts in seen.items()
        }

    def mask(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """`[N, V]` for the slots `rows` `[N]`: True where noun v must not be used."""
        excluded_NV = np.tile(self._rarely_noun_V, (len(rows), 1))
        excluded_NV[np.arange(len(rows)), self.noun_of_S[rows]] = True
        if self._seen_columns:
            for n, row in enumerate(rows):
                excluded_NV[n, self._seen_columns[self._image_of_S[row]]] = True
        return excluded_NV


def format_examples(captions: Sequence[str], negatives: Negatives, count: int = 6, seed: int = 0) -> str:
    """A few captions with their best substitutes, one a line: “a man playing a [guitar] → violin, drum, …”.

    Args:
        captions: those that the negatives were made of.
        negatives: the substitutes.
        count: the number of lines.
        seed: of the choice of captions and nouns.
    """
    random = np.random.default_rng(seed)
    lines: list[str] = []
    for index in random.permutation(len(negatives)):
        found = negatives.substitutions(int(index))
        if found and len(lines) < count:
            position, best = found[int(random.integers(len(found)))]
            caption, word = captions[index], words(captions[index])[position]
            before, noun, after = caption[: word.start], caption[word.start : word.end], caption[word.end :]
            lines.append(f"{before}[{noun}]{after} → {', '.join(best[:8])}")
    return "\n".join(lines)
