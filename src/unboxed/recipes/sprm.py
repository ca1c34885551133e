"""SPRM: an untrained semantic prior and a trained refinement.

Rigoni, Parolari, Serafini, Sperduti, Ballan: Weakly-Supervised Visual-Textual Grounding with Semantic Prior Refinement.
BMVC 2023.

The prior compares the detected class of each region with the phrase's head noun by word vectors, and uses spatial
words. It grounds without training (`--untrained`). The refinement is the cosine of the phrase, encoded by a recurrent
network, and the region. The two distributions over regions are mixed. Training increases the difference between the
score of a caption with its paired image and with a hard negative: the image of the batch whose caption is most similar.

    mixture_BCPR = ω softmax_R(cosine / temperature) + (1 - ω) softmax_R(prior / temperature)
    score_BC     = mean_P max_R mixture
    loss         = mean_C (score[hard negative image of C, C] - score[image of C, C])

Where this differs from the paper by default: training includes phrases without boxes (captions alone do not show which
phrases have none); a bidirectional GRU reads the whole caption; a temperature sharpens both distributions; the negative
image is that of the caption with the most rare words in common, and regions have no word vectors of their classes; the
prior uses more evidence than the paper's, and one head noun of a phrase. `--preset paper` chooses all of this as the
paper does, with noun phrases by rules instead of spaCy's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from unboxed.attention.ranking import Ranking
from unboxed.errors import RunError
from unboxed.recipes.config import RecipeConfig
from unboxed.recipes.schedule import Schedule
from unboxed.types import Units

if TYPE_CHECKING:
    import torch

    from unboxed.attention.base import Aligner
    from unboxed.recipes.pairs import Pairs

__all__ = ["SPRM"]


@dataclass(frozen=True)
class SPRM(RecipeConfig):
    """SPRM. The paper: omega 0.4, temperatures 1, batches of 16, learning rate 1e-5 for 25 epochs.

    Attributes:
        omega: weight of the refinement in the mixture, in [0, 1].
        refinement_temperature: of the refinement's softmax over regions (the paper: 1).
        prior_temperature: of the prior's softmax over regions (the paper: 1).
        refinement_hidden: hidden width of the refinement's region network; 0: a single linear map (the paper).
        contrast: `difference` of the scores of the paired and of the hard negative image (the paper), or `infonce`
            over all images of the batch, at the refinement's temperature.
        negative: the negative image of the difference: that of the caption most similar in rare `words`, or in
            `vectors`, the mean initial word vectors of their phrases (the paper); that of the `next` caption
            of another image in the batch; or the mean over `all` other captions (those of its image add 0).
        box_inputs: regions also have their edges and area as shares of the image (the paper; with
            `region_inputs="features"`, since `all` inputs have them).
        label_vectors: add the word vector of its most probable class to a region (the paper). The word vectors are
            those that phrases are read with; their width is `joint_width`. The map of features that they are added to
            begins with Xavier's normal numbers, as in the paper.
        untrained: no training; regions are ranked by the prior alone.
    """

    units: ClassVar[Units] = "phrases"
    attention: ClassVar[str] = "the prior, mixed with a trained refinement"
    loss: ClassVar[str] = "score difference of the paired image and a hard negative"
    paper: ClassVar[str] = "Rigoni et al., BMVC 2023"

    omega: float = 0.4
    refinement_temperature: float = 0.1
    prior_temperature: float = 0.05
    refinement_hidden: int = 0
    contrast: Literal["difference", "infonce"] = "difference"
    negative: Literal["words", "vectors", "next", "all"] = "words"
    box_inputs: bool = False
    label_vectors: bool = False
    untrained: bool = False
    ranking: Ranking = field(default_factory=lambda: Ranking(prior_weight=0.0, expected_overlap=False))
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=10))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.omega > 1:
            raise RunError(f"--omega is {self.omega}; it is a weight in [0, 1] of the refinement in a mixture.")
        if self.text != "gru" and (self.label_vectors or self.negative == "vectors"):
            raise RunError("--label-vectors and --negative vectors need word vectors of the model; leave out --text.")
        if self.label_vectors:
            self._follow_joint_width("embedding_width")
        if self.label_vectors and self.embedding_width != self.joint_width:
            raise RunError(
                f"With --label-vectors, word vectors are in the joint space: embedding_width is "
                f"{self.embedding_width}, joint_width {self.joint_width}; set --embedding-width {self.joint_width}."
            )

    @property
    def reads_labels(self) -> bool:
        """Whether regions have the word vectors of their classes."""
        return self.label_vectors

    @property
    def reads_prior(self) -> bool:
        """Always true."""
        return True

    @property
    def trains(self) -> bool:
        """Whether the refinement is trained."""
        return not self.untrained

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """The mixture of the prior and its refinement."""
        from unboxed.attention.refinement import PriorRefinement

        model = PriorRefinement(
            region_width,
            self.query_width(state_width),
            self.joint_width,
            self.refinement_hidden,
            0.0 if self.untrained else self.omega,
            self.refinement_temperature,
            self.prior_temperature,
            self.box_inputs,
        )
        if self.label_vectors:
            model.begin_with_xavier()
        return model

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """The paired image against the hard negative image, or against all images of the batch."""
        import torch

        from unboxed.objectives.contrastive import caption_image_infonce
        from unboxed.objectives.difference import score_difference

        if self.contrast == "infonce":
            return {"sentence": caption_image_infonce(pairs.score_BC / self.refinement_temperature, pairs.image_of_C)}
        # Other images have no part in the loss: they are not scored.
        paired_C = pairs.score_with(pairs.image_of_C)
        negative_NC = torch.stack([pairs.score_with(negative_C) for negative_C in self._negatives(pairs)])
        return {"difference": score_difference(paired_C, negative_NC)}

    def _negatives(self, pairs: Pairs) -> list[torch.Tensor]:
        """The negative images `[C]` of the captions; several, where the loss is the mean over them."""
        import torch

        from unboxed.objectives.difference import caption_cosines, hardest_image, image_of_most_similar

        captions, image_of_C = pairs.batch.captions, pairs.image_of_C
        if self.negative == "words":
            return [hardest_image(captions.tokens_CW, captions.content_CW, image_of_C)]
        if self.negative == "vectors":
            assert pairs.fixed_vectors_NE is not None
            vectors_CWE = pairs.fixed_vectors_NE[captions.tokens_CW]
            return [image_of_most_similar(caption_cosines(vectors_CWE, captions.phrase_CPW), image_of_C)]
        following = [image_of_C.roll(-shift) for shift in range(1, len(image_of_C))]
        if self.negative == "all":
            return following
        following_NC = torch.stack(following)
        first_C = (following_NC != image_of_C).to(torch.uint8).argmax(dim=0)
        return [following_NC.gather(0, first_C[None])[0]]
