"""Estimates of the time for region extraction and training, measured on a few images and steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unboxed.data.images import open_image
from unboxed.errors import UnboxedError
from unboxed.inference.batching import Batcher
from unboxed.inference.run_config import RunConfig
from unboxed.recipes.config import DistillationConfig
from unboxed.recipes.pairs import TrainingStep
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.queries import with_queries
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.seeds import generator
from unboxed.runtime.threads import ordered_map
from unboxed.text.tokens import Vocabulary
from unboxed.training.defaults import default_recipe
from unboxed.types import Example, PairedBatch, Regions

__all__ = ["Estimate", "estimate"]

_IMAGES = 6
_STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """Estimated seconds.

    Attributes:
        image: to extract the regions of one image, with all cores.
        regions: to extract the regions of all images.
        training: to train the default recipe.
        recipe, epochs: the default recipe and its epochs.
    """

    image: float
    regions: float
    training: float
    recipe: str
    epochs: int


def estimate(examples: Sequence[Example], training_images: int, settings: RegionSettings) -> Estimate | None:
    """Measure a few images, sampled at random, and a few training steps of the default recipe on them.

    Args:
        examples: of all splits.
        training_images: the number of training images.
        settings: of the regions.

    Returns:
        None if none of the sampled images can be read, or less than two are for training, which contrasts images.
    """
    if training_images < 2:
        return None
    chosen = [examples[i] for i in generator(0, "estimate").permutation(len(examples))[:_IMAGES]]
    extractor = RegionExtractor(with_queries(settings, examples))
    regions, image = _timed_regions(extractor, chosen)
    if not regions:
        return None
    recipe, options = default_recipe(bool(extractor.class_names), training_images)
    config = RunConfig(recipe, options, settings, extractor.feature_blocks, extractor.class_names, {})
    batch_images = min(options.schedule.images_per_batch, training_images)
    steps = options.schedule.epochs * max(training_images // batch_images, 1)
    training = _step_seconds(config, examples, batch_images, regions) * steps
    return Estimate(image, image * len(examples), training, recipe, options.schedule.epochs)


def _timed_regions(extractor: RegionExtractor, examples: Sequence[Example]) -> tuple[list[Regions], float]:
    """The regions of the images that can be read, and the seconds that one of them takes."""

    def found(example: Example) -> Regions | None:
        try:
            return extractor(open_image(example.path), example.original_size)
        except UnboxedError:
            return None

    _ = extractor.feature_blocks  # runs the networks once before anything is timed
    started = time.perf_counter()
    regions = [own for own in ordered_map(found, examples, torch.get_num_threads()) if own is not None]
    return regions, (time.perf_counter() - started) / max(len(regions), 1)


def _step_seconds(
    config: RunConfig, examples: Sequence[Example], batch_images: int, regions: Sequence[Regions]
) -> float:
    """The seconds of a training step on the first images, which take turns with the few regions that were found."""
    options = config.options
    captions = [example.captions[: options.schedule.captions_per_image] for example in examples[:batch_images]]
    vocabulary = Vocabulary.from_captions((caption.text for e in examples for caption in e.captions), 2)
    batcher = Batcher(config, vocabulary)
    batch = PairedBatch(
        batcher.images([regions[i % len(regions)] for i in range(len(captions))]),
        batcher.captions(batcher.encode([caption for several in captions for caption in several])),
        torch.tensor([number for number, several in enumerate(captions) for _ in several]),
    )
    # The distillation adds little time, and its prior would have to be built first.
    plain = type(options)(negatives="none", distillation=DistillationConfig(), schedule=options.schedule)
    model = plain.build(vocabulary, config.region_width)
    seconds = []
    for _ in range(_STEPS):
        started = time.perf_counter()
        model.loss(batch, TrainingStep(0, 1))["loss"].backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - started)
    return min(seconds)
