"""Batches of a trained model: regions and captions checked, encoded and padded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from unboxed.data.batches import collate_captions, collate_images, padded_rows, region_edges, region_inputs
from unboxed.errors import RegionsError
from unboxed.inference.run_config import RunConfig
from unboxed.runtime.memory import array_bytes
from unboxed.text.encoding import EncodedCaption, encode_caption
from unboxed.text.tokens import PAD_ID, Vocabulary
from unboxed.types import Caption, CaptionBatch, DescribedRegions, ImageBatch, Regions

if TYPE_CHECKING:
    from unboxed.priors.semantic import SemanticPrior

__all__ = ["Batcher", "CaptionsOfImages", "caption_groups"]

_CAPTIONS = 128  # that share a batch: enough that the steps of Python between the products cost little

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Batcher:
    """Makes the image and caption batches of one run.

    Attributes:
        config: of the run.
        vocabulary: its words.
        prior: its semantic prior, where the model reads one.
    """

    config: RunConfig
    vocabulary: Vocabulary
    prior: SemanticPrior | None = None

    def encode(self, captions: Sequence[Caption]) -> list[EncodedCaption]:
        """The captions as word ids of the run's vocabulary, with the prior's rows of their phrases."""
        if self.prior is None:
            return [encode_caption(caption, self.vocabulary) for caption in captions]
        self.prior.prepare(phrase.text for caption in captions for phrase in caption.phrases)
        return [encode_caption(caption, self.vocabulary, self.prior.affinity) for caption in captions]

    def captions(
        self,
        captions: Sequence[EncodedCaption],
        *,
        slots: Sequence[int] | None = None,
        substitutes: Sequence[npt.NDArray[np.int64]] | None = None,
    ) -> CaptionBatch:
        """One batch of C captions; `slots` and `substitutes` as for `collate_captions`."""
        width = 0 if self.prior is None else self.prior.affinity_width
        return collate_captions(captions, prior_width=width, slots=slots, substitutes=substitutes)

    def images(
        self,
        regions: Sequence[DescribedRegions],
        class_scores: Sequence[npt.NDArray[np.floating]] | None = None,
    ) -> ImageBatch:
        """One batch of B images.

        Args:
            regions: those of each image, which has at least one.
            class_scores: the prior's rows `[R, E]` of each image's regions, where they are known already.
        """
        if class_scores is None and self.prior is not None:
            class_scores = [self.class_scores(of_image) for of_image in regions]
        edges = [region_edges(of_image.boxes, of_image.width, of_image.height) for of_image in regions]
        labels = [self._labels(of_image) for of_image in regions] if self.config.options.reads_labels else None
        batch = collate_images([self.region_inputs(of_image) for of_image in regions], class_scores, edges, labels)
        columns = self.config.block_columns
        if not columns.any():
            return batch
        return replace(
            batch, blocks_BRM=padded_rows([of_image.features[:, columns].astype(np.float32) for of_image in regions])
        )

    def _labels(self, regions: DescribedRegions) -> npt.NDArray[np.int64]:
        """The vocabulary's id of the most probable class of each of R regions, 0 where none is probable."""
        names = (name.rpartition(":")[2].lower() for name in self.config.class_names)
        ids_K = np.array([PAD_ID, *self.vocabulary.encode(names)], dtype=np.int64)[1:]
        if not len(ids_K):
            return np.full(len(regions.boxes), PAD_ID, dtype=np.int64)
        probs_RK = regions.class_probs
        return np.where(probs_RK.max(axis=1) > 0, ids_K[probs_RK.argmax(axis=1)], PAD_ID)

    def region_inputs(self, regions: DescribedRegions) -> npt.NDArray[np.float32]:
        """The model's input for R regions, `[R, V]`, V being the `region_width` of the config."""
        columns = self.config.columns
        features = regions.features if columns.all() else regions.features[:, columns]
        if self.config.options.region_inputs == "features":
            return features.astype(np.float32, copy=False)
        return region_inputs(regions, features, self.config.options.uses_classes)

    def class_scores(self, regions: DescribedRegions) -> npt.NDArray[np.float32]:
        """The semantic prior's rows `[R, E]` of R regions. Needs a model with a prior."""
        assert self.prior is not None
        crops_RD = None
        if self.config.options.crop_encoder is not None:
            crops_RD = regions.features[:, self.config.crop_columns]
        return self.prior.class_scores(regions, crops_RD)

    def check(self, regions: Regions) -> None:
        """Check that regions have the features and classes that the run was trained on.

        Raises:
            RegionsError: no regions, or regions of other features or classes.
        """
        config = self.config
        if len(regions) == 0:
            raise RegionsError("There are no regions to choose from; propose at least the whole image.")
        width = len(config.columns)
        if regions.class_names != config.class_names or regions.features.shape[1] != width:
            raise RegionsError(
                f"These regions have {regions.features.shape[1]} features and {len(regions.class_names)} classes; the "
                f"model was trained on {width} and {len(config.class_names)}. Extract them with the "
                "run's own settings (leave out --regions)."
            )


class CaptionsOfImages(NamedTuple):
    """The captions of some images, one image after the other.

    Attributes:
        encoded: C captions.
        batch: their batch.
        counts: how many of them each image has.
    """

    encoded: list[EncodedCaption]
    batch: CaptionBatch
    counts: list[int]

    @staticmethod
    def of(batcher: Batcher, captions_B: Sequence[Sequence[Caption]]) -> CaptionsOfImages:
        """The captions of each of B images, at least one in all."""
        encoded = batcher.encode([caption for captions in captions_B for caption in captions])
        return CaptionsOfImages(encoded, batcher.captions(encoded), [len(captions) for captions in captions_B])

    @property
    def nbytes(self) -> int:
        """Bytes of the batch."""
        return array_bytes(self.batch)

    @property
    def image_of_C(self) -> list[int]:
        """The image of each caption, by its place."""
        return [b for b, count in enumerate(self.counts) for _ in range(count)]


def caption_groups(images: Iterable[T], count: Callable[[T], int]) -> Iterator[list[T]]:
    """Consecutive images with enough captions together to fill a batch; one without captions counts like one caption.

    Args:
        images: with their captions.
        count: the number of captions of one.
    """
    group: list[T] = []
    captions = 0
    for image in images:
        group.append(image)
        captions += max(count(image), 1)
        if captions >= _CAPTIONS:
            yield group
            group, captions = [], 0
    if group:
        yield group
