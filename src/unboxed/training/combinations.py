"""Refuses what does not go together in a fit, before anything is computed; options alone are checked by the recipes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from unboxed.attention.sgraf import other_region_counts
from unboxed.data.dataset import load_dataset
from unboxed.data.images import open_image
from unboxed.errors import ImageError, RegionsError, RunError
from unboxed.inference.run_folder import read_run
from unboxed.priors.semantic import matching_resources
from unboxed.recipes.config import RecipeConfig
from unboxed.recipes.idle_options import refuse_idle_options
from unboxed.recipes.presets import DATASETS, dataset_kind, flat_options, make_preset, paper_settings
from unboxed.regions.base import BACKBONE, BLOCKS
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.settings import ImportedRegions, RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.atomic import require_writable
from unboxed.text.pretrained import require_short, require_transformer
from unboxed.text.recurrent import require_width
from unboxed.text.word_vectors import WordVectors
from unboxed.training.launch import process_numbers
from unboxed.training.options import FitSettings
from unboxed.training.priors import require_crops
from unboxed.types import LABELER, Example

__all__ = [
    "region_options",
    "require_class_names",
    "require_combination",
    "require_correctable",
    "require_effect",
    "require_files",
    "require_read",
    "require_region_count",
    "require_short_captions",
    "require_usable_store",
]


def require_combination(options: RecipeConfig, settings: FitSettings) -> None:
    """Raise an error where the options of a recipe do not go with the settings of a fit, or a model cannot be had.

    Raises:
        RunError: options that do not go together, or a cache that is a file.
        ModelError: a pretrained model of language that cannot be had.
        OSError: the cache cannot be written.
    """
    if settings.cache is not None:
        if settings.cache.is_file():
            raise RunError(f"--cache {settings.cache} is a file; name a folder.")
        require_writable(settings.cache)
    if options.negatives != "none" and options.negative_count < 1:
        raise RunError("--negative-count is 0; give 1 or more, or contrast no words with --negatives none.")
    if (teacher := options.distillation.from_run) is not None:
        _require_teachable(options, teacher, settings)
    if options.text != "gru":
        require_transformer(options.text)
    if options.negatives == "lm" and settings.language_model is not None:
        require_transformer(settings.language_model)


def require_effect(
    recipe: str,
    options: RecipeConfig,
    preset: str | None,
    data: Path,
    regions: Callable[[], RegionStore | RegionSettings],
) -> None:
    """Raise a `RunError` where an option that differs from its default has no effect beside the others.

    Args:
        recipe: its name.
        options: its options.
        preset: that the options began as, whose values are then the defaults.
        data: the dataset.
        regions: gives the store of the regions, or the settings with which they are found; called where an option
            reads what regions have.
    """
    start = _changed_from(recipe, options, preset, data)
    refuse_idle_options(options, start)
    if reads := region_options(options, start):
        require_read(reads, regions())


def _changed_from(recipe: str, options: RecipeConfig, preset: str | None, data: Path) -> RecipeConfig:
    """The options of the named preset; without a name the defaults or those of `paper`, whichever are nearer.

    `preset("scan").config` does not know its name, and has options without effect too, as the original code has.
    """
    kind = type(options)
    if preset is not None:
        return make_preset(recipe, kind, preset, dataset_kind(load_dataset(data))).config
    papers = DATASETS if recipe in paper_settings() else ()
    starts = [kind(), *(make_preset(recipe, kind, "paper", dataset).config for dataset in papers)]
    chosen = flat_options(options)
    return min(starts, key=lambda start: sum(value != chosen[name] for name, value in flat_options(start).items()))


def region_options(options: RecipeConfig, start: RecipeConfig) -> set[str]:
    """The options, with underscores, that differ from those of `start` and read what regions have.

    Recipes outside this package may use an option as they like; they have none.
    """
    if not type(options).__module__.startswith("unboxed."):
        return set()
    before = flat_options(start)
    # A weight of 0, as in a paper's settings, leaves out what need not be there.
    return {n for n, v in flat_options(options).items() if n in _READS and v != before[n] and (v is False or v != 0)}


class _Given(NamedTuple):
    """Whether regions have names of classes, features of a backbone, and classes of a labeler."""

    classes: bool
    backbone: bool
    labels: bool


def _given(regions: RegionStore | RegionSettings) -> _Given:
    if isinstance(regions, RegionStore):
        backbone = any(name.startswith(BACKBONE) for name, _ in regions.feature_blocks)
        labels = any(name.startswith(f"{LABELER}:") for name in regions.class_names)
        return _Given(bool(regions.class_names), backbone, labels)
    return _Given(regions.names_classes, bool(regions.backbone or regions.backbone_hf), regions.labeler is not None)


_READS = {
    "class_inputs": (("classes",), "names of classes"),
    "backbone_features": (("classes", "backbone"), "features of a backbone beside names of classes"),
    "label_weight": (("labels",), "classes of a labeler"),
    "label_beside": (("labels",), "classes of a labeler"),
}
"""Options by what they read of the regions."""


def require_read(names: Collection[str], regions: RegionStore | RegionSettings) -> None:
    """Raise a `RunError` where one of these options reads what the regions of a store, or found so, do not have."""
    given = _given(regions)
    for name, (needed, what) in _READS.items():
        if name in names and not all(getattr(given, one) for one in needed):
            raise RunError(
                f"--{name.replace('_', '-')} has no effect on regions without {what}; leave it out, or find other "
                "regions (`unboxed regions --help`)."
            )


def require_short_captions(options: RecipeConfig, settings: FitSettings, captions: Sequence[str]) -> None:
    """Raise a `CaptionError` for a caption that is too long for a pretrained encoder or model of language."""
    if options.text != "gru":
        require_short(captions, options.text, "AutoModel", "encoder")
    if options.negatives == "lm" and settings.language_model is not None:
        require_short(captions, settings.language_model, "AutoModelForMaskedLM", "language model")


def require_correctable(recipe: str, options: RecipeConfig, settings: FitSettings) -> None:
    """Raise a `RunError` where corrected boxes have nothing to train, or several processes would share them."""
    if not options.trains or options.heat_read_out is not None:
        raise RunError(
            f"Corrected boxes train the attention to regions, and {recipe} with these options trains none; "
            "choose another recipe, such as ckd, or leave out --use-corrections."
        )
    if process_numbers(settings.devices, settings.nodes) != (1, 1):
        raise RunError("Corrected boxes train in one process; leave out --devices and --nodes.")


def _require_teachable(options: RecipeConfig, teacher: Path, settings: FitSettings) -> None:
    """Raise a `RunError` where a run cannot teach these options, or several processes would share its answers."""
    if options.heat_read_out is not None:
        raise RunError(
            "A run teaches the attention to regions, and npair has a match map; choose another recipe, such as ckd, "
            "or leave out --teacher."
        )
    config = read_run(teacher).config
    if config.options.heat_read_out is not None:
        raise RunError(f"{teacher} reads boxes off heat maps and ranks no regions; choose another run as --teacher.")
    if not config.facts.get("finished", True):
        raise RunError(f"{teacher} is not trained to its end yet; finish it first: `unboxed fit … --resume`.")
    if process_numbers(settings.devices, settings.nodes) != (1, 1):
        raise RunError("A run teaches in one process; leave out --devices and --nodes.")


def require_files(options: RecipeConfig) -> None:
    """Raise a `ModelError` where a file of words that the options name is missing, damaged or of another width."""
    file = options.text_encoder.initial_vectors
    if file is not None:
        require_width(WordVectors.open(file, unit=False), options.embedding_width)
    if options.needs_prior:
        matching_resources(options.semantic)


def require_class_names(options: RecipeConfig, named: bool) -> None:
    """Raise a `RegionsError` where the semantic prior is used, and no region has the name of a class."""
    if options.needs_prior and not named:
        raise RegionsError(
            "The semantic prior compares phrases with the names of detected classes, and these regions have none; find "
            "regions with a detector (--detector FILE of `unboxed regions` or `fit`, or `detector` under [regions] of "
            "the dataset file), or train without the prior: another recipe, such as infoground, or --prior none "
            "--distillation 0."
        )


def require_usable_store(options: RecipeConfig, store: RegionStore, examples: Sequence[Example]) -> None:
    """Raise a `RegionsError` where a recipe needs other regions than those of a store.

    Args:
        options: the recipe.
        store: the regions.
        examples: the images that are trained and validated on.
    """
    require_class_names(options, bool(store.class_names))
    require_crops(options, store)
    known = not isinstance(store.settings, ImportedRegions) or store.settings.boxes
    if options.reads_positions and not known and BLOCKS not in dict(store.feature_blocks):
        raise RegionsError(
            f"This recipe reads the places of regions, and {store.path} was imported without boxes or blocks. Put "
            "PFAN's *_boxes.npy beside the features and import them again into a new folder, or import features "
            "with boxes."
        )
    wanted = options.region_count
    counts = {store.region_count(one.image_id) for one in examples if one.image_id in store} if wanted else set()
    if counts - {wanted}:
        raise other_region_counts(wanted, counts)


def require_region_count(options: RecipeConfig, sources: RegionSettings, examples: Iterable[Example]) -> None:
    """Find the regions of one image where a recipe needs a number of them, before those of all images are found.

    Args:
        options: the recipe.
        sources: the settings of the extraction.
        examples: the images, of which the first counts that can be read.

    Raises:
        RegionsError: the image has another number of regions.
    """
    if not options.region_count:
        return
    extractor = RegionExtractor(sources)
    for example in examples:
        try:
            found = len(extractor(open_image(example.path), example.original_size))
        except (ImageError, RegionsError):  # the extraction says it
            continue
        if found != options.region_count:
            raise other_region_counts(options.region_count, [found])
        return
