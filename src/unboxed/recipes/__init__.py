"""One file per paper: its choices, and the parts that they pick."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from unboxed.alignment.ranking import Ranking
from unboxed.recipes.infoground import InfoGround
from unboxed.training.schedule import Schedule

__all__ = ["RECIPES", "Recipe", "recipe_from_dict"]

Recipe = InfoGround
RECIPES: dict[str, type[Recipe]] = {"infoground": InfoGround}


def recipe_from_dict(name: str, choices: dict[str, Any]) -> Recipe:
    """The recipe that `dataclasses.asdict` made the choices of.

    Raises:
        TypeError: a choice that this recipe does not have.
    """
    known = {field.name for field in fields(RECIPES[name])}
    unknown = sorted(set(choices) - known)
    if unknown:
        raise TypeError(f"{name} has no choice {unknown[0]!r}")
    parts = {"schedule": Schedule(**choices["schedule"]), "ranking": Ranking(**choices["ranking"])}
    return RECIPES[name](**{**choices, **parts})
