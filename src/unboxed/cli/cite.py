"""The command `unboxed cite`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from unboxed.cli.output import print_json
from unboxed.errors import RunError

__all__ = ["cite"]


def cite(run: Positional[Path], /, json: bool = False) -> None:
    """Print BibTeX of this project and of the papers behind a run.

    Args:
        run: folder of the run, or the name of a recipe.
        json: print one JSON object with the text under `bibtex`.
    """
    from unboxed.inference.run_config import RunConfig
    from unboxed.recipes.papers import bibtex
    from unboxed.recipes.plugins import find_recipe, known_recipes

    recipe = None if run.is_dir() else find_recipe(str(run))
    if recipe is not None:
        name, options = str(run), recipe()
    elif not run.exists():
        raise RunError(f"{run} is neither a folder of a run nor a recipe; recipes are {', '.join(known_recipes())}.")
    else:
        config = RunConfig.load(run)
        name, options = config.recipe, config.options
    text = bibtex(name, options)
    if json:
        print_json({"recipe": name, "bibtex": text})
    else:
        print(text, end="")
