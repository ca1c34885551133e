"""Knowledge distillation from the semantic prior (CKD, Wang et al., CVPR 2021, section 3.3), or from a trained run."""

from __future__ import annotations

import torch

from unboxed.boxes import tensor_iou

__all__ = ["distillation"]

_LEAST = 1e-30  # probability, whose logarithm is finite


def distillation(
    logit_CPR: torch.Tensor,
    teacher_CPR: torch.Tensor,
    phrase_mask_CP: torch.Tensor,
    region_mask_CR: torch.Tensor,
    edges_CR4: torch.Tensor,
    *,
    temperature: float | None,
    neighbours: int = 0,
) -> torch.Tensor:
    """Mean cross-entropy of the teacher and the student over the phrases that the teacher gives a region.

    The teacher is `softmax_r(scores / temperature)`, or probabilities, without gradient; the student is
    `softmax_r(logit)`.

    Args:
        logit_CPR: each phrase's logits over the regions of its image; in CKD the cosines, which are not scaled.
        teacher_CPR: the teacher's scores >= 0 there; a phrase whose scores are all 0 does not count.
        phrase_mask_CP: True for real phrases.
        region_mask_CR: True for the real regions of each caption's image.
        edges_CR4: the regions' boxes, in any unit, for the neighbourhood.
        temperature: of the teacher, > 0; None: the scores are probabilities, which are divided by their sum.
        neighbours: compare on the regions that overlap the student's best region most, this many, itself included
            (CKD: 8); 0: on all regions. Of regions that overlap it equally, the first are taken.

    Returns:
        A scalar >= 0; 0 with a gradient where no phrase counts.
    """
    allowed_CPR = region_mask_CR[:, None].expand_as(logit_CPR)
    known_CP = phrase_mask_CP & (teacher_CPR * allowed_CPR).amax(dim=-1).gt(0)
    if neighbours:
        allowed_CPR = _nearest(logit_CPR.detach(), edges_CR4, allowed_CPR, neighbours)
    teacher_CPR = teacher_CPR.detach()
    teacher_CPR = teacher_CPR.clamp(min=_LEAST).log() if temperature is None else teacher_CPR / temperature
    teacher_CPR = teacher_CPR.masked_fill(~allowed_CPR, float("-inf")).softmax(dim=-1)
    student_CPR = logit_CPR.masked_fill(~allowed_CPR, float("-inf")).log_softmax(dim=-1)
    loss_CP = -(teacher_CPR * student_CPR.masked_fill(~allowed_CPR, 0)).sum(dim=-1)
    return (loss_CP * known_CP).sum() / known_CP.sum().clamp(min=1)


def _nearest(logit_CPR: torch.Tensor, edges_CR4: torch.Tensor, allowed_CPR: torch.Tensor, count: int) -> torch.Tensor:
    """`[C, P, R]`: whether the region is one of the `count` that overlap the best-scored one most."""
    best_CP = logit_CPR.masked_fill(~allowed_CPR, float("-inf")).argmax(dim=-1)
    chosen_CP4 = edges_CR4.gather(1, best_CP[..., None].expand(-1, -1, 4))
    overlap_CPR = tensor_iou(chosen_CP4, edges_CR4).scatter(-1, best_CP[..., None], 1)  # also of a box without area
    overlap_CPR = overlap_CPR.masked_fill(~allowed_CPR, -1)
    chosen_CPN = overlap_CPR.argsort(dim=-1, descending=True, stable=True)[..., :count]
    return torch.zeros_like(allowed_CPR).scatter(-1, chosen_CPN, True) & allowed_CPR
