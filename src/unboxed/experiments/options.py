"""What a comparison is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import UseAppendAction

__all__ = ["CompareSettings"]


@dataclass(frozen=True)
class CompareSettings:
    """What is to be compared.

    Attributes:
        data: the datasets' files.
        out: folder of the comparison; called again with it, only what is missing is run.
        recipes: names with options, as after `unboxed fit`: "infoground" "ckd --distillation 3". One that ends in
            "@NAME" is for the dataset of that name alone.
        regions: a store made by `unboxed regions` for each dataset, in the same order; without stores the datasets'
            default regions are found first.
        options: options that hold for every recipe which does not say otherwise: one text for all datasets, or one for
            each: --options="--epochs 10" --options="--epochs 4".
        split: what is evaluated on; it needs gold boxes for grounding scores. One for all datasets, or one for each.
        seeds: runs of each recipe, with seeds from 0 on.
        claim_seeds: the same for what only the claims ask for.
        jobs: cells trained at a time, each in a process with its share of the cores; 1 works in this process.
        claims: also run what the papers' claims compare, and judge them.
        finished_only: train nothing: write the page from the cells that are finished.
        write: also write the results here, as Markdown.
    """

    data: tuple[Path, ...]
    out: Path
    recipes: tuple[str, ...] = ()
    regions: tuple[Path, ...] = ()
    options: Annotated[tuple[str, ...], UseAppendAction] = ()
    split: tuple[str, ...] = ("val",)
    seeds: int = 3
    claim_seeds: int = 1
    jobs: int = 1
    claims: bool = False
    finished_only: bool = False
    write: Path | None = None

    def split_of(self, number: int) -> str:
        """What the dataset of this number is evaluated on."""
        return self.split[number if len(self.split) > 1 else 0]

    def recipes_for(self, dataset: str) -> tuple[str, ...]:
        """The recipes that are asked for on a dataset, without its name."""
        named = (recipe.rpartition("@")[::2] if "@" in recipe else (recipe, dataset) for recipe in self.recipes)
        return tuple(recipe.strip() for recipe, only in named if only.strip() == dataset)
