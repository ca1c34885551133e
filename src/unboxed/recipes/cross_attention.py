"""Options that SCAN, BFAN and PFAN share: how words and regions attend to each other, and how a pair is scored."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from unboxed.errors import RunError
from unboxed.recipes.matching import MatchingConfig

if TYPE_CHECKING:
    from torch import nn

    from unboxed.attention.base import Aligner
    from unboxed.attention.cosine_attention import AttentionScorer

__all__ = ["CrossAttentionConfig", "ScoringConfig"]


@dataclass(frozen=True)
class ScoringConfig:
    """Options of the attention, with the names of SCAN's code.

    Attributes:
        lambda_softmax: inverse temperature of the softmax over contexts; None: the paper's (SCAN and PFAN: 9 for `t2i`,
            4 for `i2t`; BFAN: 20).
        lambda_lse: sharpness of the log-sum-exp; None: SCAN's for Flickr30K (6 for `t2i`, 5 for `i2t`; for COCO it has
            20 for `i2t`).
        raw_feature_norm: what is done with the cosines of a context before the softmax (the papers: `clipped_l2norm`).
            `clipped` multiplies negative ones by 0.1; `l2norm` and `l1norm` divide by the norm over the queries;
            `softmax` takes the softmax over the queries. The `l1norm`s stop with an error in SCAN's code.
        imgnorm: regions have unit length (the papers). Without it words and regions attend by products instead of
            cosines; the score remains a cosine.
        txtnorm: words have unit length (the papers); without it as without `imgnorm`.
    """

    lambda_softmax: float | None = None
    lambda_lse: float | None = None
    raw_feature_norm: Literal[
        "clipped_l2norm", "l2norm", "clipped_l1norm", "l1norm", "clipped", "no_norm", "softmax"
    ] = "clipped_l2norm"
    imgnorm: bool = True
    txtnorm: bool = True

    def applied_to(self, scorer: AttentionScorer) -> AttentionScorer:
        """The scorer of a paper with these options."""
        return replace(
            scorer,
            sharpness=scorer.sharpness if self.lambda_softmax is None else self.lambda_softmax,
            lse_sharpness=scorer.lse_sharpness if self.lambda_lse is None else self.lambda_lse,
            norm=self.raw_feature_norm,
            products=not (self.imgnorm and self.txtnorm),
        )


@dataclass(frozen=True)
class CrossAttentionConfig(MatchingConfig):
    """A recipe with stacked cross attention.

    Attributes:
        scoring: how words and regions attend and score.

    Raises:
        RunError: constraints on attention without vectors of unit length.
    """

    scoring: ScoringConfig = field(default_factory=ScoringConfig)

    def __post_init__(self) -> None:
        if self.constraint.constraints != "none" and not (self.scoring.imgnorm and self.scoring.txtnorm):
            raise RunError("--constraints needs vectors of unit length; leave out --no-imgnorm and --no-txtnorm.")

    def scorer(self) -> AttentionScorer:
        """The scorer of the paper, in the chosen direction."""
        raise NotImplementedError

    def region_encoder(self, region_width: int) -> nn.Module:
        """From the region inputs to the joint space."""
        from unboxed.attention.scan import ProjectedRegions

        return ProjectedRegions(region_width, self.joint_width, unit=self.scoring.imgnorm)

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Cross attention."""
        from unboxed.attention.scan import CrossAttention, ProjectedQueries

        return CrossAttention(
            region_width,
            self.query_width(state_width),
            self.joint_width,
            self.scoring.applied_to(self.scorer()),
            self.region_encoder(region_width),
            ProjectedQueries(self.query_width(state_width), self.joint_width, unit=self.scoring.txtnorm),
        )
