"""`fit`: from a dataset to a run, with regions, vocabulary, negatives and training in one call."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from unboxed import __version__
from unboxed.data.dataset import load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.errors import RunError
from unboxed.inference.batching import Batcher
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.grounder import Grounder
from unboxed.inference.run_config import RunConfig
from unboxed.inference.weights import load_weights, save_weights
from unboxed.negatives.build import make_negatives, negatives_file_name
from unboxed.negatives.substitution import SubstitutionSettings
from unboxed.priors.semantic import SemanticPrior
from unboxed.recipes import RecipeConfig
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.devices import current_device, running_on
from unboxed.runtime.locks import file_lock
from unboxed.runtime.progress import Report, Show, counted
from unboxed.runtime.ranks import Ranks
from unboxed.text.tokens import Vocabulary
from unboxed.training.box_ranker import with_box_ranker
from unboxed.training.calibration import calibrated
from unboxed.training.combinations import (
    require_combination,
    require_correctable,
    require_effect,
)
from unboxed.training.corrected_boxes import CorrectedExamples, Corrections, all_corrections
from unboxed.training.fit_data import FitData, read_data
from unboxed.training.launch import processes, require_same_data, run_lock
from unboxed.training.log import require_logger
from unboxed.training.loop import train
from unboxed.training.options import FitSettings, StepOptions
from unboxed.training.priors import fitted_prior, with_crop_encoder
from unboxed.training.resuming import (
    continue_finished,
    needs_more_epochs,
    previous_run,
    require_free,
    require_same_supervision,
    starting,
    two_stores,
)
from unboxed.training.split_loader import SplitLoader
from unboxed.training.teacher import Teacher, require_same_regions, teacher_digest
from unboxed.training.untrained import require_trainable, untrained_model

__all__ = ["FitSettings", "fit", "fit_given"]


def fit(
    recipe: str,
    options: RecipeConfig,
    settings: FitSettings,
    *,
    sources: RegionSettings | None = None,
    preset: str | None = None,
    corrections: Corrections | None = None,
    show: Show = lambda line: None,
    report: Report = lambda entry: None,
) -> Grounder:
    """Train a recipe on a dataset and write the run to `settings.out`.

    Regions, vocabulary, negatives and checkpoints are kept in the run, so that an interrupted fit continues where it
    stopped.

    Args:
        recipe: its name in `RECIPES`, such as `infoground`.
        options: its options.
        settings: the data, the run's folder, and the rest.
        sources: extract the regions with these settings, which the run keeps; None: with those of the dataset.
        preset: the name of the preset that the options began as, for the run's config.
        corrections: boxes that people corrected, by the name of their image, which then train the attention too; the
            run says so. None, the default: no box trains anything.
        show: called with a line of text at every stage.
        report: called with every entry of the training log.

    Returns:
        The trained model, as `Grounder.load(settings.out)` gives it.

    Raises:
        BusyError: another process writes the run.
        RunError: an option that has no effect beside the others, unless the run was started with it.
        UnboxedError: the dataset, the store, the run or the device cannot be used; the message names the fix.
    """
    if not (isinstance(recipe, str) and isinstance(options, RecipeConfig) and isinstance(settings, FitSettings)):
        raise RunError('fit takes a recipe\'s name, its options and settings: fit("scan", SCAN(), FitSettings(…)).')
    request = _Request(recipe, options, settings, sources, preset, corrections)
    if not (settings.out / "config.json").exists():
        require_effect(recipe, options, preset, settings.data, request.regions)
    return _fit(request, show, report)


def fit_given(
    recipe: str,
    options: RecipeConfig,
    settings: FitSettings,
    *,
    preset: str | None = None,
    corrections: Corrections | None = None,
    store: RegionStore | None = None,
    show: Show = lambda line: None,
    report: Report = lambda entry: None,
) -> Grounder:
    """As `fit`, with options that have no effect too, as the recipes of a comparison share some.

    `store` is that of `settings.regions`, where it is open already.
    """
    return _fit(_Request(recipe, options, settings, None, preset, corrections, store), show, report)


@dataclass(frozen=True, eq=False)
class _Request:
    """The arguments of `fit`, and the store of `settings.regions` where it is open already."""

    recipe: str
    options: RecipeConfig
    settings: FitSettings
    sources: RegionSettings | None
    preset: str | None
    corrections: Corrections | None
    opened: RegionStore | None = None

    @cached_property
    def store(self) -> RegionStore | None:
        """The store that the settings name, if they do: opened once, as one at a URL may change meanwhile."""
        if self.settings.regions is None:
            return None
        if self.sources is not None:
            raise two_stores(self.settings.regions)
        return RegionStore.open(self.settings.regions) if self.opened is None else self.opened

    @cached_property
    def found_with(self) -> RegionSettings | None:
        """The settings with which regions are found: those given, or the teacher's; None: those of the dataset."""
        teacher = self.options.distillation.from_run
        return self.sources if self.sources is not None or teacher is None else RunConfig.load(teacher).regions

    def regions(self) -> RegionStore | RegionSettings:
        """The store, or the settings with which the regions are found."""
        if self.store is not None:
            return self.store
        found = self.found_with or self.options.region_settings(load_dataset(self.settings.data))[0]
        return with_crop_encoder(self.options, found)


def _fit(request: _Request, show: Show, report: Report) -> Grounder:
    """Train what a request asks for, unless its options or files do not go together."""
    settings = request.settings
    require_free(settings.out, resume=True)
    require_combination(request.options, settings)
    if request.corrections is not None:
        require_correctable(request.recipe, request.options, settings)
    with running_on(settings.device) as device:
        device.torch_device()  # an error before anything is written
        with processes(settings.devices, settings.nodes, device) as ranks, run_lock(settings, ranks, show):
            if not ranks.is_first:
                show, report = (lambda line: None), (lambda entry: None)
            with ranks.in_turn():
                prepared = _prepared(request, show)
            return (
                Grounder.load(settings.out) if prepared is None else _trained(prepared, settings, ranks, show, report)
            )


class _Prepared(NamedTuple):
    """All that training reads; `finished` is the config of a run that had finished, and gets more epochs."""

    data: FitData
    loaders: tuple[SplitLoader, SplitLoader]
    config: RunConfig
    prior: SemanticPrior | None
    finished: RunConfig | None


def _prepared(request: _Request, show: Show) -> _Prepared | None:
    """What training needs; None if the run has finished."""
    options, settings, corrections = request.options, request.settings, request.corrections
    run = settings.out
    require_logger(settings.logger)
    previous = previous_run(request.recipe, options, settings, request.preset)
    finished = previous if previous is not None and previous.facts.get("finished") else None
    if finished is not None and not needs_more_epochs(finished, options):
        (run / "checkpoint.safetensors").unlink(missing_ok=True)  # of a process that was killed at the very end
        show(f"{run} has finished already; nothing to do.")
        return None
    folder = options.distillation.from_run
    if folder is not None:
        regions = request.regions()
        require_same_regions(folder, regions.settings if isinstance(regions, RegionStore) else regions)
    data = read_data(options, settings, request.found_with, request.store, show)
    if previous is not None and Vocabulary.load(run / "vocab.json") != data.vocabulary:
        found = data.dataset.path
        raise RunError(f"The captions of {found} are not those that {run} was started with; start another run.")
    config = _run_config(request, data)
    options.require_inputs(config.region_width)
    config.regions.identity()  # an error where a file of a model is missing
    prior = fitted_prior(config, data.store, data.training.examples, show)
    batcher = Batcher(config, data.vocabulary, prior)
    corrected = None
    if corrections is not None:
        corrected = CorrectedExamples.of(data.training.examples, data.dataset.images, corrections)
        config.facts["corrections"] = corrected.facts
        show(str(corrected))
    examples = data.training.examples if corrected is None else corrected.examples
    training = SplitLoader(examples, data.store, batcher)
    training.corrected = corrected
    validation = SplitLoader(data.validation.examples, data.store, batcher)
    if folder is not None:
        teacher = Grounder.load(folder)
        training.teacher = Teacher.of(teacher, data.store, examples)
        validation.teacher = Teacher.of(teacher, data.store, data.validation.examples)
        config.facts["teacher"] = teacher_digest(folder)
        if (seen := teacher.config.facts.get("corrections")) is not None:
            show(f"Corrections: {folder} was trained with some, so the results are not those of captions alone")
            config.facts["corrections"] = all_corrections(seen, config.facts.get("corrections"))
    require_same_supervision(previous, config)
    captions, missing = training.caption_count, len(training.missing)
    config.facts["train"] = {"photos": len(training), "captions": captions, "without_regions": missing}
    config.facts["validation"] = {"photos": len(validation), "captions": validation.caption_count}
    return _Prepared(data, (training, validation), config, prior, finished)


def _trained(prepared: _Prepared, settings: FitSettings, ranks: Ranks, show: Show, report: Report) -> Grounder:
    data, loaders, config, prior, finished = prepared
    run = settings.out
    if ranks.count > 1:
        given = repr((config.options, settings.precision, settings.chunk))
        require_same_data(ranks, current_device().torch_device(), given, *loaders)
    model = untrained_model(config, data.vocabulary, loaders[0])
    if config.options.trains:
        require_trainable(model, loaders[1], settings.chunk)
    grounder = Grounder(config, model, data.vocabulary, prior)
    # Here the first files of the run are written; what does not go together was refused before.
    first_files = starting(run) if ranks.is_first else nullcontext()
    with ranks.in_turn(), first_files:  # the others find the files of the start
        _find_negatives(config.options, settings, loaders[0], show)
        if ranks.is_first:
            if finished is not None:
                continue_finished(finished, model, loaders[0], settings)
                show(f"{run} had finished; it continues after its best epoch, with a new state of the optimizer")
            _save_start(grounder, run)
    if config.options.trains:
        _train(grounder, loaders, settings, ranks, show, report)
    else:
        show("Nothing is trained: the prior alone")
        save_weights(run / "model.safetensors", model)
    for line in skipped_lines({**data.training.unreadable, **data.validation.unreadable}):
        show(line)
    with ranks.in_turn():
        return _finished(grounder, data, settings, show) if ranks.is_first else Grounder.load(run)


def _run_config(request: _Request, data: FitData) -> RunConfig:
    return RunConfig(
        recipe=request.recipe,
        options=request.options,
        regions=data.store.settings,
        feature_blocks=data.store.feature_blocks,
        class_names=data.store.class_names,
        facts={
            "unboxed": __version__,
            "data": str(data.dataset.path.resolve()),
            "store": data.store.address,
            "precision": request.settings.precision,
            "finished": False,
            **({} if request.preset is None else {"preset": request.preset}),
        },
    )


def _find_negatives(options: RecipeConfig, settings: FitSettings, training: SplitLoader, show: Show) -> None:
    """Give the training captions the substitutes of their nouns, which are found once and kept in a file."""
    file = settings.out / "negatives.safetensors"
    if settings.cache is not None:
        # In a folder that several runs share, negatives of different kinds and seeds have different names.
        name = negatives_file_name(options.negatives, settings.language_model, options.schedule.seed)
        file = settings.cache / name
    with file_lock(file, wait=True, show=show):
        training.negatives = make_negatives(
            options.negatives,
            [caption.caption for captions in training.captions for caption in captions],
            [image for image, captions in zip(training.image_ids, training.captions, strict=True) for _ in captions],
            file,
            language_model=settings.language_model,
            seed=options.schedule.seed,
            settings=SubstitutionSettings(digits=options.negative_digits, exclude_seen=not options.negative_seen),
            show=show,
        )
    training.negative_count = options.negative_count
    training.fixed_nouns = options.negative_nouns == "fixed"


def _save_start(grounder: Grounder, run: Path) -> None:
    """Write all files of the run that do not change in training; with the config the run counts as started."""
    grounder.config = replace(grounder.config, regions=grounder.config.regions.copied_to(run / "regions"))
    grounder.vocabulary.save(run / "vocab.json")
    if grounder.prior is not None:
        grounder.prior.save(run / "prior")
    if grounder.config.options.text != "gru":
        grounder.model.text.save(run / "text")  # type: ignore[operator]
    grounder.config.save(run)


def _train(
    grounder: Grounder,
    loaders: tuple[SplitLoader, SplitLoader],
    settings: FitSettings,
    ranks: Ranks,
    show: Show,
    report: Report,
) -> None:
    """Train the model, and leave it with the weights of the best epoch."""
    started, schedule = time.monotonic(), grounder.config.options.schedule
    show(f"Training: {counted(schedule.epochs, 'epoch')} of {counted(len(loaders[0].plan(schedule, 0)), 'step')}")
    best = train(
        grounder.model,
        schedule,
        *loaders,
        settings.out,
        logger=settings.logger,
        step=StepOptions(settings.precision, settings.chunk),
        report=report,
    )
    show(f"Trained in {time.monotonic() - started:.0f} s; best epoch {best['epoch'] + 1}")
    grounder.config.facts["best"] = best
    ranks.wait()
    load_weights(settings.out / "model.safetensors", grounder.model)
    grounder.model.eval()


def _finished(grounder: Grounder, data: FitData, settings: FitSettings, show: Show) -> Grounder:
    """The run with its calibration and what ranks its boxes, marked as finished."""
    run, split = settings.out, EmbeddedSplit(grounder, data.store)
    calibration = calibrated(split, data.validation.examples, data.training.examples, show)
    config = with_box_ranker(split, data.validation.examples, settings.boxes, show)
    config.facts.update(finished=True)
    config = replace(config, presence=calibration)
    config.save(run)
    (run / "checkpoint.safetensors").unlink(missing_ok=True)
    return Grounder(config, grounder.model, grounder.vocabulary, grounder.prior)
