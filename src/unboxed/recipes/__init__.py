"""One file per paper: its choices, and the parts that they pick."""

from __future__ import annotations

from dataclasses import asdict, fields, is_dataclass
from typing import Any

from unboxed.priors.settings import PriorSettings
from unboxed.recipes.bfan import BFAN
from unboxed.recipes.ckd import CKD
from unboxed.recipes.config import RecipeConfig
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.npair import NPair
from unboxed.recipes.pfan import PFAN
from unboxed.recipes.scan import SCAN
from unboxed.recipes.sgr import SAF, SGR
from unboxed.recipes.sprm import SPRM
from unboxed.recipes.vse import VSE

__all__ = ["RECIPES", "RecipeConfig", "recipe_from_dict", "recipe_to_dict"]

RECIPES: dict[str, type[RecipeConfig]] = {
    "infoground": InfoGround,
    "ckd": CKD,
    "sprm": SPRM,
    "scan": SCAN,
    "bfan": BFAN,
    "pfan": PFAN,
    "sgr": SGR,
    "saf": SAF,
    "vse": VSE,
    "npair": NPair,
}


def recipe_to_dict(options: RecipeConfig) -> dict[str, Any]:
    """Plain JSON values of all choices."""
    return {**asdict(options), "semantic": options.semantic.to_dict()}


def recipe_from_dict(name: str, options: dict[str, Any]) -> RecipeConfig:
    """The recipe that `recipe_to_dict` made the choices of.

    Raises:
        TypeError: a choice that this recipe does not have.
    """
    standard = RECIPES[name]()
    known = {field.name: getattr(standard, field.name) for field in fields(standard)}
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"{name} has no choice {unknown[0]!r}")
    parts = {part: type(known[part])(**value) for part, value in options.items() if is_dataclass(known[part])}
    if "semantic" in options:
        parts["semantic"] = PriorSettings.from_dict(options["semantic"])
    return RECIPES[name](**{**options, **parts})
