"""Contrastive objectives: softmax cross-entropy of positives against negatives.

The loss of a positive with score p against negatives with scores n is `-log(e^p / (e^p + Σ e^n))`. The objectives
differ in what is scored (captions, words, phrases), and in what counts as a negative. `contrast` computes the loss
where the negatives of a positive are those entries of its row or column that are no positives themselves. Where they
are all other entries, the loss is the negative `log_softmax`.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy, softplus

__all__ = [
    "caption_image_infonce",
    "contrast",
    "image_caption_infonce",
    "intra_caption_contrast",
    "negative_word_infonce",
    "npair_loss",
    "word_image_infonce",
    "word_npair",
]

_SAME = 0.25  # overlap of the posteriors of two phrases that may mean the same thing


def contrast(
    score_XY: torch.Tensor,
    positive_XY: torch.Tensor,
    dim: int,
    pairs: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> torch.Tensor:
    """`log(1 + Σ e^(n - p)) = -log(e^p / (e^p + Σ e^n))` of scores p against the negatives n along `dim`.

    Args:
        score_XY: scores.
        positive_XY: True for positives; the others are negatives. A positive is no negative of another positive.
        dim: 0 contrasts a score with those of its column, 1 with those of its row.
        pairs: indices x `[N]` and y `[N]` of the scores whose loss is wanted; None: all.

    Returns:
        `[N]`, or `[X, Y]` without `pairs`; each >= 0, and 0 with a finite gradient where there is no negative.
    """
    # The lowest finite number, not -inf: the gradient of the log-sum-exp of nothing but -inf is NaN.
    negative_XY = score_XY.masked_fill(positive_XY, torch.finfo(score_XY.dtype).min)
    against = negative_XY.logsumexp(dim=dim, keepdim=pairs is None)
    if pairs is None:
        return softplus(against - score_XY)
    return softplus(against[pairs[1 - dim]] - score_XY[pairs])


def word_image_infonce(matched_BCW: torch.Tensor, mask_CW: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """Each word must pick its image among the B images of the batch: `-mean_c mean_w log softmax_b(φ)[image of c]`.

    InfoGround (Gupta et al., ECCV 2020), section 3: a lower bound on the mutual information of words and images. The
    B images are distinct, so another caption of the same image is never a negative.

    Args:
        matched_BCW: φ, how well each word is matched in each image.
        mask_CW: True for the words that count.
        image_of_C: index of the image that each caption is paired with.

    Returns:
        A scalar >= 0; ln B where all images score alike; 0 with a gradient where no word counts.
    """
    caption_C = torch.arange(len(image_of_C), device=matched_BCW.device)
    log_chosen_CW = matched_BCW.log_softmax(dim=0)[image_of_C, caption_C]
    return _mean_over_captions(-log_chosen_CW, mask_CW)


def negative_word_infonce(matched_CN: torch.Tensor, candidate_mask_CN: torch.Tensor) -> torch.Tensor:
    """The true word must score higher than its substitutes in the caption's image: `-mean_c log softmax_n(ψ)[0]`.

    InfoGround (Gupta et al., ECCV 2020), section 3.

    Args:
        matched_CN: ψ, how well the true word (first) and its substitutes are matched, each read in its own caption.
        candidate_mask_CN: False for missing substitutes; a caption without any substitute does not count.

    Returns:
        A scalar >= 0; 0 with a gradient where no caption counts.
    """
    counts_C = candidate_mask_CN[:, 0] & candidate_mask_CN[:, 1:].any(dim=1)
    masked_CN = matched_CN.masked_fill(~candidate_mask_CN, float("-inf"))
    masked_CN = torch.where(counts_C[:, None], masked_CN, matched_CN)
    return _mean_over_captions(-masked_CN.log_softmax(dim=1)[:, :1], counts_C[:, None])


def caption_image_infonce(score_BC: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """Each caption must pick its image among the B images: `-mean_c log softmax_b(score)[image of c]`.

    CKD (Wang et al., CVPR 2021), equation 3.

    Args:
        score_BC: how well image and caption fit.
        image_of_C: index of the image that each caption is paired with; the B images are distinct.

    Returns:
        A scalar >= 0; ln B where all images score alike.
    """
    return cross_entropy(score_BC.T, image_of_C)


def image_caption_infonce(score_BC: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """Each image must pick each of its captions among the captions of other images; the mean over all captions.

    The other direction of `caption_image_infonce`. An image's other captions are no negatives.

    Args:
        score_BC: how well image and caption fit.
        image_of_C: index of the image that each caption is paired with; the B images are distinct.

    Returns:
        A scalar >= 0; 0 with a gradient where there is one image.
    """
    positive_BC, pairs = _positives(score_BC, image_of_C)
    return contrast(score_BC, positive_BC, 1, pairs).mean()


def npair_loss(score_BC: torch.Tensor, image_of_C: torch.Tensor, scale: float | torch.Tensor = 1.0) -> torch.Tensor:
    """`caption_image_infonce + image_caption_infonce` of `scale · score`.

    The N-pair objective (Sohn, NIPS 2016) in both directions. With one caption for each image it is the sum of the mean
    cross-entropies of the rows and of the columns. Cosines need a scale: without one, the loss can only fall from
    2 ln B to 2 ln(1 + (B - 1) e⁻²).

    Args:
        score_BC: how well image and caption fit.
        image_of_C: index of the image that each caption is paired with; the B images are distinct.
        scale: of the scores; a number, or a scalar tensor that is trained.

    Returns:
        A scalar >= 0; 0 with a gradient where there is one image.
    """
    score_BC = score_BC * scale
    positive_BC, pairs = _positives(score_BC, image_of_C)
    return contrast(score_BC, positive_BC, 0, pairs).mean() + contrast(score_BC, positive_BC, 1, pairs).mean()


def word_npair(matched_BU: torch.Tensor, positive_BU: torch.Tensor) -> torch.Tensor:
    """`npair_loss` of single words: each word must pick its images, and each image its words.

    Means over the pairs of an image and a word of its captions. A word that the captions of several images contain does
    not contrast these images.

    Args:
        matched_BU: φ, how well each of U distinct words is matched in each image.
        positive_BU: True where a caption of the image contains the word; at least one image for each word.

    Returns:
        A scalar >= 0; 0 with a gradient where every image has every word.
    """
    loss_BU = contrast(matched_BU, positive_BU, 0) + contrast(matched_BU, positive_BU, 1)
    return (loss_BU * positive_BU).sum() / positive_BU.sum()


def intra_caption_contrast(
    logit_CPR: torch.Tensor, posterior_CPR: torch.Tensor, phrase_mask_CP: torch.Tensor
) -> torch.Tensor:
    """Each phrase must fit what it attends to better than what the other phrases of its caption attend to.

    Symmetric cross-entropy of the phrases of a caption and their attended regions. What phrase p' attends to fits
    phrase p by `Σ_r posterior[p', r] logit[p, r]`. Two phrases whose posteriors overlap by more than a quarter (the sum
    of minima, in [0, 1]) may mean the same thing and are not contrasted. Not from a paper.

    Args:
        logit_CPR: each phrase's scores of the regions of its image; anything finite at padded regions.
        posterior_CPR: each phrase's distribution over regions; 0 at padded regions. It gets no gradient.
        phrase_mask_CP: True for real phrases.

    Returns:
        A scalar >= 0; 0 with a gradient where no caption has two phrases to contrast.
    """
    posterior_CPR = posterior_CPR.detach()
    fit_CPP = logit_CPR @ posterior_CPR.transpose(1, 2)
    overlap_CPP = torch.minimum(posterior_CPR[:, :, None], posterior_CPR[:, None]).sum(dim=-1)
    itself_PP = torch.eye(fit_CPP.shape[1], dtype=torch.bool, device=fit_CPP.device)
    real_CPP = phrase_mask_CP[:, :, None] & phrase_mask_CP[:, None]
    allowed_CPP = (real_CPP & (overlap_CPP <= _SAME)) | itself_PP
    counts_CP = phrase_mask_CP & (allowed_CPP & ~itself_PP).any(dim=-1)
    masked_CPP = fit_CPP.masked_fill(~allowed_CPP, float("-inf"))
    diagonals = [masked_CPP.log_softmax(dim=dim).diagonal(dim1=1, dim2=2) for dim in (1, 2)]
    loss_CP = -(diagonals[0] + diagonals[1]) / 2
    return (loss_CP * counts_CP).sum() / counts_CP.sum().clamp(min=1)


def _positives(
    score_BC: torch.Tensor, image_of_C: torch.Tensor
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """The scores of images with their captions, as a mask `[B, C]` and as C pairs of indices."""
    positive_BC = image_of_C == torch.arange(len(score_BC), device=score_BC.device)[:, None]
    return positive_BC, (image_of_C, torch.arange(len(image_of_C), device=score_BC.device))


def _mean_over_captions(loss_CW: torch.Tensor, mask_CW: torch.Tensor) -> torch.Tensor:
    """Mean over the words that count of each caption, then over the captions that have any."""
    loss_C = (loss_CW * mask_CW).sum(dim=1) / mask_CW.sum(dim=1).clamp(min=1)
    return loss_C.sum() / mask_CW.any(dim=1).sum().clamp(min=1)
