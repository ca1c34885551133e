"""Phrases of one caption against each other: each must fit what it attends to better than what the others do."""

from __future__ import annotations

import torch

__all__ = ["intra_caption_contrast"]


def intra_caption_contrast(
    logit_CPR: torch.Tensor,
    posterior_CPR: torch.Tensor,
    phrase_mask_CP: torch.Tensor,
    *,
    same: float = 0.25,
) -> torch.Tensor:
    """Symmetric cross-entropy of each phrase with what the phrases of its caption attend to.

    What phrase p' attends to fits phrase p by `Σ_r posterior[p', r] logit[p, r]`: the attended content is never built.

    Args:
        logit_CPR: each phrase's scores of the regions of its own image; anything finite at padded regions.
        posterior_CPR: where each phrase looks, rows sum to 1 and are 0 at padded regions; no gradient flows into it.
        phrase_mask_CP: True for real phrases.
        same: two phrases whose posteriors overlap by more than this (the sum of minima) may mean the same thing and are
            not contrasted.

    Returns:
        A scalar >= 0; 0 with a gradient when no caption has two phrases to contrast.
    """
    posterior_CPR = posterior_CPR.detach()
    fit_CPP = logit_CPR @ posterior_CPR.transpose(1, 2)
    overlap_CPP = torch.minimum(posterior_CPR[:, :, None], posterior_CPR[:, None]).sum(dim=-1)
    itself_PP = torch.eye(fit_CPP.shape[1], dtype=torch.bool, device=fit_CPP.device)
    real_CPP = phrase_mask_CP[:, :, None] & phrase_mask_CP[:, None]
    allowed_CPP = (real_CPP & (overlap_CPP <= same)) | itself_PP
    counts_CP = phrase_mask_CP & (allowed_CPP & ~itself_PP).any(dim=-1)
    masked_CPP = fit_CPP.masked_fill(~allowed_CPP, float("-inf"))
    diagonals = [masked_CPP.log_softmax(dim=dim).diagonal(dim1=1, dim2=2) for dim in (1, 2)]
    loss_CP = -(diagonals[0] + diagonals[1]) / 2
    return (loss_CP * counts_CP).sum() / counts_CP.sum().clamp(min=1)
