"""InfoGround: contrastive word–region attention with language-model negatives.

Gupta, Vahdat, Chechik, Yang, Kautz, Hoiem: Contrastive Learning for Weakly Supervised Phrase Grounding. ECCV 2020.

Words attend to regions through keys and values; the attended value must tell a caption's own image from the others of
the batch for each noun and adjective (a lower bound on the information that words and images share), and the true noun
must beat substitutes that a masked language model finds plausible but that would change what the caption says.

Where this differs from the paper by default: the text encoder is a small GRU trained along (the paper: frozen BERT),
so the learning rate is larger and has a one-cycle schedule; padding is masked everywhere; two captions of one image are
never each other's negatives; a new noun is drawn for substitution each time instead of one for good; regions are ranked
by more than attention (`Ranking.plain()` is the paper's rule).
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

__all__ = ["InfoGround"]


@dataclass(frozen=True)
class InfoGround(RecipeConfig):
    """InfoGround. The paper: 25 substitutes, joint width 384, two layers.

    Attributes:
        layers: linear maps of each of the four networks.
    """

    units: ClassVar[Units] = "content"

    negatives: Literal["lm", "random", "none"] = "lm"
    layers: int = 2
    ranking: Ranking = field(default_factory=lambda: Ranking(value_weight=0.2, confidence_weight=2.0))

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Keys and values."""
        from unboxed.attention.key_value import KeyValueAttention

        return KeyValueAttention(region_width, state_width, self.joint_width, self.layers)

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """Each noun and adjective must pick its own image."""
        from unboxed.objectives.contrastive import word_image_infonce

        matched_BCQ = pairs.alignment.matched_BCQ
        return {"word_image": word_image_infonce(matched_BCQ, pairs.captions.queries.mask_CQ, pairs.image_of_C)}
