"""The score difference of SPRM (Rigoni et al., BMVC 2023, section 3.3): a caption's image against a hard negative."""

from __future__ import annotations

import torch

__all__ = ["caption_cosines", "hardest_image", "image_of_most_similar", "score_difference"]


def hardest_image(tokens_CW: torch.Tensor, content_CW: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """The hard negative image of each caption: that of the most similar caption of another image.

    The similarity of two captions is the cosine of their bags of content words, each word weighted by the logarithm of
    its inverse frequency in the batch. (The paper compares means of word vectors: `caption_cosines`.)

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
    return image_of_most_similar(normalized_CT @ normalized_CT.T, image_of_C)


def caption_cosines(vectors_CWE: torch.Tensor, phrase_CPW: torch.Tensor) -> torch.Tensor:
    """Cosines `[C, C]` of captions as means over their phrases of the means over words (SPRM's similarity).

    Args:
        vectors_CWE: vectors of the words; unknown words count with a vector of zeros.
        phrase_CPW: True where word w belongs to phrase p; rows of False are padding.
    """
    weight_CPW = phrase_CPW.to(vectors_CWE.dtype)
    weight_CPW = weight_CPW / weight_CPW.sum(dim=-1, keepdim=True).clamp(min=1)
    sum_CE = (weight_CPW.sum(dim=1)[:, None] @ vectors_CWE)[:, 0]  # the number of phrases cancels out
    normalized_CE = torch.nn.functional.normalize(sum_CE, dim=1)
    return normalized_CE @ normalized_CE.T


def image_of_most_similar(similarity_CC: torch.Tensor, image_of_C: torch.Tensor) -> torch.Tensor:
    """The image of the caption that is most similar to each caption, among those of other images.

    Args:
        similarity_CC: of every two captions.
        image_of_C: index of the image that each caption is paired with; at least two images.

    Returns:
        Indices `[C]` of images.
    """
    other_CC = similarity_CC.masked_fill(image_of_C[:, None] == image_of_C, float("-inf"))
    return image_of_C[other_CC.argmax(dim=1)]


def score_difference(paired_C: torch.Tensor, negative_NC: torch.Tensor) -> torch.Tensor:
    """Mean over captions of the score with a negative image minus the score with the caption's image.

    Args:
        paired_C: the score of each caption with its image.
        negative_NC: the score of each caption with a negative image, such as that of `hardest_image`, `[C]`; or with
            each of N negative images.

    Returns:
        A scalar; below 0 where captions fit their images better.
    """
    return (negative_NC - paired_C).mean()
