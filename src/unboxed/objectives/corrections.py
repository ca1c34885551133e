"""Supervision by boxes that people corrected. No paper and no default uses it: training sees captions alone."""

from __future__ import annotations

import torch

__all__ = ["right_regions"]


def right_regions(logit_CPR: torch.Tensor, right_CPR: torch.Tensor) -> torch.Tensor:
    """Mean negative logarithm of the attention on the right regions, over the phrases that have one.

    Args:
        logit_CPR: each phrase's logits over the regions of its image; -inf at padded regions.
        right_CPR: True for the regions that the phrase refers to according to a person's box.

    Returns:
        A scalar >= 0; 0 with a gradient where no phrase has a right region.
    """
    known_CP = right_CPR.any(dim=-1)
    counted_CPR = right_CPR | ~known_CP[..., None]  # all regions of the others: their loss is 0
    log_CPR = logit_CPR.log_softmax(dim=-1).masked_fill(~counted_CPR, float("-inf"))
    return -(log_CPR.logsumexp(dim=-1) * known_CP).sum() / known_CP.sum().clamp(min=1)
