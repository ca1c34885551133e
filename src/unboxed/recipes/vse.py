"""VSE: the baseline without attention, with one vector for the image and one for the caption.

Faghri, Fleet, Kiros, Fidler: VSE++: Improving Visual-Semantic Embeddings with Hard Negatives. BMVC 2018.

The cosine of the mean of the regions and the mean of the words, trained with the hinge loss of the other recipes, which
VSE++ introduced with the hardest negatives (m: the margin; a caption of the same image is no negative):

    score_BC = cos(mean_R region, mean_W word)
    loss     = Σ_C max_B' [m + score(B', C) - score(B, C)]₊ + max_C' [m + score(B, C') - score(B, C)]₊
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.errors import RunError
from unboxed.recipes.matching import MATCHING_SCHEDULE, ConstraintConfig, MatchingConfig
from unboxed.recipes.schedule import Schedule

if TYPE_CHECKING:
    from unboxed.attention.base import Aligner

__all__ = ["VSE"]


@dataclass(frozen=True)
class VSE(MatchingConfig):
    """VSE++ on regions. The paper: joint width 1024, the last state of a GRU.

    Its epochs are cheap, and after twelve its validation curve still rises: it has three times as many by default.

    Attributes:
        text_pooling: the vector of a caption: the `mean` of its words' states, or the `last` state (the paper).
        measure: of a pair of vectors: the `cosine` (VSE++), or the `order` `-√Σ max(0, caption - image)²` (order
            embeddings; Order0 has margin 0.05, all negatives and `--use-abs`).
        imgnorm: the vector of an image has unit length (VSE++); VSE0 has `--no-imgnorm` and all negatives.
        use_abs: the vectors are replaced by their absolute values.

    Raises:
        RunError: constraints on attention, which this recipe does not have.
    """

    attention: ClassVar[str] = "none: one vector for the image and one for the caption"
    paper: ClassVar[str] = "Faghri et al., BMVC 2018"

    text_pooling: Literal["mean", "last"] = "mean"
    measure: Literal["cosine", "order"] = "cosine"
    imgnorm: bool = True
    use_abs: bool = False
    schedule: Schedule = replace(MATCHING_SCHEDULE, epochs=36)  # noqa: RUF009, a frozen value

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.constraint != ConstraintConfig():
            raise RunError(
                "vse has no attention that could be constrained; leave out the options of constraints, or train scan."
            )

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Pooled embeddings."""
        from unboxed.attention.vse import PooledEmbedding, PoolingSettings

        settings = PoolingSettings(self.text_pooling, self.measure, self.imgnorm, self.use_abs)
        return PooledEmbedding(region_width, self.query_width(state_width), self.joint_width, settings)
