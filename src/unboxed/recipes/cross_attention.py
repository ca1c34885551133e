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
        lambda_softmax: inverse temperature of the softmax over contexts; by default the paper's (SCAN and PFAN: 9 for
            `t2i`, 4 for `i2t`; BFAN: 20). On drawn images some seeds of SCAN's `t2i` end no better than `vse`, with 9
            and with 20.
        lambda_lse: sharpness of the log-sum-exp; by default SCAN's for Flickr30K (6 for `t2i`, 5 for `i2t`; for COCO it
            has 20 for `i2t`).
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


@dataclass(frozen=True)
class CrossAttentionConfig(MatchingConfig):
    """A recipe with stacked cross attention.

    Attributes:
        aggregation: of the queries' cosines to the score: `mean`, `lse` (log-sum-exp), `max` or `sum`. The papers have
            the mean, SCAN also the log-sum-exp.
        scoring: how words and regions attend.

    Raises:
        RunError: constraints on attention without vectors of unit length.
    """

    aggregation: Literal["mean", "lse", "max", "sum"] = "mean"
    scoring: ScoringConfig = field(default_factory=ScoringConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.constraint.constraints != "none" and not (self.scoring.imgnorm and self.scoring.txtnorm):
            raise RunError("--constraints needs vectors of unit length; leave out --no-imgnorm and --no-txtnorm.")

    def paper_scorer(self) -> AttentionScorer:
        """The scorer of the paper, in the chosen direction."""
        raise NotImplementedError

    def scorer(self) -> AttentionScorer:
        """The scorer with all options."""
        paper, scoring = self.paper_scorer(), self.scoring
        return replace(
            paper,
            sharpness=paper.sharpness if scoring.lambda_softmax is None else scoring.lambda_softmax,
            aggregation=self.aggregation,
            lse_sharpness=paper.lse_sharpness if scoring.lambda_lse is None else scoring.lambda_lse,
            norm=scoring.raw_feature_norm,
            products=not (scoring.imgnorm and scoring.txtnorm),
        )

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
            self.scorer(),
            self.region_encoder(region_width),
            ProjectedQueries(self.query_width(state_width), self.joint_width, unit=self.scoring.txtnorm),
        )
