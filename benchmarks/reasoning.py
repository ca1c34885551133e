"""Scoring by similarity vectors, SGR and SAF, against a loop over captions.

100 images of 36 regions x 100 captions of 8 to 20 words (the shard of the original implementation), width 1024,
similarity vectors of width 256, three graph steps, float32. The loop is that of the original implementation: each
caption is repeated for every image, attended features are normalized and compared, and each graph step applies separate
maps for queries and keys, and in the last step to all nodes. Both use the same weights.

Most of the time is spent in matrix products that both need: the map of the squared differences alone takes half a
megaflop per word and image. Therefore the bare products are timed in the same turns, each over all pairs at once into
preallocated memory: cosines, attended features, the maps of the local and the global differences, and for SGR the maps
of the graph, with one map for queries and keys together and only the first node in the last step. `floor_ratio` is our
time divided by theirs, and `limit` the time of the loop divided by theirs: the largest `ratio` that an exact method in
float32 could reach.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks import reference
from benchmarks.harness import Result, Target, alternate
from benchmarks.inputs import RandomEmbeddings, random_embeddings
from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.sgraf import Reasoning, ReasoningSettings, SimilarityReasoning
from unboxed.attention.sgraf_heads import GraphReasoning

TARGETS = (
    Target("SGR: speed-up over the loop", "sgr.ratio", "at least", 3, "x"),
    Target("SAF: speed-up over the loop", "saf.ratio", "at least", 3, "x"),
)
_KINDS: dict[str, Reasoning] = {"sgr": "graph", "saf": "filter"}


@torch.inference_mode()
def measure(show: Callable[[str], None], images: int = 100, captions: int = 100) -> Result:
    """Ratios for both heads."""
    inputs = random_embeddings(images, captions)
    result: Result = {}
    for name, kind in _KINDS.items():
        torch.manual_seed(0)
        model = SimilarityReasoning(2048, 1024, settings=ReasoningSettings(kind)).eval()
        image_BD = model.whole_image(inputs.regions_BRD, inputs.mask_BR)
        caption_CD = model.whole_caption(inputs.words_CWD, inputs.mask_CW)
        regions = RegionEmbeddings((inputs.regions_BRD, image_BD[:, None]), inputs.mask_BR)
        queries = QueryEmbeddings((inputs.words_CWD, caption_CD[:, None]), inputs.mask_CW)

        def ours(
            model: SimilarityReasoning = model, one: RegionEmbeddings = regions, other: QueryEmbeddings = queries
        ) -> torch.Tensor:
            return model.scores(one, other)

        def loop(
            model: SimilarityReasoning = model,
            image_BD: torch.Tensor = image_BD,
            caption_CD: torch.Tensor = caption_CD,
        ) -> torch.Tensor:
            return reference.reasoning_scores(model, inputs.regions_BRD, image_BD, inputs.captions, caption_CD)

        difference = float((ours() - loop()).abs().max())
        seconds = alternate({"loop": loop, "ours": ours, "products": _products(model, inputs)}, 3)
        result[name] = {
            "ratio": seconds["loop"] / seconds["ours"],
            "floor_ratio": seconds["ours"] / seconds["products"],
            "limit": seconds["loop"] / seconds["products"],
            "max_difference": difference,
        }
        show(f"{name}: " + ", ".join(f"{candidate} {time:.2f} s" for candidate, time in seconds.items()))
    return result


def _products(model: SimilarityReasoning, inputs: RandomEmbeddings) -> Callable[[], None]:
    """The matrix products alone, each as one large product."""
    images, regions, width = inputs.regions_BRD.shape
    words_TD = torch.cat(inputs.captions)
    captions, words, vector = len(inputs.captions), len(words_TD), model.compare_local.out_features
    nodes = captions + words
    rows_ND, shares_BTR = inputs.regions_BRD.flatten(0, 1), torch.rand(images, words, regions)
    cosine_NT, attended_BTD = rows_ND.new_empty(len(rows_ND), words), rows_ND.new_empty(images, words, width)
    whole_PD = torch.rand(images * captions, width)
    node_MS, product_MS = torch.rand(images * nodes, vector), rows_ND.new_empty(images * nodes, vector)
    steps = len(model.head.steps) if isinstance(model.head, GraphReasoning) else 0
    weight_SS = torch.rand(vector, vector)

    def products() -> None:
        torch.mm(rows_ND, words_TD.T, out=cosine_NT)
        torch.bmm(shares_BTR, inputs.regions_BRD, out=attended_BTD)
        local_PD = attended_BTD.view(-1, width)
        torch.mm(local_PD, model.compare_local.weight.T, out=product_MS[: len(local_PD)])
        torch.mm(whole_PD, model.compare_whole.weight.T, out=product_MS[: len(whole_PD)])
        for step in range(1, steps + 1):
            rows = images * nodes if step < steps else images * captions
            for _ in ("query and key", "value"):
                torch.mm(node_MS[:rows], weight_SS, out=product_MS[:rows])

    return products
