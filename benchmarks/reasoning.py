"""Scoring by similarity vectors, SGR and SAF, against a loop over captions.

100 images of 36 regions x 100 captions of 8 to 20 words (the originals' shard), width 1024, similarity vectors of width
256, three graph steps, float32. The loop is the originals': each caption repeated for every image, contents normalised
and compared, two maps for queries and keys in each step and all nodes in the last. Both use the same weights. Most of
the time is matrix products that either must do: the map of the squared differences alone is half a megaflop for each
word and image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks import reference
from benchmarks.harness import Result, Target, alternate
from benchmarks.inputs import draw
from unboxed.alignment.aligner import QueryCodes, RegionCodes
from unboxed.alignment.similarity_reasoning import Reasoning, SimilarityReasoning

TARGETS = (
    Target("SGR: times the loop", "sgr.ratio", "at least", 3, "x"),
    Target("SAF: times the loop", "saf.ratio", "at least", 3, "x"),
)
_KINDS: dict[str, Reasoning] = {"sgr": "graph", "saf": "filter"}


@torch.inference_mode()
def measure(say: Callable[[str], None], images: int = 100, captions: int = 100) -> Result:
    """Ratios of both."""
    codes = draw(images, captions)
    result: Result = {}
    for name, kind in _KINDS.items():
        torch.manual_seed(0)
        model = SimilarityReasoning(2048, 1024, reasoning=kind).eval()
        image_BD = model.whole_image(codes.regions_BRD, codes.mask_BR)
        caption_CD = model.whole_caption(codes.words_CWD, codes.mask_CW)
        regions = RegionCodes((codes.regions_BRD, image_BD[:, None]), codes.mask_BR)
        queries = QueryCodes((codes.words_CWD, caption_CD[:, None]), codes.mask_CW)

        def ours(model: SimilarityReasoning = model, one: RegionCodes = regions, other: QueryCodes = queries) -> object:
            return model.scores(one, other)

        def loop(model: SimilarityReasoning = model, image_BD: object = image_BD, own: object = caption_CD) -> object:
            return reference.reasoning_scores(model, codes.regions_BRD, image_BD, codes.captions, own)

        difference = float((ours() - loop()).abs().max())
        seconds = alternate({"loop": loop, "ours": ours}, 2)
        result[name] = {"ratio": seconds["loop"] / seconds["ours"], "max_difference": difference}
        say(f"{name}: loop {seconds['loop']:.2f} s, ours {seconds['ours']:.2f} s")
    return result
