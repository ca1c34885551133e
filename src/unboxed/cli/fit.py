"""`unboxed fit`, without a recipe and with one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from tyro.conf import OmitArgPrefixes

from unboxed.cli.device_option import with_memory
from unboxed.cli.output import print_json
from unboxed.cli.region_options import RegionOptions
from unboxed.runtime.progress import TrainingProgress, show, to_call
from unboxed.training.options import FitSettings

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder
    from unboxed.recipes import RecipeConfig
    from unboxed.recipes.presets import Preset
    from unboxed.training.corrected_boxes import PhraseBox

__all__ = ["fit_by_default", "recipe_command", "recipe_commands"]


@with_memory
def fit_by_default(
    settings: OmitArgPrefixes[FitSettings],
    sources: OmitArgPrefixes[RegionOptions] = RegionOptions(),  # noqa: B008, a frozen value
    epochs: int | None = None,
    seed: int = 0,
    use_corrections: Path | None = None,
    json: bool = False,
) -> None:
    """Train a model on a dataset's captions. The regions and the recipe are chosen for the dataset.

    Args:
        settings: data, output folder and training.
        sources: the sources and features of regions, as for `unboxed regions`. By default the models that the dataset
            names, else a detector in the local Hugging Face cache, else segments.
        epochs: passes over all captions; by default chosen from the number of images.
        seed: random seed of training.
        use_corrections: file of corrected labels, NAME.corrections.jsonl: boxes that people accepted, drew or moved
            train the attention too, and the run reports it. By default no box trains anything.
        json: print one JSON object on standard output at the end.
    """
    from unboxed.training.auto import default_fit

    run = default_fit(
        settings,
        sources=sources.given(),
        epochs=epochs,
        seed=seed,
        corrections=_phrase_boxes(use_corrections),
        show=show,
        report=TrainingProgress(),
    )
    if json:
        print_json(_trained(settings.out, run))


def _phrase_boxes(corrections: Path | None) -> dict[str, list[PhraseBox]] | None:
    """The corrected boxes of a file, if one is named."""
    from unboxed.export.corrected_phrases import read_phrase_boxes

    return None if corrections is None else read_phrase_boxes(corrections)


def _trained(out: Path, run: Grounder) -> dict[str, Any]:
    """What `unboxed fit --json` prints."""
    config = run.config
    facts: dict[str, Any] = {
        name: config.facts[name]
        for name in ("best", "train", "validation", "kept", "corrections")
        if name in config.facts
    }
    return {"run": str(out), "recipe": config.recipe, "epochs": config.options.schedule.epochs, **facts}


_RECIPE_ARGUMENTS = """
    Args:
        settings: data, output folder and training.
        config: the options of the recipe.
        sources: the sources and features of regions, as for `unboxed regions`; without any, those of the dataset.
        preset: where the other options start: `paper`, the settings of the original code, which are printed with
            where each was read, or `fast`, the defaults. Options that are given take precedence.
        use_corrections: file of corrected labels, NAME.corrections.jsonl: boxes that people accepted, drew or moved
            train the attention too, and the run reports it. By default no box trains anything.
        json: print one JSON object on standard output at the end.
"""


def _recipe_command(name: str, recipe: type[RecipeConfig], start: Preset | None = None) -> Callable[..., None]:
    """`unboxed fit NAME`, with the settings of a fit and the fields of the recipe as options.

    Args:
        name: of the recipe.
        recipe: its class.
        start: the preset whose values are the defaults of the options.
    """

    from unboxed.recipes.presets import PresetName

    def command(
        settings: Any,
        config: Any,
        sources: Any,
        preset: PresetName | None = None,
        use_corrections: Path | None = None,
        json: bool = False,
    ) -> None:
        from unboxed.recipes.idle_options import idle_options
        from unboxed.training.fitting import fit
        from unboxed.training.launch import is_first_process

        if start is not None and is_first_process(settings.devices, settings.nodes):
            given = {field: getattr(settings, field) for field in start.fit}
            for line in start.lines(config, given, idle_options(config)):
                show(line)
        run = fit(
            name,
            config,
            settings,
            sources=sources.given(),
            preset=preset,
            corrections=_phrase_boxes(use_corrections),
            show=show,
            report=TrainingProgress(),
        )
        if not is_first_process(settings.devices, settings.nodes):
            return
        out = settings.out
        show(f"Run: {out}. Next: {to_call('evaluate', out, '--data', settings.data, '--split', 'val')}")
        if json:
            print_json(_trained(out, run))

    # tyro reads the options from defaults and annotations, which differ for every recipe and preset.
    settings: Any = FitSettings(tyro.MISSING, tyro.MISSING, **(start.fit if start else {}))
    command.__defaults__ = (settings, start.config if start else recipe(), RegionOptions(), None, None, False)
    command.__annotations__.update(
        settings=OmitArgPrefixes[FitSettings],
        config=OmitArgPrefixes[recipe],  # type: ignore[misc, valid-type]
        sources=OmitArgPrefixes[RegionOptions],
        preset=PresetName | None,
        use_corrections=Path | None,
        json=bool,
    )
    summary = (sys.modules[recipe.__module__].__doc__ or name).splitlines()[0]
    command.__doc__ = f"{summary}\n{_RECIPE_ARGUMENTS}"
    return with_memory(command)


def recipe_commands() -> dict[str, Callable[..., None]]:
    """The command of each recipe by its name, also of plugins. Imports the recipes."""
    from unboxed.recipes.plugins import known_recipes

    return {name: _recipe_command(name, recipe) for name, recipe in known_recipes().items()}


def recipe_command(name: str, arguments: Sequence[str]) -> Callable[..., None]:
    """The command of one recipe; its defaults are those of the preset that the arguments name.

    Args:
        name: of the recipe.
        arguments: of the command line, without the recipe's name.

    Raises:
        RunError: no preset of that name.
    """
    from unboxed.recipes import RECIPES, preset
    from unboxed.recipes.presets import preset_arguments

    chosen, data = preset_arguments(arguments)
    start = None if chosen is None else preset(name, chosen, _kind_of(data))
    return _recipe_command(name, RECIPES[name], start)


def _kind_of(data: str | None) -> str:
    """Whose values of a preset fit the dataset of the command line."""
    from unboxed.data.dataset import load_dataset
    from unboxed.recipes.presets import DEFAULT_DATASET, dataset_kind

    return DEFAULT_DATASET if data is None else dataset_kind(load_dataset(data))
