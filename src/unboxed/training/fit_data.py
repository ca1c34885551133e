"""The data of a fit: images and captions of its dataset, their regions, and the vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from unboxed.data.dataset import Dataset, Split, load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.recipes import RecipeConfig
from unboxed.regions.extraction import extract
from unboxed.regions.queries import with_queries
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.regions.stored_images import show_replaced_images
from unboxed.runtime.progress import Show
from unboxed.text.tokens import Tokenizer, Vocabulary
from unboxed.training.combinations import (
    require_class_names,
    require_files,
    require_region_count,
    require_short_captions,
    require_usable_store,
)
from unboxed.training.options import FitSettings
from unboxed.training.priors import with_crop_encoder
from unboxed.training.splits import sample_images, training_and_validation, with_short_captions
from unboxed.types import Example

__all__ = ["FitData", "read_data"]


class FitData(NamedTuple):
    """What a fit reads of its dataset.

    Attributes:
        dataset: that the settings name.
        training, validation: the images and captions, without captions that are too long.
        store: the regions of both.
        vocabulary: the words of the training captions, and those that the recipe adds.
    """

    dataset: Dataset
    training: Split
    validation: Split
    store: RegionStore
    vocabulary: Vocabulary


def read_data(
    options: RecipeConfig,
    settings: FitSettings,
    sources: RegionSettings | None,
    store: RegionStore | None,
    show: Show,
) -> FitData:
    """Read the dataset of a fit, and find the regions of its images where there is no store of them.

    Args:
        options: of the recipe.
        settings: of the fit.
        sources: the settings with which regions are found; None: those of the dataset.
        store: the regions, where the settings name their store.
        show: called with lines of text.

    Raises:
        UnboxedError: the dataset or the store cannot be used.
    """
    dataset = load_dataset(settings.data)
    training, validation = training_and_validation(dataset)
    for line in dataset.notes:
        show(line)
    training = sample_images(training, settings.train_fraction, options.schedule.seed)
    for split in (training, validation):
        show(split.describe())
        if settings.strict:
            split.require_readable()
    examples = [*training.examples, *validation.examples]
    require_short_captions(options, settings, [caption.text for one in examples for caption in one.captions])
    training, validation = with_short_captions(training, show), with_short_captions(validation, show)
    show_replaced_images(store, examples, show)
    if store is None:
        store = _extracted(
            options, settings, sources or _default(options, dataset, show), examples, training.examples, show
        )
    require_usable_store(options, store, examples)
    texts = (caption.text for example in training.examples for caption in example.captions)
    reading = options.text_encoder
    tokenizer = Tokenizer(reading.tokenizer, reading.start_end_words)
    min_count = settings.min_count if options.text == "gru" else 1  # a pretrained encoder knows rare substitutes too
    vocabulary = Vocabulary.from_captions(texts, min_count, tokenizer)
    if options.reads_labels:
        names = dict.fromkeys(name.rpartition(":")[2].lower() for name in store.class_names)
        vocabulary = replace(vocabulary, words=(*vocabulary.words, *(n for n in names if n and n not in vocabulary)))
    return FitData(dataset, training, validation, store, vocabulary)


def _default(options: RecipeConfig, dataset: Dataset, show: Show) -> RegionSettings:
    sources, line = options.region_settings(dataset)
    show(line)
    return sources


def _extracted(
    options: RecipeConfig,
    settings: FitSettings,
    sources: RegionSettings,
    examples: Sequence[Example],
    training: Sequence[Example],
    show: Show,
) -> RegionStore:
    """The regions of all examples; those for training give the queries of zero-shot detectors."""
    sources = with_crop_encoder(options, sources)
    require_class_names(options, sources.names_classes)
    options.require_sources(sources)
    require_files(options)
    sources = with_queries(sources, training)
    require_region_count(options, sources, examples)
    summary = extract(examples, sources, settings.out / "store", strict=settings.strict)
    if summary.repairs:
        show(summary.repairs)
    for line in skipped_lines(dict(summary.skipped)):
        show(line)
    return RegionStore.open(settings.out / "store")
