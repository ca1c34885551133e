"""A training step of a recipe with its preset `paper`, on recorded inputs instead of images and captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from unboxed.recipes import RecipeConfig, preset
from unboxed.recipes.model import MatchingModel
from unboxed.recipes.pairs import TrainingStep
from unboxed.text.tokens import Vocabulary
from unboxed.types import CaptionBatch, ImageBatch, PairedBatch


class RecordedWords(nn.Module):
    """A text encoder that gives recorded words."""

    def __init__(self, words_CWH: torch.Tensor) -> None:
        super().__init__()
        self.words_CWH, self.output_width = words_CWH, words_CWH.shape[2]

    def forward(self, *caption: object) -> torch.Tensor:
        return self.words_CWH


def paper(recipe: str, **changed: Any) -> RecipeConfig:
    """The options of the preset with the widths of a fixture, without the dropout of words, which none has."""
    options = preset(recipe, "paper").config
    return replace(options, text_encoder=replace(options.text_encoder, word_dropout=None), **changed)


def untrained(options: RecipeConfig, region_width: int) -> MatchingModel:
    """The model that training would begin with."""
    return MatchingModel(options, Vocabulary(), region_width, "gru")


def assert_agree(found: torch.Tensor, expected: torch.Tensor) -> None:
    """Assert that two ways to compute the same agree, but for rounding."""
    most = 1e-9 if found.dtype == torch.float64 else 2e-6
    torch.testing.assert_close(found, expected, rtol=most, atol=most)


def images_of(inputs_BRV: torch.Tensor, **more: torch.Tensor) -> ImageBatch:
    """Images whose regions are all real, unless a mask is among `more`."""
    shape_BR = inputs_BRV.shape[:2]
    fields = {
        "edges_BR4": torch.zeros(*shape_BR, 4),
        "mask_BR": torch.ones(shape_BR, dtype=torch.bool),
        "class_score_BRE": torch.zeros(*shape_BR, 0),
    }
    return ImageBatch(inputs_BRV, **{**fields, **more})


def captions_of(tokens_CW: torch.Tensor, mask_CW: torch.Tensor, **more: torch.Tensor) -> CaptionBatch:
    """Captions of one phrase, of all words, unless phrases are among `more`."""
    phrase_CPW = more.pop("phrase_CPW", mask_CW[:, None])
    count = len(mask_CW)
    affinity_CPE = more.pop("affinity_CPE", torch.zeros(count, phrase_CPW.shape[1], 0))
    none_C, none_CN = torch.full((count,), -1), torch.zeros(count, 0, dtype=torch.long)
    return CaptionBatch(tokens_CW, mask_CW, mask_CW, phrase_CPW, ((),) * count, affinity_CPE, none_C, none_CN)


def losses(model: MatchingModel, images: ImageBatch, captions: CaptionBatch, step: int = 0) -> Mapping[str, Any]:
    """The losses of a step in which each caption has the image of its row."""
    batch = PairedBatch(images, captions, torch.arange(len(captions)))
    return model.train().loss(batch, TrainingStep(step, step + 1))
