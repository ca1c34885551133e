"""Language-model negatives: nouns that fit the sentence but not the image (Gupta et al., ECCV 2020, section 3.2).

For a noun s of a caption c and every noun s' of the training captions, a masked language model gives

    p(s' | c)     with the noun masked: does s' fit the sentence?
    q(s' | s, c)  with the noun there to read: is s' the noun itself, or another word for it?

The K = 30 nouns best by p are ranked again by p / (q + 1e-6), and the first 25 are kept: the noun itself and its
synonyms, whose q is high, fall into the tail that is dropped.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unboxed.negatives.base import Index, Negatives, slots, substituted
from unboxed.runtime.progress import track
from unboxed.text.inflection import noun_key
from unboxed.text.tokens import words
from unboxed.types import Array

if TYPE_CHECKING:
    from unboxed.negatives.masked_lm import MaskedLanguageModel

__all__ = [
    "Exclusions",
    "SubstitutionSettings",
    "find_substitutes",
    "format_examples",
    "rank",
    "substitution_fingerprint",
]

_BATCH = 256
# Of all the times a word occurs, how often it must be a noun to stand for others: a phrase that ends in “blue” or “is”,
# by an annotator's or a chunker's slip, must not make a noun of it.
_NOUN_SHARE = 0.2


@dataclass(frozen=True)
class SubstitutionSettings:
    """How substitutes are chosen. The defaults are the paper's, but for `exclude_seen`.

    Attributes:
        pool: K, how many nouns best by p are ranked again.
        keep: how many of the pool are kept; where the pool is smaller, the same share of it.
        rerank: rank the pool by p / (q + epsilon); False keeps the order of p (the paper's ablation).
        epsilon: of the quotient.
        exclude_seen: leave out nouns that any caption of the same image says, in singular or plural: they are true of
            the image. An addition to the paper, from captions alone. The noun itself is always left out.
    """

    pool: int = 30
    keep: int = 25
    rerank: bool = True
    epsilon: float = 1e-6
    exclude_seen: bool = True


def find_substitutes(
    captions: Sequence[str],
    positions: Sequence[Sequence[int]],
    image_ids: Sequence[str],
    model: MaskedLanguageModel,
    settings: SubstitutionSettings | None = None,
    *,
    progress: bool = False,
) -> Negatives:
    """Substitutes for nouns of captions by a masked language model.

    Args:
        captions: C training captions.
        positions: C lists of noun positions, indices into `unboxed.text.tokens.words(caption)`. The nouns there, of all
            captions, are the vocabulary of substitutes, without words that are mostly something else.
        image_ids: C identifiers of the captions' images.
        model: a small one of `train_masked_lm`, or a pretrained `TransformersLM`.
        settings: the paper's when None.
        progress: show a bar.

    Raises:
        ValueError: lengths that differ, or a position that is not a word of its caption.
    """
    settings = settings or SubstitutionSettings()
    exclusions = Exclusions(captions, positions, image_ids, settings.exclude_seen)
    fingerprint = substitution_fingerprint(captions, positions, image_ids, settings, model.fingerprint)
    known = model.knows(exclusions.nouns)
    column_V = np.flatnonzero(known).astype(np.int32)
    candidates = [exclusions.nouns[column] for column in column_V]
    found_SN = np.full((len(exclusions.positions), settings.keep), -1, dtype=np.int32)
    # Captions of one length together, so that hardly anything is padded; a caption's nouns stay together.
    length_C = np.array([len(caption) for caption in captions], dtype=np.int64)
    order_S = np.argsort(length_C[exclusions.caption_of_S], kind="stable") if candidates else np.zeros(0, dtype=np.intp)
    starts = range(0, len(order_S), _BATCH)
    for start in track(starts, "Substitutes", len(starts), progress):
        rows = order_S[start : start + _BATCH]
        texts = [captions[caption] for caption in exclusions.caption_of_S[rows]]
        log_p_NV, log_q_NV = model.log_probabilities(texts, exclusions.positions[rows].tolist(), candidates)
        chosen_NK = rank(log_p_NV, log_q_NV, exclusions.mask(rows)[:, column_V], settings)
        found_SN[rows] = np.where(chosen_NK >= 0, column_V[chosen_NK], -1)
    return Negatives(exclusions.nouns, exclusions.offsets, exclusions.positions, found_SN, fingerprint)


def rank(
    log_p_NV: Array, log_q_NV: Array, excluded_NV: npt.NDArray[np.bool_], settings: SubstitutionSettings
) -> npt.NDArray[np.intp]:
    """The pool of each slot by p, ranked again by p / (q + epsilon), without its tail.

    Args:
        log_p_NV, log_q_NV: `[N, V]` log-probabilities, the noun masked and not masked.
        excluded_NV: `[N, V]` True for a candidate that must not be chosen.
        settings: `pool`, `keep`, `rerank`, `epsilon`.

    Returns:
        `[N, keep]` indices of candidates, best first; -1 fills rows with fewer. Equal scores keep the order of p, and
        equal p the order of the candidates.
    """
    p_NV = np.where(excluded_NV, -np.inf, log_p_NV)
    pool = min(settings.pool, p_NV.shape[1])
    # Ties at the rim of the pool are cut by index, which argpartition does not promise; a stable sort of few is cheap.
    rim_N = -np.partition(-p_NV, pool - 1, axis=1)[:, pool - 1]
    chosen_NK = np.full((len(p_NV), settings.keep), -1, dtype=np.intp)
    for row, (p_V, q_V, rim) in enumerate(zip(p_NV, log_q_NV, rim_N, strict=True)):
        best = np.flatnonzero((p_V >= rim) & np.isfinite(p_V))
        best = best[np.argsort(-p_V[best], kind="stable")][:pool]
        keep = math.ceil(len(best) * settings.keep / settings.pool)
        if settings.rerank:
            quotient = np.exp(p_V[best].astype(np.float64)) / (np.exp(q_V[best].astype(np.float64)) + settings.epsilon)
            best = best[np.argsort(-quotient, kind="stable")]
        chosen_NK[row, :keep] = best[:keep]
    return chosen_NK


class Exclusions:
    """The nouns of the captions, and which of them must not stand for which.

    Attributes:
        nouns: the distinct nouns, in alphabetical order.
        offsets, positions: the slots, as in `Negatives`.
        caption_of_S: `[S]` the caption of each slot.
        noun_of_S: `[S]` the index in `nouns` of each slot's own noun.
    """

    def __init__(
        self, captions: Sequence[str], positions: Sequence[Sequence[int]], image_ids: Sequence[str], exclude_seen: bool
    ) -> None:
        if len(image_ids) != len(captions):
            raise ValueError(f"{len(captions)} captions, but images of {len(image_ids)}; give one image id a caption.")
        self.offsets, self.positions = slots(captions, positions)
        self.caption_of_S: Index = np.repeat(np.arange(len(captions), dtype=np.int32), np.diff(self.offsets))
        texts = [[word.text for word in words(caption)] for caption in captions]
        own = [texts[caption][place] for caption, place in zip(self.caption_of_S, self.positions, strict=True)]
        self.nouns = tuple(sorted(set(own)))
        column = {noun: index for index, noun in enumerate(self.nouns)}
        self.noun_of_S = np.array([column[noun] for noun in own], dtype=np.int32)
        times_used = Counter(word for text in texts for word in text)
        times_noun_V = np.bincount(self.noun_of_S, minlength=len(self.nouns))
        self._no_noun_V = times_noun_V < _NOUN_SHARE * np.array([times_used[noun] for noun in self.nouns])
        self._image_ids = tuple(image_ids)
        self._columns_of_image: dict[str, npt.NDArray[np.intp]] = {}
        if exclude_seen:
            by_key: dict[str, list[int]] = {}
            for noun, index in column.items():
                by_key.setdefault(noun_key(noun), []).append(index)
            seen: dict[str, set[str]] = {}
            for image_id, text in zip(image_ids, texts, strict=True):
                seen.setdefault(image_id, set()).update(text)
            for image_id, said in seen.items():
                keys = {noun_key(word) for word in said}
                hit = sorted(index for key in keys for index in by_key.get(key, ()))
                self._columns_of_image[image_id] = np.array(hit, dtype=np.intp)

    def mask(self, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
        """`[N, V]` for the slots `rows` `[N]`: True where noun v must not stand there."""
        excluded_NV = np.tile(self._no_noun_V, (len(rows), 1))
        excluded_NV[np.arange(len(rows)), self.noun_of_S[rows]] = True
        if self._columns_of_image:
            for index, caption in enumerate(self.caption_of_S[rows]):
                excluded_NV[index, self._columns_of_image[self._image_ids[caption]]] = True
        return excluded_NV


def substitution_fingerprint(
    captions: Sequence[str],
    positions: Sequence[Sequence[int]],
    image_ids: Sequence[str],
    settings: SubstitutionSettings,
    model_fingerprint: str,
) -> str:
    """Equal for equal negatives: of the captions, their nouns and images, the settings and the language model."""
    digest = hashlib.sha256(json.dumps(["substitution 2", asdict(settings), model_fingerprint]).encode())
    for caption, places, image_id in zip(captions, positions, image_ids, strict=True):
        digest.update(json.dumps([caption, [int(place) for place in places], image_id]).encode())
    return digest.hexdigest()


def format_examples(captions: Sequence[str], negatives: Negatives, count: int = 6, seed: int = 0) -> str:
    """A few captions with their best substitutes as text: “a man playing a [guitar] → violin, drum, …”."""
    random = np.random.default_rng(seed)
    lines: list[str] = []
    for caption in random.permutation(len(negatives)):
        found = negatives.substitutions(int(caption))
        if found and len(lines) < count:
            position, best = found[int(random.integers(len(found)))]
            text = words(captions[caption])[position]
            bracketed = f"[{captions[caption][text.start : text.end]}]"
            lines.append(f"{substituted(captions[caption], position, bracketed)} → {', '.join(best[:8])}")
    return "\n".join(lines)
