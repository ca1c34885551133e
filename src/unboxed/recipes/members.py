"""Several models of one recipe that train on the same batches, and answer with their mean attention and score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from unboxed.attention.base import Alignment
from unboxed.recipes.embeddings import CaptionEmbeddings, ImageEmbeddings
from unboxed.recipes.model import MatchingModel, PhraseAttention
from unboxed.recipes.pairs import TrainingStep
from unboxed.text.pretrained import FrozenEncoder
from unboxed.types import CaptionBatch, ImageBatch, PairedBatch, Units

if TYPE_CHECKING:
    from unboxed.recipes.config import RecipeConfig

__all__ = ["Members", "members_of"]


class Members(MatchingModel):
    """N models with random weights of their own. Each has its own loss; an embedding holds the tensors of all.

    Nothing is shared but the batches: each member is trained as if it were alone, apart from the choice of the epoch.

    Args:
        options: the recipe of all.
        build: makes one member, whose weights are initialized by torch's generator.
    """

    def __init__(self, options: RecipeConfig, build: Callable[[], MatchingModel]) -> None:
        nn.Module.__init__(self)
        self.options = options
        self.members = nn.ModuleList(build() for _ in range(options.members))
        if isinstance(self._all[0].text, FrozenEncoder):  # all are equal, and this one has no weights of its own
            self.text = self._all[0].text
            for member in self._all[1:]:
                member.text = self.text

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self._all[0].device

    @property
    def _all(self) -> list[MatchingModel]:
        return list(self.members)  # type: ignore[arg-type]

    def encode_images(self, images: ImageBatch) -> ImageEmbeddings:
        """B images, encoded by each member."""
        images = images.to(self.device)
        encoded = [member.encode_images(images) for member in self._all]
        tensors = tuple(tensor for one in encoded for tensor in one.regions.tensors)
        return encoded[0]._replace(regions=encoded[0].regions._replace(tensors=tensors))

    def encode_captions(
        self, captions: CaptionBatch, words_CWH: torch.Tensor | None = None, units: Units | None = None
    ) -> CaptionEmbeddings:
        """C captions, encoded by each member; `words_CWH`, which would be of one member, is not used."""
        captions = captions.to(self.device)
        encoded = [member.encode_captions(captions, None, units) for member in self._all]
        tensors = tuple(tensor for one in encoded for tensor in one.queries.tensors)
        return encoded[0]._replace(queries=encoded[0].queries._replace(tensors=tensors))

    def align(self, images: ImageEmbeddings, captions: CaptionEmbeddings, *, paired: bool = False) -> Alignment:
        """The mean of the members' alignments."""
        return _mean(
            [
                member.align(self._images(images, n), self._captions(captions, n), paired=paired)
                for n, member in enumerate(self._all)
            ]
        )

    def _trained_score(
        self, images: ImageEmbeddings, captions: CaptionEmbeddings, budget_bytes: int | None
    ) -> torch.Tensor:
        """The mean of the members' scores `[B, C]`."""
        scores = [
            member.score(self._images(images, n), self._captions(captions, n), budget_bytes=budget_bytes)
            for n, member in enumerate(self._all)
        ]
        return torch.stack(scores).mean(dim=0)

    def ground(self, images: ImageEmbeddings, captions: CaptionBatch) -> PhraseAttention:
        """The mean of the members' attention of phrases and words."""
        found = [member.ground(self._images(images, n), captions) for n, member in enumerate(self._all)]
        attention_CWR = torch.stack([one.attention_CWR for one in found]).mean(dim=0)
        return PhraseAttention(_mean([one.alignment for one in found]), attention_CWR, found[0].prior_CPR)

    def loss(self, batch: PairedBatch, training_step: TrainingStep) -> dict[str, torch.Tensor]:
        """The sums of the members' losses, by name."""
        return _sum([member.loss(batch, training_step) for member in self._all])

    def loss_and_scores(
        self, batch: PairedBatch, training_step: TrainingStep
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The result of `loss`, and the mean scores `[B, C]` of all pairs."""
        found = [member.loss_and_scores(batch, training_step) for member in self._all]
        return _sum([losses for losses, _ in found]), torch.stack([score_BC for _, score_BC in found]).mean(dim=0)

    def _images(self, images: ImageEmbeddings, member: int) -> ImageEmbeddings:
        tensors = self._own(images.regions.tensors, member)
        return images._replace(regions=images.regions._replace(tensors=tensors))

    def _captions(self, captions: CaptionEmbeddings, member: int) -> CaptionEmbeddings:
        tensors = self._own(captions.queries.tensors, member)
        return captions._replace(queries=captions.queries._replace(tensors=tensors))

    def _own(self, tensors: tuple[torch.Tensor, ...], member: int) -> tuple[torch.Tensor, ...]:
        """Of the tensors of all members, those of one."""
        count = len(tensors) // len(self.members)
        return tensors[member * count : (member + 1) * count]


def members_of(model: MatchingModel) -> list[MatchingModel]:
    """The members of a model; of a model of one, itself."""
    return model._all if isinstance(model, Members) else [model]


def _mean(alignments: Sequence[Alignment]) -> Alignment:
    return Alignment(*(torch.stack(tensors).mean(dim=0) for tensors in zip(*alignments, strict=True)))


def _sum(losses: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    return {name: torch.stack([own[name] for own in losses]).sum(dim=0) for name in losses[0]}
