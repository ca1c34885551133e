"""Options and objective that the recipes of image-text matching share: hinge loss, and constraints on attention."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.attention.ranking import Ranking
from unboxed.recipes.config import RecipeConfig
from unboxed.recipes.schedule import Schedule
from unboxed.types import Units

if TYPE_CHECKING:
    import torch

    from unboxed.recipes.pairs import Pairs

__all__ = ["MATCHING_SCHEDULE", "ConstraintConfig", "MatchingConfig"]


@dataclass(frozen=True)
class ConstraintConfig:
    """Contrastive constraints on the attention of paired images and captions (Chen et al., WACV 2023).

    The paper's code is not public; `objectives/constraints.py` states what was reconstructed.

    Attributes:
        constraints: `ccr` (content re-sourcing: the attended content matches the query better than the rest), `ccs`
            (content swapping: the attended content matches its query better than a query of another image), `both`,
            or `none`.
        constraint_weight: of each constraint, relative to the ranking loss of one caption.
        constraint_margin: in cosine.
        ccr_variant: `reversed` contrasts with reversed attention weights, `topk` contrasts the means of the regions
            with the largest and the smallest weights.
        ccs_variant: `query` swaps the query, `content` swaps the attended content.
    """

    constraints: Literal["none", "ccr", "ccs", "both"] = "none"
    constraint_weight: float = 1.0
    constraint_margin: float = 0.2
    ccr_variant: Literal["reversed", "topk"] = "reversed"
    ccs_variant: Literal["query", "content"] = "query"


MATCHING_SCHEDULE = Schedule(epochs=12, images_per_batch=8, captions_per_image=5, select_on="retrieval")
"""The default schedule of the recipes of matching."""


@dataclass(frozen=True)
class MatchingConfig(RecipeConfig):
    """A recipe of image-text matching.

    The default schedule was chosen on the validation split of drawn images. Each image of a batch comes with its five
    captions, so that an epoch encodes it once; after twelve epochs the validation curve is flat. With fewer epochs in
    which all negatives count, the hinge on the hardest negatives alone may collapse. Batches have few images: a short
    caption fits several images of a large batch, and the hardest negative is then no negative.

    The papers' codes sample pairs (`sampling="captions"`): an image that occurs twice in a batch counts as two, so that
    its other caption is a negative. Otherwise captions of one image are never each other's negatives.

    Attributes:
        contrast: `hinge` (the papers), or `npair`, a softmax over all negatives in both directions.
        scale: factor of the scores for `npair`.
        margin: of the hinge (SCAN, BFAN, PFAN, SGR, SAF and VSE++: 0.2).
        warm_up: epochs in which all negatives count; after them only the hardest negative does. The papers have 0; VSE0
            always counts all negatives.
        hinge: the loss of a batch: `mean`, the mean over its captions (while all negatives count, over the negatives
            too), or `sum`, the sum over captions and negatives, as in the papers' codes.
        constraint: constraints on the attention.
    """

    units: ClassVar[Units] = "words"
    loss: ClassVar[str] = "hinge with the hardest negatives"

    contrast: Literal["hinge", "npair"] = "hinge"
    scale: float = 20.0
    margin: float = 0.2
    warm_up: float = 4.0
    hinge: Literal["mean", "sum"] = "mean"
    constraint: ConstraintConfig = field(default_factory=ConstraintConfig)
    region_hidden: int = 256
    ranking: Ranking = field(default_factory=lambda: Ranking(pooling="mean"))
    schedule: Schedule = MATCHING_SCHEDULE

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """The hinge per caption (or the N-pair loss), and the constraints."""
        from unboxed.objectives.contrastive import npair_loss
        from unboxed.objectives.triplet import triplet_loss

        image_of_C = pairs.image_of_C
        if self.contrast == "npair":
            loss = npair_loss(pairs.score_BC, image_of_C, self.scale)
            return {"npair": loss, **self._constraints(pairs)}
        warm = pairs.training_step.epoch < self.warm_up
        negatives: Literal["all", "hardest"] = "all" if warm else "hardest"
        hinge = triplet_loss(pairs.score_BC, image_of_C, self.margin, negatives)
        parts = self._constraints(pairs)
        if self.hinge == "sum":  # a constraint is relative to the loss of one caption
            return {"hinge": hinge, **{name: loss * len(image_of_C) for name, loss in parts.items()}}
        count = max(pairs.image_count - 1, 1) if warm else 1  # of each pair, in each direction
        return {"hinge": hinge / (len(image_of_C) * count), **parts}

    def _constraints(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        chosen = self.constraint
        if chosen.constraints == "none":
            return {}
        from unboxed.objectives.constraints import ccr_loss, ccs_loss, sample_swaps

        captions, parts = pairs.batch.captions, {}
        matched = pairs.matched()
        if chosen.constraints in ("ccr", "both"):
            parts["ccr"] = chosen.constraint_weight * ccr_loss(matched, chosen.constraint_margin, chosen.ccr_variant)
        if chosen.constraints in ("ccs", "both"):
            swaps = sample_swaps(
                matched,
                pairs.image_of_C,
                pairs.generator(),
                word_ids_CQ=captions.tokens_CW,
                eligible_CQ=captions.content_CW,
            )
            parts["ccs"] = chosen.constraint_weight * ccs_loss(
                matched, swaps, chosen.constraint_margin, chosen.ccs_variant
            )
        return parts
