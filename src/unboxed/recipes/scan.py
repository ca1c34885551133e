"""SCAN: stacked cross attention, words to regions or regions to words.

Lee, Chen, Hua, Hu, He: Stacked Cross Attention for Image-Text Matching. ECCV 2018.

Each word attends to regions (`t2i`), or each region attends to words (`i2t`). The score is the mean cosine of the
queries with their attended features. It is trained with a hinge loss on the hardest negatives. For `t2i`, with regions
and words of unit length:

    cosine_BCWR    = <word, region>
    logit_BCWR     = λ · clipped / ‖clipped‖_W, where clipped = LeakyReLU(cosine, 0.1)    the norm is over the words
    attention_BCWR = softmax_R(logit)
    matched_BCW    = cos(word, Σ_R attention · region)
    score_BC       = mean_W matched

For `i2t`, words and regions change places.

Where this differs from the paper by default: narrower embeddings and a one-cycle schedule, for smaller data; captions
have no punctuation and no start and end words (the paper: `--tokenizer treebank --start-end-words`); the state of a
word is its vector with both directions of the GRU, mapped linearly (the paper: the mean of the directions,
`--word-state mean`); regions come with geometry and class probabilities and pass a hidden layer (the paper:
`--region-inputs features --region-hidden 0`); captions of one image are never each other's
negatives. `--preset paper` chooses all of this.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.recipes.cross_attention import CrossAttentionConfig

if TYPE_CHECKING:
    from unboxed.attention.cosine_attention import AttentionScorer

__all__ = ["SCAN"]


@dataclass(frozen=True)
class SCAN(CrossAttentionConfig):
    """SCAN. The paper: joint width 1024, lambda 9 (t2i) or 4 (i2t).

    Attributes:
        direction: words attend to regions (`t2i`), or regions to words (`i2t`).
    """

    attention: ClassVar[str] = "cross attention, words to regions or regions to words"
    paper: ClassVar[str] = "Lee et al., ECCV 2018"

    direction: Literal["t2i", "i2t"] = "t2i"

    def paper_scorer(self) -> AttentionScorer:
        """SCAN's scorer."""
        from unboxed.attention.cosine_attention import AttentionScorer

        return AttentionScorer.scan(self.direction)
