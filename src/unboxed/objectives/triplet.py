"""The triplet loss on scores of images and captions (VSE0 and VSE++, Faghri et al., BMVC 2018; SCAN and others)."""

from __future__ import annotations

from typing import Literal

import torch

__all__ = ["TripletNegatives", "triplet_loss"]

TripletNegatives = Literal["hardest", "all"]


def triplet_loss(
    score_BC: torch.Tensor,
    image_of_C: torch.Tensor,
    margin: float = 0.2,
    negatives: TripletNegatives = "hardest",
) -> torch.Tensor:
    """The score of each matched pair must exceed those of its negatives by a margin: other images, other captions.

    With s the score of a matched pair, the loss is the sum over pairs of `Σ [margin + s(image', caption) - s]₊` and
    `Σ [margin + s(image, caption') - s]₊`. These sums run over all negatives (VSE0), or contain the hardest one only
    (VSE++). A caption of the same image is never a negative.

    The loss is a sum over pairs, as in the references, not a mean: where all scores are equal, it is `2 · C · margin`
    for `hardest`.

    Args:
        score_BC: how well image and caption fit.
        image_of_C: index of the image that each caption is paired with; the B images are distinct.
        margin: >= 0, in units of the score.
        negatives: `hardest` or `all`.

    Returns:
        A scalar >= 0; 0 with a gradient where there is no negative.

    Raises:
        ValueError: unknown negatives.
    """
    if negatives not in ("hardest", "all"):
        raise ValueError(f"negatives is 'hardest' or 'all', not {negatives!r}.")
    caption_C = torch.arange(len(image_of_C), device=score_BC.device)
    matched_C = score_BC[image_of_C, caption_C]
    image_B = torch.arange(len(score_BC), device=score_BC.device)
    other_BC = image_of_C != image_B[:, None]
    # Axes [other image, caption] and [caption, other caption]; in the second, each row is that of the caption's image.
    against_images_BC = (margin + score_BC - matched_C).clamp(min=0) * other_BC
    against_captions_CC = (margin + score_BC[image_of_C] - matched_C[:, None]).clamp(min=0) * other_BC[image_of_C]
    if negatives == "hardest":
        return against_images_BC.amax(dim=0).sum() + against_captions_CC.amax(dim=1).sum()
    return against_images_BC.sum() + against_captions_CC.sum()
