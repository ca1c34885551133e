"""A recipe of one's own, as a file that `--plugin` loads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from unboxed.attention import Aligner, BestRegion
from unboxed.objectives import triplet_loss
from unboxed.recipes import RecipeConfig
from unboxed.recipes.pairs import Pairs
from unboxed.types import Units


@dataclass(frozen=True)
class Toy(RecipeConfig):
    """The best region of each word, trained with a hinge.

    Attributes:
        margin: of the hinge.
    """

    units: ClassVar[Units] = "words"
    attention: ClassVar[str] = "best region"
    loss: ClassVar[str] = "hinge"
    paper: ClassVar[str] = "a test"

    margin: float = 0.5

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        return BestRegion(region_width, state_width, self.joint_width, hidden_width=16, score="mean")

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        return {"hinge": triplet_loss(pairs.score_BC, pairs.image_of_C, self.margin)}


RECIPES = {"toy-plugin": Toy}
