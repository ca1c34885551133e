"""How long regions and training will take, measured on a few photographs and a few steps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from unboxed.data.collate import collate
from unboxed.data.images import open_photo
from unboxed.errors import UnboxedError
from unboxed.inference.run_config import RunConfig
from unboxed.recipes.pairs import Moment
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.ordered_map import in_order
from unboxed.runtime.seeds import generator
from unboxed.text.encoding import encode_caption
from unboxed.text.vocabulary import Vocabulary
from unboxed.training.auto import default_choices
from unboxed.types import Example, Regions

__all__ = ["Estimate", "estimate"]

_PHOTOS = 6
_STEPS = 3


@dataclass(frozen=True)
class Estimate:
    """Seconds, by what was measured.

    Attributes:
        photo: to find the regions of one photograph, on all cores.
        regions: of all of them.
        training: the default recipe's epochs.
        recipe, epochs: that recipe.
    """

    photo: float
    regions: float
    training: float
    recipe: str
    epochs: int


def estimate(examples: Sequence[Example], training_photos: int, settings: RegionSettings) -> Estimate | None:
    """Measure a few photographs, chosen by lot, and a few steps of the default recipe on them.

    Args:
        examples: of all splits.
        training_photos: how many of them are trained on.
        settings: how regions are found.

    Returns:
        None where none of the chosen photographs can be read.
    """
    chosen = [examples[i] for i in generator(0, "estimate").permutation(len(examples))[:_PHOTOS]]
    extractor = RegionExtractor(settings)
    blocks = extractor.feature_blocks  # the networks have run once before anything is timed

    def found(example: Example) -> Regions | None:
        try:
            return extractor(open_photo(example.path), example.original_size)
        except UnboxedError:
            return None

    started = time.perf_counter()
    regions = [own for own in in_order(found, chosen, torch.get_num_threads()) if own is not None]
    if not regions:
        return None
    photo = (time.perf_counter() - started) / len(regions)
    recipe, choices = default_choices(bool(extractor.class_names), training_photos)
    config = RunConfig(recipe, choices, settings, blocks, extractor.class_names, {})
    schedule = choices.schedule
    batch_photos = min(schedule.images_per_batch, training_photos)
    captions = [e.captions[: schedule.captions_per_image] for e in examples[:batch_photos]]
    vocabulary = Vocabulary.from_captions((caption.text for e in examples for caption in e.captions), 2)
    inputs = [config.region_inputs(r.boxes, r.features, r.class_probs, r.width, r.height) for r in regions]
    batch = collate(
        [inputs[i % len(inputs)] for i in range(len(captions))],
        [encode_caption(caption, vocabulary) for own in captions for caption in own],
        [number for number, own in enumerate(captions) for _ in own],
    )
    # What a teacher adds is little, and it would have to be prepared first.
    plain = type(choices)(negatives="none", distillation=type(choices.distillation)(0.0), schedule=schedule)
    model = plain.build(vocabulary, config.region_width)
    seconds = []
    for _ in range(_STEPS):
        started = time.perf_counter()
        model.loss(batch, Moment(0, 1))["loss"].backward()  # type: ignore[no-untyped-call]
        seconds.append(time.perf_counter() - started)
    steps = schedule.epochs * max(training_photos // batch_photos, 1)
    return Estimate(photo, photo * len(examples), min(seconds) * steps, recipe, schedule.epochs)
