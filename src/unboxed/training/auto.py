"""`fit` without a recipe: selects region sources and recipe from the data and the available models, and prints them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.errors import RegionsError, RunError
from unboxed.inference.grounder import Grounder
from unboxed.priors.settings import PriorSettings
from unboxed.recipes.ckd import CKD
from unboxed.recipes.config import DistillationConfig, RecipeConfig
from unboxed.recipes.infoground import InfoGround
from unboxed.regions.extraction import extract
from unboxed.regions.queries import with_queries
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.detector_models import cached_detector
from unboxed.regions.store import RegionStore
from unboxed.runtime.devices import running_on
from unboxed.runtime.locks import waiting
from unboxed.runtime.progress import Show, counted
from unboxed.training.corrected_boxes import Corrections
from unboxed.training.fitting import fit
from unboxed.training.launch import process_numbers
from unboxed.training.log import require_logger
from unboxed.training.options import FitSettings
from unboxed.training.resuming import require_free, two_stores
from unboxed.training.splits import sample_images, training_and_validation

__all__ = ["default_fit", "default_recipe", "default_regions"]

_STEPS = 100  # on small collections, rsum after this many is twice that after a quarter; grounding needs fewer
_FEWEST_EPOCHS, _MOST_EPOCHS = 4, 30


def default_fit(
    settings: FitSettings,
    *,
    sources: RegionSettings | None = None,
    epochs: int | None = None,
    seed: int = 0,
    corrections: Corrections | None = None,
    show: Show = lambda line: None,
    report: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> Grounder:
    """Extract regions with the available models, and train the recipe that suits them.

    Args:
        settings: data, folder and the rest.
        sources: the sources and features of regions; None: chosen, see `default_regions`.
        epochs: passes over all captions; None: chosen by the number of images.
        seed: of all random numbers in training.
        corrections: boxes that people corrected, as for `fit`.
        show: called with a line of text at every stage.
        report: called with every entry of the training log.

    Raises:
        UnboxedError: as `fit`.
    """
    with running_on(settings.device) as device:
        device.torch_device()  # an error before anything is written
    if process_numbers(settings.devices, settings.nodes) != (1, 1):
        raise RunError("Several processes train a recipe by its name: unboxed fit RECIPE --devices N, such as fit ckd.")
    require_logger(settings.logger)
    require_free(settings.out, settings.resume)
    if settings.regions is not None and sources is not None:
        raise two_stores(settings.regions)
    dataset = load_dataset(settings.data)
    training, validation = training_and_validation(dataset)
    training = sample_images(training, settings.train_fraction, seed)
    if settings.regions is None:
        if sources is None:
            sources, which = default_regions(dataset)
            show(which)
        store = settings.out / "store"
        sources = with_queries(sources, training.examples)
        examples = [*training.examples, *validation.examples]
        with waiting(settings.wait):
            found = extract(examples, sources, store, strict=settings.strict, device=settings.device)
        for line in skipped_lines(dict(found.skipped)):
            show(line)
        settings = replace(settings, regions=store)
    assert settings.regions is not None
    named = bool(RegionStore.open(settings.regions).class_names)
    name, options = default_recipe(named, len(training.examples), epochs, seed)
    why = "the regions have class names" if named else "the regions have no class names"
    show(f"Recipe: {name}, {counted(options.schedule.epochs, 'epoch')}, because {why}")
    return fit(name, options, settings, corrections=corrections, show=show, report=report)


def default_regions(dataset: Dataset, detectors: Sequence[Path] = ()) -> tuple[RegionSettings, str]:
    """The settings of the regions of a dataset, and a sentence that describes them.

    The first of these that exists is used: `detectors`; the models that the dataset names; a detector of transformers
    in the local Hugging Face cache; segments, which need no weights.

    Args:
        dataset: a dataset with images.
        detectors: ONNX files, and at most one folder of a detector of transformers.

    Raises:
        DatasetError: a dataset without images.
        RegionsError: a detector that does not exist, or two folders.
    """
    dataset.require_images()
    for detector in detectors:
        if not detector.exists():
            raise RegionsError(
                f"The detector {detector} does not exist; name an ONNX file, or the folder of a detector of "
                "transformers."
            )
    if detectors:
        settings = RegionSettings(detectors=tuple(detectors)).with_folders()
        return settings, f"Regions: the detector{'s' * (len(detectors) > 1)} {', '.join(map(str, detectors))}"
    if dataset.regions is None and (cached := cached_detector()) is not None:
        name = cached.parents[1].name.removeprefix("models--").replace("--", "/")
        return RegionSettings(detector_hf=str(cached)), f"Regions: the detector {name} of the local Hugging Face cache"
    return RegionSettings.default_for(dataset)


def default_recipe(named: bool, images: int, epochs: int | None = None, seed: int = 0) -> tuple[str, RecipeConfig]:
    """The recipe and its options.

    Args:
        named: whether the regions have class names. If so, CKD with the semantic prior, which also knows synonyms of
            class names; else InfoGround.
        images: the number of training images.
        epochs: None: chosen by the number of images.
        seed: of training.
    """
    options: RecipeConfig = (
        CKD(
            prior="semantic",
            distillation=DistillationConfig(distillation=0.5),
            intra_caption=0.3,
            negatives="random",
            semantic=PriorSettings(match=("map", "names", "parts", "synonyms", "wordnet", "vectors")),
        )
        if named
        else InfoGround(negatives="random")
    )
    if epochs is None:
        steps_an_epoch = max(images // options.schedule.images_per_batch, 1)
        epochs = min(max(round(_STEPS / steps_an_epoch), _FEWEST_EPOCHS), _MOST_EPOCHS)
    schedule = replace(options.schedule, epochs=epochs, seed=seed)
    return ("ckd" if named else "infoground"), replace(options, schedule=schedule)
