"""The N-pair objective on a matrix of scores, in both directions (Sohn, NIPS 2016)."""

from __future__ import annotations

import torch
from torch.nn.functional import softplus

__all__ = ["npair_loss"]


def npair_loss(score_BC: torch.Tensor, image_of_C: torch.Tensor, scale: float | torch.Tensor = 1.0) -> torch.Tensor:
    """Each caption must pick its image among all images, and each image its caption among those of other images.

    With one caption for each image this is the sum of two mean cross-entropies, of the rows and of the columns of
    `scale · score`. With several, each matched pair counts once in either direction, and the other captions of the
    image stand neither for nor against it: `log(1 + Σ exp(scale · (s(image, caption') - s)))` over captions of other
    images.

    Cosines without a scale leave it nearly flat: it can then fall from 2 ln B to 2 ln(1 + (B - 1) e⁻²) at most.

    Args:
        score_BC: how well image and caption fit.
        image_of_C: index of each caption's own image; the B images are distinct.
        scale: of the scores; a number, or a scalar tensor that is learned.

    Returns:
        A scalar ≥ 0; 0 with a gradient when there is one image.
    """
    score_BC = score_BC * scale
    caption_C = torch.arange(len(image_of_C), device=score_BC.device)
    matched_C = score_BC[image_of_C, caption_C]
    image_B = torch.arange(len(score_BC), device=score_BC.device)
    own_BC = image_of_C == image_B[:, None]
    # The lowest finite number and not -inf: the log-sum-exp of nothing has no NaN gradient then.
    others_BC = score_BC.masked_fill(own_BC, torch.finfo(score_BC.dtype).min)
    against_images_C = softplus(others_BC.logsumexp(dim=0) - matched_C)
    against_captions_C = softplus(others_BC.logsumexp(dim=1)[image_of_C] - matched_C)
    return against_images_C.mean() + against_captions_C.mean()
