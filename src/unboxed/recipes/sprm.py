"""SPRM: an untrained semantic prior and a trained refinement.

Rigoni, Parolari, Serafini, Sperduti, Ballan: Weakly-Supervised Visual-Textual Grounding with Semantic Prior Refinement.
BMVC 2023.

The prior compares the detected class of each region with the phrase's head noun by word vectors, and uses spatial
words. It grounds without training (`--untrained`). The refinement is the cosine of the phrase, encoded by a recurrent
network, and the region. The two distributions over regions are mixed. Training increases the difference between the
score of a caption with its paired image and with a hard negative: the image of the batch whose caption is most similar.

Where this differs from the paper by default: training includes phrases without boxes (captions alone do not show which
phrases have none); a bidirectional GRU reads the whole caption; a temperature sharpens both distributions; the prior
uses more evidence than the paper's (`--match vectors` and the other options of the prior restore it).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.attention.ranking import Ranking
from unboxed.recipes.config import RecipeConfig
from unboxed.types import Units

if TYPE_CHECKING:
    import torch

    from unboxed.attention.base import Aligner
    from unboxed.recipes.pairs import Pairs

__all__ = ["SPRM"]


@dataclass(frozen=True)
class SPRM(RecipeConfig):
    """SPRM. The paper: omega 0.4, temperatures 1, batches of 16, learning rate 1e-5 for 25 epochs.

    Attributes:
        omega: weight of the refinement in the mixture, in [0, 1].
        refinement_temperature: of the refinement's softmax over regions (the paper: 1).
        prior_temperature: of the prior's softmax over regions (the paper: 1).
        refinement_hidden: hidden width of the refinement's region network; 0: a single linear map (the paper).
        contrast: `difference` of the scores of the paired and of the hard negative image (the paper), or `infonce`
            over all images of the batch.
        untrained: no training; regions are ranked by the prior alone.
    """

    units: ClassVar[Units] = "phrases"
    attention: ClassVar[str] = "the prior, mixed with a trained refinement"
    loss: ClassVar[str] = "score difference of the paired image and a hard negative"
    paper: ClassVar[str] = "Rigoni et al., BMVC 2023"

    omega: float = 0.4
    refinement_temperature: float = 0.1
    prior_temperature: float = 0.05
    refinement_hidden: int = 0
    contrast: Literal["difference", "infonce"] = "difference"
    untrained: bool = False
    ranking: Ranking = field(default_factory=lambda: Ranking(prior_weight=0.0, expected_overlap=False))

    @property
    def reads_prior(self) -> bool:
        """Always true."""
        return True

    @property
    def trains(self) -> bool:
        """Whether the refinement is trained."""
        return not self.untrained

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """The mixture of the prior and its refinement."""
        from unboxed.attention.refinement import PriorRefinement

        return PriorRefinement(
            region_width,
            self.query_width(state_width),
            self.joint_width,
            self.refinement_hidden,
            0.0 if self.untrained else self.omega,
            self.refinement_temperature,
            self.prior_temperature,
        )

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """The paired image against the hard negative image, or against all images of the batch."""
        from unboxed.objectives.contrastive import caption_image_infonce
        from unboxed.objectives.difference import hardest_image, score_difference

        score_BC, image_of_C = pairs.score_BC, pairs.image_of_C
        if self.contrast == "infonce":
            return {"sentence": caption_image_infonce(score_BC / self.refinement_temperature, image_of_C)}
        negative_C = hardest_image(pairs.batch.captions.tokens_CW, pairs.batch.captions.content_CW, image_of_C)
        return {"difference": score_difference(score_BC, image_of_C, negative_C)}
