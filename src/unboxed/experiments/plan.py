"""What a comparison runs: the datasets, ready for training, and the cells of their recipes and claims."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unboxed.data.dataset import Dataset, load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.errors import EvaluationError, UnboxedError
from unboxed.experiments.cells import Cell, evaluated_split, parse_recipe
from unboxed.experiments.claims import CLAIMS, Claim, DatasetKind
from unboxed.experiments.options import CompareSettings, plain_name
from unboxed.recipes import RecipeConfig
from unboxed.regions.extraction import extract
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.regions.stored_images import show_replaced_images
from unboxed.runtime.progress import Show, counted
from unboxed.runtime.urls import resolved
from unboxed.training.splits import training_and_validation
from unboxed.types import Example

__all__ = [
    "Plan",
    "PreparedDataset",
    "add_cells",
    "add_chosen",
    "chosen_candidate",
    "claims_about",
    "dataset_names",
    "own_cells",
    "planned",
    "prepare",
    "selected_claims",
]

VALIDATION = "val"


@dataclass(frozen=True, eq=False)
class PreparedDataset:
    """A dataset that is ready for training.

    Attributes:
        name, kind: see `DatasetResult`.
        options: of its recipes, see `CompareSettings`.
        split: name of the evaluated split.
        dataset: the loaded dataset.
        store: regions of the images: the given store, or the dataset's default regions.
        examples: of the evaluated split.
        images: all images that need regions.
        training_images: number of training images.
    """

    name: str
    kind: DatasetKind
    options: str
    split: str
    dataset: Dataset
    store: Path
    examples: tuple[Example, ...]
    images: tuple[Example, ...]
    training_images: int


@dataclass(frozen=True, eq=False)
class Plan:
    """The cells of a comparison.

    Attributes:
        cells: by dataset name and recipe, one for each seed.
        grids: by dataset name and recipe, the cells that choose the options of claims.
        unusable: recipes of claims that cannot be trained on a dataset, with the reason.
        failed: names of cells that failed, with the reason.
    """

    cells: dict[tuple[str, str], list[Cell]]
    grids: dict[tuple[str, str], Cell]
    unusable: dict[tuple[str, str], str]
    failed: dict[str, str]

    @property
    def all_cells(self) -> list[Cell]:
        """The cells of all datasets and recipes, without those of the grids."""
        return [cell for cells in self.cells.values() for cell in cells]


def dataset_names(settings: CompareSettings) -> tuple[str, ...]:
    """The names of the datasets in files of the comparison; those of one name get a part that their paths determine."""
    names = [plain_name(load_dataset(path).name) for path in settings.data]
    digests = [hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:6] for path in settings.data]
    return tuple(
        f"{name}_{digest}" if names.count(name) > 1 else name for name, digest in zip(names, digests, strict=True)
    )


def prepare(
    settings: CompareSettings, number: int, name: str, show: Show, is_drawn: Callable[[Dataset], bool]
) -> PreparedDataset:
    """Loads the dataset `settings.data[number]`, and extracts the regions of its images unless they are given.

    `name` is that of `dataset_names`.

    Raises:
        EvaluationError: no image of the split has regions.
        UnboxedError: the dataset or the store is unusable.
    """
    dataset = load_dataset(settings.data[number].resolve())
    training, validation = training_and_validation(dataset)
    split = evaluated_split(dataset, settings.split_of(number), show)
    show(f"{name}: {training.describe()}; {split.describe()}")
    images = {example.image_id: example for part in (training, validation, split) for example in part.examples}
    prepared = PreparedDataset(
        name=name,
        kind="drawn" if is_drawn(dataset) else "real",
        options=settings.options_of(number),
        split=split.name,
        dataset=dataset,
        store=resolved(settings.regions[number] if settings.regions else settings.out / "regions" / name),
        examples=split.examples,
        images=tuple(images.values()),
        training_images=len(training.examples),
    )
    (settings.out / "cells").mkdir(parents=True, exist_ok=True)  # from now on it is the folder of a comparison
    if not settings.regions:
        _extract(prepared, RegionSettings.default_for(dataset), prepared.store, show)
    store = RegionStore.open(prepared.store)  # this and what follows are errors before anything is trained
    if not any(example.image_id in store for example in prepared.examples):
        raise EvaluationError(
            f"None of the {counted(len(split.examples), 'image')} of the split {split.name} of {name} has regions in "
            f"{prepared.store}; extract them with `unboxed regions`, or leave out --regions."
        )
    if settings.regions:
        show_replaced_images(store, prepared.examples, show)
    return prepared


def add_cells(dataset: PreparedDataset, settings: CompareSettings, plan: Plan, show: Show) -> None:
    """Adds the cells of a dataset to the plan."""
    requested = settings.recipes_for(dataset.name)
    claimed = [recipe for claim in claims_about(dataset.kind, settings) for recipe in claim.recipes]
    for recipe in dict.fromkeys((*requested, *claimed)):
        try:
            store = _store_of(dataset, parse_recipe(recipe, dataset.options).config, settings, show)
        except UnboxedError as error:
            if recipe in requested:
                raise
            plan.unusable[dataset.name, recipe] = str(error)
            continue
        if recipe in requested and not settings.finished_only:
            parse_recipe(recipe, dataset.options, dataset.dataset.path, idle=False, store=store)
        seeds = settings.seeds if recipe in requested else settings.claim_seeds
        plan.cells[dataset.name, recipe] = [_cell(dataset, recipe, seed, store) for seed in range(seeds)]
    validation = dataset.dataset.find_split(VALIDATION) if settings.claims else None
    if validation is None:
        return
    for recipe in _candidates(dataset, settings):
        try:
            store = _store_of(dataset, parse_recipe(recipe, dataset.options).config, settings, show)
        except UnboxedError as error:
            plan.unusable[dataset.name, recipe] = str(error)
            continue
        plan.grids[dataset.name, recipe] = replace(_cell(dataset, recipe, 0, store), split=validation)


def own_cells(dataset: PreparedDataset, settings: CompareSettings, plan: Plan) -> list[Cell]:
    """The cells of the recipes that the settings name, which are trained before those of the claims."""
    recipes = dict.fromkeys(settings.recipes_for(dataset.name))
    return [cell for recipe in recipes for cell in plan.cells[dataset.name, recipe]]


def planned(cells: list[Cell], plan: Plan, settings: CompareSettings) -> str:
    """How many cells a comparison with claims trains: `cells` of the recipes, and those of the claims."""
    every = [*plan.all_cells, *plan.grids.values()]
    finished = sum(cell.is_finished(settings.out) for cell in every)
    more = ""
    if plan.grids:
        chosen = len({claim.first for claim in selected_claims(settings) if claim.grid}) * settings.claim_seeds
        more = f" The options that are chosen may take {chosen} more on each dataset."
    return (
        f"Cells: {len(cells)} of the recipes, {len(plan.all_cells) - len(cells)} of the claims, {len(plan.grids)} that "
        f"choose options of claims; {finished} of the {len(every)} are finished already.{more}"
    )


def _cell(dataset: PreparedDataset, recipe: str, seed: int, store: Path | str) -> Cell:
    data = str(dataset.dataset.path.resolve())
    return Cell(recipe, dataset.options, seed, dataset.name, data, dataset.split, str(store))


def _candidates(dataset: PreparedDataset, settings: CompareSettings) -> list[str]:
    """What the grids of the claims try, each once."""
    claims = claims_about(dataset.kind, settings)
    return list(dict.fromkeys(recipe for claim in claims for recipe in claim.candidates))


def add_chosen(dataset: PreparedDataset, settings: CompareSettings, plan: Plan) -> None:
    """Adds the cells of the options that the grids have chosen."""
    for claim in claims_about(dataset.kind, settings):
        chosen = chosen_candidate(claim, dataset, settings, plan)
        if chosen is not None:
            cell = plan.grids[dataset.name, chosen]
            cells = [_cell(dataset, chosen, seed, cell.regions) for seed in range(settings.claim_seeds)]
            plan.cells.setdefault((dataset.name, chosen), cells)


def chosen_candidate(claim: Claim, dataset: PreparedDataset, settings: CompareSettings, plan: Plan) -> str | None:
    """The candidate with the highest rsum on the validation split; None without a finished one."""
    cells = {recipe: plan.grids.get((dataset.name, recipe)) for recipe in claim.candidates}
    outcomes = {recipe: cell.outcome(settings.out) for recipe, cell in cells.items() if cell is not None}
    rsums = {recipe: found.metrics["rsum"].value for recipe, found in outcomes.items() if found is not None}
    return max(rsums, key=rsums.__getitem__, default=None)


def claims_about(kind: DatasetKind, settings: CompareSettings) -> list[Claim]:
    """The claims that a comparison tests on its datasets of this kind."""
    return [claim for claim in selected_claims(settings) if kind in claim.kinds]


def selected_claims(settings: CompareSettings) -> list[Claim]:
    """The claims that a comparison tests.

    Raises:
        EvaluationError: a text of `claims_of` that is in the name of no claim, or empty.
    """
    if not settings.claims:
        return []
    names = [claim.name for claim in CLAIMS]
    wanted = set() if settings.claims_of else set(names)
    for text in settings.claims_of:
        found = {text} if text in names else {name for name in names if text and text in name}
        if not found:
            raise EvaluationError(f"--claims-of {text!r} names no claim; the claims are {', '.join(names)}.")
        wanted |= found
    return [claim for claim in CLAIMS if claim.name in wanted]


def _store_of(dataset: PreparedDataset, config: RecipeConfig, settings: CompareSettings, show: Show) -> Path:
    """The dataset's regions, or those that the recipe needs instead, such as the cells of a feature map."""
    default, needed = RegionSettings.default_for(dataset.dataset), config.region_settings(dataset.dataset)
    if needed[0].fingerprint() == default[0].fingerprint():
        return dataset.store
    store = (settings.out / "regions" / f"{dataset.name}-{needed[0].fingerprint()[:10]}").resolve()
    if not settings.finished_only:
        _extract(dataset, needed, store, show)
    return store


def _extract(dataset: PreparedDataset, needed: tuple[RegionSettings, str], store: Path, show: Show) -> None:
    settings, description = needed
    show(f"{dataset.name}: {description}")
    for line in skipped_lines(dict(extract(dataset.images, settings, store).skipped)):
        show(line)
