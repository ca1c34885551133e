"""Contrastive lower bounds on the information that words and images share (InfoGround, section 3)."""

from __future__ import annotations

import torch

__all__ = ["caption_image_infonce", "image_caption_infonce", "negative_word_infonce", "word_image_infonce"]


def word_image_infonce(evidence_BCW: torch.Tensor, mask_CW: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """Each word must pick its own image among the B images of the batch: `-mean_c mean_w log softmax_b(φ)[own]`.

    The B images are distinct, so another caption of the same image is never a negative.

    Args:
        evidence_BCW: φ, the evidence for each word in each image.
        mask_CW: True for the words that count.
        image_of_C: index of each caption's own image.

    Returns:
        A scalar ≥ 0; ln B when all images look alike; 0 with a gradient when no word counts.
    """
    caption_C = torch.arange(len(image_of_C), device=evidence_BCW.device)
    log_chosen_CW = evidence_BCW.log_softmax(dim=0)[image_of_C, caption_C]
    return _mean_over_captions(-log_chosen_CW, mask_CW)


def caption_image_infonce(score_BC: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """Each caption must pick its own image among the B: `-mean_c log softmax_b(score)[own]` (CKD, equation 3)."""
    return torch.nn.functional.cross_entropy(score_BC.T, image_of_C)


def image_caption_infonce(score_BC: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """Each image must pick each of its captions among the captions of other images, the mean over all captions.

    Args:
        score_BC: of every image with every caption.
        image_of_C: index of each caption's own image; an image's other captions are not negatives.
    """
    own_BC = image_of_C[None, :] == torch.arange(len(score_BC), device=score_BC.device)[:, None]
    others_B = score_BC.masked_fill(own_BC, float("-inf")).logsumexp(dim=1)
    true_C = score_BC.gather(0, image_of_C[None])[0]
    return torch.nn.functional.softplus(others_B[image_of_C] - true_C).mean()


def negative_word_infonce(evidence_CN: torch.Tensor, candidate_mask_CN: torch.Tensor) -> torch.Tensor:
    """The true word must beat its substitutes on the caption's own image: `-mean_c log softmax_n(ψ)[0]`.

    Args:
        evidence_CN: ψ, evidence of the true word (first) and of its substitutes, each read in its own caption.
        candidate_mask_CN: False for missing substitutes; a caption without any substitute does not count.

    Returns:
        A scalar ≥ 0; 0 with a gradient when no caption counts.
    """
    counts_C = candidate_mask_CN[:, 0] & candidate_mask_CN[:, 1:].any(dim=1)
    masked_CN = evidence_CN.masked_fill(~candidate_mask_CN, float("-inf"))
    masked_CN = torch.where(counts_C[:, None], masked_CN, evidence_CN)
    return _mean_over_captions(-masked_CN.log_softmax(dim=1)[:, :1], counts_C[:, None])


def _mean_over_captions(loss_CW: torch.Tensor, mask_CW: torch.Tensor) -> torch.Tensor:
    """Mean over the words that count of each caption, then over the captions that have any."""
    loss_C = (loss_CW * mask_CW).sum(dim=1) / mask_CW.sum(dim=1).clamp(min=1)
    return loss_C.sum() / mask_CW.any(dim=1).sum().clamp(min=1)
