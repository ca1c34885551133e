"""Stacked cross attention and its relatives as one function of the cosines of words and regions.

Lee et al., ECCV 2018 (SCAN); Liu et al., ACM MM 2019 (BFAN, the focal rule); Wang et al., IJCAI 2019 (PFAN, the bonus).

Queries attend to contexts: words to regions ("t2i") or regions to words ("i2t"). With unit vectors, the cosines
`s = K q` of a query with its contexts K, their products `G = K Kᵀ` among themselves and the weights `a`, the cosine of
the query and what it attends to is `a·s / √(aᵀ G a)`: the attended content, of the joint width, is never built.

Everything here works on tensors `[…]` of cosines in which one axis is the queries' and one the contexts'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch.nn.functional import leaky_relu

from unboxed.alignment.unit import inverse_root

__all__ = ["Aggregation", "AttentionScorer", "Direction", "FocalRule", "focal_mask"]

Direction = Literal["t2i", "i2t", "both"]
FocalRule = Literal["none", "equal", "prob"]
Aggregation = Literal["mean", "lse", "max", "sum"]
NormalisedOver = Literal["queries", "contexts", "none"]

_TIE = 1e-5  # relative; single precision and a sharp softmax move equal weights apart by a few millionths


@dataclass(frozen=True)
class AttentionScorer:
    """The choices by which SCAN, BFAN and PFAN differ. The defaults are SCAN t2i with the mean over words.

    Attributes:
        direction: `t2i`, words attend to regions; `i2t`, regions to words; `both`, the sum of the two scores.
        sharpness: λ, the inverse temperature of the softmax over contexts.
        slope: of negative cosines before the first normalisation, in [0, 1]; 1 keeps them as they are.
        normalised_over: which axis each row of clipped cosines is scaled to unit length along. SCAN: for each context,
            over the queries, so that a word's attention depends on the other words of its caption.
        focal: BFAN's rule by which weak contexts lose their weight to the others.
        aggregation: how the cosines of the queries become the score of a pair; `lse` is
            `log Σ exp(lse_sharpness · r) / lse_sharpness` and is not divided by the number of queries.
        lse_sharpness: of `lse`.
        bonus: PFAN's weight of the aggregated largest attention of each word; t2i only.

    Raises:
        ValueError: an unknown choice.
    """

    direction: Direction = "t2i"
    sharpness: float = 9.0
    slope: float = 0.1
    normalised_over: NormalisedOver = "queries"
    focal: FocalRule = "none"
    aggregation: Aggregation = "mean"
    lse_sharpness: float = 6.0
    bonus: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (
            ("direction", Direction),
            ("normalised_over", NormalisedOver),
            ("focal", FocalRule),
            ("aggregation", Aggregation),
        ):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(f"{name} is one of {get_args(choices)}, not {getattr(self, name)!r}.")

    @classmethod
    def scan(cls, direction: Literal["t2i", "i2t"] = "t2i", aggregation: Aggregation = "mean") -> AttentionScorer:
        """SCAN with its authors' values for Flickr30K (for COCO, `lse` of i2t has sharpness 20)."""
        if direction == "t2i":
            return cls("t2i", sharpness=9, aggregation=aggregation, lse_sharpness=6)
        return cls("i2t", sharpness=4, aggregation=aggregation, lse_sharpness=5)

    @classmethod
    def bfan(cls, focal: Literal["equal", "prob"] = "prob") -> AttentionScorer:
        """BFAN: both directions, sharpness 20, the sum of two means."""
        return cls("both", sharpness=20, focal=focal)

    @classmethod
    def pfan(cls, direction: Literal["t2i", "i2t"] = "t2i") -> AttentionScorer:
        """PFAN's score; its regions are encoded by `PositionFocusedRegions`."""
        return cls("t2i", sharpness=9, bonus=0.5) if direction == "t2i" else cls("i2t", sharpness=4)

    @property
    def directions(self) -> tuple[Literal["t2i", "i2t"], ...]:
        """The one or two directions that are scored."""
        return ("t2i", "i2t") if self.direction == "both" else (self.direction,)

    def logits(self, cosines: torch.Tensor, query_dim: int, context_dim: int) -> torch.Tensor:
        """`λ` times the clipped and normalised cosines; the cosines of padded queries and contexts must be 0."""
        clipped = leaky_relu(cosines, self.slope) if self.slope != 1 else cosines
        if self.normalised_over != "none":
            dim = query_dim if self.normalised_over == "queries" else context_dim
            # The scale is a row's, not an entry's: one pass over the large tensor for both factors.
            return clipped * (self.sharpness * inverse_root(clipped.square().sum(dim=dim, keepdim=True)))
        return clipped * self.sharpness

    def weights(self, logits: torch.Tensor, context_mask: torch.Tensor, context_dim: int) -> torch.Tensor:
        """Weights over the contexts, summing to 1; 0 at padded ones, and everywhere where there are none.

        Args:
            logits: of `logits`.
            context_mask: True for real contexts; of any shape that broadcasts to that of the logits.
            context_dim: the axis of the contexts.
        """
        # The lowest finite number, not -inf: a query without any context then has no NaN, and no NaN gradient.
        lowest = torch.finfo(logits.dtype).min
        weights = logits.masked_fill(~context_mask, lowest).softmax(dim=context_dim).masked_fill(~context_mask, 0)
        if self.focal == "none":
            return weights
        kept = weights.where(focal_mask(weights, context_mask, context_dim, self.focal), 0)
        return kept / kept.sum(dim=context_dim, keepdim=True).clamp(min=torch.finfo(kept.dtype).tiny)

    def aggregate(self, values: torch.Tensor, query_mask: torch.Tensor, query_dim: int) -> torch.Tensor:
        """One number of the real queries' `values`; 0 where there are none.

        Args:
            values: one number a query.
            query_mask: True for real queries; of any shape that broadcasts to that of the values.
            query_dim: the axis of the queries, which goes.
        """
        query_mask = query_mask.expand_as(values)
        if self.aggregation in ("mean", "sum"):
            total = (values * query_mask).sum(dim=query_dim)
            return total / query_mask.sum(dim=query_dim).clamp(min=1) if self.aggregation == "mean" else total
        masked = values.masked_fill(~query_mask, torch.finfo(values.dtype).min)
        if self.aggregation == "max":
            best = masked.amax(dim=query_dim)
        else:
            # Masked after scaling: the lowest finite number times a sharpness is -inf.
            scaled = (values * self.lse_sharpness).masked_fill(~query_mask, torch.finfo(values.dtype).min)
            best = scaled.logsumexp(dim=query_dim) / self.lse_sharpness
        return best.masked_fill(~query_mask.any(dim=query_dim), 0)


def focal_mask(weights: torch.Tensor, context_mask: torch.Tensor, context_dim: int, rule: FocalRule) -> torch.Tensor:
    """BFAN's choice of the contexts that keep their weight: True where `Σ_k (a_j - a_k) g(a_k) > 0`.

    `equal` has g = 1, so that weights above the mean 1/n are kept; `prob` has g = √a, so that those above
    `Σ a^1.5 / Σ a^0.5` are. Where all weights tie, none would be kept; all are then, also if they tie but for rounding.

    Args:
        weights: sum to 1 along `context_dim`, 0 at padded contexts. No gradient flows through the choice.
        context_mask: True for real contexts; broadcasts to the weights' shape.
        context_dim: the axis of the contexts.
        rule: `equal` or `prob`; `none` keeps all.
    """
    if rule == "none":
        return context_mask.expand_as(weights)
    weights = weights.detach()
    if rule == "equal":
        threshold = 1 / context_mask.sum(dim=context_dim, keepdim=True).clamp(min=1).to(weights.dtype)
    else:
        root = weights.sqrt()
        smallest = torch.finfo(weights.dtype).tiny
        threshold = (weights * root).sum(context_dim, True) / root.sum(context_dim, True).clamp(min=smallest)
    # Weights tie more often than one thinks (each region of a caption of one word does); rounding must not choose then.
    tied = weights.amax(dim=context_dim, keepdim=True) <= threshold * (1 + _TIE)
    return (weights > threshold) | tied
