"""Attention of words or phrases over the regions of images, and the scores of images and captions that follow.

Every attention is an `Aligner`, a module that embeds regions and queries, each once, and then compares them all:

    >>> import torch
    >>> from unboxed.attention import AttentionScorer, CrossAttention
    >>> attention = CrossAttention(region_width=20, word_width=12, joint_width=8, scorer=AttentionScorer.scan("t2i"))
    >>> inputs_BRV, edges_BR4 = torch.randn(2, 5, 20), torch.rand(2, 5, 4)  # 2 images of 5 regions
    >>> states_CQH = torch.randn(3, 7, 12)                                  # 3 captions of 7 words
    >>> mask_BR, mask_CQ = torch.ones(2, 5, dtype=torch.bool), torch.ones(3, 7, dtype=torch.bool)
    >>> regions = attention.embed_regions(inputs_BRV, edges_BR4, mask_BR)
    >>> queries = attention.embed_queries(states_CQH, mask_CQ)
    >>> attention.scores(regions, queries).shape                            # [B, C], all pairs
    torch.Size([2, 3])
    >>> attention.align(regions, queries).attention_BCQR.shape              # weights of each word over the regions
    torch.Size([2, 3, 7, 5])
    >>> image_of_C = torch.tensor([0, 0, 1])
    >>> attention.align(regions.of(image_of_C), queries, paired=True).attention_BCQR.shape  # each caption's image only
    torch.Size([1, 3, 7, 5])

A new attention is a subclass of `Aligner` with three methods: `embed_regions`, `embed_queries` and `align`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
