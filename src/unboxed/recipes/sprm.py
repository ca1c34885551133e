"""SPRM: an untrained semantic prior, and a trained refinement of it.

Rigoni, Parolari, Serafini, Sperduti, Ballan: Weakly-Supervised Visual-Textual Grounding with Semantic Prior Refinement.
BMVC 2023.

The prior compares the detector's names of the regions with a phrase's head noun, by word vectors, and heeds spatial
words; alone it grounds without any training (`--untrained`). The refinement is a cosine between the phrase, read by a
recurrent network, and the region. Both distributions over the regions are mixed. Training raises the score of a
caption with its own image over that with a hard negative: the image of the batch whose caption is most alike.

Where this differs from the paper by default: phrases without boxes are not left out of training (they cannot be known
from captions alone); a bidirectional GRU reads the whole caption; a temperature sharpens both distributions; and the
prior is our own, richer one (`--match vectors …` and the other choices of the prior give the paper's).
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
        omega: share of the refinement in the mixture, in [0, 1].
        refinement_temperature: of the refinement's softmax over regions (the paper: 1).
        prior_temperature: of the prior's (the paper: 1).
        refinement_hidden: hidden width of the refinement's region network; 0 for a single linear map (the paper).
        contrast: `difference` of the scores with the own and the hard negative image (the paper), or `infonce` over all
            images of the batch.
        untrained: stop before the first step: the prior alone.
    """

    units: ClassVar[Units] = "phrases"

    omega: float = 0.4
    refinement_temperature: float = 0.1
    prior_temperature: float = 0.05
    refinement_hidden: int = 0
    contrast: Literal["difference", "infonce"] = "difference"
    untrained: bool = False
    ranking: Ranking = field(default_factory=lambda: Ranking(prior_weight=0.0, expected_overlap=False))

    @property
    def reads_prior(self) -> bool:
        """Always."""
        return True

    @property
    def trains(self) -> bool:
        """Not when it is the prior alone."""
        return not self.untrained

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """The prior mixed with its refinement."""
        from unboxed.attention.refinement import PriorRefinement

        return PriorRefinement(
            region_width,
            state_width,
            self.joint_width,
            self.refinement_hidden,
            0.0 if self.untrained else self.omega,
            self.refinement_temperature,
            self.prior_temperature,
        )

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """The own image over a hard negative one."""
        from unboxed.objectives.contrastive import caption_image_infonce
        from unboxed.objectives.score_difference import hardest_image, score_difference

        score_BC, image_of_C = pairs.score_BC, pairs.image_of_C
        if self.contrast == "infonce":
            return {"sentence": caption_image_infonce(score_BC / self.refinement_temperature, image_of_C)}
        negative_C = hardest_image(pairs.batch.captions.tokens_CW, pairs.batch.captions.content_CW, image_of_C)
        return {"difference": score_difference(score_BC, image_of_C, negative_C)}
