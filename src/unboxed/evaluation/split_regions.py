"""The split that a run is evaluated on, and the regions of its images."""

from __future__ import annotations

from pathlib import Path

from unboxed.data.dataset import Dataset, Split
from unboxed.data.image_files import skipped_lines
from unboxed.data.split_names import split_named
from unboxed.errors import DatasetError, StoreError
from unboxed.evaluation.options import EvaluationOptions
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.run_config import RunConfig
from unboxed.regions.cache import image_key
from unboxed.regions.extraction import extract
from unboxed.regions.settings import ImportedRegions
from unboxed.regions.store import RegionStore
from unboxed.regions.stored_images import show_replaced_images
from unboxed.runtime.locks import file_lock, waiting
from unboxed.runtime.progress import Show, counted
from unboxed.training.splits import training_and_validation, with_short_captions
from unboxed.types import Example

__all__ = ["chosen_split", "embedded_split", "images_trained_on"]


def chosen_split(dataset: Dataset, options: EvaluationOptions, show: Show) -> Split:
    """The split to evaluate on, `with_short_captions`; for a missing `val`, what training holds out."""
    has_no_val = split_named(options.split) == "val" and dataset.find_split(options.split) is None
    is_held_out = has_no_val and dataset.find_split("train") is not None
    split = _held_out(dataset) if is_held_out else dataset.split(options.split)
    if options.strict:
        split.require_readable()
    return with_short_captions(split, show)


def _held_out(dataset: Dataset) -> Split:
    try:
        return training_and_validation(dataset)[1]
    except DatasetError:
        raise DatasetError(
            f"{dataset.path} has no split 'val', and too few images to hold some of them out; evaluate all with "
            "--split all."
        ) from None


def images_trained_on(config: RunConfig, dataset: Dataset, split: Split) -> int | None:
    """The number of a split's images that a run was trained on; None if it was trained on no images of the dataset.

    After a training on a fraction of the images, those left out are counted too.
    """
    if not config.options.trains or config.facts.get("data") != str(dataset.path.resolve()):
        return None
    try:
        training, _ = training_and_validation(dataset)
    except DatasetError:  # the dataset was changed since
        return None
    trained_on = {example.image_id for example in training.examples}
    return sum(example.image_id in trained_on for example in split.examples)


def embedded_split(run: Path, split: Split, options: EvaluationOptions, show: Show) -> EmbeddedSplit:
    """The model of a run, and the regions of the split's images."""
    grounder = Grounder.load(run)
    return EmbeddedSplit(grounder, _store_for(grounder, run, split, options, show))


def _store_for(grounder: Grounder, run: Path, split: Split, options: EvaluationOptions, show: Show) -> RegionStore:
    """Regions of the split's images, with the settings that the run was trained with.

    The store `options.regions` if given; else the store that the run was trained with, if it contains all of the
    images; else the regions are extracted into `run/store`.

    Raises:
        StoreError: the given store was made with other settings.
    """
    settings = grounder.config.regions
    if options.regions is not None:
        store = RegionStore.open(options.regions)
        if store.settings.fingerprint() != settings.fingerprint():
            raise StoreError(
                f"{options.regions} was made with other settings than the run: "
                f"{'; '.join(store.settings.differences(settings))}. Leave out --regions, and regions are extracted "
                "with the settings of the run."
            )
        show_replaced_images(store, split.examples, show)
        return store
    trained_on = grounder.config.facts.get("store")  # a converted run may have none
    if trained_on is not None and Path(str(trained_on)).is_dir():
        store = RegionStore.open(Path(str(trained_on)))
        if isinstance(settings, ImportedRegions) and any(example.image_id in store for example in split.examples):
            return store  # imported regions may have no images to compare with
        if all(_contains(store, example) for example in split.examples):
            return store
    settings.require_extractable()
    show(f"Extracting regions of {counted(len(split.examples), 'image')} of the split {split.name}")
    # Another command may extract images of the same names into the run; this one opens what it has written.
    with file_lock(run / "store", wait=True, show=show), waiting():
        found = extract(split.examples, settings, run / "store", strict=options.strict)
        store = RegionStore.open(run / "store")
    for line in skipped_lines(dict(found.skipped)):
        show(line)
    return store


def _contains(store: RegionStore, example: Example) -> bool:
    """Does the store contain this image, and not a different image with the same name?"""
    return store.image_key(example.image_id) == image_key(example.path, example.original_size)
