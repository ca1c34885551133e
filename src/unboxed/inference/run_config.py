"""`config.json` of a run. Reading it does not import PyTorch, so that commands start fast."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from unboxed.attention.ranking import Ranking
from unboxed.errors import RunError, errors_of, plain_reason
from unboxed.inference.calibration import PresenceCalibration
from unboxed.recipes import RecipeConfig, recipe_from_dict, recipe_to_dict
from unboxed.recipes.plugins import find_recipe, known_recipes
from unboxed.regions.base import BACKBONE, BLOCKS
from unboxed.regions.settings import RegionSettings, settings_from_dict
from unboxed.runtime.atomic import write_json
from unboxed.runtime.confinement import is_inside, outside_links
from unboxed.runtime.counts import require_literal
from unboxed.runtime.digests import check_digest, report_change, with_digest
from unboxed.runtime.json_values import from_json, texts_of
from unboxed.runtime.urls import refuse_url
from unboxed.types import LABELER

if TYPE_CHECKING:
    from unboxed.recipes.model import MatchingModel
    from unboxed.text.tokens import Vocabulary

__all__ = ["BoxesFrom", "RunConfig"]

BoxesFrom = Literal["trained", "prior"]
T = TypeVar("T")

_FORMAT = "unboxed-run"
_VERSION = 1
_FILES = ("config.json", "model.safetensors", "vocab.json", "regions", "prior", "text")
_COUNTS = {  # numbers in the facts that messages and cards show
    "train": ("photos", "captions"),
    "validation": ("photos", "captions"),
    "best": ("epoch", "val_loss", "val_rsum", "steps", "seconds"),
    "corrections": ("boxes", "photos"),
}
_TIES = 0.02  # factor of the logarithms of confidence and area, where these only decide between equal scores
_WIDEST = 1_000_000  # columns of features; more are refused before memory is asked for


@dataclass(frozen=True)
class RunConfig:
    """The content of `config.json` of a run.

    Attributes:
        recipe: the recipe's name.
        options: the options of the recipe.
        regions: how regions of a new image are found; model files lie in the run's folder.
        feature_blocks: (name, width) of each run of columns of the regions' features.
        class_names: of the regions' class probabilities.
        facts: the data, the training and the versions, for people to read.
        presence: the calibration of a phrase's match to the probability that it is present; None without one.
        boxes_from: what ranks the regions of a phrase: the `trained` model, with the prior where the recipe has one, or
            the `prior` alone, where training made boxes no better (`training.box_ranker`).
        prior_share: how much the prior of a caption's phrases adds to its score (`recipes.embeddings.caption_prior`).
    """

    recipe: str
    options: RecipeConfig
    regions: RegionSettings
    feature_blocks: tuple[tuple[str, int], ...]
    class_names: tuple[str, ...]
    facts: dict[str, Any]
    presence: PresenceCalibration | None = None
    boxes_from: BoxesFrom = "trained"
    prior_share: float = 0.0

    def __post_init__(self) -> None:
        require_literal("boxes_from", self.boxes_from, BoxesFrom)
        if self.boxes_from == "prior" and not self.options.needs_prior:
            raise ValueError("boxes are from the prior, and the recipe has none")
        if not 0 <= self.prior_share < math.inf or (self.prior_share and not self.options.needs_prior):
            raise ValueError(f"the share of the prior is {self.prior_share}")

    @property
    def ranking(self) -> Ranking:
        """How the regions of a phrase are ranked: by the recipe's options, or by the prior without the attention.

        The prior takes its best single region, not the expected overlap. On 79 images of COCO this gives +7.6 (one
        detector) and +2.7 (all sources) of `recall_any@1`, but -8.6 and -4.9 of `recall_union@1`; on 247 of
        Flickr30K, -0.4 and -4.8. It gives regions of one class the same score, and all regions of a noun that it does
        not know: of these, surer and larger regions come first.
        """
        chosen = self.options.ranking
        if self.boxes_from == "trained":
            return chosen
        return replace(
            chosen,
            prior_weight=chosen.prior_weight or Ranking().prior_weight,
            confidence_weight=chosen.confidence_weight or _TIES,
            area_weight=chosen.area_weight or _TIES,
            learned_weight=0,
            expected_overlap=False,
        )

    @property
    def ranks_with_prior(self) -> bool:
        """Whether the prior ranks regions, alone or beside the attention."""
        return self.options.prior != "none" or self.boxes_from == "prior"

    @property
    def region_width(self) -> int:
        """Width of a region's input to the model."""
        from unboxed.data.batches import GEOMETRY_WIDTH

        if self.options.region_inputs == "features":
            return int(self.columns.sum())
        classes = len(self.class_names) if self.options.uses_classes else 0
        return int(self.columns.sum()) + classes + GEOMETRY_WIDTH

    @cached_property
    def columns(self) -> npt.NDArray[np.bool_]:
        """`[V]`: which columns of the regions' features are part of the model's input."""
        everything = self.options.backbone_features or not self.class_names or not self.options.uses_classes
        return self._columns_of(
            name != BLOCKS and (everything or not name.startswith(BACKBONE)) for name, _ in self.feature_blocks
        )

    @cached_property
    def block_columns(self) -> npt.NDArray[np.bool_]:
        """`[V]`: which columns hold the blocks of the regions and their shares; none where the model reads boxes."""
        return self._columns_of(name == BLOCKS and self.options.reads_positions for name, _ in self.feature_blocks)

    @cached_property
    def crop_columns(self) -> npt.NDArray[np.bool_]:
        """`[V]`: which columns of the regions' features hold the labeler's embeddings of crops."""
        return self._columns_of(name == LABELER for name, _ in self.feature_blocks)

    def _columns_of(self, taken: Iterable[bool]) -> npt.NDArray[np.bool_]:
        return np.repeat(np.array(list(taken), dtype=bool), [width for _, width in self.feature_blocks])

    def untrained(self, vocabulary: Vocabulary, run: Path) -> MatchingModel:
        """The model before its weights are loaded.

        Args:
            vocabulary: of the run.
            run: its folder, which has the text encoder of a run with a pretrained one.

        Raises:
            RunError: there is no such model.
        """
        try:
            check_digest(run / "text")
        except (OSError, ValueError) as error:
            raise RunError(f"{run / 'text'} is damaged ({plain_reason(error)}); copy the run anew.") from None
        try:
            return self.options.build(vocabulary, self.region_width, run / "text")
        except (ValueError, TypeError, RuntimeError, OverflowError, AssertionError) as error:
            raise RunError(
                f"{run / 'config.json'} describes no model ({plain_reason(error)}). Restore it, or train the run again."
            ) from None

    def without_paths(self) -> RunConfig:
        """A copy that names no folder of this disk, for publishing: of files that the run has copies of, the names."""
        facts = {key: value for key, value in self.facts.items() if key != "store"}
        if "data" in facts:
            facts["data"] = _name_of(facts["data"])
        if "data" in (calibration := facts.get("calibration", {})):
            facts["calibration"] = {**calibration, "data": _name_of(calibration["data"])}
        return replace(self, options=_without_folders(self.options), facts=facts)

    def save(self, run: Path) -> None:
        """Write `run/config.json` in one step."""
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "recipe": self.recipe,
            "choices": recipe_to_dict(self.options),
            "regions": self.regions.to_dict(run),
            "feature_blocks": [list(block) for block in self.feature_blocks],
            "class_names": list(self.class_names),
            "facts": self.facts,
            "presence": None if self.presence is None else asdict(self.presence),
        }
        if self.boxes_from != "trained":
            content["boxes_from"] = self.boxes_from
        if self.prior_share:
            content["prior_share"] = self.prior_share
        write_json(run / "config.json", with_digest(content))

    @classmethod
    def load(cls, run: Path) -> RunConfig:
        """Read `run/config.json`.

        Raises:
            RunError: no run there, a damaged one, or one of a newer version.
        """
        refuse_url(run, "A run", RunError)
        path = run / "config.json"
        if not run.is_dir():
            raise RunError(f"There is no folder {run}; name that of a run, or train one with `unboxed fit`.")
        if not path.is_file():
            raise RunError(
                f"{run} is not a run: it has no config.json. Train one with `unboxed fit`, or name its folder."
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise RunError(f"{path} is not the config of a run; its format is {content['format']!r}.")
            if content["version"] > _VERSION:
                raise RunError(
                    f"{run} was made by a newer unboxed (run format {content['version']}, this one reads up to "
                    f"{_VERSION}); update with `pip install -U unboxed`."
                )
            if find_recipe(content["recipe"]) is None:
                known = ", ".join(known_recipes())
                raise RunError(
                    f"{path} names the recipe {content['recipe']!r}; known are {known}. Install the package "
                    "that it is of, or name its file: --plugin FILE.py."
                )
            with errors_of(path):
                options = recipe_from_dict(content["recipe"], content["choices"])
                regions = settings_from_dict(content["regions"], run)
            config = cls(
                recipe=content["recipe"],
                options=options,
                regions=regions,
                feature_blocks=tuple((str(name), int(width)) for name, width in content["feature_blocks"]),
                class_names=texts_of(content["class_names"]),
                facts=_facts(content["facts"]),
                presence=from_json(PresenceCalibration, content["presence"]) if content.get("presence") else None,
                boxes_from=content.get("boxes_from", "trained"),
                prior_share=float(content.get("prior_share", 0)),
            )
            widths = [width for _, width in config.feature_blocks]
            if min(widths, default=0) < 0 or sum(widths) > _WIDEST:
                raise ValueError(f"the features are {sum(widths)} wide; expected 0 to {_WIDEST}")
            if config.presence is not None and not all(map(math.isfinite, asdict(config.presence).values())):
                raise ValueError("the calibration has a value that is not finite")
        except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise RunError(f"{path} is damaged ({plain_reason(error)}); restore it, or train the run again.") from None
        _require_own_files(config.regions, run)
        report_change(path, content)
        return config


def _name_of(data: Any) -> str:
    """The name of a collection by the path of its TOML file, which may be `NAME/data.toml`."""
    path = Path(str(data))
    return path.parent.name if path.stem == "data" else path.stem


def _without_folders(config: T) -> T:
    """The options with the names of files and of local models alone; those of models of the hub stay as they are."""
    changed: dict[str, Any] = {}
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        if is_dataclass(value):
            changed[field.name] = _without_folders(value)
        elif isinstance(value, Path):
            changed[field.name] = Path(value.name)
        elif field.name == "teacher" and value != "prior":
            name = Path(value).name
            changed[field.name] = f"./{name}" if name == "prior" else name
        elif field.name in ("text", "prior"):
            model = Path(value.removeprefix("clip:"))
            if model.is_absolute() or model.is_dir():
                changed[field.name] = "clip:" * value.startswith("clip:") + model.name
    return replace(config, **changed)  # type: ignore[type-var]


def _facts(values: Any) -> dict[str, Any]:
    """The facts of a run, whose numbers are numbers."""
    facts = dict(values)
    for group, names in _COUNTS.items():
        found = facts.get(group, {})
        if not isinstance(found, dict) or not all(isinstance(found.get(name, 0), int | float) for name in names):
            raise ValueError(f"facts.{group} is {repr(found)[:60]}")
    return facts


def _require_own_files(regions: RegionSettings, run: Path) -> None:
    """Raises `RunError` for a file outside the run: one from others could name a private file of this disk."""
    for name, path in regions.model_files.items():
        if not is_inside(path, run):
            raise RunError(
                f"{run / 'config.json'} names {path} as {name} of its regions, which is outside the run; copy that "
                "file into the run's folder and name it there."
            )
        if Path(os.path.relpath(path, run)) == Path():
            raise RunError(f"{run / 'config.json'} names no file as {name} of its regions; restore it.")
    models = {Path(os.path.relpath(path, run)).parts[0] for path in regions.model_files.values()}
    for link in outside_links(run, {*_FILES, *models}):
        raise RunError(f"{link} is a link to a file outside the run; put a copy of that file in its place.")
