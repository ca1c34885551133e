"""Attention of words or phrases over the regions of images, and the scores that follow.

Every attention is a module with the same four steps (`Aligner`, in `base`): embed regions, embed queries, align them,
score images and captions. It works in any training loop:

    attention = CrossAttention.scan(region_width=2048, state_width=256, joint_width=1024)
    regions = attention.embed_regions(inputs_BRV, edges_BR4, mask_BR)      # of B images
    queries = attention.embed_queries(states_CQH, mask_CQ)                 # words or phrases of C captions
    score_BC = attention.scores(regions, queries)                    # all pairs
    alignment = attention.align(regions, queries)                    # similarity_BCQR, attention_BCQR, matched_BCQ, …
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
