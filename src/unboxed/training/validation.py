"""Validation: the mean loss of fixed batches, and retrieval within them or on the split."""

from __future__ import annotations

from itertools import accumulate, takewhile
from typing import Protocol

import numpy as np
import torch

from unboxed.inference.ranks import rsum
from unboxed.recipes.embeddings import CaptionEmbeddings, ImageEmbeddings
from unboxed.recipes.pairs import TrainingStep
from unboxed.recipes.schedule import Schedule
from unboxed.training.split_loader import SplitLoader
from unboxed.types import CaptionBatch, ImageBatch, PairedBatch

__all__ = ["TrainableModel", "split_rsum", "validate"]

_BLOCK = 128  # images, or captions, that are encoded in one batch


class TrainableModel(Protocol):
    """The methods that training requires of an `nn.Module`.

    The last three are needed only where retrieval is validated on the split (`Schedule.validation_captions`).
    """

    def loss(self, batch: PairedBatch, training_step: TrainingStep) -> dict[str, torch.Tensor]:
        """The total under `loss`, and its parts by name."""

    def loss_and_scores(
        self, batch: PairedBatch, training_step: TrainingStep
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The result of `loss`, and how well each image and caption match, `[B, C]`."""

    def encode_images(self, images: ImageBatch) -> ImageEmbeddings:
        """The images, encoded."""

    def encode_captions(self, captions: CaptionBatch) -> CaptionEmbeddings:
        """The captions, encoded."""

    def score(self, images: ImageEmbeddings, captions: CaptionEmbeddings) -> torch.Tensor:
        """How well each image and caption match, `[B, C]`."""


@torch.no_grad()
def validate(
    model: TrainableModel, validation: SplitLoader, schedule: Schedule, last: TrainingStep, device: torch.device
) -> dict[str, float]:
    """Mean loss of the fixed validation batches, and rsum: within each batch, the mean, or on the split at once.

    Args:
        model: in evaluation mode.
        validation: images and captions.
        schedule: what is validated.
        last: the step at which losses are computed.
        device: of the model.
    """
    losses, rsums = [], []
    for batch in validation.batches(schedule, -1):
        batch = batch.to(device)
        parts, score_BC = model.loss_and_scores(batch, last)
        losses.append(float(parts["loss"]))
        rsums.append(rsum(score_BC.float().cpu().numpy(), batch.image_of_C.cpu().numpy()))
    if schedule.validation_captions:
        rsums = [split_rsum(model, validation, schedule.validation_captions, device)]
    return {"val_loss": float(np.mean(losses)), "val_rsum": float(np.mean(rsums))}


@torch.no_grad()
def split_rsum(model: TrainableModel, split: SplitLoader, captions: int, device: torch.device) -> float:
    """rsum of retrieval among the first images of a split that have `captions` captions together, at least one."""
    counts = [len(own) for own in split.captions]
    chosen = range(max(len(list(takewhile(lambda total: total <= captions, accumulate(counts)))), 1))
    images = [model.encode_images(batch.to(device)) for batch in split.image_batches(chosen, _BLOCK)]
    columns = []
    for batch in split.caption_batches(chosen, _BLOCK):
        encoded = model.encode_captions(batch.to(device))
        columns.append(torch.cat([model.score(block, encoded) for block in images]).float().cpu())
    image_of_C = np.repeat(np.arange(len(chosen)), [counts[image] for image in chosen])
    return rsum(torch.cat(columns, dim=1).numpy(), image_of_C)
