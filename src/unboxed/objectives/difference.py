"""The score difference of SPRM (Rigoni et al., BMVC 2023, section 3.3): a caption's image against a hard negative."""

from __future__ import annotations

import torch

__all__ = ["hardest_image", "score_difference"]


def hardest_image(tokens_CW: torch.Tensor, content_CW: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """The hard negative image of each caption: that of the most similar caption of another image.

    The similarity of two captions is the cosine of their bags of content words, each word weighted by the logarithm of
    its inverse frequency in the batch. (The paper compares means of word vectors.)

    Args:
        tokens_CW: word ids.
        content_CW: True for the words that count.
        image_of_C: index of the image that each caption is paired with; at least two images.

    Returns:
        Indices `[C]` of images, never that of the caption.
    """
    used, compact_CW = torch.unique(tokens_CW, return_inverse=True)
    bag_CT = torch.zeros(len(tokens_CW), len(used), device=tokens_CW.device)
    bag_CT.scatter_add_(1, compact_CW, content_CW.to(bag_CT.dtype))
    bag_CT = bag_CT.clamp(max=1)
    bag_CT = bag_CT * ((1 + len(bag_CT)) / (1 + bag_CT.sum(dim=0))).log()
    normalized_CT = torch.nn.functional.normalize(bag_CT, dim=1)
    similarity_CC = (normalized_CT @ normalized_CT.T).masked_fill(image_of_C[:, None] == image_of_C, float("-inf"))
    return image_of_C[similarity_CC.argmax(dim=1)]


def score_difference(score_BC: torch.Tensor, image_of_C: torch.Tensor, negative_C: torch.Tensor) -> torch.Tensor:
    """Mean over captions of the score with the negative image minus the score with the caption's image.

    Args:
        score_BC: of every image with every caption.
        image_of_C: index of the image that each caption is paired with.
        negative_C: index of the negative image of each caption, of `hardest_image`.
    """
    caption_C = torch.arange(len(image_of_C), device=score_BC.device)
    return (score_BC[negative_C, caption_C] - score_BC[image_of_C, caption_C]).mean()
