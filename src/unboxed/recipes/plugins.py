"""Recipes of one's own: of installed packages, by the entry points `unboxed.recipes`, and of Python files.

A package names them in its pyproject.toml, and they are recipes like the others wherever it is installed:

    [project.entry-points."unboxed.recipes"]
    toy = "my_package.toy:Toy"

A file has a dictionary `RECIPES = {"toy": Toy}`. `unboxed COMMAND … --plugin file.py` loads it. So does the
environment variable `UNBOXED_PLUGINS`, a list of files separated as in `PATH`, also in Python. A plugin is a
program, and it is run.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from unboxed.errors import RunError
from unboxed.recipes import RECIPES, RecipeConfig

__all__ = ["ENVIRONMENT", "GROUP", "find_recipe", "known_recipes"]

GROUP = "unboxed.recipes"
"""The group of entry points."""

ENVIRONMENT = "UNBOXED_PLUGINS"
"""The environment variable with the files; child processes inherit it."""

_loaded: set[Path] = set()


def find_recipe(name: str) -> type[RecipeConfig] | None:
    """The recipe of this name, also of a plugin; None if there is none. `RECIPES` has it from now on.

    Raises:
        RunError: a plugin that cannot be loaded.
    """
    _load_files()
    if name not in RECIPES:
        for entry in entry_points(group=GROUP, name=name):
            try:
                _add(name, entry.load(), f"the entry point {entry.value}")
            except Exception as error:  # anything, it is a program of others
                raise RunError(
                    f"The recipe {name!r} of the entry point {entry.value} cannot be loaded ({error})."
                ) from error
    return RECIPES.get(name)


def known_recipes() -> dict[str, type[RecipeConfig]]:
    """All recipes by name, with those of plugins; entry points that cannot be loaded are left out.

    Raises:
        RunError: a file of `UNBOXED_PLUGINS` that cannot be loaded.
    """
    _load_files()
    for name in sorted(entry.name for entry in entry_points(group=GROUP)):
        try:
            find_recipe(name)
        except RunError:
            continue
    return RECIPES


def _load_files() -> None:
    for text in filter(None, os.environ.get(ENVIRONMENT, "").split(os.pathsep)):
        path = Path(text).resolve()
        if path in _loaded:
            continue
        module = _module(path)
        found = getattr(module, "RECIPES", None)
        if not isinstance(found, dict) or not found:
            raise RunError(f'{path} defines no recipes; give it a dictionary such as `RECIPES = {{"toy": Toy}}`.')
        for name, recipe in found.items():
            _add(name, recipe, str(path))
        _loaded.add(path)


def _module(path: Path) -> Any:
    if not path.is_file():
        raise RunError(f"There is no plugin {path}; --plugin names a Python file.")
    name = f"unboxed_plugin_{len(_loaded)}_{path.stem}"  # two files may have the same stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RunError(f"{path} is not a Python file; --plugin names one.")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # types of annotations are looked up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # anything, it is a program of others
        del sys.modules[name]
        raise RunError(f"The plugin {path} cannot be loaded ({type(error).__name__}: {error}).") from error
    return module


def _add(name: str, recipe: Any, origin: str) -> None:
    if not (isinstance(recipe, type) and issubclass(recipe, RecipeConfig)):
        raise RunError(f"{name!r} of {origin} is no recipe; expected a subclass of unboxed.recipes.RecipeConfig.")
    if name in RECIPES and RECIPES[name] is not recipe:
        raise RunError(f"{origin} defines a recipe {name!r}, and there is one of that name; choose another.")
    RECIPES[name] = recipe
