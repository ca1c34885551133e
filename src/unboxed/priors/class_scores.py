"""Class scores of regions: what a detector's probabilities, the sources and the places of the regions show.

The classes of several detectors and a segmenter are merged by name, or by what the names mean: `PriorSettings.classes`.
One that several detectors have gets the mean of their probabilities, and one that only repeats a detector's class in a
segmenter is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unboxed.boxes import area, intersection, iou
from unboxed.priors import noun_sets
from unboxed.priors.crop_evidence import CropEvidence
from unboxed.priors.matching import PARTS, WORN, person_classes
from unboxed.priors.scoring import SPATIAL_WORDS, box_places
from unboxed.priors.settings import PriorSettings
from unboxed.regions import sources as region_sources
from unboxed.regions.sources import LABELER, Detectors, Segmenter, Unions
from unboxed.text.lexicon import noun_key
from unboxed.text.wordnet import WordNet
from unboxed.types import Array, DescribedRegions

__all__ = ["ClassScorer"]

_DETECTED = frozenset((*Detectors.names, *Unions.names))
_LARGER = {"face": "head", "arms": "torso", "hand": "arms", "feet": "legs"}  # in this order
_INSIDE, _SEGMENTED_INSIDE = 0.95, 0.8  # the least share of a part's area that lies in the box of its person


class ClassScorer:
    """Scores of the N merged classes, of parts, unions and places for the regions of an image.

    Args:
        settings: how regions are weighted.
        class_names: the K classes, such as `dog` or, of a further source, `segmenter:dog`.
        parts: S parts of persons that are sources of regions.
        wordnet: merge classes whose names are synonyms in it; None: those with equal names.
        crops: an image-text encoder, whose embeddings of crops replace the classes of the labeler.

    Attributes:
        names: the N distinct class names of detectors and segmenters, without sources.
        label_names: the L class names of a labeler, without source.
    """

    def __init__(
        self,
        settings: PriorSettings,
        class_names: Sequence[str],
        parts: tuple[str, ...] = PARTS,
        wordnet: WordNet | None = None,
        crops: CropEvidence | None = None,
    ) -> None:
        self.settings = settings
        self.parts = parts
        self._crops = crops
        self._labels_K = np.array([name.startswith(f"{LABELER}:") for name in class_names], dtype=bool)
        self.label_names = tuple(name.partition(":")[2] for name in class_names if name.startswith(f"{LABELER}:"))
        kept, target_K = _merged(class_names, wordnet)
        self._share_KN = _shares(target_K, len(kept))
        self.names = tuple(class_names[k].rpartition(":")[2] for k in kept)
        self._person_N = person_classes(self.names)
        last_words = [name.lower().rpartition(" ")[2] for name in self.names]
        self._stuff_N = np.array([noun_key(word) in noun_sets.STUFF for word in last_words], dtype=bool)

    @property
    def width(self) -> int:
        """E, the number of columns: N classes, S parts, L labels or D of embeddings, one for unions, six places."""
        labels = len(self.label_names) if self._crops is None else self._crops.width
        return len(self.names) + len(self.parts) + labels + 1 + len(SPATIAL_WORDS)

    def __call__(self, regions: DescribedRegions, crops_RD: npt.NDArray[np.floating] | None = None) -> Array:
        """The class scores `[R, E]` of R regions, see `SemanticPrior.class_scores`."""
        settings, boxes, sources = self.settings, regions.boxes, regions.sources
        probability_RN = self._probabilities(regions.class_probs)
        label_R = _best_class(probability_RN)
        if settings.evidence == "label":
            probability_RN = (label_R[:, None] == np.arange(len(self.names))).astype(np.float32)
        side_R1 = np.sqrt(area(boxes) / (regions.width * regions.height))[:, None]
        stuff_R1 = settings.stuff_weight * ((1 + 4 * settings.stuff_size * side_R1) / (1 + 4 * settings.stuff_size))
        elsewhere_R1 = np.array([[source not in _DETECTED] for source in sources], bool).reshape(-1, 1)
        thing_R1 = np.where(elsewhere_R1, settings.elsewhere_weight, 1)
        class_score_RN = np.where(self._stuff_N, stuff_R1, thing_R1) * probability_RN
        best_R = probability_RN.max(axis=1, initial=0)
        not_single = {name for source in region_sources.SOURCES if not source.one_thing for name in source.names}
        single_R = np.array([source not in not_single for source in sources], dtype=bool)
        union_R1 = np.array([[source in Unions.names] for source in sources], np.float32).reshape(-1, 1)
        group_R = np.where(single_R & (best_R >= settings.spatial_score), label_R, -1)
        places_R6 = box_places(boxes, group_R, released=settings.places == "released")
        parts_RS = self._parts(boxes, probability_RN, sources)
        label_RL = np.asarray(regions.class_probs, np.float32)[:, self._labels_K]
        if self._crops is not None:
            assert crops_RD is not None
            label_RL = self._crops.regions(crops_RD)
        return np.concatenate([class_score_RN, parts_RS, label_RL, union_R1, places_R6], axis=1).astype(np.float32)

    def of_image(self, class_probs: npt.NDArray[np.floating]) -> Array:
        """`[N]` in [0, 1]: the largest score of each class in the regions of an image, given `[R, K]`."""
        weight_N = np.where(self._stuff_N, self.settings.stuff_weight, 1)
        return np.asarray(self._probabilities(class_probs).max(axis=0, initial=0) * weight_N, dtype=np.float32)

    def _probabilities(self, class_probs: npt.NDArray[np.floating]) -> Array:
        """`[R, N]` the probabilities of the merged classes, without the background that a detector gives anything."""
        probability_RN = np.asarray(class_probs, dtype=np.float32) @ self._share_KN
        background_N = np.where(self._stuff_N, 0, self.settings.background)
        return np.asarray(np.clip((probability_RN - background_N) / (1 - background_N), 0, 1), dtype=np.float32)

    def _parts(self, boxes: Array, probability_RN: Array, sources: Sequence[str]) -> Array:
        """`[R, S]`: the scores of S parts; a part's is the score of the person that it lies in.

        A part that no region of the image is, is sought in the larger part that contains it. What is worn on a part
        may be any region that overlaps it: with the square root of the IoU, times the share of the region inside.
        """
        parts = tuple(part for part in self.parts if part not in WORN)
        part_RS = np.array([[source == part for part in parts] for source in sources], np.float32)
        part_RS = part_RS.reshape(-1, len(parts))
        if not part_RS.any() or not self._person_N.any():
            return np.zeros((len(sources), len(self.parts)), np.float32)
        for part, larger in _LARGER.items():
            if part in parts and not part_RS[:, parts.index(part)].any():
                part_RS[:, parts.index(part)] = part_RS[:, parts.index(larger)]
        whole_R = np.array([source in Detectors.names for source in sources])
        person_R = np.where(whole_R, probability_RN[:, self._person_N].max(axis=1), 0)
        share = _INSIDE if self.parts == PARTS else _SEGMENTED_INSIDE  # segmented parts may reach beyond the box
        inside_RR = intersection(boxes, boxes) / np.maximum(area(boxes), 1e-6)[:, None]
        score_RS = part_RS * ((inside_RR >= share) * person_R).max(axis=1)[:, None]
        if parts == self.parts:
            return np.asarray(score_RS, dtype=np.float32)
        near_RR = np.sqrt(iou(boxes, boxes)) * inside_RR
        worn_RS = np.stack([(near_RR * score_R).max(axis=1) for score_R in score_RS.T], axis=1)
        return np.concatenate([score_RS, worn_RS], axis=1).astype(np.float32)


def _merged(class_names: Sequence[str], wordnet: WordNet | None) -> tuple[list[int], list[int]]:
    """The N classes that are kept, and for each of K classes the place of the one it is merged into; -1: dropped."""
    kept: list[int] = []
    place_of: dict[str, int] = {}
    targets = []
    for k, name in enumerate(class_names):
        source, _, plain = name.rpartition(":")
        if source == LABELER:
            targets.append(-1)
            continue
        meaning = plain if wordnet is None else wordnet.meaning(plain)
        if meaning in place_of and source:
            targets.append(-1 if source in Segmenter.names else place_of[meaning])
            continue
        place_of.setdefault(meaning, len(kept))
        targets.append(len(kept))
        kept.append(k)
    return kept, targets


def _shares(target_K: list[int], count: int) -> Array:
    """`[K, N]` the weight of each class in the merged one."""
    share_KN = np.zeros((len(target_K), count), dtype=np.float32)
    for k, place in enumerate(target_K):
        if place >= 0:
            share_KN[k, place] = 1 / target_K.count(place)
    return share_KN


def _best_class(probability_RN: Array) -> npt.NDArray[np.intp]:
    """`[R]` the most probable class of each region; -1 where none has any probability."""
    if probability_RN.shape[1] == 0:
        return np.full(len(probability_RN), -1, dtype=np.intp)
    return np.where(probability_RN.max(axis=1) > 0, probability_RN.argmax(axis=1), -1)
