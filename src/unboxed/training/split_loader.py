"""The batches of a split's images and captions, prefetched by threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unboxed.data.batches import caption_batches, epoch_batches
from unboxed.data.images import UNKNOWN_SIZE
from unboxed.errors import DatasetError
from unboxed.inference.batching import Batcher
from unboxed.negatives.base import Negatives
from unboxed.recipes.schedule import Schedule
from unboxed.regions.store import RegionStore
from unboxed.runtime.memory import cache_bytes, prefetch_bytes
from unboxed.runtime.progress import counted
from unboxed.runtime.ranks import Ranks
from unboxed.runtime.seeds import generator
from unboxed.runtime.threads import Prefetcher
from unboxed.text.encoding import EncodedCaption
from unboxed.text.tokens import words
from unboxed.training.corrected_boxes import CorrectedExamples
from unboxed.training.teacher import Teacher
from unboxed.types import Array, CaptionBatch, Example, ImageBatch, PairedBatch

__all__ = ["SplitLoader"]

Share = tuple[int, list[int]]
"""An image of a batch and the numbers of its captions that come along."""


class _StoredRegions(NamedTuple):
    """The regions of one image as they lie in the store; see `types.DescribedRegions`."""

    boxes: npt.NDArray[np.floating]
    features: npt.NDArray[np.floating]
    class_probs: npt.NDArray[np.floating]
    sources: Sequence[str]
    width: int
    height: int


class SplitLoader:
    """The images and captions of a split, ready to be batched; images without regions are left out.

    Attributes:
        image_ids: the images that have regions.
        captions: their encoded captions.
        missing: the images left out.
        negatives: substitutes for words of the captions, which batches then contain; None: no substitutes.
        negative_count: substitutes of a caption in one batch.
        fixed_nouns: replace the same noun of a caption in every epoch.
        corrected: the boxes that people corrected, which batches then contain; None: no boxes.
        teacher: the run that teaches, whose answers to these images batches then contain; None: no run does.
        ranks: the processes that share each training batch.

    Raises:
        DatasetError: fewer than two images have regions.
    """

    def __init__(self, examples: Sequence[Example], store: RegionStore, batcher: Batcher) -> None:
        self._store = store
        self._batcher = batcher
        self.negatives: Negatives | None = None
        self.negative_count = 0
        self.fixed_nouns = False
        self.corrected: CorrectedExamples | None = None
        self.teacher: Teacher | None = None
        self.ranks = Ranks.current()
        self._class_scores: dict[int, npt.NDArray[np.float16]] = {}
        self._class_score_bytes = 0
        self._examples = [example for example in examples if example.image_id in store]
        self.missing = tuple(example.image_id for example in examples if example.image_id not in store)
        if not self._examples:
            raise DatasetError(
                f"None of the {len(examples)} images has regions in {store.path}; run `unboxed regions` on this "
                "dataset."
            )
        if len(self._examples) == 1:
            raise DatasetError(
                f"Only {self._examples[0].image_id} of {counted(len(examples), 'image')} has regions in {store.path}; "
                "training compares images, so each split needs two. Add images, or repair those that cannot be read."
            )
        self.image_ids = tuple(example.image_id for example in self._examples)
        self.captions: list[list[EncodedCaption]] = [batcher.encode(example.captions) for example in self._examples]
        counts = [len(captions) for captions in self.captions]
        self._first_caption = np.concatenate([[0], np.cumsum(counts)])

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def caption_count(self) -> int:
        """The number of captions of all images."""
        return int(self._first_caption[-1])

    def region_inputs(self, image: int) -> Array:
        """The model's input for the regions of image number `image`, `[R, V]`."""
        return self._batcher.region_inputs(self._regions(image))

    def plan(self, schedule: Schedule, epoch: int) -> list[list[Share]]:
        """The images and captions of each batch of an epoch (-1: the fixed plan of validation, of distinct images).

        Raises:
            DatasetError: no batch has an image for each process, or none is full where the others are left out.
        """
        rng = generator(schedule.seed, "order", epoch + 1)
        counts = [len(captions) for captions in self.captions]
        images, captions = schedule.images_per_batch, schedule.captions_per_image
        if epoch < 0 or schedule.sampling == "images":
            batches, full = epoch_batches(counts, images, captions, rng), images
        else:
            full = images * captions
            drawn = schedule.batches_per_epoch or max(self.caption_count // full, 1)
            batches = caption_batches(counts, full, rng, drawn if schedule.sampling == "replacement" else None)
        if epoch < 0:
            return batches
        batches = [batch for batch in batches if len(batch) >= self.ranks.count]  # each process needs an image
        if not batches:
            raise DatasetError(
                f"No batch has an image for each of {self.ranks.count} processes: {len(self)} images have regions; "
                "train with fewer --devices."
            )
        if schedule.drop_last:
            batches = [batch for batch in batches if len(batch) >= full]
            if not batches:
                raise DatasetError(
                    f"No batch is full: {len(self)} images with {self.caption_count} captions are fewer than a batch "
                    f"of {full}. Choose a smaller --images-per-batch, or --no-drop-last."
                )
        return batches[: schedule.batches_per_epoch or None]

    def batches(self, schedule: Schedule, epoch: int, *, start: int = 0) -> Prefetcher[int, PairedBatch]:
        """The batches of an epoch from number `start` on, prefetched from now on."""
        plan = self.plan(schedule, epoch)

        def make(index: int) -> PairedBatch:
            rng = generator(schedule.seed, "negatives", epoch + 1, index)
            return self._batch(plan[index], rng, schedule.seed, self.ranks if epoch >= 0 else Ranks())

        return Prefetcher(make, range(start, len(plan)), ahead=self._batches_ahead(schedule.images_per_batch))

    def _batches_ahead(self, images: int) -> int:
        """Four batches, or as many as an eighth of the budget holds if all images are as the first one."""
        size = 2 * images * max(1, self.region_inputs(0).nbytes)  # a batch, and the arrays that it is made of
        return max(1, min(4, prefetch_bytes() // size))

    def image_batches(self, images: Sequence[int], size: int) -> Iterator[ImageBatch]:
        """The images of these numbers, `size` at a time."""
        for first in range(0, len(images), size):
            yield self._images(images[first : first + size])

    def caption_batches(self, images: Sequence[int], size: int) -> Iterator[CaptionBatch]:
        """All captions of the images of these numbers, `size` at a time."""
        captions = [caption for image in images for caption in self.captions[image]]
        for first in range(0, len(captions), size):
            yield self._batcher.captions(captions[first : first + size])

    def _batch(self, shares: Sequence[Share], rng: np.random.Generator, seed: int, ranks: Ranks) -> PairedBatch:
        captions, image_of_C, slots, substitutes = [], [], [], []
        for position, (image, numbers) in enumerate(shares):
            for number in numbers:
                captions.append(self.captions[image][number])
                image_of_C.append(position)
                if self.negatives is not None:
                    caption = int(self._first_caption[image]) + number
                    noun = generator(seed, "noun", caption) if self.fixed_nouns else None
                    sampled = self.negatives.sample(caption, rng, self.negative_count, noun)
                    ids = self._batcher.vocabulary.encode(sampled.words) if sampled else []
                    slots.append(_slot(captions[-1], sampled.position) if sampled else -1)
                    substitutes.append(np.array(ids, dtype=np.int64))
        own = ranks.share(len(shares))
        first, last = (sum(len(numbers) for _, numbers in shares[:end]) for end in (own.start, own.stop))
        images = self._images([image for image, _ in shares[own]])
        collated = self._batcher.captions(captions, slots=slots or None, substitutes=substitutes or None)
        phrases, right_CPR, teacher_CPR = collated.phrase_CPW.shape[1], None, None
        if self.corrected is not None:
            named = [(self.image_ids[image], numbers) for image, numbers in shares]
            right_CPR = self.corrected.right_regions(named, images, phrases)
        if self.teacher is not None:
            teacher_CPR = self.teacher.probabilities(shares, phrases, images.mask_BR.shape[1])
        return PairedBatch(
            images=images,
            captions=collated,
            image_of_C=torch.as_tensor(np.asarray(image_of_C, dtype=np.int64)),
            own_C=None if ranks.count == 1 else slice(first, last),
            right_CPR=right_CPR,
            teacher_CPR=teacher_CPR,
        )

    def _images(self, images: Sequence[int]) -> ImageBatch:
        prior = self._batcher.prior
        return self._batcher.images(
            [self._regions(image) for image in images],
            None if prior is None else [self._prior_rows(image) for image in images],
        )

    def _regions(self, image: int) -> _StoredRegions:
        example = self._examples[image]
        arrays = self._store.arrays(example.image_id)
        sources = [self._store.source_names[source] for source in arrays.sources]
        width, height = size = (example.width, example.height)
        if size == UNKNOWN_SIZE:  # of the dataset, because it did not read the image
            width, height = self._store.size(example.image_id)
        return _StoredRegions(arrays.boxes, arrays.features, arrays.class_probs, sources, width, height)

    def _prior_rows(self, image: int) -> npt.NDArray[np.float16]:
        """The semantic prior's rows `[R, E]` of image number `image`; those that fit into the memory are kept."""
        known = self._class_scores.get(image)
        if known is not None:
            return known
        rows = self._batcher.class_scores(self._regions(image)).astype(np.float16)
        if self._class_score_bytes + rows.nbytes <= cache_bytes():
            self._class_scores[image] = rows
            self._class_score_bytes += rows.nbytes
        return rows


def _slot(caption: EncodedCaption, position: int) -> int:
    """The index among the caption's words of word number `position` of `words`, whose numbers negatives contain."""
    return caption.word_at(words(caption.caption.text)[position].start)
