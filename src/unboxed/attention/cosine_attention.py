"""Stacked cross attention and its variants as one function of the cosines of words and regions.

Lee et al., ECCV 2018 (SCAN); Liu et al., ACM MM 2019 (BFAN, the focal rule); Wang et al., IJCAI 2019 (PFAN, the bonus).

Queries attend to contexts: words to regions ("t2i") or regions to words ("i2t"). For unit vectors, the attended vector
of a query q with attention weights `a` over contexts K is `Kᵀ a`. With the cosines `s = K q` and the Gram matrix
`G = K Kᵀ`, its cosine with the query is `a·s / √(aᵀ G a)`. The attended vector, of the joint width, is never built.

The methods of the scorer take tensors of cosines of any axes, one of them of queries and one of contexts. `attend`
computes all scores and attentions of pairs. It takes the axes `[K, N, Q, J]`: K owners of N contexts each (images for
t2i, captions for i2t), and J owners of Q queries each. No sum runs along the last axis, so that every sum adds whole
rows, which is fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch.nn.functional import leaky_relu

from unboxed.attention.normalize import EPSILON, inverse_norm, inverse_root
from unboxed.runtime.counts import require_literal

__all__ = [
    "Aggregation",
    "Attended",
    "AttentionScorer",
    "Direction",
    "FocalRule",
    "RawFeatureNorm",
    "attend",
    "focal_mask",
    "scaled_to_one",
]

Direction = Literal["t2i", "i2t", "both"]
FocalRule = Literal["none", "equal", "prob"]
Aggregation = Literal["mean", "lse", "max", "sum"]
RawFeatureNorm = Literal["clipped_l2norm", "l2norm", "clipped_l1norm", "l1norm", "clipped", "no_norm", "softmax"]

_SAFE_EXPONENT = 30.0  # e^30, its square and the sum of thousands of squares are normal single-precision numbers
_TIE = 1e-5  # relative; in single precision a sharp softmax moves equal weights apart by a few millionths


@dataclass(frozen=True)
class AttentionScorer:
    """The options by which SCAN, BFAN and PFAN differ. The defaults are SCAN t2i with the mean over words.

    Attributes:
        direction: `t2i`, words attend to regions; `i2t`, regions to words; `both`, the sum of the two scores.
        sharpness: λ, the inverse temperature of the softmax over contexts.
        norm: what is done with the cosines of each context before the softmax, by its name in SCAN's code. `clipped…`
            multiplies negative cosines by `slope`. `…l2norm` and `…l1norm` divide by the length, or by the sum of the
            absolute values, over the queries, so that the attention of a word depends on the other words of its
            caption. `softmax` takes the softmax over the queries; `no_norm` does nothing.
        slope: of negative cosines in the clipped norms, in [0, 1].
        focal: BFAN's rule, which sets the weights of weak contexts to 0.
        aggregation: how the cosines r of the queries become the score of a pair; `lse` is
            `log Σ exp(lse_sharpness · r) / lse_sharpness`, not divided by the number of queries.
        lse_sharpness: of `lse`, above 0.
        bonus: PFAN's factor of the aggregated largest attention weight of each word; t2i only.
        products: attend by the products of vectors of any length instead of by cosines, as SCAN does with `no_imgnorm`
            or `no_txtnorm`. The score remains the cosine of a query and its attended vector.

    Raises:
        ValueError: an unknown option, or a number out of its range.
    """

    direction: Direction = "t2i"
    sharpness: float = 9.0
    norm: RawFeatureNorm = "clipped_l2norm"
    slope: float = 0.1
    focal: FocalRule = "none"
    aggregation: Aggregation = "mean"
    lse_sharpness: float = 6.0
    bonus: float = 0.0
    products: bool = False

    def __post_init__(self) -> None:
        require_literal("direction", self.direction, Direction)
        require_literal("norm", self.norm, RawFeatureNorm)
        require_literal("focal", self.focal, FocalRule)
        require_literal("aggregation", self.aggregation, Aggregation)
        if not (math.isfinite(self.sharpness) and math.isfinite(self.bonus)):
            raise ValueError(f"sharpness and bonus are finite numbers, not {self.sharpness} and {self.bonus}.")
        if not 0 <= self.slope <= 1:
            raise ValueError(f"slope is {self.slope}; it is in [0, 1].")
        if not 0 < self.lse_sharpness < math.inf:
            raise ValueError(f"lse_sharpness is {self.lse_sharpness}; it is above 0.")

    @classmethod
    def scan(cls, direction: Literal["t2i", "i2t"] = "t2i", aggregation: Aggregation = "mean") -> AttentionScorer:
        """SCAN with the paper's values for Flickr30K (for COCO, `lse` of i2t has sharpness 20)."""
        if direction == "t2i":
            return cls("t2i", sharpness=9, aggregation=aggregation, lse_sharpness=6)
        return cls("i2t", sharpness=4, aggregation=aggregation, lse_sharpness=5)

    @classmethod
    def bfan(cls, focal: Literal["equal", "prob"] = "prob") -> AttentionScorer:
        """BFAN: both directions, sharpness 20, the sum of two means."""
        return cls("both", sharpness=20, focal=focal)

    @classmethod
    def pfan(cls, direction: Literal["t2i", "i2t"] = "t2i") -> AttentionScorer:
        """The score of PFAN, whose regions are encoded by `PositionFocusedRegions`."""
        return replace(cls.scan(direction), bonus=0.5 if direction == "t2i" else 0.0)

    @property
    def directions(self) -> tuple[Literal["t2i", "i2t"], ...]:
        """The one or two directions whose scores are added."""
        return ("t2i", "i2t") if self.direction == "both" else (self.direction,)

    @property
    def negative_slope(self) -> float:
        """The factor of negative cosines: `slope` in the clipped norms, else 1."""
        return self.slope if self.norm.startswith("clipped") else 1.0

    def logits(self, cosines: torch.Tensor, query_dim: int, query_mask: torch.Tensor | None = None) -> torch.Tensor:
        """λ times the normalized cosines.

        Args:
            cosines: 0 at padded queries and contexts.
            query_dim: the axis of the queries.
            query_mask: True for real queries; of any shape that broadcasts to that of the cosines. None: all are.
        """
        clipped = leaky_relu(cosines, self.negative_slope) if self.negative_slope != 1 else cosines
        if self.norm == "softmax":
            if query_mask is not None:
                clipped = clipped.masked_fill(~query_mask, torch.finfo(clipped.dtype).min)
            return clipped.softmax(dim=query_dim) * self.sharpness
        # One scale for each row: a single pass over the large tensor applies both factors.
        if self.norm.endswith("l2norm"):
            return clipped * (self.sharpness * inverse_root(clipped.square().sum(dim=query_dim, keepdim=True)))
        if self.norm.endswith("l1norm"):
            return clipped * (self.sharpness / clipped.abs().sum(dim=query_dim, keepdim=True).clamp(min=EPSILON))
        return clipped * self.sharpness

    def raw_weights(
        self, logits: torch.Tensor, context_mask: torch.Tensor | None, context_dim: int, bounded: bool = False
    ) -> torch.Tensor:
        """Attention weights before they are scaled to sum to 1: >= 0, and 0 at padded contexts.

        The cosine of a query and its attended vector does not depend on the scale, so scores never need the sum.

        Args:
            logits: of `logits`.
            context_mask: True for real contexts; of any shape that broadcasts to that of the logits. None: all are.
            context_dim: the axis of the contexts.
            bounded: no logit is larger than the sharpness. If that is small, no maximum has to be subtracted.
        """
        if not (bounded and self.sharpness <= _SAFE_EXPONENT):
            # The lowest finite number, not -inf: a query without any context then has no NaN, and no NaN gradient.
            lowest = torch.finfo(logits.dtype).min
            known = logits if context_mask is None else logits.masked_fill(~context_mask, lowest)
            logits = known - known.detach().amax(dim=context_dim, keepdim=True)
        raw = logits.exp()
        if context_mask is not None:
            raw = raw * context_mask
        return raw if self.focal == "none" else raw * focal_mask(raw, context_mask, context_dim, self.focal)

    def weights(self, logits: torch.Tensor, context_mask: torch.Tensor, context_dim: int) -> torch.Tensor:
        """Attention weights over the contexts, which sum to 1; 0 at padded ones, and everywhere if there are none.

        Args:
            logits: of `logits`.
            context_mask: True for real contexts; of any shape that broadcasts to that of the logits.
            context_dim: the axis of the contexts.
        """
        return scaled_to_one(self.raw_weights(logits, context_mask, context_dim), context_dim)

    def score(self, attended: Attended, query_mask: torch.Tensor, direction: Literal["t2i", "i2t"]) -> torch.Tensor:
        """Scores `[K, J]` of one direction: the aggregated cosines of the queries, plus the bonus in t2i.

        Args:
            attended: of `attend`.
            query_mask: True for real queries; broadcasts to `[K, Q, J]`.
            direction: of `attended`.
        """
        score_KJ = self.aggregate(attended.matched_KQJ, query_mask, query_dim=1)
        if self.bonus and direction == "t2i":
            smallest = torch.finfo(attended.total_KQJ.dtype).tiny
            largest_KQJ = attended.raw_KNQJ.amax(dim=1) / attended.total_KQJ.clamp(min=smallest)
            score_KJ = score_KJ + self.bonus * self.aggregate(largest_KQJ, query_mask, query_dim=1)
        return score_KJ

    def aggregate(self, values: torch.Tensor, query_mask: torch.Tensor, query_dim: int) -> torch.Tensor:
        """The `values` of the real queries as one number; 0 where there are none.

        Args:
            values: one number for each query.
            query_mask: True for real queries; of any shape that broadcasts to that of the values.
            query_dim: the axis of the queries, which is reduced.
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


class Attended(NamedTuple):
    """Attention in one direction between K owners of contexts and J owners of queries.

    Attributes:
        logits_KNQJ: before the softmax over N, with the prior.
        raw_KNQJ: weights before they are scaled to sum to 1 (`AttentionScorer.raw_weights`).
        total_KQJ: the sum of `raw_KNQJ` over N.
        inverse_KQJ: one over the length of the attended vector that `raw_KNQJ` makes of the contexts.
        matched_KQJ: cosine of each query and its attended vector, in [-1, 1].
    """

    logits_KNQJ: torch.Tensor
    raw_KNQJ: torch.Tensor
    total_KQJ: torch.Tensor
    inverse_KQJ: torch.Tensor
    matched_KQJ: torch.Tensor

    def unit_weights(self) -> torch.Tensor:
        """Weights `[K, N, Q, J]` whose attended vector has unit length."""
        return self.raw_KNQJ * self.inverse_KQJ[:, None]


def attend(
    scorer: AttentionScorer,
    cosine_KNQJ: torch.Tensor,
    gram_KNN: torch.Tensor,
    mask_KN: torch.Tensor | None = None,
    prior_KNQJ: torch.Tensor | None = None,
    query_mask_KQJ: torch.Tensor | None = None,
    product_KNQJ: torch.Tensor | None = None,
    context_length_KN: torch.Tensor | None = None,
) -> Attended:
    """Attention of every query of J owners over the contexts of each of K owners.

    Args:
        scorer: the options.
        cosine_KNQJ: of contexts and queries; 0 where either is padded.
        gram_KNN: cosines of each owner's contexts among themselves; 0 where padded.
        mask_KN: True for real contexts; None: all are.
        prior_KNQJ: added to the logits.
        query_mask_KQJ: True for real queries; broadcasts. None: all are.
        product_KNQJ, context_length_KN: with `AttentionScorer.products`, the products of contexts and queries, from
            which the logits are computed, and the lengths of the contexts, which attended vectors are made of.
    """
    product_KNQJ = cosine_KNQJ if product_KNQJ is None else product_KNQJ
    mask_KNQJ = None if query_mask_KQJ is None else query_mask_KQJ[:, None]
    logits_KNQJ = scorer.logits(product_KNQJ, query_dim=2, query_mask=mask_KNQJ)
    if prior_KNQJ is not None:
        logits_KNQJ = logits_KNQJ + prior_KNQJ
    mask_KN11 = None if mask_KN is None else mask_KN[:, :, None, None]
    bounded = prior_KNQJ is None and not scorer.products
    raw_KNQJ = scorer.raw_weights(logits_KNQJ, mask_KN11, context_dim=1, bounded=bounded)
    total_KQJ = raw_KNQJ.sum(dim=1)
    # Weights of unit vectors: a longer context counts more in the attended vector.
    unit_KNQJ = raw_KNQJ if context_length_KN is None else raw_KNQJ * context_length_KN[:, :, None, None]
    gram_unit_KNQJ = (gram_KNN @ unit_KNQJ.flatten(2)).view_as(unit_KNQJ)
    unit_total_KQJ = total_KQJ if context_length_KN is None else unit_KNQJ.sum(dim=1)
    inverse_KQJ = inverse_norm((unit_KNQJ * gram_unit_KNQJ).sum(dim=1), unit_total_KQJ)
    matched_KQJ = (unit_KNQJ * cosine_KNQJ).sum(dim=1) * inverse_KQJ
    return Attended(logits_KNQJ, raw_KNQJ, total_KQJ, inverse_KQJ, matched_KQJ)


def scaled_to_one(raw: torch.Tensor, context_dim: int) -> torch.Tensor:
    """Raw weights divided by their sum over the contexts; 0 where there are no contexts."""
    return raw / raw.sum(dim=context_dim, keepdim=True).clamp(min=torch.finfo(raw.dtype).tiny)


def focal_mask(
    weights: torch.Tensor, context_mask: torch.Tensor | None, context_dim: int, rule: Literal["equal", "prob"]
) -> torch.Tensor:
    """BFAN's rule: 1 for the contexts that keep their weight, those with `Σ_k (a_j - a_k) g(a_k) > 0`, else 0.

    `equal` has g = 1 and keeps weights above the mean; `prob` has g = √a and keeps those above `Σ a^1.5 / Σ a^0.5`.
    Where all weights are equal, exactly or but for rounding, all are kept.

    Args:
        weights: attention weights, raw or not; 0 at padded contexts. They get no gradient.
        context_mask: True for real contexts; broadcasts to the weights' shape. None: all are.
        context_dim: the axis of the contexts.
        rule: `equal` or `prob`.
    """
    weights = weights.detach()
    if rule == "equal":
        total = weights.sum(dim=context_dim, keepdim=True)
        if context_mask is None:
            threshold = total / weights.shape[context_dim]
        else:
            threshold = total / context_mask.sum(dim=context_dim, keepdim=True).clamp(min=1)
    else:
        root = weights.sqrt()
        total = root.sum(dim=context_dim, keepdim=True).clamp(min=torch.finfo(weights.dtype).tiny)
        threshold = (weights * root).sum(dim=context_dim, keepdim=True) / total
    # Equal weights are common: all regions have them where a caption has one word. Rounding must not decide then.
    tied = weights.amax(dim=context_dim, keepdim=True) <= threshold * (1 + _TIE)
    # A comparison in place returns numbers, and is an order of magnitude faster than one that returns booleans.
    return weights.clone().gt_(threshold.masked_fill(tied, -1))
