"""Stacked cross attention and its relatives as one function of the cosines of words and regions.

Lee et al., ECCV 2018 (SCAN); Liu et al., ACM MM 2019 (BFAN, the focal rule); Wang et al., IJCAI 2019 (PFAN, the bonus).

Queries attend to contexts: words to regions ("t2i") or regions to words ("i2t"). With unit vectors, the cosines
`s = K q` of a query with its contexts K, their products `G = K Kᵀ` among themselves and the weights `a`, the cosine of
the query and what it attends to is `a·s / √(aᵀ G a)`: the attended content, of the joint width, is never built.

The scorer's methods work on tensors `[…]` of cosines in which one axis is the queries' and one the contexts'. `attend`,
which all scores and attentions of pairs are made by, wants them in one order, `[K, N, Q, J]`: for each of K owners of N
contexts (images for t2i, captions for i2t) and each of J owners of Q queries. The last axis is one that no sum runs
along, so that every sum adds rows to rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch.nn.functional import leaky_relu

from unboxed.attention.normalize import inverse_norm, inverse_root

__all__ = [
    "Aggregation",
    "Attended",
    "AttentionScorer",
    "Direction",
    "FocalRule",
    "attend",
    "focal_mask",
    "shares_to_weights",
]

Direction = Literal["t2i", "i2t", "both"]
FocalRule = Literal["none", "equal", "prob"]
Aggregation = Literal["mean", "lse", "max", "sum"]
NormalisedOver = Literal["queries", "contexts", "none"]

_SAFE_EXPONENT = 30.0  # exp, its square and the sum of thousands of squares are normal single-precision numbers
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
        for name, options in (
            ("direction", Direction),
            ("normalised_over", NormalisedOver),
            ("focal", FocalRule),
            ("aggregation", Aggregation),
        ):
            if getattr(self, name) not in get_args(options):
                raise ValueError(f"{name} is one of {get_args(options)}, not {getattr(self, name)!r}.")

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

    def shares(
        self, logits: torch.Tensor, context_mask: torch.Tensor | None, context_dim: int, bounded: bool = False
    ) -> torch.Tensor:
        """The weights over the contexts up to a factor of each query's own, >= 0, and 0 at padded contexts.

        A cosine with what is attended does not depend on the factor: all-pairs scores never divide by it.

        Args:
            logits: of `logits`.
            context_mask: True for real contexts; of any shape that broadcasts to that of the logits. None: all are.
            context_dim: the axis of the contexts.
            bounded: no logit is larger than the sharpness. A small one then needs no maximum taken away.
        """
        if not (bounded and self.sharpness <= _SAFE_EXPONENT):
            # The lowest finite number, not -inf: a query without any context then has no NaN, and no NaN gradient.
            lowest = torch.finfo(logits.dtype).min
            known = logits if context_mask is None else logits.masked_fill(~context_mask, lowest)
            logits = known - known.detach().amax(dim=context_dim, keepdim=True)
        shares = logits.exp()
        if context_mask is not None:
            shares = shares * context_mask
        return shares if self.focal == "none" else shares * _kept(shares, context_mask, context_dim, self.focal)

    def weights(self, logits: torch.Tensor, context_mask: torch.Tensor, context_dim: int) -> torch.Tensor:
        """Weights over the contexts, summing to 1; 0 at padded ones, and everywhere where there are none.

        Args:
            logits: of `logits`.
            context_mask: True for real contexts; of any shape that broadcasts to that of the logits.
            context_dim: the axis of the contexts.
        """
        return shares_to_weights(self.shares(logits, context_mask, context_dim), context_dim)

    def score(self, attended: Attended, query_mask: torch.Tensor, direction: Literal["t2i", "i2t"]) -> torch.Tensor:
        """Scores `[K, J]` of one direction: the queries' evidence put together, with the bonus in t2i.

        Args:
            attended: of `attend`.
            query_mask: True for real queries; broadcasts to `[K, Q, J]`.
            direction: which it is of.
        """
        score_KJ = self.aggregate(attended.matched_KQJ, query_mask, query_dim=1)
        if self.bonus and direction == "t2i":
            smallest = torch.finfo(attended.total_KQJ.dtype).tiny
            largest_KQJ = attended.shares_KNQJ.amax(dim=1) / attended.total_KQJ.clamp(min=smallest)
            score_KJ = score_KJ + self.bonus * self.aggregate(largest_KQJ, query_mask, query_dim=1)
        return score_KJ

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


class Attended(NamedTuple):
    """One direction of attention between K owners of contexts and J owners of queries.

    Attributes:
        logits_KNQJ: before the softmax over N, with the prior.
        shares_KNQJ: weights up to a factor of each query's own (`AttentionScorer.shares`).
        total_KQJ: the shares' sum over N.
        inverse_KQJ: one over the length of what the shares gather.
        matched_KQJ: cosine of each query with what it attends to, in [-1, 1].
    """

    logits_KNQJ: torch.Tensor
    shares_KNQJ: torch.Tensor
    total_KQJ: torch.Tensor
    inverse_KQJ: torch.Tensor
    matched_KQJ: torch.Tensor

    def unit_weights(self) -> torch.Tensor:
        """Weights `[K, N, Q, J]` whose attended vector has unit length."""
        return self.shares_KNQJ * self.inverse_KQJ[:, None]


def attend(
    scorer: AttentionScorer,
    cosine_KNQJ: torch.Tensor,
    gram_KNN: torch.Tensor,
    mask_KN: torch.Tensor | None = None,
    prior_KNQJ: torch.Tensor | None = None,
) -> Attended:
    """Every query of J owners over the contexts of each of K owners.

    Args:
        scorer: the rules.
        cosine_KNQJ: of contexts and queries; 0 where either is padded.
        gram_KNN: cosines of each owner's contexts among themselves; 0 where padded.
        mask_KN: True for real contexts; None when all are.
        prior_KNQJ: added to the logits.
    """
    logits_KNQJ = scorer.logits(cosine_KNQJ, query_dim=2, context_dim=1)
    if prior_KNQJ is not None:
        logits_KNQJ = logits_KNQJ + prior_KNQJ
    mask_KN11 = None if mask_KN is None else mask_KN[:, :, None, None]
    shares_KNQJ = scorer.shares(logits_KNQJ, mask_KN11, context_dim=1, bounded=prior_KNQJ is None)
    spread_KNQJ = (gram_KNN @ shares_KNQJ.flatten(2)).view_as(shares_KNQJ)
    total_KQJ = shares_KNQJ.sum(dim=1)
    inverse_KQJ = inverse_norm((shares_KNQJ * spread_KNQJ).sum(dim=1), total_KQJ)
    matched_KQJ = (shares_KNQJ * cosine_KNQJ).sum(dim=1) * inverse_KQJ
    return Attended(logits_KNQJ, shares_KNQJ, total_KQJ, inverse_KQJ, matched_KQJ)


def shares_to_weights(shares: torch.Tensor, context_dim: int) -> torch.Tensor:
    """Shares divided by their sum over the contexts; 0 where there are none."""
    return shares / shares.sum(dim=context_dim, keepdim=True).clamp(min=torch.finfo(shares.dtype).tiny)


def focal_mask(weights: torch.Tensor, context_mask: torch.Tensor, context_dim: int, rule: FocalRule) -> torch.Tensor:
    """BFAN's choice of the contexts that keep their weight: True where `Σ_k (a_j - a_k) g(a_k) > 0`.

    `equal` has g = 1, so that weights above the mean are kept; `prob` has g = √a, so that those above
    `Σ a^1.5 / Σ a^0.5` are. Where all weights tie, none would be kept; all are then, also if they tie but for rounding.

    Args:
        weights: up to a factor of each query's own; 0 at padded contexts. No gradient flows through the choice.
        context_mask: True for real contexts; broadcasts to the weights' shape.
        context_dim: the axis of the contexts.
        rule: `equal` or `prob`; `none` keeps all.
    """
    if rule == "none":
        return context_mask.expand_as(weights)
    return _kept(weights, context_mask, context_dim, rule) > 0


def _kept(weights: torch.Tensor, context_mask: torch.Tensor | None, context_dim: int, rule: FocalRule) -> torch.Tensor:
    """`focal_mask` as numbers, 1 or 0."""
    weights = weights.detach()
    if rule == "equal":
        total = weights.sum(dim=context_dim, keepdim=True)
        if context_mask is None:
            threshold = total / weights.shape[context_dim]
        else:
            threshold = total / context_mask.sum(dim=context_dim, keepdim=True).clamp(min=1)
    else:
        root = weights.sqrt()
        smallest = torch.finfo(weights.dtype).tiny
        threshold = (weights * root).sum(context_dim, True) / root.sum(context_dim, True).clamp(min=smallest)
    # Weights tie more often than one thinks (each region of a caption of one word does); rounding must not choose then.
    tied = weights.amax(dim=context_dim, keepdim=True) <= threshold * (1 + _TIE)
    # A comparison in place yields numbers, and is an order of magnitude faster than one that yields truth values.
    return weights.clone().gt_(threshold.masked_fill(tied, -1))
