"""How long regions and training will take, measured on a few images and a few steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unboxed.data.images import open_image
from unboxed.errors import UnboxedError
from unboxed.inference.batching import Batcher
from unboxed.inference.run_config import RunConfig
from unboxed.recipes.pairs import TrainingStep
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.prefetch import ordered_map
from unboxed.runtime.seeds import generator
from unboxed.text.vocabulary import Vocabulary
from unboxed.training.auto import default_recipe
from unboxed.types import Example, PairedBatch, Regions

__all__ = ["Estimate", "estimate"]

_PHOTOS = 6
_STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """Seconds, by what was measured.

    Attributes:
        photo: to find the regions of one image, on all cores.
        regions: of all of them.
        training: the default recipe's epochs.
        recipe, epochs: that recipe.
    """

    image: float
    regions: float
    training: float
    recipe: str
    epochs: int


def estimate(examples: Sequence[Example], training_photos: int, settings: RegionSettings) -> Estimate | None:
    """Measure a few images, chosen at random, and a few steps of the default recipe on them.

    Args:
        examples: of all splits.
        training_photos: how many of them are trained on.
        settings: how regions are found.

    Returns:
        None where none of the chosen images can be read.
    """
    chosen = [examples[i] for i in generator(0, "estimate").permutation(len(examples))[:_PHOTOS]]
    extractor = RegionExtractor(settings)
    blocks = extractor.feature_blocks  # the networks have run once before anything is timed

    def found(example: Example) -> Regions | None:
        try:
            return extractor(open_image(example.path), example.original_size)
        except UnboxedError:
            return None

    started = time.perf_counter()
    regions = [own for own in ordered_map(found, chosen, torch.get_num_threads()) if own is not None]
    if not regions:
        return None
    image = (time.perf_counter() - started) / len(regions)
    recipe, options = default_recipe(bool(extractor.class_names), training_photos)
    config = RunConfig(recipe, options, settings, blocks, extractor.class_names, {})
    schedule = options.schedule
    batch_images = min(schedule.images_per_batch, training_photos)
    captions = [e.captions[: schedule.captions_per_image] for e in examples[:batch_images]]
    vocabulary = Vocabulary.from_captions((caption.text for e in examples for caption in e.captions), 2)
    batcher = Batcher(config, vocabulary)
    batch = PairedBatch(
        batcher.images([regions[i % len(regions)] for i in range(len(captions))]),
        batcher.captions(batcher.encode([caption for several in captions for caption in several])),
        torch.tensor([number for number, several in enumerate(captions) for _ in several]),
    )
    # What a teacher adds is little, and it would have to be prepared first.
    plain = type(options)(negatives="none", distillation=type(options.distillation)(0.0), schedule=schedule)
    model = plain.build(vocabulary, config.region_width)
    seconds = []
    for _ in range(_STEPS):
        started = time.perf_counter()
        model.loss(batch, TrainingStep(0, 1))["loss"].backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - started)
    steps = schedule.epochs * max(training_photos // batch_images, 1)
    return Estimate(image, image * len(examples), min(seconds) * steps, recipe, schedule.epochs)
