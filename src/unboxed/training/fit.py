"""From a dataset to a run: regions, vocabulary, negatives, training, each kept so that an interrupted fit goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unboxed import __version__
from unboxed.data.dataset import Dataset, Split, load_dataset
from unboxed.errors import DatasetError, RegionsError, RunError
from unboxed.inference.batching import Batcher
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.run_config import RunConfig
from unboxed.inference.weights import load_weights, save_weights
from unboxed.negatives.base import Negatives
from unboxed.negatives.build import make_negatives, negatives_file_name
from unboxed.priors.semantic import SemanticPrior
from unboxed.recipes import RecipeConfig, recipe_to_dict
from unboxed.regions.extraction import extract
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.locks import file_lock
from unboxed.runtime.seeds import generator, seed_of
from unboxed.text.vocabulary import Vocabulary
from unboxed.training.calibration import calibrated
from unboxed.training.loop import train
from unboxed.training.options import FitSettings
from unboxed.training.split_loader import SplitLoader

if TYPE_CHECKING:
    from unboxed.priors.semantic import SemanticPrior

__all__ = ["FitSettings", "fit", "require_free", "share_of", "training_and_validation"]

_MEASURED_PHOTOS = 500


def fit(
    recipe: str,
    options: RecipeConfig,
    settings: FitSettings,
    *,
    show: Callable[[str], None] = lambda line: None,
    report: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> Grounder:
    """Train a recipe on a dataset and leave the run in `settings.out`.

    Args:
        recipe: its name, such as `infoground`.
        options: its options.
        settings: data, folder and the rest.
        say: is given a line for people at every stage.
        report: is given every entry of the training log.

    Returns:
        The trained model, as `Grounder.load(settings.out)` gives it.

    Raises:
        UnboxedError: anything wrong with the dataset, the store or the run, with the fix named.
    """
    run = settings.out
    previous = _previous_run(run, recipe, options, settings.resume)
    if previous is not None and previous.facts.get("finished"):
        show(f"{run} has finished already; nothing to do.")
        return Grounder.load(run)
    if previous is not None and previous.facts.get("precision", "32") != settings.precision:
        raise RunError(f"{run} was started with --precision {previous.facts.get('precision', '32')}; repeat it.")
    dataset = load_dataset(settings.data)
    training, validation = training_and_validation(dataset)
    training = share_of(training, settings.train_fraction, options.schedule.seed)
    for split in (training, validation):
        show(split.describe())
        if settings.strict:
            split.require_readable()

    store = _store(options, dataset, (training, validation), run, settings, show)
    captions = [caption for example in training.examples for caption in example.captions]
    vocabulary = Vocabulary.from_captions((caption.text for caption in captions), settings.min_count)
    if previous is not None and Vocabulary.load(run / "vocab.json") != vocabulary:
        raise RunError(f"The captions of {dataset.path} are not those that {run} was started with; start another run.")
    run.mkdir(parents=True, exist_ok=True)
    config = RunConfig(
        recipe=recipe,
        options=options,
        regions=store.settings.copied_to(run / "regions"),
        feature_blocks=store.feature_blocks,
        class_names=store.class_names,
        facts={
            "unboxed": __version__,
            "data": str(dataset.path.resolve()),
            "store": str(store.path.resolve()),
            "precision": settings.precision,
            "finished": False,
        },
    )
    prior = _prior(options, store, training, show)
    batcher = Batcher(config, vocabulary, prior)
    loader = SplitLoader(training.examples, store, batcher)
    held_out = SplitLoader(validation.examples, store, batcher)
    config.facts["train"] = {
        "photos": len(loader),
        "captions": loader.caption_count,
        "without_regions": len(loader.missing),
    }
    config.facts["validation"] = {"photos": len(held_out), "captions": held_out.caption_count}
    with file_lock(_negatives_file(options, settings)):
        negatives = _negatives(options, settings, loader, show)
    vocabulary.save(run / "vocab.json")
    if prior is not None:
        prior.save(run / "prior")
    config.save(run)

    torch.manual_seed(seed_of(options.schedule.seed, "weights"))
    model = options.build(vocabulary, config.region_width)
    if options.text != "gru":
        model.text.save(run / "text")  # type: ignore[operator]
    sample = generator(options.schedule.seed, "measure").permutation(len(loader))[:_MEASURED_PHOTOS]
    model.standardise.measure(loader.region_inputs(int(image)) for image in sample)
    if options.trains:
        started = time.monotonic()
        best = train(
            model,
            options.schedule,
            loader,
            held_out,
            run,
            negatives=negatives,
            negative_count=options.negative_count,
            tensorboard=settings.tensorboard,
            precision=settings.precision,
            report=report,
        )
        show(f"Trained in {time.monotonic() - started:.0f} s; best epoch {best['epoch'] + 1}")
        config.facts["best"] = best
    else:
        show("Nothing is trained: the prior alone")
        save_weights(run / "model.safetensors", model)
    for split in (training, validation):
        for image_id, reason in split.unreadable.items():
            show(f"Skipped {image_id}: {reason}")
    load_weights(run / "model.safetensors", model)  # of the best epoch
    grounder = Grounder(config, model, vocabulary, prior if options.needs_prior else None)
    presence = calibrated(EmbeddedSplit(grounder, store), validation.examples)
    config.facts.update(finished=True)
    grounder.config = replace(config, presence=presence)
    grounder.config.save(run)
    (run / "checkpoint.safetensors").unlink(missing_ok=True)
    return grounder


def require_free(run: Path, resume: bool) -> None:
    """Stop before another run is written over, unless it is to be resumed.

    Raises:
        RunError: there is a run in the folder, or something else in its place.
    """
    if run.exists() and not run.is_dir():
        raise RunError(f"{run} is a file; --out names the folder of the run.")
    if (run / "config.json").exists() and not resume:
        raise RunError(f"{run} already holds a run; continue it with --resume, or choose another --out.")


def training_and_validation(dataset: Dataset) -> tuple[Split, Split]:
    """The `train` and `val` splits; without a `val`, a tenth of the training images, chosen at random.

    Raises:
        DatasetError: no split `train`, or fewer than two images in either: what is contrasted is one with another.
    """
    if "train" not in dataset.split_names:
        raise DatasetError(f"{dataset.path} has no split `train`; name its list of images under [splits].")
    training = dataset.split("train")
    if "val" in dataset.split_names:
        validation = dataset.split("val")
    else:
        order = generator(0, "held-out").permutation(len(training.examples))
        held_out = set(order[: max(len(order) // 10, 2)].tolist())
        kept = tuple(example for i, example in enumerate(training.examples) if i not in held_out)
        validation = Split("val", tuple(example for i, example in enumerate(training.examples) if i in held_out))
        training = replace(training, examples=kept)
    for split in (training, validation):
        if len(split.examples) < 2:
            found = len(training.examples) + len(validation.examples)
            raise DatasetError(
                f"{dataset.path} has {len(split.examples)} of its {found} images in the split {split.name!r}; "
                "training and validation contrast images with each other and need at least two each."
            )
    return training, validation


def share_of(split: Split, fraction: float, seed: int) -> Split:
    """A share of the images at random, at least two; the smaller share of a seed is part of the larger one.

    Raises:
        DatasetError: a share outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise DatasetError(f"--train-fraction is {fraction}; it is a share of the images, in (0, 1].")
    if fraction == 1:
        return split
    count = max(round(fraction * len(split.examples)), 2)
    chosen = np.sort(generator(seed, "fraction").permutation(len(split.examples))[:count])
    return replace(split, examples=tuple(split.examples[i] for i in chosen))


def _previous_run(run: Path, recipe: str, options: RecipeConfig, resume: bool) -> RunConfig | None:
    require_free(run, resume)
    if not (run / "config.json").exists():
        return None
    previous = RunConfig.load(run)
    if previous.recipe != recipe:
        raise RunError(
            f"{run} is a run of {previous.recipe}, not of {recipe}; resume it as `unboxed fit {previous.recipe}`."
        )
    ours, theirs = recipe_to_dict(options), recipe_to_dict(previous.options)
    for part in [name for name, value in ours.items() if isinstance(value, dict)]:
        ours.update(ours.pop(part))
        theirs.update(theirs.pop(part))
    differing = [
        f"{name} was {theirs[name]!r} and now is {ours[name]!r}" for name in ours if ours[name] != theirs[name]
    ]
    if differing:
        raise RunError(
            f"{run} was started with other options: {'; '.join(differing)}. Repeat them, or start another run."
        )
    return previous


def _store(
    options: RecipeConfig,
    dataset: Dataset,
    splits: Sequence[Split],
    run: Path,
    settings: FitSettings,
    show: Callable[[str], None],
) -> RegionStore:
    if settings.regions is not None:
        return RegionStore.open(settings.regions)
    region_settings, which = options.region_settings(dataset)
    show(which)
    examples = [example for split in splits for example in split.examples]
    summary = extract(examples, region_settings, run / "store", strict=settings.strict)
    for image_id, reason in summary.skipped:
        show(f"Skipped {image_id}: {reason}")
    return RegionStore.open(run / "store")


def _prior(
    options: RecipeConfig, store: RegionStore, training: Split, show: Callable[[str], None]
) -> SemanticPrior | None:
    """The semantic prior of the regions' classes, where the recipe wants one."""
    if not options.needs_prior:
        return None

    if not store.class_names:
        raise RegionsError(
            "The semantic prior compares phrases with the names of detected classes, and these regions have none; find "
            "regions with a detector (`unboxed regions --detector …`), or train without --prior and --distillation."
        )
    show("Preparing the semantic prior")
    examples = [example for example in training.examples if example.image_id in store]
    return SemanticPrior.build(
        options.semantic,
        store.class_names,
        captions=(caption.text for example in examples for caption in example.captions),
        images=(
            (
                [phrase.text for caption in example.captions for phrase in caption.phrases],
                store.arrays(example.image_id).class_probs,
            )
            for example in examples
        ),
    )


def _negatives_file(options: RecipeConfig, settings: FitSettings) -> Path:
    """Where the negatives are kept; in a shared folder, those of another kind or seed lie beside them."""
    if settings.cache is None:
        return settings.out / "negatives.safetensors"
    return settings.cache / negatives_file_name(options.negatives, settings.language_model, options.schedule.seed)


def _negatives(
    options: RecipeConfig, settings: FitSettings, loader: SplitLoader, show: Callable[[str], None]
) -> Negatives | None:
    """Substitutes for the nouns of the training captions, found once and kept in the run."""
    encoded = [caption for captions in loader.captions for caption in captions]
    images = [image for image, captions in zip(loader.image_ids, loader.captions, strict=True) for _ in captions]
    return make_negatives(
        options.negatives,
        encoded,
        images,
        _negatives_file(options, settings),
        language_model=settings.language_model,
        seed=options.schedule.seed,
        show=show,
    )
