"""Presets: named sets of options of a recipe. `paper` is the settings of the original code, `fast` the defaults.

`paper.toml` in this folder lists, for each recipe, every option that the original determines, its value, and the line
of the original's code or README in which it was read.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

from unboxed.errors import RunError

if TYPE_CHECKING:
    from unboxed.data.dataset import Dataset
    from unboxed.recipes.config import RecipeConfig

__all__ = [
    "DATASETS",
    "DEFAULT_DATASET",
    "PRESETS",
    "Preset",
    "PresetEntry",
    "PresetName",
    "dataset_kind",
    "flat_options",
    "make_preset",
    "paper_settings",
    "preset_arguments",
    "shown",
]

PresetName = Literal["paper", "fast"]
PRESETS: tuple[str, ...] = get_args(PresetName)

DATASETS = {"flickr30k": "Flickr30K", "coco": "COCO"}
"""The datasets that originals have different values for."""
DEFAULT_DATASET = "flickr30k"

T = TypeVar("T")


class PresetEntry(NamedTuple):
    """One option of a preset.

    Attributes:
        value: of the option.
        source: where it was read: file and line of the original's repository; empty where the original has no such
            option.
        note: what else there is to know.
        needs: the file that the user has to name, as the original does; empty for other options.
    """

    value: Any
    source: str = ""
    note: str = ""
    needs: str = ""

    @property
    def origin(self) -> str:
        """The source and the note."""
        return "; ".join(part for part in (self.source, self.note) if part)


@dataclass(frozen=True)
class Preset:
    """The options of a recipe under a name.

    Attributes:
        name: of the preset.
        recipe: of the recipe.
        config: the options of the recipe.
        fit: values for fields of `FitSettings`.
        entries: the options that the preset determines, by their names on the command line with underscores.
        original: repository and commit of the original; empty for `fast`.
        dataset: a key of `DATASETS`: whose values were taken where the original has different ones.
    """

    name: str
    recipe: str
    config: RecipeConfig
    fit: Mapping[str, Any]
    entries: Mapping[str, PresetEntry]
    original: str
    dataset: str

    def lines(self, config: RecipeConfig, fit: Mapping[str, Any], idle: Collection[str] = ()) -> Iterator[str]:
        """A table of the options in lines of text: the value and where it comes from.

        Args:
            config: the options of the fit, which may differ from those of the preset.
            fit: the same for fields of `FitSettings`.
            idle: options that have no effect beside those of the fit; they are named apart.
        """
        chosen, preset = {**flat_options(config), **fit}, {**flat_options(self.config), **self.fit}
        of = f", {self.original}, with its values for {DATASETS[self.dataset]}" if self.original else ": the defaults"
        yield f"Preset {self.name} of {self.recipe}{of}"
        given = {name: f"given; {self.name}: {shown(preset[name])}" for name in preset if chosen[name] != preset[name]}
        read = {name: entry.origin for name, entry in self.entries.items() if entry.origin and name not in idle}
        width = max((len(_option(name, chosen[name])) for name in {**read, **given}), default=0)
        for name, origin in {**read, **given}.items():
            yield f"  {_option(name, chosen[name]):<{width}}  {origin}"
        ours = [name for name, entry in self.entries.items() if not entry.origin and name not in {*given, *idle}]
        if ours:
            yield f"  Not in the original: {', '.join(_option(name, chosen[name]) for name in ours)}"
        without = [name for name, entry in self.entries.items() if entry.origin and name in idle and name not in given]
        if without:
            yield f"  Without effect here: {', '.join(_option(name, chosen[name]) for name in without)}"
        for name, entry in self.entries.items():
            if entry.needs and chosen[name] is None:
                flag = name.replace("_", "-")
                yield f"  Missing: --{flag} FILE: {entry.needs}, without which this is not the original."


def make_preset(recipe: str, kind: type[RecipeConfig], name: str, dataset: str = DEFAULT_DATASET) -> Preset:
    """The preset `name` of a recipe.

    Args:
        recipe: the recipe's name.
        kind: its class.
        name: `paper` or `fast`.
        dataset: a key of `DATASETS`.

    Raises:
        RunError: no preset of that name, or none of this recipe.
    """
    if name not in PRESETS:
        raise RunError(f"There is no preset {name!r}; the presets are {', '.join(PRESETS)}.")
    if dataset not in DATASETS:
        raise RunError(f"No original has values for {dataset!r}; choose one of {', '.join(DATASETS)}.")
    if name == "fast":
        return Preset(name, recipe, kind(), {}, {}, "", dataset)
    settings = paper_settings().get(recipe)
    if settings is None:
        raise RunError(f"The recipe {recipe} has no preset paper; leave out --preset.")
    default = flat_options(kind())
    listed = {**paper_settings()["every"]["options"], **settings["options"]}
    entries = {
        option: _entry(written, dataset)
        for option, written in listed.items()
        if "idle" not in written and (option in default or option in settings["options"])
    }
    values = {option: entry.value for option, entry in entries.items() if entry.value is not None}
    fit = {option: value for option, value in values.items() if option not in default}
    return Preset(name, recipe, _with_options(kind(), values), fit, entries, settings["source"], dataset)


@cache
def paper_settings() -> dict[str, Any]:
    """The content of `paper.toml`: `every`, `why`, and a table for each recipe."""
    return tomllib.loads(Path(__file__).with_name("paper.toml").read_text(encoding="utf-8"))


def dataset_kind(dataset: Dataset) -> str:
    """Which values of an original fit a dataset: COCO's if its name, its files or its format contain "coco".

    Returns:
        A key of `DATASETS`.
    """
    files = [path.name for path in (dataset.path, *dataset.keys.values()) if isinstance(path, Path)]
    names = " ".join((dataset.name, dataset.reader.format, *files)).lower()
    return "coco" if "coco" in names else DEFAULT_DATASET


def preset_arguments(arguments: Sequence[str]) -> tuple[str | None, str | None]:
    """The values of `--preset` and `--data` in the arguments of `unboxed fit RECIPE`, None where there is none.

    They are read before the others, because the defaults of the others depend on them.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("preset", "data"):
        parser.add_argument(f"--{name}", nargs="?")
    found, _ = parser.parse_known_args(arguments)
    return found.preset, found.data


def flat_options(config: Any) -> dict[str, Any]:
    """The options of a dataclass with those of nested ones beside the others, as on the command line."""
    flat: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        flat.update(flat_options(value) if is_dataclass(value) else {field.name: value})
    return flat


def _entry(written: dict[str, Any], dataset: str) -> PresetEntry:
    value = written.get("value")
    if isinstance(value, dict):
        value = value[dataset]
    if isinstance(value, list):
        value = tuple(value)
    return PresetEntry(value, *(written.get(key, "") for key in ("source", "note", "needs")))


def _with_options(config: T, values: Mapping[str, Any]) -> T:
    """`config` with the values of the options of these names, its own and those of nested dataclasses."""
    changed: dict[str, Any] = {}
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if is_dataclass(value):
            changed[field.name] = _with_options(value, values)
        elif field.name in values:
            changed[field.name] = values[field.name]
    return replace(config, **changed)  # type: ignore[type-var]


def _option(name: str, value: Any) -> str:
    """An option with its value, as on the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {shown(value)}"


def shown(value: Any) -> str:
    """A value as on the command line."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
