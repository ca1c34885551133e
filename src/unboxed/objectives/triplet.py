"""The hinge on scores of images and captions that SCAN and its relatives are trained with (VSE0, VSE++)."""

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
    """Each caption and its image must beat, by a margin, that image with other captions and that caption elsewhere.

    With s the score of a matched pair, `Σ_pairs Σ [margin + s(image', caption) - s]₊ + Σ [margin + s(image, caption') -
    s]₊`, the inner sums over all negatives (VSE0), or over the hardest of each alone (VSE++). A caption of the same
    image is never a negative.

    It is a sum, as in the references, not a mean: when all scores are equal it is `2 · C · margin` for the hardest.

    Args:
        score_BC: how well image and caption fit.
        image_of_C: index of each caption's own image; the B images are distinct.
        margin: by which a matched pair must be ahead.
        negatives: `hardest` or `all`.

    Returns:
        A scalar ≥ 0; 0 with a gradient where there is no negative at all.

    Raises:
        ValueError: an unknown choice of negatives.
    """
    if negatives not in ("hardest", "all"):
        raise ValueError(f"negatives is 'hardest' or 'all', not {negatives!r}.")
    caption_C = torch.arange(len(image_of_C), device=score_BC.device)
    matched_C = score_BC[image_of_C, caption_C]
    image_B = torch.arange(len(score_BC), device=score_BC.device)
    other_BC = image_of_C != image_B[:, None]
    # Axes [other image, caption] and [caption, other caption]: the second has the image's row once for each caption.
    against_images_BC = (margin + score_BC - matched_C).clamp(min=0) * other_BC
    against_captions_CC = (margin + score_BC[image_of_C] - matched_C[:, None]).clamp(min=0) * other_BC[image_of_C]
    if negatives == "hardest":
        return against_images_BC.amax(dim=0).sum() + against_captions_CC.amax(dim=1).sum()
    return against_images_BC.sum() + against_captions_CC.sum()
