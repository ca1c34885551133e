"""`Grounder`: a trained model that grounds captions in images, and ranks images and captions for each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from unboxed.attention.base import Alignment
from unboxed.data.images import open_image
from unboxed.inference.arguments import ImageLike, as_caption, as_captions, as_images
from unboxed.inference.batching import Batcher
from unboxed.inference.grounding import ground_embedded, ground_stream, ground_together
from unboxed.inference.half_precision import multiply_in
from unboxed.inference.hub import fetched, uploaded
from unboxed.inference.results import Grounding, RankedImage, span_heat
from unboxed.inference.run_config import RunConfig
from unboxed.inference.run_folder import RunParts, read_run, write_run
from unboxed.priors.semantic import SemanticPrior
from unboxed.recipes.embeddings import CaptionEmbeddings, ImageEmbeddings, pad_images
from unboxed.regions.cached_extractor import CachedExtractor
from unboxed.runtime.devices import current_device, running_on
from unboxed.runtime.precision import computing_in
from unboxed.runtime.threads import ordered_map
from unboxed.text.tokens import Vocabulary
from unboxed.types import Array, Caption, Regions

if TYPE_CHECKING:
    from unboxed.recipes.model import MatchingModel

__all__ = ["Grounder", "ImageLike"]

_PAIRS = 8192  # images times captions that are scored at a time
_RETRIEVED = 32  # images whose regions are held at a time while they are ranked


class Grounder:
    """A trained model with its vocabulary and its region extractor.

    >>> grounder = unboxed.load("runs/first")                                            # doctest: +SKIP
    >>> grounder.ground("photo.jpg", "A man in a red hat plays a guitar.").phrases[1]     # doctest: +SKIP
    GroundedPhrase('a red hat', best box [104, 12, 170, 60], confidence 0.93)

    Attributes:
        config: of its run.
        model: in evaluation mode; `model.device` is where it computes.
        vocabulary: its words.
        prior: its semantic prior, or None.
        device: the device that was asked for, by name; new images' regions are found on it.
    """

    def __init__(
        self, config: RunConfig, model: MatchingModel, vocabulary: Vocabulary, prior: SemanticPrior | None = None
    ) -> None:
        self.device = current_device().name
        self.config = config
        self.model = model.eval()
        self.model.prior_share = config.prior_share
        self.vocabulary = vocabulary
        self.prior = prior

    @classmethod
    def load(cls, run: str | Path, *, device: str | None = None, precision: str | None = None) -> Grounder:
        """The trained model of a run.

        Args:
            run: its folder.
            device: auto, cpu, cuda, cuda:N, mps, directml or openvino; None: the one of `UNBOXED_DEVICE`, else auto.
            precision: 32, bf16 or fp16; None: the one that `UNBOXED_PRECISION` names, else 32.

        Raises:
            RunError: no run there, none that finished an epoch, a damaged one, or one of a newer version.
            DeviceError: there is no such device or precision.
        """
        parts = read_run(Path(run))
        with running_on(device) as chosen, computing_in(precision) as products:
            multiply_in(parts.model, products)
            parts.model.to(chosen.torch_device())
            return cls(*parts)

    def save(self, run: str | Path) -> None:
        """Write the model, all files that it needs, and a model card (README.md) to the folder `run`.

        Raises:
            RunError: the folder is no run, and holds files in the place of these.
        """
        write_run(Path(run), self.parts)

    @classmethod
    def from_pretrained(
        cls, name_or_folder: str | Path, *, revision: str | None = None, device: str | None = None
    ) -> Grounder:
        """A model from a folder, or by name from the Hugging Face Hub (downloaded once, then cached).

        Args:
            name_or_folder: a run's folder, or `owner/name` on the Hub (the extra `hub`).
            revision: branch, tag or commit on the Hub.
            device: as for `load`.

        Raises:
            RunError: no such folder or name, or it holds no run.
            DeviceError: there is no such device.
        """
        folder = name_or_folder if Path(name_or_folder).is_dir() else fetched(str(name_or_folder), revision)
        return cls.load(folder, device=device)

    def push_to_hub(self, repo: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the model and its card to the Hugging Face Hub (the extra `hub`), without any path of this disk.

        Args:
            repo: `owner/name`; created if it does not exist.
            private: create a private repository.
            token: of the Hub; by default the one saved by `hf auth login`.

        Returns:
            The address of the upload.

        Raises:
            RunError: the Hub cannot be reached or refuses.
        """
        public = Grounder(self.config.without_paths(), self.model, self.vocabulary, self.prior)
        return uploaded(public.save, repo, private, token)

    @cached_property
    def extractor(self) -> CachedExtractor:
        """Finds the regions of new images as for training; networks are opened on first use, without a download."""
        return CachedExtractor(self.config.regions, device=self.device)

    @property
    def parts(self) -> RunParts:
        """The config, the model, the vocabulary and the prior, as of now."""
        return RunParts(self.config, self.model, self.vocabulary, self.prior)

    @property
    def batcher(self) -> Batcher:
        """Makes image and caption batches for the model."""
        return self.parts.batcher

    def ground(self, image: ImageLike, caption: str | Caption) -> Grounding:
        """Ground the phrases of a caption in an image.

        Args:
            image: a file, a PIL image, an array `[H, W, 3]` or `[H, W]` of uint8, or its regions. EXIF orientation is
                applied.
            caption: a text, whose noun phrases are grounded, or a `Caption` with your own phrases.

        Returns:
            Every phrase with all regions ranked, boxes in pixels of the upright image. `phrase.confidence` is the
            calibrated probability that the phrase is present, `phrase.present` whether it is at least one half.

        Raises:
            ImageError: the image cannot be read.
            CaptionError: the caption has no words.
        """
        return _with_image(image, self.ground_regions(self.regions_of(image), [as_caption(caption)]))[0]

    def ground_batch(
        self, images: Sequence[ImageLike], captions: Sequence[str | Caption | Sequence[str | Caption]]
    ) -> list[list[Grounding]]:
        """Ground the phrases of many captions in many images; each image is processed once.

        Args:
            images: as for `ground`.
            captions: one caption of each image, or a list of captions.

        Returns:
            The groundings of each image's captions.

        Raises:
            ImageError: an image cannot be read.
            CaptionError: a caption has no words.
            ValueError: the numbers of images and of captions (or lists of captions) differ.
        """
        images = as_images(images)
        if isinstance(captions, str | Caption):
            captions = as_captions(captions)  # which refuses a single one
        of_each = [as_captions([each] if isinstance(each, str | Caption) else each) for each in captions]
        if len(of_each) != len(images):
            raise ValueError(f"{len(images)} images with the captions of {len(of_each)}; give captions for each image.")
        found = self._regions_of_all(images)
        groundings = ground_stream(self.parts, zip(found, of_each, strict=True))
        return [_with_image(image, of_image) for image, of_image in zip(images, groundings, strict=True)]

    def heatmap(self, image: ImageLike, caption: str | Caption, span: tuple[int, int] | None = None) -> Array:
        """The heat map of a word or phrase of a caption in an image.

        Args:
            image: as for `ground`.
            caption: as for `ground`.
            span: characters (start, end) of the word or phrase; None for the whole caption.

        Returns:
            `[H, W]` in [0, 1], the heat of every pixel of the upright image.

        Raises:
            ImageError: the image cannot be read.
            CaptionError: the caption has no words, or none in the span.
        """
        return span_heat(self.ground(image, caption), span)

    def retrieve(self, text: str | Caption, images: Sequence[ImageLike], k: int = 10) -> list[RankedImage]:
        """The images that match a text best, best first, with its phrases grounded in each.

        Every image is processed. For a collection that is searched more than once, `unboxed index` keeps the
        embeddings.

        Args:
            text: a sentence, or a `Caption` with your own phrases.
            images: as for `ground`.
            k: the maximum number of images.

        Raises:
            ImageError: an image cannot be read.
            CaptionError: the text has no words.
        """
        query, images = as_caption(text), as_images(images)
        captions = self.encode_captions([query])
        best: list[tuple[float, int, Regions, ImageEmbeddings]] = []
        for first, regions, embeddings in self._embedded(images, _RETRIEVED):
            scores = self.score_embeddings(embeddings, captions)[:, 0].tolist()
            rows = [embeddings.of(torch.tensor([row])) for row in range(len(regions))]
            best += zip(scores, range(first, first + len(regions)), regions, rows, strict=True)
            best = sorted(best, key=lambda hit: (-hit[0], hit[1]))[: max(k, 0)]
        if not best:
            return []
        found = ground_embedded(
            self.parts,
            pad_images([row for *_, row in best]),
            [regions for _, _, regions, _ in best],
            [[query]] * len(best),
        )
        return [
            RankedImage(number, score, _with_image(images[number], groundings)[0])
            for (score, number, *_), groundings in zip(best, found, strict=True)
        ]

    def encode_images(self, images: Sequence[ImageLike]) -> ImageEmbeddings:
        """The region embeddings of B images, for `align`, for `score` of the model, or for your own code.

        Args:
            images: at least one, as for `ground`.

        Returns:
            `regions.mask_BR` marks real regions; the tensors of `regions` have axes `[B, R, D]`, or `[B, 1, D]` where
            the recipe has one vector an image. Regions come in the order of `regions_of`.

        Raises:
            ImageError: an image cannot be read, or there is none.
            RegionsError: regions of other features or classes than the model was trained on.
        """
        images = as_images(images, fewest=1)
        return next(iter(self._embedded(images, len(images))))[2]

    @torch.no_grad()
    def encode_captions(self, captions: Sequence[str | Caption]) -> CaptionEmbeddings:
        """The query embeddings of C captions: of words or of phrases, depending on the recipe.

        Args:
            captions: at least one, as for `ground`.

        Returns:
            `queries.mask_CQ` marks real queries, `phrase_CPQ` marks the queries of each phrase.

        Raises:
            CaptionError: a caption has no words, or there is none.
        """
        encoded = self.batcher.encode(as_captions(captions, fewest=1))
        return self.model.encode_captions(self.batcher.captions(encoded))

    @torch.no_grad()
    def align(self, images: ImageEmbeddings, captions: CaptionEmbeddings, *, paired: bool = False) -> Alignment:
        """Similarity, attention and scores of every image and caption; with `paired`, row by row.

        Args:
            images: B images of `encode_images`; with `paired`, C of them, row by row with the captions.
            captions: C captions of `encode_captions`.
            paired: the result's axes are then `[1, C, Q, R]`.

        Returns:
            `similarity_BCQR`, `attention_BCQR` in [0, 1], `matched_BCQ` and `score_BC`, all of the trained model alone:
            where a run of few images adds its prior, `score` and `score_embeddings` are higher.

        Raises:
            ValueError: with `paired`, the numbers of images and captions differ.
        """
        counts = len(images.regions.mask_BR), len(captions.queries.mask_CQ)
        if paired and counts[0] != counts[1]:
            raise ValueError(f"{counts[0]} images and {counts[1]} captions; paired, each image has one caption.")
        return self.model.align(images, captions, paired=paired)

    def similarity(self, images: Sequence[ImageLike], captions: Sequence[str | Caption]) -> torch.Tensor:
        """How similar each region of B images is to each query of C captions, `[B, C, Q, R]`; -inf at padded regions.

        A query is a word or a phrase, depending on the recipe. `encode_captions` marks the real ones, others have no
        meaning. Regions are in the order of `regions_of`. Arguments and errors are those of the two `encode` methods.
        """
        return self.align(self.encode_images(images), self.encode_captions(captions)).similarity_BCQR

    def attention(self, images: Sequence[ImageLike], captions: Sequence[str | Caption]) -> torch.Tensor:
        """The weight of each region for each query, `[B, C, Q, R]` in [0, 1], 0 at padded regions; see `similarity`."""
        return self.align(self.encode_images(images), self.encode_captions(captions)).attention_BCQR

    @torch.no_grad()
    def score_embeddings(self, images: ImageEmbeddings, captions: CaptionEmbeddings) -> torch.Tensor:
        """How well each image and caption match, `[B, C]`; faster than `align`, and with less memory.

        Args:
            images: B images of `encode_images`.
            captions: C captions of `encode_captions`.
        """
        return self.model.score(images, captions)

    def unknown_words(self, text: str) -> list[str]:
        """The words of a text, in lower case, that are not in the vocabulary; the model treats them all alike.

        With a pretrained text encoder there are none.
        """
        return self.parts.unknown_words(text)

    def regions_of(self, image: ImageLike) -> Regions:
        """The regions of an image, extracted as by `ground`, those of a file once; `Regions` are returned unchanged.

        Raises:
            ImageError: the image cannot be read.
            NoRegionsError: no source proposes a region in it.
        """
        if isinstance(image, str | Path):
            return self.extractor.of_file(Path(image))
        return image if isinstance(image, Regions) else self.extractor(open_image(image))

    def _regions_of_all(self, images: Sequence[ImageLike]) -> Iterator[Regions]:
        if any(not isinstance(image, Regions) for image in images):
            _ = self.extractor  # created here, not by several threads at once
        return ordered_map(self.regions_of, images, min(torch.get_num_threads(), max(len(images), 1)))

    def ground_regions(self, regions: Regions, captions: Sequence[Caption]) -> list[Grounding]:
        """The groundings of captions of one image whose regions are given.

        Raises:
            RegionsError: regions of other features or classes than the model was trained on.
        """
        return ground_together(self.parts, [regions], [captions])[0]

    @torch.no_grad()
    def score(self, images: Sequence[ImageLike], captions: Sequence[str | Caption]) -> Array:
        """How well each image and caption match, `[B, C]`; higher is better, any sign.

        Args:
            images: B of them, as for `ground`.
            captions: C of them, as for `ground`.

        Raises:
            ImageError: an image cannot be read.
            CaptionError: a caption has no words.
            RegionsError: regions of other features or classes than the model was trained on.
        """
        images, captions = as_images(images), as_captions(captions)
        score_BC = np.zeros((len(images), len(captions)), dtype=np.float32)
        if score_BC.size == 0:
            return score_BC
        embedded_captions = self.encode_captions(captions)
        for first, regions, embeddings in self._embedded(images, max(_PAIRS // len(captions), 1)):
            score_BC[first : first + len(regions)] = self.model.score(embeddings, embedded_captions).cpu().numpy()
        return score_BC

    @torch.no_grad()
    def _embedded(
        self, images: Sequence[ImageLike], block: int
    ) -> Iterator[tuple[int, list[Regions], ImageEmbeddings]]:
        """The images in blocks: the number of the first, their regions, and their embeddings."""
        regions: list[Regions] = []
        for number, found in enumerate(self._regions_of_all(images)):
            self.batcher.check(found)
            regions.append(found)
            if len(regions) == block or number == len(images) - 1:
                yield number + 1 - len(regions), regions, self.model.encode_images(self.batcher.images(regions))
                regions = []


def _with_image(image: ImageLike, groundings: Sequence[Grounding]) -> list[Grounding]:
    """The groundings with the image for their pictures; regions have none."""
    return [grounding if isinstance(image, Regions) else replace(grounding, image=image) for grounding in groundings]
