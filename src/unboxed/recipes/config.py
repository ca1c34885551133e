"""What every recipe offers: the parts that combine with each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.attention.ranking import Ranking
from unboxed.priors.settings import PriorSettings
from unboxed.recipes.schedule import Schedule
from unboxed.regions.settings import RegionSettings
from unboxed.types import Units

if TYPE_CHECKING:
    import torch

    from unboxed.attention.base import Aligner
    from unboxed.attention.heatmaps import BoxReadOut
    from unboxed.data.dataset import Dataset
    from unboxed.recipes.model import MatchingModel
    from unboxed.recipes.pairs import Pairs
    from unboxed.text.vocabulary import Vocabulary

__all__ = ["DistillationConfig", "RecipeConfig"]


@dataclass(frozen=True)
class DistillationConfig:
    """How a model is taught the untrained prior while it trains (CKD, section 3.3).

    The teacher is a softmax over the regions of the caption's own image: of the prior's scores, divided by its
    temperature; phrases of which the prior knows nothing teach nothing.

    Attributes:
        distillation: weight of the cross-entropy from teacher to student, once the ramp is over; 0 for none.
        teacher_temperature: of the teacher; CKD's, with detector probabilities as scores, is 2.
        neighbours: teacher and student are compared on the regions that overlap the student's choice most, this many
            (CKD: 8); 0 compares them on all regions.
        ramp_steps: steps over which the weight grows; CKD's rises by one each 500 steps.
    """

    distillation: float = 0.0
    teacher_temperature: float = 0.15
    neighbours: int = 0
    ramp_steps: int = 0

    def weight_at(self, step: int) -> float:
        """The weight of the distillation at a step, counted from 0."""
        return self.distillation * min((step + 1) / (self.ramp_steps + 1), 1)


@dataclass(frozen=True)
class RecipeConfig:
    """What every recipe offers. A recipe is a subclass with its own defaults, an attention and an objective.

    Attributes:
        negatives: substitutes of nouns that make a caption false: `lm` (a language model's, re-ranked), `random`
            nouns, `none`.
        negative_count: substitutes contrasted with a true word in one step.
        negative_weight: weight of that contrast.
        prior: `semantic` multiplies the untrained semantic prior (class names against phrases) with what was learned,
            to the power of `prior_weight` of the ranking.
        semantic: how that prior finds and weighs things.
        distillation: how the prior teaches the model while it trains.
        intra_caption: weight of the contrast between the phrases of one caption: what one phrase attends to must fit
            it better than what another one attends to.
        joint_width: width that queries and regions share.
        text: `gru`, trained along, or the folder or hub name of a transformers encoder, which stays frozen.
        embedding_width, hidden_width: sizes of the GRU.
        dropout: of word vectors and region inputs while training, in [0, 1).
        class_inputs: describe regions by the detector's class probabilities too.
        backbone_features: also describe regions by the pooled maps of a backbone. Their receptive fields reach over
            the whole image, so that any region gives its image away: captions are found better, phrases
            worse. Regions that have no class probabilities are described by all there is.
        region_hidden: width of a layer with ReLU that region inputs pass before the recipe's own maps; 0 for none.
        ranking: how the regions of a phrase are ranked.
        schedule: how long and how fast.
    """

    units: ClassVar[Units] = "words"

    negatives: Literal["lm", "random", "none"] = "none"
    negative_count: int = 10
    negative_weight: float = 1.0
    prior: Literal["none", "semantic"] = "none"
    semantic: PriorSettings = field(default_factory=PriorSettings)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    intra_caption: float = 0.0
    joint_width: int = 256
    text: str = "gru"
    embedding_width: int = 200
    hidden_width: int = 128
    dropout: float = 0.1
    class_inputs: bool = True
    backbone_features: bool = False
    region_hidden: int = 0
    ranking: Ranking = field(default_factory=Ranking)
    schedule: Schedule = field(default_factory=Schedule)

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """The untrained attention.

        Args:
            region_width: V, of a region's input.
            state_width: H, of a contextual word or of a phrase.
        """
        raise NotImplementedError

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """What training minimises, by name; the terms are added up."""
        raise NotImplementedError

    def region_settings(self, dataset: Dataset) -> tuple[RegionSettings, str]:
        """How regions are found where the user names no store, and a sentence that says so."""
        return RegionSettings.default_for(dataset)

    @property
    def heat_read_out(self) -> BoxReadOut | None:
        """How boxes are read off the heat map of a phrase; None where they are chosen among regions instead."""
        return None

    @property
    def reads_prior(self) -> bool:
        """Does the trained model read the semantic prior?"""
        return self.prior != "none"

    @property
    def needs_prior(self) -> bool:
        """Does training or ranking read the semantic prior?"""
        return self.reads_prior or self.distillation.distillation > 0

    @property
    def trains(self) -> bool:
        """Does the recipe train at all?"""
        return True

    def build(self, vocabulary: Vocabulary, region_width: int, encoder: Path | None = None) -> MatchingModel:
        """The untrained model.

        Args:
            vocabulary: the words it knows.
            region_width: width of a region's input.
            encoder: where a run keeps its pretrained text encoder, once it has one.
        """
        from unboxed.recipes.model import MatchingModel  # torch is loaded only where something is computed

        kept = encoder is not None and encoder.is_dir()
        return MatchingModel(self, vocabulary, region_width, str(encoder) if kept else self.text)
