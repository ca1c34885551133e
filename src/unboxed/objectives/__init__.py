"""Objectives: functions from scores, matches or attention to a scalar loss, for any training loop.

They take tensors whose names end in their axes (B images, C captions, Q queries, W words, P phrases, R regions), and
know nothing of models. In your own loop, with any attention of `unboxed.attention`:

    >>> import torch
    >>> from unboxed.attention import KeyValueAttention
    >>> from unboxed.objectives import word_image_infonce
    >>> attention = KeyValueAttention(region_width=20, state_width=12, joint_width=8)
    >>> optimizer = torch.optim.Adam(attention.parameters(), lr=1e-2)
    >>> inputs_BRV, edges_BR4 = torch.randn(2, 5, 20), torch.rand(2, 5, 4)  # 2 images of 5 regions
    >>> states_CWH = torch.randn(3, 7, 12)                                  # 3 captions of 7 words
    >>> mask_BR, mask_CW = torch.ones(2, 5, dtype=torch.bool), torch.ones(3, 7, dtype=torch.bool)
    >>> image_of_C = torch.tensor([0, 0, 1])                                # the image of each caption
    >>> losses = []
    >>> for step in range(20):
    ...     regions = attention.embed_regions(inputs_BRV, edges_BR4, mask_BR)
    ...     words = attention.embed_queries(states_CWH, mask_CW)
    ...     matched_BCW, score_BC = attention.match(regions, words)
    ...     loss = word_image_infonce(matched_BCW, mask_CW, image_of_C)
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     losses.append(loss.item())
    >>> losses[-1] < losses[0]
    True
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
