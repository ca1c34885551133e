"""The region sources and the recipe of a `fit` without a recipe, by the data and the available models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unboxed.attention.ranking import Ranking
from unboxed.data.dataset import Dataset
from unboxed.errors import RegionsError
from unboxed.priors.settings import PriorSettings
from unboxed.recipes.ckd import CKD
from unboxed.recipes.config import DistillationConfig, RecipeConfig
from unboxed.recipes.infoground import InfoGround
from unboxed.regions.settings import RegionSettings
from unboxed.regions.sources.detector_models import cached_detector

__all__ = ["default_recipe", "default_regions"]

_STEPS = 100  # on small collections, rsum after this many is twice that after a quarter; grounding needs fewer
_FEWEST_EPOCHS, _MOST_EPOCHS = 4, 30


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
            ranking=Ranking(prior_weight=2.5, point="covered"),
        )
        if named
        else InfoGround(negatives="random", ranking=replace(InfoGround().ranking, point="covered"))
    )
    if epochs is None:
        steps_an_epoch = max(images // options.schedule.images_per_batch, 1)
        epochs = min(max(round(_STEPS / steps_an_epoch), _FEWEST_EPOCHS), _MOST_EPOCHS)
    schedule = replace(options.schedule, epochs=epochs, seed=seed)
    return ("ckd" if named else "infoground"), replace(options, schedule=schedule)
