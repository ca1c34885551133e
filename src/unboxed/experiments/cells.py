"""One cell of a comparison: a recipe with its options, trained on one dataset with one seed, and its outcome.

The name of a cell is a hash of all that determines its outcome: recipe, config, seed, dataset, regions, and the
recipe's `revision`, which counts changes of its code that change what a fit ends with. The run of a cell is in
`FOLDER/runs`, its outcome in `FOLDER/cells`. A finished cell is never run again; an interrupted one resumes
its fit. `python -m unboxed.experiments.cells CELL.json` runs one cell, which is how a comparison runs several at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from unboxed.data.dataset import Dataset, Split, load_dataset
from unboxed.errors import EvaluationError, UnboxedError, plain_reason
from unboxed.evaluation.options import EvaluationOptions
from unboxed.evaluation.split_regions import chosen_split
from unboxed.experiments.outcomes import Outcome, outcome_of
from unboxed.recipes import REMOVED_OPTIONS, RecipeConfig
from unboxed.recipes.idle_options import named_flags, refuse_idle_options
from unboxed.recipes.plugins import find_recipe, known_recipes
from unboxed.recipes.presets import DEFAULT_DATASET, PresetName, dataset_kind, make_preset, preset_arguments
from unboxed.regions.store import RegionStore
from unboxed.runtime.counts import require_count
from unboxed.runtime.locks import file_lock
from unboxed.runtime.progress import Report, Show, TrainingProgress, show
from unboxed.training.combinations import region_options, require_read
from unboxed.training.fitting import fit_given
from unboxed.training.options import FitSettings, require_fraction
from unboxed.training.teacher import teacher_digest

__all__ = ["Cell", "FitOptions", "ParsedRecipe", "evaluated_split", "parse_recipe", "run_cell"]

_FIRST_OPTIONS = """
aggregation backbone_features background blocks both_ways captions_per_image ccr_variant ccs_variant cells channels
checkpoint_steps class_inputs class_map clip confidence_weight constraint constraint_margin constraint_weight
constraints context contrast cooccurrence curve direction distillation dropout elsewhere_weight embedding_width
epochs evidence exclusivity expected_overlap focal half hidden hidden_width images_per_batch intra_caption
joint_width layers learned_scale learning_rate map margin mask_empty_blocks match negative_count negative_weight
negatives neighbours omega part_weight patch patience perceptron_width phrase_weight phrase_words plural_union
pooling position_width prior prior_temperature prior_weight proposal_alpha ramp_steps ranking reach read_out
reasoning_dropout reduction refinement_hidden refinement_temperature region_hidden scale schedule seed select_on
semantic sentence_score sentence_weight similarity_width single_union spatial spatial_score steps stuff_size
stuff_weight teacher_temperature temperature text text_pooling thresholds untrained value_weight vector_threshold
warm_up weight_decay word_vectors wordnet words_weight language_model min_count train_fraction
"""
"""The options of version 0.1. Names of cells contain these always, and later options where they differ from their
defaults, so that a new option leaves the names of existing outcomes as they are."""

_LATER = {"bfan": {"aggregation"}, "pfan": {"aggregation"}, "npair": {"contrast", "margin"}}
"""Of these, those that a recipe did not have in version 0.1."""


@dataclass(frozen=True)
class FitOptions:
    """Options of a fit that the text of a recipe may include besides the options of the recipe.

    Attributes:
        language_model: folder or hub name of a transformers masked language model for the negatives.
        min_count: a word that occurs less often in the training captions is unknown.
        train_fraction: share of the training images.
    """

    language_model: str | None = None
    min_count: int = 2
    train_fraction: float = 1.0

    def __post_init__(self) -> None:
        require_count("--min-count", self.min_count, error=EvaluationError)
        require_fraction(self.train_fraction)


class ParsedRecipe(NamedTuple):
    """The name of a recipe, its config, its options of the fit, and the preset that they began as."""

    name: str
    config: RecipeConfig
    fit: FitOptions
    preset: str | None = None


def parse_recipe(
    text: str, options: str = "", data: Path | None = None, *, idle: bool = True, store: Path | None = None
) -> ParsedRecipe:
    """Parses a recipe as on the command line of `unboxed fit`, such as `ckd --distillation 3`.

    Args:
        text: name and options.
        options: default options, such as `--epochs 10`; those in `text` take precedence.
        data: the dataset's file, on which some values of `--preset paper` depend.
        idle: take options in `text` that have no effect beside the others, as finished cells may have.
        store: options in `text` that read what the regions of this store do not have are refused too, without `idle`.

    Raises:
        EvaluationError: the recipe does not exist, or does not have one of the options.
        RunError: an option that has no effect, without `idle`.
    """
    import tyro

    name, *arguments = _words(text) or [""]
    recipe = find_recipe(name)
    if recipe is None:
        raise EvaluationError(f"“{text}” does not start with a recipe; the recipes are {', '.join(known_recipes())}.")

    given = [*_words(options), *arguments]
    chosen, _ = preset_arguments(given)
    kind = dataset_kind(load_dataset(data)) if chosen and data else DEFAULT_DATASET
    start = make_preset(name, recipe, chosen or "fast", kind)

    def both(config: Any = start.config, fit: Any = FitOptions(**start.fit), preset: Any = None) -> ParsedRecipe:
        return ParsedRecipe(name, config, fit, preset)

    # tyro reads the options from the annotations, which differ for every recipe.
    both.__annotations__.update(config=recipe, fit=FitOptions, preset=PresetName | None)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(printed):
            parsed = tyro.cli(both, args=given, prog=f"unboxed fit {name}", config=(tyro.conf.OmitArgPrefixes,))
    except SystemExit:
        reason = " ".join(printed.getvalue().replace("│", " ").split())
        raise EvaluationError(
            f"“{f'{text} {options}'.strip()}” has options that the recipe does not take ({reason[:200]}…); "
            f"`unboxed fit {name} --help` lists them."
        ) from None
    if not idle:
        refuse_idle_options(parsed.config, start.config, among=arguments)
        flags = named_flags(arguments)
        reads = {n for n in region_options(parsed.config, start.config) if f"--{n.replace('_', '-')}" in flags}
        if store is not None and reads:
            require_read(reads, RegionStore.open(store))
    return parsed


@dataclass(frozen=True)
class Cell:
    """A recipe to train on a dataset with a seed, and a split to evaluate on.

    Attributes:
        recipe: name and options, as on the command line.
        options: default options of the dataset; those in `recipe` take precedence.
        seed: of training.
        dataset: a name for files, unique in the comparison.
        data: the dataset's file.
        split: the split to evaluate on.
        regions: store of the regions of the training, validation and evaluated images.
    """

    recipe: str
    options: str
    seed: int
    dataset: str
    data: str
    split: str
    regions: str

    @cached_property
    def parsed(self) -> ParsedRecipe:
        """The parsed recipe; its config contains the seed."""
        parsed = parse_recipe(self.recipe, self.options, Path(self.data))
        config = replace(parsed.config, schedule=replace(parsed.config.schedule, seed=self.seed))
        return parsed._replace(config=config)

    @cached_property
    def run_name(self) -> str:
        """Name of the run's folder; the same for cells that train the same model."""
        name, config, options, _ = self.parsed
        recipe = {**_named(config, _LATER.get(name, set())), **REMOVED_OPTIONS.get(name, {})}
        hashed: list[Any] = [name, recipe, _named(options), self.data, self.regions]
        hashed += [config.revision] if config.revision else []
        teacher = config.distillation.from_run
        hashed += [teacher_digest(teacher)] if teacher is not None else []
        digest = hashlib.sha256(json.dumps(hashed, sort_keys=True, default=str).encode()).hexdigest()
        return f"{self.dataset}-{name}-{digest[:10]}-{self.seed}"

    @property
    def name(self) -> str:
        """Name of the outcome's files."""
        return f"{self.run_name}-{self.split}"

    def outcome(self, folder: Path) -> Outcome | None:
        """The outcome of a finished cell, else None."""
        return Outcome.load(folder / "cells" / self.name) if self.is_finished(folder) else None

    def is_finished(self, folder: Path) -> bool:
        """Is the cell finished? The JSON file is written last."""
        return (folder / "cells" / f"{self.name}.json").is_file()


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise EvaluationError(f"“{text}” is no list of options ({plain_reason(error)}).") from None


def _named(options: Any, later: Collection[str] = ()) -> dict[str, Any]:
    """The options, nested ones too, without those that came after version 0.1 and have the defaults of their class.

    Of nested options these are not the defaults that a recipe gives them, which may change.
    """
    first, named = set(_FIRST_OPTIONS.split()).difference(later), {}
    for option in fields(options):
        value, default = getattr(options, option.name), getattr(type(options)(), option.name)
        nested = is_dataclass(value) and not isinstance(value, type)
        if nested:
            default = type(value)()
        if option.name in first or value != default:
            named[option.name] = _named(value) if nested else value
    return named


def run_cell(
    cell: Cell,
    folder: Path,
    *,
    show: Show = lambda line: None,
    report: Report = lambda entry: None,
) -> None:
    """Trains and evaluates a cell, and saves its outcome in `folder`; finished parts are not done again.

    Args:
        cell: what to train and evaluate.
        folder: of the comparison.
        show: called with a line of text at every stage.
        report: called with every entry of the training log.

    Raises:
        UnboxedError: the dataset, the store or the run is unusable; the message names the fix.
    """
    with file_lock(folder / "cells" / cell.name, wait=True, show=show):
        if cell.is_finished(folder):
            return

        name, config, options, preset = cell.parsed
        run, regions = folder / "runs" / cell.run_name, Path(cell.regions)
        cache = folder / "negatives" / cell.dataset
        more = {"resume": True, "wait": True, "cache": cache, **asdict(options)}
        # A comparison measures the recipe as it was asked for. A cell with another split is waited for.
        settings = FitSettings(Path(cell.data), run, regions, boxes="trained", **more)
        fit_given(name, config, settings, preset=preset, show=show, report=report)
        show(f"Evaluating on {cell.split}")
        split = evaluated_split(load_dataset(cell.data), cell.split, show)
        outcome = outcome_of(run, split.examples, regions)
        about = {"cell": asdict(cell), "recipe": name, "choices": asdict(config)}
        outcome.save(folder / "cells" / cell.name, json.loads(json.dumps(about, default=str)))


def evaluated_split(dataset: Dataset, name: str, show: Show) -> Split:
    """The split that cells are evaluated on, as `unboxed evaluate --split NAME` reads it."""
    return chosen_split(dataset, EvaluationOptions(split=name), show)


def main(arguments: Sequence[str]) -> None:
    """Runs the cell that a JSON file describes: `{"folder": …, "cell": {…}}`."""
    content = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        run_cell(Cell(**content["cell"]), Path(content["folder"]), show=show, report=TrainingProgress())
    except UnboxedError as error:
        show(f"error: {error}")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main(sys.argv[1:])
