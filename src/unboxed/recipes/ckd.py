"""CKD: contrastive learning with knowledge distilled from a detector, which is not needed any more at test time.

Wang, Huang, Li, Xu, Yang, Yu: Improving Weakly Supervised Visual Grounding by Contrastive Knowledge Distillation.
CVPR 2021.

A phrase is matched by its best region; the sum over a sentence's phrases must tell its own image from the others of
the batch. While it trains, the model is also taught by a detector: among the regions around its choice it should
prefer those that show the class that the phrase's head noun names.

Where this differs from the paper by default: phrases are means of the GRU's states in their caption (the paper: an LSTM
over each phrase alone, the maximum over its words); the scale of the cosines is trained (the paper: 2); a contrast of
single phrases stands beside that of sentences; the ramp is a straight line; regions are also described by the
detector's class probabilities (`--no-class-inputs` leaves them out, as the paper does).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.recipes.config import DistillationConfig, RecipeConfig
from unboxed.types import Units

if TYPE_CHECKING:
    import torch

    from unboxed.attention.base import Aligner
    from unboxed.recipes.pairs import Pairs

__all__ = ["CKD"]


@dataclass(frozen=True)
class CKD(RecipeConfig):
    """CKD. The paper: hidden width 1024, joint width 512, sentence contrast from captions to images only.

    Attributes:
        perceptron_width: width of the hidden layers.
        scale: what cosines are multiplied by; where `learned_scale`, at the start.
        learned_scale: train it.
        sentence_weight: of the contrast of sentences, which pick their image.
        both_ways: images pick their sentences too.
        phrase_weight: of the contrast of single phrases.
        sentence_score: how its phrases make a sentence's score.
    """

    units: ClassVar[Units] = "phrases"

    distillation: DistillationConfig = field(default_factory=lambda: DistillationConfig(distillation=1.0))
    perceptron_width: int = 512
    scale: float = 10.0
    learned_scale: bool = True
    sentence_weight: float = 0.5
    both_ways: bool = True
    phrase_weight: float = 1.0
    sentence_score: Literal["sum", "root", "mean"] = "root"

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """The best region."""
        from unboxed.attention.best_region import BestRegion

        return BestRegion(
            region_width,
            state_width,
            self.joint_width,
            self.perceptron_width,
            self.scale,
            self.learned_scale,
            self.sentence_score,
        )

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """Sentences, and phrases, must pick their own image."""
        from unboxed.objectives.contrastive import caption_image_infonce, image_caption_infonce, word_image_infonce

        image_of_C = pairs.image_of_C
        matched_BCQ, score_BC = pairs.match
        parts = {}
        if self.sentence_weight:
            parts["sentence"] = self.sentence_weight * caption_image_infonce(score_BC, image_of_C)
            if self.both_ways:
                parts["image"] = self.sentence_weight * image_caption_infonce(score_BC, image_of_C)
        if self.phrase_weight:
            parts["phrase"] = self.phrase_weight * word_image_infonce(
                matched_BCQ, pairs.captions.queries.mask_CQ, image_of_C
            )
        return parts
