"""LocNet's match map, its scores, its losses and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from unboxed.attention import MatchMap, QueryEmbeddings, RegionEmbeddings
from unboxed.recipes import NPair

pytestmark = pytest.mark.usefixtures("precision")

REDUCTIONS: dict[str, Any] = {"Avg_Both": "mean", "Max_Text": "max-words", "Max_Img": "max-rows"}


def test_map_scores_losses_and_gradients(golden: Callable[[str], Any]) -> None:
    fixture = golden("locnet_scores")
    cells_BDYX, words_CQD = fixture["in_cells"].requires_grad_(), fixture["in_words"].requires_grad_()
    cells_BRD = cells_BDYX.flatten(2).transpose(1, 2)
    regions = RegionEmbeddings((cells_BRD,), torch.ones(cells_BRD.shape[:2], dtype=torch.bool))
    queries = QueryEmbeddings((words_CQD,), torch.ones(words_CQD.shape[:2], dtype=torch.bool))
    image_of_C = torch.arange(len(words_CQD))
    for name, reduction in REDUCTIONS.items():
        alignment = MatchMap(nn.Identity(), 24, 24, reduction).align(regions, queries)
        fixture.check("out_match_map", alignment.value_BCQR[:2, :2].unflatten(-1, (5, 5)))
        score_BC = alignment.score_BC
        fixture.check(f"out_score_{name}", score_BC)
        triplet = NPair(contrast="triplet").pair_loss(score_BC, image_of_C)["triplet"]
        scalars = {
            "weighted_score_wrt_{}": (fixture["in_score_weight"] * score_BC).sum(),
            "loss_npair_wrt_{}": NPair().pair_loss(score_BC, image_of_C)["npair"],
            "loss_triplet_wrt_{}": triplet,
        }
        fixture.check(f"out_loss_npair_{name}", scalars["loss_npair_wrt_{}"][None])
        fixture.check(f"out_loss_triplet_{name}", triplet[None])
        for scalar, value in scalars.items():
            leaves = {"cells": cells_BDYX, "words": words_CQD}
            named = {f"grad_{scalar.format(leaf)}_{name}": tensor for leaf, tensor in leaves.items()}
            fixture.check_gradients(value, named)
    best = MatchMap(nn.Identity(), 24, 24, "max-cells").align(regions, queries)
    fixture.check("out_score_max_over_cells", best.score_BC)
    fixture.assert_complete()
