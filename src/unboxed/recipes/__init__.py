"""Recipes: one short file for each paper, with its options, its attention and its objective.

A recipe is a frozen dataclass. It builds its model, and its objective turns the pairs of a batch into losses:

    recipe = CKD(joint_width=256)
    model = recipe.build(vocabulary, region_width)                   # a MatchingModel, untrained
    losses = model.loss(batch, TrainingStep(step=0, steps=100))      # of a PairedBatch; "loss" is the total
    images = model.encode_images(batch.images)
    captions = model.encode_captions(batch.captions)
    score_BC = model.score(images, captions)

`RECIPES` names them; adding a recipe to it makes it available to `fit`, the command line and the documentation.
"""

from __future__ import annotations

from typing import Any

from unboxed.errors import RunError
from unboxed.priors.settings import PriorSettings
from unboxed.recipes.bfan import BFAN
from unboxed.recipes.ckd import CKD
from unboxed.recipes.config import DistillationConfig, RecipeConfig
from unboxed.recipes.cross_attention import CrossAttentionConfig, ScoringConfig
from unboxed.recipes.infoground import InfoGround
from unboxed.recipes.matching import ConstraintConfig, MatchingConfig
from unboxed.recipes.npair import NPair
from unboxed.recipes.pfan import PFAN
from unboxed.recipes.presets import DEFAULT_DATASET, Preset, make_preset
from unboxed.recipes.scan import SCAN
from unboxed.recipes.schedule import Schedule
from unboxed.recipes.sgr import SAF, SGR
from unboxed.recipes.sprm import SPRM
from unboxed.recipes.vse import VSE
from unboxed.runtime.json_values import FieldHooks, from_json, to_json

__all__ = [
    "BFAN",
    "CKD",
    "PFAN",
    "RECIPES",
    "REMOVED_OPTIONS",
    "SAF",
    "SCAN",
    "SGR",
    "SPRM",
    "VSE",
    "ConstraintConfig",
    "CrossAttentionConfig",
    "DistillationConfig",
    "InfoGround",
    "MatchingConfig",
    "NPair",
    "Preset",
    "RecipeConfig",
    "Schedule",
    "ScoringConfig",
    "preset",
    "recipe_from_dict",
    "recipe_table",
    "recipe_to_dict",
]

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
"""The recipes by the name that `unboxed fit NAME` and saved runs have."""

_HOOKS = {"semantic": FieldHooks(PriorSettings.from_dict, lambda settings: settings.to_dict())}


REMOVED_OPTIONS: dict[str, dict[str, Any]] = {"saf": {"steps": 3}}
"""Options of earlier releases without effect, and their defaults: saved runs and the names of cells contain them."""


def recipe_to_dict(options: RecipeConfig) -> dict[str, Any]:
    """The options of a recipe as plain JSON values."""
    return to_json(options, hooks=_HOOKS)


def recipe_from_dict(name: str, options: dict[str, Any]) -> RecipeConfig:
    """The recipe `name` with the options that `recipe_to_dict` wrote; options that are left out take their defaults.

    Raises:
        UnknownFieldError: an option that this recipe does not have.
        WrongKindError: a value of the wrong kind.
    """
    known = {option: value for option, value in options.items() if option not in REMOVED_OPTIONS.get(name, {})}
    return from_json(RECIPES[name], _without_refused(name, known), hooks=_HOOKS)


def _without_refused(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of a saved run, without those that had no effect in earlier releases, and are refused now."""
    reading, constraint = options.get("text_encoder"), options.get("constraint")
    if RECIPES[name].units != "phrases" and isinstance(reading, dict):
        phrases = ("phrase_reads", "phrase_pooling")
        options = {**options, "text_encoder": {key: reading[key] for key in reading if key not in phrases}}
    if name == "vse" and isinstance(constraint, dict):
        options = {**options, "constraint": {key: constraint[key] for key in constraint if key == "constraints"}}
    return options


def preset(recipe: str, name: str = "paper", dataset: str = DEFAULT_DATASET) -> Preset:
    """A preset of a recipe, such as the settings of the original code: `fit` takes its `config`.

        scan = preset("scan", "paper")
        fit("scan", scan.config, FitSettings(data, out, **scan.fit), preset=scan.name)

    Args:
        recipe: a name in `RECIPES`.
        name: `paper`, or `fast` for the defaults.
        dataset: `flickr30k` or `coco`, where the original has different values; see `presets.dataset_kind`.

    Raises:
        RunError: no recipe or preset of that name.
    """
    if recipe not in RECIPES:
        raise RunError(f"There is no recipe {recipe!r}; the recipes are {', '.join(RECIPES)}.")
    return make_preset(recipe, RECIPES[recipe], name, dataset)


def recipe_table() -> str:
    """The table of recipes of the guide “Recipes”, in Markdown: a line for each recipe."""
    queries = {"words": "words", "content": "nouns and adjectives", "phrases": "phrases"}
    lines = ["| recipe | queries | attention | objective | paper |", "| --- | --- | --- | --- | --- |"]
    for name, recipe in RECIPES.items():
        lines.append(f"| `{name}` | {queries[recipe.units]} | {recipe.attention} | {recipe.loss} | {recipe.paper} |")
    return "\n".join(lines)
