"""What a trained model is given of images and captions: checked, encoded and padded to one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unboxed.data.collate import collate
from unboxed.errors import RegionsError
from unboxed.inference.run_config import RunConfig
from unboxed.text.encoding import EncodedCaption, encode_caption
from unboxed.text.vocabulary import Vocabulary
from unboxed.types import Batch, Caption, Regions

if TYPE_CHECKING:
    from unboxed.priors.semantic import SemanticPrior

__all__ = ["Inputs"]


@dataclass(frozen=True, eq=False)
class Inputs:
    """Makes the batches of one run.

    Attributes:
        config: of the run.
        vocabulary: the words it knows.
        prior: its semantic prior, where the trained model reads it.
    """

    config: RunConfig
    vocabulary: Vocabulary
    prior: SemanticPrior | None = None

    def encoded(self, captions: Sequence[Caption]) -> list[EncodedCaption]:
        """The captions as the run's words."""
        affinity = None if self.prior is None else self.prior.affinity
        return [encode_caption(caption, self.vocabulary, affinity) for caption in captions]

    def batch(
        self, regions: Sequence[Regions], captions: Sequence[EncodedCaption], image_of_C: Sequence[int] | None = None
    ) -> Batch:
        """One batch of them all.

        Args:
            regions: of B images, checked.
            captions: C of them.
            image_of_C: index of each caption's image; None where they need not belong together, and nothing is
                asked that depends on which is whose.
        """
        inputs = [
            self.config.region_inputs(own.boxes, own.features, own.class_probs, own.width, own.height)
            for own in regions
        ]
        evidence = None
        if self.prior is not None:
            evidence = [
                self.prior.evidence(own.boxes, own.class_probs, own.sources, own.width, own.height) for own in regions
            ]
        return collate(inputs, captions, image_of_C or [0] * len(captions), evidence_B=evidence)

    def check(self, regions: Regions) -> None:
        """Are these regions such as the run was trained on?

        Raises:
            RegionsError: none at all, or others.
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
