"""A caption's score with its own image over that with one hard negative image (SPRM, section 3.3)."""

from __future__ import annotations

import torch

__all__ = ["most_alike_image", "score_difference"]


def most_alike_image(tokens_CW: torch.Tensor, content_CW: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """For each caption, the image of the caption of another image that shares most of its content words.

    Alikeness is the cosine between the captions' bags of content words, each word weighted by the logarithm of how rare
    it is in the batch. (The paper compares means of word vectors; bags need none.)

    Args:
        tokens_CW: word ids.
        content_CW: True for the words that count.
        image_of_C: index of each caption's own image; at least two images.

    Returns:
        `[C]` indices of images, never a caption's own.
    """
    used, compact_CW = torch.unique(tokens_CW, return_inverse=True)
    bag_CT = torch.zeros(len(tokens_CW), len(used), device=tokens_CW.device)
    bag_CT.scatter_add_(1, compact_CW, content_CW.to(bag_CT.dtype))
    bag_CT = bag_CT.clamp(max=1)
    bag_CT = bag_CT * ((1 + len(bag_CT)) / (1 + bag_CT.sum(dim=0))).log()
    unit_CT = torch.nn.functional.normalize(bag_CT, dim=1)
    alike_CC = (unit_CT @ unit_CT.T).masked_fill(image_of_C[:, None] == image_of_C, float("-inf"))
    return image_of_C[alike_CC.argmax(dim=1)]


def score_difference(score_BC: torch.Tensor, image_of_C: torch.Tensor, negative_C: torch.Tensor) -> torch.Tensor:
    """Mean over captions of the score with the negative image minus the score with the own one.

    Args:
        score_BC: of every image with every caption.
        image_of_C: index of each caption's own image.
        negative_C: index of each caption's negative image.
    """
    caption_C = torch.arange(len(image_of_C), device=score_BC.device)
    return (score_BC[negative_C, caption_C] - score_BC[image_of_C, caption_C]).mean()
