"""What the untrained prior teaches: where it looks, the model should look (CKD, section 3.3)."""

from __future__ import annotations

import torch

__all__ = ["distillation"]


def distillation(
    logit_CPR: torch.Tensor,
    prior_CPR: torch.Tensor,
    phrase_mask_CP: torch.Tensor,
    region_mask_CR: torch.Tensor,
    edges_CR4: torch.Tensor,
    *,
    temperature: float,
    neighbours: int = 0,
) -> torch.Tensor:
    """Mean cross-entropy from teacher to student over the phrases of which the prior knows anything.

    The teacher is `softmax_r(prior / temperature)`, without gradient; the student is `softmax_r(logit)`.

    Args:
        logit_CPR: each phrase's logits over the regions of its own image.
        prior_CPR: the untrained scores there, 0 where the prior knows nothing.
        phrase_mask_CP: True for real phrases.
        region_mask_CR: True for the real regions of each caption's image.
        edges_CR4: the regions' boxes, for the neighbourhood.
        temperature: of the teacher, > 0.
        neighbours: compare on the N regions that overlap the student's choice most, itself included; 0: on all.

    Returns:
        A scalar >= 0; 0 with a gradient when no phrase is taught.
    """
    allowed_CPR = region_mask_CR[:, None].expand_as(logit_CPR)
    known_CP = phrase_mask_CP & (prior_CPR * allowed_CPR).amax(dim=-1).gt(0)
    if neighbours:
        allowed_CPR = _nearest(logit_CPR.detach(), edges_CR4, allowed_CPR, neighbours)
    teacher_CPR = (prior_CPR.detach() / temperature).masked_fill(~allowed_CPR, float("-inf")).softmax(dim=-1)
    student_CPR = logit_CPR.masked_fill(~allowed_CPR, float("-inf")).log_softmax(dim=-1)
    loss_CP = -(teacher_CPR * student_CPR.masked_fill(~allowed_CPR, 0)).sum(dim=-1)
    return (loss_CP * known_CP).sum() / known_CP.sum().clamp(min=1)


def _nearest(logit_CPR: torch.Tensor, edges_CR4: torch.Tensor, allowed_CPR: torch.Tensor, count: int) -> torch.Tensor:
    """`[C, P, R]`: is the region one of the `count` that overlap the best-scored one most?"""
    best_CP = logit_CPR.masked_fill(~allowed_CPR, float("-inf")).argmax(dim=-1)
    chosen_CP4 = edges_CR4.gather(1, best_CP[..., None].expand(-1, -1, 4))
    overlap_CPR = _overlap(chosen_CP4, edges_CR4).masked_fill(~allowed_CPR, -1)
    chosen_CPN = overlap_CPR.topk(min(count, overlap_CPR.shape[-1]), dim=-1).indices
    return torch.zeros_like(allowed_CPR).scatter(-1, chosen_CPN, True) & allowed_CPR


def _overlap(boxes_CP4: torch.Tensor, others_CR4: torch.Tensor) -> torch.Tensor:
    """Intersection over union `[C, P, R]`."""
    low = torch.maximum(boxes_CP4[:, :, None, :2], others_CR4[:, None, :, :2])
    high = torch.minimum(boxes_CP4[:, :, None, 2:], others_CR4[:, None, :, 2:])
    intersection = (high - low).clamp(min=0).prod(dim=-1)
    area_CP = (boxes_CP4[..., 2:] - boxes_CP4[..., :2]).clamp(min=0).prod(dim=-1)
    area_CR = (others_CR4[..., 2:] - others_CR4[..., :2]).clamp(min=0).prod(dim=-1)
    return intersection / (area_CP[:, :, None] + area_CR[:, None] - intersection).clamp(min=1e-9)
