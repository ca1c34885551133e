"""Settings of a comparison."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction

from unboxed.runtime.counts import require_count
from unboxed.runtime.paths import accept_strings

__all__ = ["CompareSettings", "plain_name"]

_MOST = 1000  # runs of a recipe, and processes


@dataclass(frozen=True)
class CompareSettings:
    """Settings of a comparison.

    Attributes:
        data: the datasets' files.
        out: folder of the comparison; called again with it, only the missing cells are run.
        recipes: names with options, as after `unboxed fit`: "infoground" "ckd --distillation 3".
            "ckd @flickr" is only for the dataset of this name.
        regions: a store made by `unboxed regions` for each dataset, in the same order; without stores, the datasets'
            default regions are extracted first.
        options: default options of all recipes; the options of a recipe take precedence. One text for all datasets, or
            one for each: --options="--epochs 10" --options="--epochs 4".
        split: the split to evaluate on, which needs gold boxes for grounding scores; one for all datasets, or one for
            each. `val` of a dataset without one is the part that training holds out.
        seeds: runs of each recipe, with seeds from 0 on.
        claim_seeds: the same for recipes that only the claims compare.
        reference: one of the recipes; the table of differences subtracts it from each other one. By default each other
            recipe is subtracted from the best.
        baseline: zero-shot detectors of transformers, `hf:FOLDER_OR_HUB_NAME`, which are asked for the phrases and get
            a row among the untrained baselines; they run again whenever the results are written.
        jobs: cells to train at a time, each in a process with its share of the cores; 1 trains in this process.
        claims: also train what the papers' claims compare, and judge the claims.
        claims_of: of the claims, only those of these names, such as `scan-vse`, or whose name contains one of these
            texts, such as `ccr`; by default all.
        finished_only: train nothing; write the page from the cells that are finished.
        wait: wait while another process writes the comparison, instead of ending with an error.
        write: also write the results to these files: .md and .html pages, .csv with a row for each value, .tex with a
            table for each dataset (booktabs).

    Raises:
        UnboxedError: a number of seeds or jobs out of range.
    """

    data: tuple[Path, ...]
    out: Path
    recipes: tuple[str, ...] = ()
    regions: tuple[Path, ...] = ()
    options: Annotated[tuple[str, ...], UseAppendAction] = ()
    split: tuple[str, ...] = ("val",)
    seeds: int = 3
    claim_seeds: int = 1
    reference: str | None = None
    baseline: tuple[str, ...] = ()
    jobs: int = 1
    claims: bool = False
    claims_of: tuple[str, ...] = ()
    finished_only: bool = False
    wait: bool = False
    write: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        accept_strings(self)
        for name in ("seeds", "claim_seeds", "jobs"):
            require_count(f"--{name.replace('_', '-')}", getattr(self, name), most=_MOST)

    def split_of(self, number: int) -> str:
        """The split to evaluate on of the dataset with this index."""
        return self.split[number if len(self.split) > 1 else 0]

    def options_of(self, number: int) -> str:
        """The default options of all recipes on the dataset with this index."""
        return self.options[number if len(self.options) > 1 else 0] if self.options else ""

    def recipes_for(self, dataset: str) -> tuple[str, ...]:
        """The recipes to train on a dataset, without the dataset's name."""
        return _of_dataset(self.recipes, dataset)

    def reference_for(self, dataset: str) -> str | None:
        """The recipe that is subtracted from the others of a dataset, without the dataset's name; None: the best is."""
        return next(iter(_of_dataset((self.reference,) if self.reference else (), dataset)), None)

    @property
    def named_datasets(self) -> tuple[tuple[str, str], ...]:
        """The recipes that are for one dataset alone, as they are written, each with the name of its dataset."""
        recipes = self.recipes if self.reference is None else (*self.recipes, self.reference)
        return tuple((recipe, name) for recipe in recipes if (name := _parts(recipe)[1]) is not None)


def plain_name(name: str) -> str:
    """The name of a dataset with `_` for all but letters, digits and `_`, as files of a comparison have it."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", name)


def _of_dataset(recipes: tuple[str, ...], dataset: str) -> tuple[str, ...]:
    return tuple(recipe for recipe, only in map(_parts, recipes) if only is None or only == dataset)


def _parts(recipe: str) -> tuple[str, str | None]:
    """A recipe without the name of its dataset, and this name; None: it is for all datasets."""
    text, mark, name = recipe.rpartition(" @")
    return (text.strip(), plain_name(name.strip())) if mark else (recipe.strip(), None)
