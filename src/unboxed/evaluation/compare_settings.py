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
        recipes: names with options, as after `unboxed fit`: "infoground" "ckd --distillation 3".
        regions: a store made by `unboxed regions` for each dataset, in the same order; without stores the datasets'
            default regions are found first.
        options: options that hold for every recipe which does not say otherwise: one text for all datasets, or one for
            each: --options="--epochs 10" --options="--epochs 4".
        split: what is evaluated on; it needs gold boxes for grounding scores.
        seeds: runs of each recipe, with seeds from 0 on.
        photo_seeds: the same for datasets of photographs; as many as `seeds` by default, with `claims` 1.
        jobs: cells trained at a time, each in a process with its share of the cores; 1 works in this process.
        claims: also run what the papers' claims compare, and judge them.
        write: also write the results here, as Markdown.
    """

    data: tuple[Path, ...]
    out: Path
    recipes: tuple[str, ...] = ()
    regions: tuple[Path, ...] = ()
    options: Annotated[tuple[str, ...], UseAppendAction] = ()
    split: str = "val"
    seeds: int = 3
    photo_seeds: int | None = None
    jobs: int = 1
    claims: bool = False
    write: Path | None = None

    def seeds_of(self, kind: str) -> int:
        """How many runs a recipe has on a dataset of this kind."""
        if kind == "photographs":
            return self.photo_seeds if self.photo_seeds is not None else (1 if self.claims else self.seeds)
        return self.seeds
