"""CKD: contrastive learning with knowledge distillation from a detector, which is not needed at test time.

Wang, Huang, Li, Xu, Yang, Yu: Improving Weakly Supervised Visual Grounding by Contrastive Knowledge Distillation.
CVPR 2021.

A phrase is matched with its best region. The score of a caption is the sum over its phrases, and it must be higher for
the paired image than for the other images of the batch.

    cosine_BCPR = <phrase, region>, of unit vectors
    score_BC    = Σ_P scale · max_R cosine
    loss        = -mean_C log softmax_B(score)[image of C]
                  + weight · mean_P cross-entropy(softmax_R(teacher / temperature), softmax_R(cosine))

The second term is the distillation. A detector is the teacher of the model in training: of the regions that overlap the
best one most, those whose detected class fits the phrase's head noun should score highest.

Where this differs from the paper by default: a phrase is the mean of the GRU's states of its words in the caption (the
paper: the maximum of the states of an LSTM that reads the phrase only, `--cell lstm --no-bidirectional --word-state
mean --phrase-reads phrase --phrase-pooling max`); the scale of the cosines is trained (the paper: 2), and the student
is scaled too (the paper: the bare cosine, `--student cosine`); the score of a caption is divided by the root of the
number of its phrases (the paper: `--sentence-score sum`); single phrases are contrasted too, not only captions (the
paper: `--phrase-weight 0`), and images pick their captions too (`--no-both-ways`); the weight of the distillation is
constant (the paper: `--ramp stairs`); region inputs include the detector's class probabilities (`--no-class-inputs`
removes them, as in the paper).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.errors import RunError
from unboxed.recipes.config import DistillationConfig, RecipeConfig
from unboxed.recipes.schedule import Schedule
from unboxed.types import Units

if TYPE_CHECKING:
    import torch

    from unboxed.attention.base import Aligner
    from unboxed.recipes.pairs import Pairs

__all__ = ["CKD"]


@dataclass(frozen=True)
class CKD(RecipeConfig):
    """CKD. The paper: hidden width 1024, joint width 512, contrast from captions to images only.

    Attributes:
        perceptron_width: hidden width of the MLPs.
        scale: factor of the cosines; with `learned_scale` its initial value.
        learned_scale: train the scale.
        sentence_weight: weight of the contrast of captions.
        both_ways: also contrast from images to captions.
        phrase_weight: weight of the contrast of single phrases.
        sentence_score: the score of a caption from those of its phrases: their sum, sum over the square root of their
            number (`root`), or mean.
    """

    units: ClassVar[Units] = "phrases"
    attention: ClassVar[str] = "best region"
    loss: ClassVar[str] = "InfoNCE: phrases and captions pick their image; distillation of the prior"
    paper: ClassVar[str] = "Wang et al., CVPR 2021"
    word_network: ClassVar[bool] = True

    distillation: DistillationConfig = field(default_factory=lambda: DistillationConfig(distillation=1.0))
    perceptron_width: int = 512
    scale: float = 10.0
    learned_scale: bool = True
    sentence_weight: float = 0.5
    both_ways: bool = True
    phrase_weight: float = 1.0
    sentence_score: Literal["sum", "root", "mean"] = "root"
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=12))

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.scale:
            raise RunError("--scale is 0; it must be above 0: phrases are compared by scaled cosines.")

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Matching by the best region."""
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
        """Contrastive losses of captions, of images and of phrases."""
        from unboxed.objectives.contrastive import caption_image_infonce, image_caption_infonce, word_image_infonce

        image_of_C = pairs.image_of_C
        matched_BCQ, score_BC = pairs.match
        parts = {}
        if self.sentence_weight:
            parts["sentence"] = self.sentence_weight * caption_image_infonce(score_BC, image_of_C)
            if self.both_ways:
                parts["image"] = self.sentence_weight * image_caption_infonce(score_BC, image_of_C)
        if self.phrase_weight:
            parts["phrase"] = self.phrase_weight * word_image_infonce(matched_BCQ, pairs.query_mask_CQ, image_of_C)
        return parts
