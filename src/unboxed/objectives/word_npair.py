"""N-pair over single words: which images show a thing, and which things an image shows, as captions say."""

from __future__ import annotations

import torch
from torch.nn.functional import softplus

__all__ = ["word_npair"]


def word_npair(evidence_BU: torch.Tensor, said_BU: torch.Tensor) -> torch.Tensor:
    """Each word must pick its images, and each image its words, among those that do not go together.

    `mean log(1 + Σ_b' exp(φ[b', u] - φ[b, u])) + mean log(1 + Σ_u' exp(φ[b, u'] - φ[b, u]))` over the pairs (b, u) of a
    image and a word of its captions; b' runs over the images whose captions do not say u, u' over the words
    that the captions of b do not say. The other words and images that go together stand neither for nor against a
    pair: a word that several images share must not tell them apart.

    Args:
        evidence_BU: φ, the evidence for each of U distinct words in each image.
        said_BU: True where a caption of the image says the word; each word is said at least once.

    Returns:
        A scalar >= 0; 0 with a gradient when every image says every word.
    """
    # The lowest finite number and not -inf: the log-sum-exp of nothing has no NaN gradient then.
    others_BU = evidence_BU.masked_fill(said_BU, torch.finfo(evidence_BU.dtype).min)
    against_images_BU = softplus(others_BU.logsumexp(dim=0) - evidence_BU)
    against_words_BU = softplus(others_BU.logsumexp(dim=1, keepdim=True) - evidence_BU)
    return ((against_images_BU + against_words_BU) * said_BU).sum() / said_BU.sum()
