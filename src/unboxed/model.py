"""A trained grounding model in the hand: load it, give it a photograph and a caption, look at the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from unboxed.alignment.ranking import phrase_scores, rank_regions
from unboxed.data.batching import collate
from unboxed.data.photos import open_photo
from unboxed.errors import RegionsError, RunError
from unboxed.phrases import noun_phrases
from unboxed.run_config import RunConfig
from unboxed.text.encoding import EncodedCaption, encode_caption
from unboxed.text.vocabulary import Vocabulary
from unboxed.training.checkpoint import load_weights, save_weights
from unboxed.types import Array, Batch, Caption, GroundedPhrase, Grounding, Regions

if TYPE_CHECKING:
    import PIL.Image

    from unboxed.priors.semantic import SemanticPrior
    from unboxed.recipes.matching_model import MatchingModel
    from unboxed.regions.extractor import RegionExtractor

__all__ = ["Grounder"]


class Grounder:
    """A model with its vocabulary and its way of finding regions.

    >>> grounder = unboxed.load("runs/first")                                            # doctest: +SKIP
    >>> grounder.ground("photo.jpg", "A man in a red hat plays a guitar.").phrases[1]     # doctest: +SKIP
    GroundedPhrase(text='a red hat', …)
    """

    def __init__(
        self, config: RunConfig, model: MatchingModel, vocabulary: Vocabulary, prior: SemanticPrior | None = None
    ) -> None:
        self.config = config
        self.model = model.eval()
        self.vocabulary = vocabulary
        self.prior = prior

    @classmethod
    def load(cls, run: str | Path) -> Grounder:
        """The trained model of the folder `run`.

        Raises:
            RunError: no run there, none that finished an epoch, a damaged one, or one of a newer version.
        """
        run = Path(run)
        config = RunConfig.load(run)
        vocabulary = Vocabulary.load(run / "vocab.json")
        if not (run / "model.safetensors").is_file():
            raise RunError(f"{run} has no model.safetensors yet; let it finish an epoch: `unboxed fit … --resume`.")
        model = config.choices.build(vocabulary, config.region_width, run / "text")
        load_weights(run / "model.safetensors", model)
        prior = None
        if config.choices.needs_prior:
            from unboxed.priors.semantic import SemanticPrior

            prior = SemanticPrior.load(run / "prior")
        return cls(config, model, vocabulary, prior)

    def save(self, run: str | Path) -> None:
        """Write the model, its config, its vocabulary and the models that find its regions to the folder `run`."""
        run = Path(run)
        run.mkdir(parents=True, exist_ok=True)
        regions = self.config.regions.copied_to(run / "regions")
        replace(self.config, regions=regions).save(run)
        self.vocabulary.save(run / "vocab.json")
        if self.config.choices.text != "gru":
            self.model.text.save(run / "text")  # type: ignore[operator]
        if self.prior is not None:
            self.prior.save(run / "prior")
        save_weights(run / "model.safetensors", self.model)

    @cached_property
    def extractor(self) -> RegionExtractor:
        """Finds the regions of a new photograph as it was done for training; made when first needed."""
        from unboxed.regions.extractor import RegionExtractor

        return RegionExtractor(self.config.regions)

    def ground(self, image: str | Path | PIL.Image.Image | np.ndarray[Any, Any], caption: str | Caption) -> Grounding:
        """Box the phrases of a caption in a photograph.

        Args:
            image: a file, a PIL image, or an array `[H, W, 3]` or `[H, W]` of uint8. EXIF orientation is applied.
            caption: a text, whose noun phrases are found, or a `Caption` with phrases of your own.

        Returns:
            Every phrase with all regions ranked, boxes in pixels of the upright photograph.

        Raises:
            PhotoError: the photograph cannot be read.
            CaptionError: the caption has no words.
        """
        given = caption if isinstance(caption, Caption) else Caption(caption, noun_phrases(caption))
        return self.ground_regions(self.extractor(open_photo(image)), [given])[0]

    @torch.inference_mode()
    def ground_regions(self, regions: Regions, captions: Sequence[Caption]) -> list[Grounding]:
        """The same for captions of one photograph whose regions are known already.

        Raises:
            RegionsError: regions of other features or classes than the model was trained on.
        """
        self._check(regions)
        ranking, units = self.config.choices.ranking, self.config.choices.units
        encoded = self._encoded(captions)
        alignment, attention_CWR, prior_CPR = self.model.read(self._batch([regions], encoded))
        groundings = []
        for c, (caption, arrays) in enumerate(zip(captions, encoded, strict=True)):
            words, phrases = len(arrays), len(caption.phrases)
            if units == "phrases":
                queries, phrase_PQ, content_Q = phrases, np.eye(phrases, dtype=bool), np.ones(phrases, dtype=bool)
            else:
                # A phrase without a word of its own (punctuation only) goes by all words of its caption.
                own_PW = arrays.phrase_PW
                queries, phrase_PQ = words, np.where(own_PW.any(axis=1, keepdims=True), own_PW, True)
                content_Q = arrays.content_W
            if self.config.choices.reads_heat:
                map_QR = alignment.similarity_BCQR[0, c, :queries].numpy()
                attention_WR = attention_CWR[c, :words].numpy()
                groundings.append(
                    self._read_heat(regions, caption, arrays.spans, map_QR, phrase_PQ, content_Q, attention_WR)
                )
                continue
            attention_QR, value_QR = alignment.attention_BCQR[0, c, :queries], alignment.value_BCQR[0, c, :queries]
            score_PR = phrase_scores(
                attention_QR, value_QR, torch.from_numpy(phrase_PQ), torch.from_numpy(content_Q), ranking
            )
            prior_PR = None if prior_CPR is None or self.config.choices.prior == "none" else prior_CPR[c, :phrases]
            ranked_PR = rank_regions(score_PR, regions, ranking, prior_PR).numpy()
            order_PR = np.argsort(-ranked_PR, axis=1, kind="stable")
            groundings.append(
                Grounding(
                    caption=caption.text,
                    phrases=tuple(
                        GroundedPhrase(p.text, p.start, p.end, regions.boxes[order], score[order])
                        for p, order, score in zip(caption.phrases, order_PR, ranked_PR, strict=True)
                    ),
                    words=arrays.spans,
                    regions=regions,
                    attention_WR=attention_CWR[c, :words].numpy(),
                    width=regions.width,
                    height=regions.height,
                )
            )
        return groundings

    def _read_heat(
        self,
        regions: Regions,
        caption: Caption,
        spans: tuple[tuple[int, int], ...],
        map_QR: Array,
        phrase_PQ: npt.NDArray[np.bool_],
        content_Q: npt.NDArray[np.bool_],
        attention_WR: Array,
    ) -> Grounding:
        """Boxes around the hot regions of each phrase's map of cells."""
        from unboxed.evaluation import heatmap

        heat_PYX = heatmap.phrase_maps(map_QR, phrase_PQ, content_Q)
        phrases = []
        for phrase, map_YX in zip(caption.phrases, heat_PYX, strict=True):
            heat_HW = heatmap.positive_heat(heatmap.upsampled(map_YX, regions.width, regions.height))
            boxes, scores = heatmap.heat_boxes(heat_HW, self.config.choices.read_out)  # type: ignore[attr-defined]
            phrases.append(GroundedPhrase(phrase.text, phrase.start, phrase.end, boxes, scores))
        size = (regions.width, regions.height)
        return Grounding(caption.text, tuple(phrases), spans, regions, attention_WR, *size, heat_PYX)

    @torch.inference_mode()
    def score(self, regions: Sequence[Regions], captions: Sequence[Caption]) -> Array:
        """How well each photograph and caption fit, `[B, C]`; higher is better, any sign.

        Raises:
            RegionsError: regions of other features or classes than the model was trained on.
        """
        for own in regions:
            self._check(own)
        score_BC: Array = self.model.score(self._batch(regions, self._encoded(captions))).numpy()
        return score_BC

    def _encoded(self, captions: Sequence[Caption]) -> list[EncodedCaption]:
        affinity = None if self.prior is None else self.prior.affinity
        return [encode_caption(caption, self.vocabulary, affinity) for caption in captions]

    def _batch(self, regions: Sequence[Regions], captions: Sequence[EncodedCaption]) -> Batch:
        """Photographs and captions that need not belong together: nothing here asks which is whose."""
        inputs = [
            self.config.region_inputs(own.boxes, own.features, own.class_probs, own.width, own.height)
            for own in regions
        ]
        evidence = None
        if self.prior is not None:
            evidence = [
                self.prior.evidence(own.boxes, own.class_probs, own.sources, own.width, own.height) for own in regions
            ]
        return collate(inputs, captions, [0] * len(captions), evidence_B=evidence)

    def _check(self, regions: Regions) -> None:
        config = self.config
        if len(regions) == 0:
            raise RegionsError("There are no regions to choose from; propose at least the whole image.")
        width = len(config.columns)
        if regions.class_names != config.class_names or regions.features.shape[1] != width:
            raise RegionsError(
                f"These regions have {regions.features.shape[1]} features and {len(regions.class_names)} classes; the "
                f"model was trained on {width} and {len(config.class_names)}. Extract them with the "
                "run's own settings (leave out --regions)."
            )
