"""Options that every recipe has: the parts that combine with each attention and objective."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.attention.ranking import Ranking
from unboxed.errors import RegionsError, RunError
from unboxed.priors.settings import PriorSettings
from unboxed.recipes.schedule import Schedule
from unboxed.regions.settings import RegionSettings
from unboxed.runtime.counts import require_count, require_literals
from unboxed.text.settings import TextConfig
from unboxed.types import Units

if TYPE_CHECKING:
    import torch

    from unboxed.attention.base import Aligner
    from unboxed.attention.heatmaps import BoxReadOut
    from unboxed.data.dataset import Dataset
    from unboxed.recipes.model import MatchingModel
    from unboxed.recipes.pairs import Pairs
    from unboxed.text.tokens import Vocabulary

__all__ = ["DistillationConfig", "RecipeConfig"]


_LARGEST, _MEMBERS = 2**31, 1000


def _check_values(options: object) -> None:
    """Names are known; numbers are 0 or more, widths at least 1, temperatures and λ_lse above 0, dropout below 1.

    Options that a recipe outside this package adds only have to be finite. A path becomes a text where one is expected.

    Raises:
        RunError: one that is not; it names the option.
    """
    require_literals(options, RunError)
    kinds = [kind for kind in type(options).__mro__ if kind.__module__.startswith("unboxed.")]
    ours = {option.name for kind in kinds if is_dataclass(kind) for option in fields(kind)}
    for option in fields(options):  # type: ignore[arg-type]
        name, value = option.name, getattr(options, option.name)
        if is_dataclass(value) and not hasattr(value, "__post_init__"):  # one that does not check its own values
            _check_values(value)
        if isinstance(value, Path) and option.type == "str":
            object.__setattr__(options, name, str(value))
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if name not in ours:
            if not abs(value) < math.inf:
                raise RunError(f"--{name.replace('_', '-')} is {value}; it must be a finite number.")
            continue
        least = 1 if name.endswith("_width") else 0
        above = name.endswith("temperature") or name == "lambda_lse"  # the score is divided by them
        below = 1 if name.endswith("dropout") else _LARGEST
        if not least <= value < below or (above and not value):
            wanted = f"{'above' if above else 'at least'} {least}" + (" and below 1" if below == 1 else "")
            raise RunError(f"--{name.replace('_', '-')} is {value}; it must be a number {wanted}.")


@dataclass(frozen=True)
class DistillationConfig:
    """Distillation of the semantic prior into the model during training (CKD, section 3.3), or of a trained run.

    The teacher is a softmax of the prior's scores over the regions of the caption's image. Phrases for which the prior
    is 0 everywhere are left out.

    Attributes:
        distillation: weight of the cross-entropy between teacher and student after the ramp; 0: no distillation.
        teacher: `prior`, or the folder of a run, whose probabilities of the regions then teach (guide “Training and
            evaluation”).
        teacher_temperature: of the teacher's softmax; in CKD, where the scores are detector probabilities, 1, or 2
            with the 80 classes of COCO.
        neighbours: number of regions that teacher and student are compared on, those that overlap the student's best
            region most (CKD: 8); 0: all regions.
        ramp_steps: length of the ramp of the weight.
        ramp: the weight grows `linear` over `ramp_steps` steps, or is 0.001 and grows by one every `ramp_steps` steps
            (`stairs`; CKD: 500 steps, up to 3).
        student: the student is a softmax of the logarithm of the `attention`, or of the bare `cosine` of phrase and
            region, which no temperature scales (CKD). infoground and npair have no cosine.

    Raises:
        RunError: stairs of no length.
    """

    distillation: float = 0.0
    teacher: str = "prior"
    teacher_temperature: float = 0.15
    neighbours: int = 0
    ramp_steps: int = 0
    ramp: Literal["linear", "stairs"] = "linear"
    student: Literal["attention", "cosine"] = "attention"

    def __post_init__(self) -> None:
        if self.ramp == "stairs" and self.ramp_steps < 1:
            raise RunError("--ramp stairs needs the steps between two stairs; add --ramp-steps 500, as in CKD.")
        _check_values(self)

    @property
    def from_prior(self) -> bool:
        """Whether the semantic prior is distilled."""
        return self.distillation > 0 and self.teacher == "prior"

    @property
    def from_run(self) -> Path | None:
        """The folder of the run that is distilled, if one is."""
        return Path(self.teacher) if self.distillation and self.teacher != "prior" else None

    def weight_at(self, step: int) -> float:
        """The weight at a step, counted from 0."""
        if self.ramp == "stairs":
            return min(0.001 + step // self.ramp_steps, self.distillation)
        return self.distillation * min((step + 1) / (self.ramp_steps + 1), 1)


@dataclass(frozen=True)
class RecipeConfig:
    """The options that every recipe has. A recipe is a subclass with its own defaults, an attention and an objective.

    Attributes:
        units: what the queries are: the words of a caption, its nouns and adjectives (`content`), or its phrases.
        attention, loss, paper: the attention, the objective and the source, for the table of recipes.
        word_network: the attention has a network of its own for words or phrases, more than a linear map, which stays
            with `word_state="mean"`.
        has_cosines: the attention is one of cosines of queries and regions.
        revision: number of changes of the code after which a fit with the same options ends with other scores, beyond
            rounding; the cells of a comparison of another revision are trained again.
        negatives: words that replace nouns and make a caption false: `lm` (chosen by a language model), `random`
            (random nouns), `none`.
        negative_count: negatives contrasted with a true word in one step.
        negative_nouns: the noun of a caption that is replaced is `sampled` in every epoch, or `fixed` (InfoGround).
        negative_digits: digits to which the language model's ranking of substitutes is rounded (InfoGround's code: 3);
            by default it is not rounded.
        negative_seen: nouns that another caption of the image contains replace a noun too (InfoGround), although they
            may be true of the image.
        negative_weight: weight of this contrast.
        prior: `semantic` multiplies the learned attention with the semantic prior (class names compared with phrases),
            to the power `prior_weight` of the ranking; `none` does not. `clip:MODEL` is the semantic prior which also
            compares phrases with crops by the embeddings of CLIP or SigLIP, a folder or hub name (guide
            “The semantic prior”).
        semantic: the settings of the semantic prior.
        distillation: the settings of the distillation of the prior into the model.
        intra_caption: weight of the contrast between the phrases of one caption: the regions that a phrase attends to
            must match it better than those that another phrase attends to. Phrases whose attention overlaps by more
            than a quarter are not contrasted: flat attention, as at the start of a training, has no such loss.
        joint_width: width D of the embeddings of queries and regions.
        text: `gru` (a recurrent network, trained with the model: see `text_encoder`), or the folder or hub name of a
            transformers encoder (frozen).
        text_encoder: words, cells and phrases of the recurrent network.
        embedding_width, hidden_width: widths of the word vectors and of the states of the recurrent network. With
            `word_state="mean"`, where states are in the joint space, the default is `joint_width`.
        dropout: of word vectors and region inputs in training, in [0, 1).
        region_inputs: what the model is given of a region: `all`, its standardized features, class probabilities and
            geometry; or its `features` alone, as they are (the papers; with `region_hidden` 0, without a layer before
            the attention's own).
        scaled_features: features alone are standardized by one mean and one deviation of all their numbers, measured on
            training images (CKD).
        class_inputs: region inputs include the detector's class probabilities.
        backbone_features: region inputs include the pooled feature maps of a backbone. The receptive fields of these
            maps cover the whole image, so that each region identifies its image: retrieval improves, grounding gets
            worse. Regions without class probabilities always use all features.
        region_hidden: width of a linear layer with ReLU between the region inputs and the attention; 0: no layer.
        members: models with random weights of their own that are trained on the same batches; the run answers with
            their mean attention and scores (the papers: 1). Its losses are sums over them.
        ranking: how the regions of a phrase are ranked.
        schedule: epochs, batches and learning rates.

    Raises:
        RunError: options that do not go together.
    """

    units: ClassVar[Units] = "words"
    attention: ClassVar[str] = ""
    loss: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    word_network: ClassVar[bool] = False
    has_cosines: ClassVar[bool] = True
    revision: ClassVar[int] = 0

    negatives: Literal["lm", "random", "none"] = "none"
    negative_count: int = 10
    negative_nouns: Literal["sampled", "fixed"] = "sampled"
    negative_digits: int | None = None
    negative_seen: bool = False
    negative_weight: float = 1.0
    prior: str = "none"
    semantic: PriorSettings = field(default_factory=PriorSettings)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    intra_caption: float = 0.0
    joint_width: int = 256
    text: str = "gru"
    text_encoder: TextConfig = field(default_factory=TextConfig)
    embedding_width: int = 200
    hidden_width: int = 128
    dropout: float = 0.1
    region_inputs: Literal["all", "features"] = "all"
    scaled_features: bool = False
    class_inputs: bool = True
    backbone_features: bool = False
    region_hidden: int = 0
    members: int = 1
    ranking: Ranking = field(default_factory=Ranking)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        _check_values(self)
        reading = self.text_encoder
        if self.prior not in ("none", "semantic") and self.crop_encoder in (None, ""):
            raise RunError(
                f"--prior is {self.prior!r}; it is none, semantic, or clip: and the folder or hub name of CLIP or "
                "SigLIP, such as clip:openai/clip-vit-base-patch32."
            )
        if self.text != "gru" and replace(reading, phrase_pooling="mean", tokenizer="words") != TextConfig():
            raise RunError(
                f"{self.text} is a pretrained encoder with its own vectors and cells; leave out the options of the "
                "recurrent network (such as --cell, --word-state, --start-end-words; the preset paper of all recipes "
                "but infoground sets some), or leave out --text."
            )
        if self.units != "phrases" and (reading.phrase_reads, reading.phrase_pooling) != ("caption", "mean"):
            raise RunError(
                "--phrase-reads and --phrase-pooling are for recipes that compare phrases with regions, such as ckd "
                "and sprm, not words; leave them out."
            )
        require_count("--members", self.members, most=_MEMBERS, error=RunError)
        if self.distillation.distillation and self.distillation.student == "cosine" and not self.has_cosines:
            raise RunError(
                "--student cosine is for recipes that compare words or phrases and regions by cosine, which infoground "
                "and npair do not; leave it out."
            )
        if not self.word_network and reading.word_state == "mean":
            self._follow_joint_width("hidden_width")
        if not self.word_network and reading.word_state == "mean" and self.hidden_width != self.joint_width:
            raise RunError(
                f"With --word-state mean the states of words are in the joint space: hidden_width is "
                f"{self.hidden_width}, joint_width {self.joint_width}; set --hidden-width {self.joint_width}."
            )

    def _follow_joint_width(self, name: str) -> None:
        """Set a width that has to be that of the joint space, if it was left at its default."""
        if getattr(self, name) == getattr(type(self), name):
            object.__setattr__(self, name, self.joint_width)

    def query_width(self, state_width: int) -> int | None:
        """Width of the states that the attention maps linearly; None where it uses them as they are."""
        return None if self.text_encoder.word_state == "mean" else state_width

    @property
    def uses_classes(self) -> bool:
        """Whether region inputs include class probabilities."""
        return self.class_inputs and self.region_inputs == "all"

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """The untrained attention.

        Args:
            region_width: width V of a region's input.
            state_width: width H of the state of a word or phrase.
        """
        raise NotImplementedError

    def require_inputs(self, region_width: int) -> None:
        """Raise a `RegionsError` where a region's input, of width V, lacks what the recipe reads."""
        if not region_width:
            raise RegionsError(
                "With --region-inputs features the model reads the features of the regions alone, and these regions "
                "have none; find regions with a detector or backbone that gives features, or leave out "
                "--region-inputs."
            )

    def require_sources(self, sources: RegionSettings) -> None:
        """Raise a `RegionsError` where these settings cannot give regions the inputs that the recipe reads."""

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """The loss terms by name; their sum is minimized."""
        raise NotImplementedError

    def region_settings(self, dataset: Dataset) -> tuple[RegionSettings, str]:
        """The region settings for a dataset when no store is given, and a line of text that describes them."""
        return RegionSettings.default_for(dataset)

    @property
    def query_slots(self) -> int:
        """Number of content words of every caption, the first ones or padded with zeros; 0: all of them."""
        return 0

    @property
    def region_count(self) -> int:
        """The number of regions that every image must have; 0: any number."""
        return 0

    @property
    def heat_read_out(self) -> BoxReadOut | None:
        """How boxes are read off the heat map of a phrase; None where they are chosen among regions instead."""
        return None

    @property
    def reads_prior(self) -> bool:
        """Whether the trained model uses the semantic prior."""
        return self.prior != "none"

    @property
    def crop_encoder(self) -> str | None:
        """The folder or hub name of the image-text encoder by which the prior compares phrases with crops."""
        return self.prior.removeprefix("clip:") if self.prior.startswith("clip:") else None

    @property
    def reads_positions(self) -> bool:
        """Whether the attention reads the places of regions, so that it needs boxes or blocks."""
        return False

    @property
    def reads_labels(self) -> bool:
        """Whether region inputs include the word vectors of the regions' classes."""
        return False

    @property
    def needs_prior(self) -> bool:
        """Whether training or ranking uses the semantic prior."""
        return self.reads_prior or self.distillation.from_prior

    @property
    def trains(self) -> bool:
        """Whether the recipe has a training phase."""
        return True

    def model_class(self) -> type[MatchingModel]:
        """The model that the recipe's attention and objective are part of."""
        from unboxed.recipes.model import MatchingModel  # loads torch

        return MatchingModel

    def build(self, vocabulary: Vocabulary, region_width: int, encoder: Path | None = None) -> MatchingModel:
        """The untrained model.

        Args:
            vocabulary: the known words.
            region_width: width V of a region's input.
            encoder: folder of the pretrained text encoder in a saved run, if it exists.
        """
        from unboxed.recipes.members import Members  # loads torch

        kept = encoder is not None and encoder.is_dir()
        build = partial(self.model_class(), self, vocabulary, region_width, str(encoder) if kept else self.text)
        return build() if self.members == 1 else Members(self, build)
