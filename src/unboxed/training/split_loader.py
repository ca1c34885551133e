"""The batches of a dataset, made ahead of time by threads of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from unboxed.data.collate import collate, epoch_batches
from unboxed.errors import DatasetError
from unboxed.inference.run_config import RunConfig
from unboxed.negatives.base import Negatives
from unboxed.recipes.schedule import Schedule
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.prefetch import Prefetcher
from unboxed.runtime.seeds import generator
from unboxed.text.encoding import EncodedCaption, encode_caption
from unboxed.text.vocabulary import Vocabulary
from unboxed.types import Array, Batch, Example

if TYPE_CHECKING:
    from unboxed.priors.semantic import SemanticPrior

__all__ = ["SplitLoader"]

Share = tuple[int, list[int]]


class SplitLoader:
    """The images and captions of a split, ready to be batched; images without regions are left out.

    Attributes:
        image_ids: the images that have regions.
        captions: their encoded captions.
        missing: the images left out.

    Raises:
        DatasetError: no image has regions.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        store: RegionStore,
        vocabulary: Vocabulary,
        config: RunConfig,
        prior: SemanticPrior | None = None,
    ) -> None:
        self._store = store
        self._vocabulary = vocabulary
        self._config = config
        self._prior = prior
        self._evidence: dict[int, npt.NDArray[np.float16]] = {}
        self._examples = [example for example in examples if example.image_id in store]
        self.missing = tuple(example.image_id for example in examples if example.image_id not in store)
        if not self._examples:
            raise DatasetError(
                f"None of the {len(examples)} images has regions in {store.path}; run `unboxed regions` on this "
                "dataset."
            )
        self.image_ids = tuple(example.image_id for example in self._examples)
        self.captions: list[list[EncodedCaption]] = [
            [encode_caption(caption, vocabulary, prior.affinity if prior else None) for caption in example.captions]
            for example in self._examples
        ]
        counts = [len(captions) for captions in self.captions]
        self._first_caption = np.concatenate([[0], np.cumsum(counts)])

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def caption_count(self) -> int:
        """Captions in all."""
        return int(self._first_caption[-1])

    def regions(self, image: int) -> Array:
        """Region inputs of image number `image`."""
        example = self._examples[image]
        arrays = self._store.arrays(example.image_id)
        return self._config.region_inputs(
            arrays.boxes, arrays.features, arrays.class_probs, example.width, example.height
        )

    def evidence(self, image: int) -> npt.NDArray[np.float16]:
        """The semantic prior's evidence `[R, K]` of image number `image`, worked out once."""
        assert self._prior is not None
        if image not in self._evidence:
            example = self._examples[image]
            arrays = self._store.arrays(example.image_id)
            sources = [self._store.source_names[source] for source in arrays.sources]
            evidence = self._prior.evidence(arrays.boxes, arrays.class_probs, sources, example.width, example.height)
            self._evidence[image] = evidence.astype(np.float16)
        return self._evidence[image]

    def plan(self, schedule: Schedule, epoch: int) -> list[list[Share]]:
        """Which images and captions meet in each batch of an epoch (-1: the fixed plan of validation)."""
        rng = generator(schedule.seed, "order", epoch + 1)
        counts = [len(captions) for captions in self.captions]
        return epoch_batches(counts, schedule.images_per_batch, schedule.captions_per_image, rng)

    def batches(
        self,
        schedule: Schedule,
        epoch: int,
        *,
        start: int = 0,
        negatives: Negatives | None = None,
        negative_count: int = 0,
    ) -> Prefetcher[int, Batch]:
        """The batches of an epoch from number `start` on, made ahead of time from now on."""
        plan = self.plan(schedule, epoch)

        def make(index: int) -> Batch:
            rng = generator(schedule.seed, "negatives", epoch + 1, index)
            return self._batch(plan[index], negatives, negative_count, rng)

        return Prefetcher(make, range(start, len(plan)))

    def _batch(
        self, shares: Sequence[Share], negatives: Negatives | None, count: int, rng: np.random.Generator
    ) -> Batch:
        captions, image_of_C, slots, ids = [], [], [], []
        for position, (image, numbers) in enumerate(shares):
            for number in numbers:
                captions.append(self.captions[image][number])
                image_of_C.append(position)
                if negatives is not None:
                    drawn = negatives.sample(int(self._first_caption[image]) + number, rng, count)
                    slots.append(drawn.position if drawn else -1)
                    ids.append(np.array(self._vocabulary.encode(drawn.words) if drawn else [], dtype=np.int64))
        regions_B = [self.regions(image) for image, _ in shares]
        evidence_B = None if self._prior is None else [self.evidence(image) for image, _ in shares]
        return collate(regions_B, captions, image_of_C, slots or None, ids or None, evidence_B)
