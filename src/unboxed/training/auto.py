"""`fit` without a recipe: selects region sources and recipe from the data and the available models, and prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from unboxed.data.dataset import load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.data.readers.archives import names_archives
from unboxed.errors import RunError
from unboxed.inference.grounder import Grounder
from unboxed.regions.extraction import extract
from unboxed.regions.queries import with_queries
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.devices import running_on
from unboxed.runtime.locks import waiting
from unboxed.runtime.progress import Report, Show, counted, to_call
from unboxed.training.corrected_boxes import Corrections
from unboxed.training.defaults import default_recipe, default_regions
from unboxed.training.fitting import fit_given
from unboxed.training.launch import process_numbers
from unboxed.training.log import require_logger
from unboxed.training.options import FitSettings
from unboxed.training.resuming import require_free, two_stores
from unboxed.training.splits import sample_images, training_and_validation
from unboxed.types import Example

__all__ = ["default_fit"]


def default_fit(
    settings: FitSettings,
    *,
    sources: RegionSettings | None = None,
    epochs: int | None = None,
    seed: int = 0,
    corrections: Corrections | None = None,
    show: Show = lambda line: None,
    report: Report = lambda entry: None,
) -> Grounder:
    """Extract regions with the available models, and train the recipe that suits them.

    Args:
        settings: data, folder and the rest.
        sources: the sources and features of regions; None: chosen, see `default_regions`.
        epochs: passes over all captions; None: chosen by the number of images.
        seed: of all random numbers in training.
        corrections: boxes that people corrected, as for `fit`.
        show: called with a line of text at every stage, and with commands to go on with.
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
    default_recipe(True, len(training.examples), epochs, seed)  # an error before regions are found
    if settings.regions is None:
        if sources is None:
            sources, which = default_regions(dataset)
            show(which)
        folder = settings.out / "store"
        sources = with_queries(sources, training.examples)
        examples = [*training.examples, *validation.examples]
        with waiting(settings.wait):
            found = extract(examples, sources, folder, strict=settings.strict, device=settings.device)
        for line in skipped_lines(dict(found.skipped)):
            show(line)
        settings = replace(settings, regions=folder)
    assert settings.regions is not None
    store = RegionStore.open(settings.regions)
    named = bool(store.class_names)
    name, options = default_recipe(named, len(training.examples), epochs, seed)
    why = "the regions have class names" if named else "the regions have no class names"
    show(f"Recipe: {name}, {counted(options.schedule.epochs, 'epoch')}, because {why}")
    run = fit_given(name, options, settings, corrections=corrections, store=store, show=show, report=report)
    show(f"Run: {settings.out}. Next:")
    for command in _next_commands(settings.data, settings.out, validation.examples):
        show(f"  {command}")
    return run


def _next_commands(data: Path, run: Path, examples: Sequence[Example]) -> Iterator[str]:
    """What to do with a run; the first of the examples whose image is a file is grounded, with its shortest caption."""
    packed = names_archives(data)  # an index and the list of the studio need files
    shown = next((example for example in examples if not packed and example.path.is_file()), None)
    if shown is not None:
        caption = " ".join(min((caption.text for caption in shown.captions), key=len).split())
        yield to_call("ground", run, shown.path, caption, "--save", "boxed.png")
    if not packed:
        yield to_call("index", run, data, "--out", "index")
    yield to_call("label", data, "--run", run, "--out", "coco.json", "--review", "review.html")
    yield to_call("studio", run, *(() if packed else ("--images", data)))
