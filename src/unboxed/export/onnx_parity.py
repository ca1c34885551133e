"""Random inputs of the exported graphs, and the outputs that PyTorch computes from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from unboxed.attention.base import QueryEmbeddings, RegionEmbeddings
from unboxed.attention.ranking import phrase_scores, rank_regions
from unboxed.text.encoding import EncodedCaption
from unboxed.types import Array, Caption, Regions

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

__all__ = ["ALIGNMENT", "CHECKED", "TRACED", "Example", "Size", "embedding_names", "uses_prior"]


@dataclass(frozen=True)
class Size:
    """The dynamic axes of an example; there are as many phrases as queries."""

    images: int
    regions: int
    captions: int
    words: int
    queries: int


TRACED = Size(images=2, regions=5, captions=3, words=7, queries=4)
"""The size to trace with. All axes differ, so that none is mistaken for another."""

CHECKED = (TRACED, Size(1, 1, 1, 1, 1), Size(1, 60, 5, 14, 6), Size(4, 33, 1, 9, 9))
"""The sizes to compare with."""

ALIGNMENT = ("similarity_BCQR", "attention_BCQR", "value_BCQR", "evidence_BCQ", "score_BC")
"""The outputs of the alignment graph in the order of `Alignment`; the export format keeps these names."""

_Values = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Example:
    """Random regions, captions and queries.

    Attributes:
        grounder: the run that is exported.
        inputs: the inputs of the graphs by name, padded.
        regions: the regions of each image, without padding.
        captions: the captions, without padding; the queries are their phrases.
    """

    grounder: Grounder
    inputs: _Values
    regions: tuple[Regions, ...]
    captions: tuple[EncodedCaption, ...]

    @classmethod
    def random(cls, grounder: Grounder, size: Size, seed: int) -> Example:
        """The example of a size and a seed."""
        rng, config = np.random.default_rng(seed), grounder.config
        extent = rng.integers(200, 800, (size.images, 2))
        regions = []
        for b in range(size.images):
            count = size.regions if b == 0 else int(rng.integers(1, size.regions + 1))
            corners = np.sort(rng.random((count, 2, 2), np.float32), axis=1) * extent[b].astype(np.float32)
            features = np.zeros((count, len(config.columns)), np.float32)
            features[:, config.columns] = _like_training(grounder, rng, count)
            regions.append(
                Regions(
                    boxes=corners.reshape(count, 4),
                    scores=np.ones(count, np.float32),
                    features=features,
                    class_probs=rng.random((count, len(config.class_names)), np.float32) ** 3,
                    class_names=config.class_names,
                    sources=("image",) * count,
                    width=int(extent[b, 0]),
                    height=int(extent[b, 1]),
                )
            )
        captions = []
        for c in range(size.captions):
            count = size.words if c == 0 else int(rng.integers(1, size.words + 1))
            queries = size.queries if c == 0 else int(rng.integers(1, size.queries + 1))
            member_QW = rng.random((queries, count)) < 0.4
            member_QW[np.arange(queries), rng.integers(0, count, queries)] = True
            tokens_W = rng.integers(1, len(grounder.vocabulary), count)
            words = ("word",) * count
            captions.append(
                EncodedCaption(Caption("word"), words, ((0, 4),) * count, tokens_W, np.ones(count, bool), member_QW)
            )
        return cls(grounder, _padded(regions, captions, size, rng), tuple(regions), tuple(captions))

    def values(self) -> _Values:
        """A copy of `inputs`, to which outputs may be added."""
        return dict(self.inputs)

    @torch.inference_mode()
    def embeddings(self) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """The tensors of `RegionEmbeddings` and of `QueryEmbeddings`."""
        _, regions, queries = self._encoded()
        return regions.tensors, queries.tensors

    @torch.inference_mode()
    def expected(self) -> _Values:
        """The outputs of all graphs by name, computed with PyTorch by the functions that the library itself uses."""
        words_CWH, regions, queries = self._encoded()
        aligner = self.grounder.model.aligner
        prior = torch.from_numpy(self.inputs["prior_BCQR"]) if uses_prior(self.grounder) else None
        alignment = aligner.align(regions, queries, prior_BCQR=prior)
        found = dict(zip(ALIGNMENT, alignment, strict=True))
        found |= {"words_CWH": words_CWH, "query_mask_CQ": queries.mask_CQ}
        for names, tensors in zip(embedding_names(self.grounder), (regions.tensors, queries.tensors), strict=True):
            found |= dict(zip(names, tensors, strict=True))
        arrays = {name: value.numpy() for name, value in found.items()}
        pair = {name: torch.from_numpy(value) for name, value in self.of_one_pair(arrays).items()}
        rule = self.grounder.config.ranking
        score_PR = phrase_scores(pair["attention_QR"], pair["value_QR"], pair["member_PQ"], pair["content_Q"], rule)
        prior_PR = pair["prior_PR"] if self.grounder.config.ranks_with_prior else None
        return {**arrays, "score_PR": rank_regions(score_PR, self.regions[0], rule, prior_PR).numpy()}

    def of_one_pair(self, values: _Values) -> _Values:
        """The inputs of the ranking graph for the first caption in the first image, without padding.

        Args:
            values: the outputs of the alignment graph.
        """
        regions, queries = len(self.regions[0]), len(self.captions[0].phrase_PW)
        rng = np.random.default_rng(regions)
        member_PQ = np.eye(queries, dtype=bool) | (rng.random((queries, queries)) < 0.2)
        return {
            "attention_QR": np.ascontiguousarray(values["attention_BCQR"][0, 0, :queries, :regions]),
            "value_QR": np.ascontiguousarray(values["value_BCQR"][0, 0, :queries, :regions]),
            "member_PQ": member_PQ,
            "content_Q": rng.random(queries) < 0.7,
            "boxes_R4": self.regions[0].boxes.copy(),
            "class_probs_RK": self.regions[0].class_probs.copy(),
            "prior_PR": np.ascontiguousarray(self.inputs["prior_BCQR"][0, 0, :queries, :regions]),
        }

    def _encoded(self) -> tuple[torch.Tensor, RegionEmbeddings, QueryEmbeddings]:
        model, batcher = self.grounder.model, replace(self.grounder.batcher, prior=None)
        captions = batcher.captions(self.captions)
        words_CWH = model.encode_words(captions)
        queries = model.encode_captions(captions, words_CWH, "phrases").queries
        return words_CWH, model.encode_images(batcher.images(self.regions)).regions, queries


def embedding_names(grounder: Grounder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the embeddings of regions and of queries; that of a whole image or caption has the axis 1."""
    regions, queries = Example.random(grounder, TRACED, seed=0).embeddings()
    return (
        tuple(f"region_code{i}_{'BRD' if tensor.shape[1] > 1 else 'B1D'}" for i, tensor in enumerate(regions)),
        tuple(f"query_code{i}_{'CQD' if tensor.shape[1] > 1 else 'C1D'}" for i, tensor in enumerate(queries)),
    )


def uses_prior(grounder: Grounder) -> bool:
    """Whether scores of the semantic prior are an input of the alignment graph. They exist for phrases only."""
    return grounder.model.aligner.uses_prior and grounder.config.options.units == "phrases"


def _like_training(grounder: Grounder, rng: np.random.Generator, count: int) -> Array:
    """Random features `[count, V]` with the mean and standard deviation of the training data."""
    standard = grounder.model.standardise
    width = int(grounder.config.columns.sum())
    mean, deviation = standard.mean[:width].numpy(), standard.deviation[:width].numpy()
    return (mean + deviation * rng.standard_normal((count, width))).astype(np.float32)


def _padded(regions: list[Regions], captions: list[EncodedCaption], size: Size, rng: np.random.Generator) -> _Values:
    """The inputs of the graphs by name; padding is zero."""
    first = regions[0]
    values: _Values = {
        "boxes_BR4": np.zeros((size.images, size.regions, 4), np.float32),
        "size_B2": np.array([[found.width, found.height] for found in regions], np.float32),
        "features_BRV": np.zeros((size.images, size.regions, first.features.shape[1]), np.float32),
        "class_probs_BRK": np.zeros((size.images, size.regions, len(first.class_names)), np.float32),
        "region_mask_BR": np.zeros((size.images, size.regions), bool),
        "tokens_CW": np.zeros((size.captions, size.words), np.int64),
        "word_mask_CW": np.zeros((size.captions, size.words), bool),
        "member_CQW": np.zeros((size.captions, size.queries, size.words), bool),
        "prior_BCQR": rng.random((size.images, size.captions, size.queries, size.regions), np.float32),
    }
    for b, found in enumerate(regions):
        for name in ("boxes", "features", "class_probs"):
            axes = {"boxes": "BR4", "features": "BRV", "class_probs": "BRK"}[name]
            values[f"{name}_{axes}"][b, : len(found)] = getattr(found, name)
        values["region_mask_BR"][b, : len(found)] = True
    for c, caption in enumerate(captions):
        values["tokens_CW"][c, : len(caption)] = caption.tokens_W
        values["word_mask_CW"][c, : len(caption)] = True
        values["member_CQW"][c, : len(caption.phrase_PW), : len(caption)] = caption.phrase_PW
    return values
