"""Scoring by similarity vectors, SGR and SAF, against a loop over captions.

100 images of 36 regions x 100 captions of 8 to 20 words (the originals' shard), width 1024, similarity vectors of width
256, three graph steps, float32. The loop is the originals': each caption repeated for every image, contents normalised
and compared, two maps for queries and keys in each step and all nodes in the last. Both use the same weights.

Most of the time is matrix products that either must do: the map of the squared differences alone is half a megaflop for
each word and image. So the bare products are timed in the same turns, each over all pairs at once into memory that is
there already: cosines, contents, the maps of the local and the global differences, and for SGR the graph's maps, one
for queries and keys together and of the last step the first node alone. `floor_ratio` is our time over theirs, and
`limit` the loop's time over theirs: the most that any exact method in float32 could reach as `ratio`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks import reference
from benchmarks.harness import Result, Target, alternate
from benchmarks.inputs import Codes, draw
from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.sgraf import Reasoning, SimilarityReasoning
from unboxed.attention.sgraf_heads import GraphReasoning

TARGETS = (
    Target("SGR: times the loop", "sgr.ratio", "at least", 3, "x"),
    Target("SAF: times the loop", "saf.ratio", "at least", 3, "x"),
)
_KINDS: dict[str, Reasoning] = {"sgr": "graph", "saf": "filter"}


@torch.inference_mode()
def measure(show: Callable[[str], None], images: int = 100, captions: int = 100) -> Result:
    """Ratios of both."""
    codes = draw(images, captions)
    result: Result = {}
    for name, kind in _KINDS.items():
        torch.manual_seed(0)
        model = SimilarityReasoning(2048, 1024, reasoning=kind).eval()
        image_BD = model.whole_image(codes.regions_BRD, codes.mask_BR)
        caption_CD = model.whole_caption(codes.words_CWD, codes.mask_CW)
        regions = RegionEmbeddings((codes.regions_BRD, image_BD[:, None]), codes.mask_BR)
        queries = QueryEmbeddings((codes.words_CWD, caption_CD[:, None]), codes.mask_CW)

        def ours(
            model: SimilarityReasoning = model, one: RegionEmbeddings = regions, other: QueryEmbeddings = queries
        ) -> object:
            return model.scores(one, other)

        def loop(model: SimilarityReasoning = model, image_BD: object = image_BD, own: object = caption_CD) -> object:
            return reference.reasoning_scores(model, codes.regions_BRD, image_BD, codes.captions, own)

        difference = float((ours() - loop()).abs().max())
        seconds = alternate({"loop": loop, "ours": ours, "products": _products(model, codes)}, 3)
        result[name] = {
            "ratio": seconds["loop"] / seconds["ours"],
            "floor_ratio": seconds["ours"] / seconds["products"],
            "limit": seconds["loop"] / seconds["products"],
            "max_difference": difference,
        }
        show(name + ": " + ", ".join(f"{what} {time:.2f} s" for what, time in seconds.items()))
    return result


def _products(model: SimilarityReasoning, codes: Codes) -> Callable[[], None]:
    """The matrix products alone, as large as they can be made at once."""
    images, regions, width = codes.regions_BRD.shape
    words_TD = torch.cat(codes.captions)
    captions, words, vector = len(codes.captions), len(words_TD), model.compare_local.out_features
    nodes = captions + words
    rows_ND, shares_BTR = codes.regions_BRD.flatten(0, 1), torch.rand(images, words, regions)
    cosine_NT, content_BTD = rows_ND.new_empty(len(rows_ND), words), rows_ND.new_empty(images, words, width)
    whole_PD = torch.rand(images * captions, width)
    node_MS, made_MS = torch.rand(images * nodes, vector), rows_ND.new_empty(images * nodes, vector)
    steps = len(model.head.steps) if isinstance(model.head, GraphReasoning) else 0
    weight_SS = torch.rand(vector, vector)

    def products() -> None:
        torch.mm(rows_ND, words_TD.T, out=cosine_NT)
        torch.bmm(shares_BTR, codes.regions_BRD, out=content_BTD)
        local_PD = content_BTD.view(-1, width)
        torch.mm(local_PD, model.compare_local.weight.T, out=made_MS[: len(local_PD)])
        torch.mm(whole_PD, model.compare_whole.weight.T, out=made_MS[: len(whole_PD)])
        for step in range(1, steps + 1):
            rows = images * nodes if step < steps else images * captions
            for _ in ("query and key", "value"):
                torch.mm(node_MS[:rows], weight_SS, out=made_MS[:rows])

    return products
