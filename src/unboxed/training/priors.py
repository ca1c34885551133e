"""The prior of a fit, and the regions that it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unboxed.errors import RegionsError, RunError
from unboxed.inference.run_config import RunConfig
from unboxed.priors.crop_evidence import CropEvidence
from unboxed.priors.semantic import SemanticPrior
from unboxed.recipes.config import RecipeConfig
from unboxed.regions.model_files import content_digest
from unboxed.regions.queries import IMAGE_TEXT, model_type
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.progress import Show, track
from unboxed.runtime.ranks import Ranks
from unboxed.types import LABELER, Example

__all__ = ["fitted_prior", "require_crops", "with_crop_encoder"]

_BATCH = 64  # phrases that an image-text encoder reads between two lines of progress
_MEASURED = 200  # training images from which the evidence of crops has its scale


def fitted_prior(
    config: RunConfig, store: RegionStore, training: Sequence[Example], show: Show
) -> SemanticPrior | None:
    """The semantic prior of the regions' classes, for recipes that need one.

    Args:
        config: of the run.
        store: the regions.
        training: the training images.
        show: called with a line of text.

    Returns:
        None for other recipes, and where no training image has regions, which `SplitLoader` refuses.
    """
    examples = [example for example in training if example.image_id in store]
    if not config.options.needs_prior or not examples:
        return None
    show("Preparing the semantic prior")
    prior = SemanticPrior.build(
        config.options.semantic,
        store.class_names,
        captions=(caption.text for example in examples for caption in example.captions),
        images=((_phrases(example), store.arrays(example.image_id).class_probs) for example in examples),
        finer_parts=store.settings.part_segmenter is not None,
        crops=_crop_evidence(config, store, examples, show),
    )
    if config.options.crop_encoder is not None:
        phrases = list(dict.fromkeys(phrase for example in examples for phrase in _phrases(example)))
        batches = [phrases[start : start + _BATCH] for start in range(0, len(phrases), _BATCH)]
        for batch in track(batches, f"Batches of {_BATCH} phrases", len(batches), Ranks.current().is_first):
            prior.prepare(batch)
    return prior


def _phrases(example: Example) -> list[str]:
    return [phrase.text for caption in example.captions for phrase in caption.phrases]


def _crop_evidence(
    config: RunConfig, store: RegionStore, examples: Sequence[Example], show: Show
) -> CropEvidence | None:
    """What compares phrases with crops, measured on some of the images, with the encoder of the store."""
    if config.options.crop_encoder is None:
        return None
    assert store.settings.labeler is not None
    measured = examples[:: -(-len(examples) // _MEASURED)]
    crops = (store.arrays(example.image_id).features[:, config.crop_columns] for example in measured)
    return CropEvidence.fit(store.settings.labeler, zip(map(_phrases, measured), crops, strict=True), show)


def with_crop_encoder(options: RecipeConfig, sources: RegionSettings) -> RegionSettings:
    """The settings with the encoder of `--prior clip:MODEL` as the labeler of crops, for recipes with such a prior.

    Raises:
        RunError: no CLIP or SigLIP of that name.
        RegionsError: they name another labeler, or the model cannot be had.
    """
    if options.crop_encoder is None:
        return sources
    encoder = _encoder(options.crop_encoder)
    if sources.labeler is not None and content_digest(sources.labeler) != content_digest(encoder):
        raise RegionsError(
            f"--labeler is {sources.labeler}, and --prior {options.prior} reads the crops of another model; leave out "
            "--labeler, or name the same model in both."
        )
    return replace(sources, labeler=encoder, crops=True)


def require_crops(options: RecipeConfig, store: RegionStore) -> None:
    """Raise a `RegionsError` where the prior reads embeddings of crops that a store does not have."""
    if options.crop_encoder is None:
        return
    labeler = store.settings.labeler
    if labeler is None:
        lacks = "it was made without a labeler"
    elif content_digest(labeler) != content_digest(_encoder(options.crop_encoder)):
        lacks = f"its labeler is another model, {labeler.name}"
    elif LABELER not in dict(store.feature_blocks):
        lacks = "it was made without --crops"
    else:
        return
    raise RegionsError(
        f"--prior {options.prior} reads the embeddings of crops of this model, which {store.path} does not have: "
        f"{lacks}. Find regions into a new folder: unboxed regions … --labeler {options.crop_encoder} --crops; or "
        "leave out --regions, and fit finds them."
    )


def _encoder(name: str) -> Path:
    """The folder of CLIP or SigLIP, in the local cache for a hub name."""
    folder = RegionSettings(labeler=Path(name)).with_folders().labeler
    assert folder is not None
    found = (model_type(str(folder)) or "unknown") if folder.is_dir() else None
    if found not in IMAGE_TEXT:
        what = "no folder" if found is None else f"a model of type {found}"
        raise RunError(
            f"--prior clip:{name} names {what}; name the folder or hub name of an image-text encoder of transformers "
            f"({', '.join(IMAGE_TEXT)})."
        )
    return folder
