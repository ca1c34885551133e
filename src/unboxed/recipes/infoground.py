"""InfoGround: contrastive word–region attention with language-model negatives.

Gupta, Vahdat, Chechik, Yang, Kautz, Hoiem: Contrastive Learning for Weakly Supervised Phrase Grounding. ECCV 2020.

Words attend to regions through keys and values. For each noun and adjective, the attended value must match the word
better in the paired image than in the other images of the batch (InfoNCE, a lower bound on the mutual information of
words and images). The true noun must also match better than negatives that a masked language model finds plausible in
the caption.

    logit_BCWR     = <query of the word, key of the region> / √D
    attention_BCWR = softmax_R(logit)
    matched_BCW    = Σ_R attention · <value of the word, value of the region>        φ in the paper
    loss           = -mean_C mean_W log softmax_B(matched)[image of C]               of nouns and adjectives
                     -mean_C log softmax_N(matched)[true noun]                       in the image of C, --negatives lm

Where this differs from the paper by default: the text encoder is a small GRU trained with the model (the paper: frozen
BERT), so the learning rate is larger and has a one-cycle schedule; padding is masked everywhere; all nouns and
adjectives are contrasted (the paper: the first six, and padding enters the batch statistics); two captions of one image
are never each other's negatives; a noun to replace is sampled anew in each epoch (the paper: one fixed noun a caption);
the ranking of regions uses more than the attention (`Ranking.plain()` is the paper's rule).
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

__all__ = ["InfoGround"]


@dataclass(frozen=True)
class InfoGround(RecipeConfig):
    """InfoGround. The paper: 25 negatives, joint width 384, two layers.

    Attributes:
        layers: linear layers of each of the four key and value networks.
        layer_width: width of their hidden layers: the `joint` width, or that of the network's `input` (the paper).
        word_slots: contrast the first so many nouns and adjectives of a caption, and count the missing ones of shorter
            captions in the batch statistics, as zeros (the original code: 6); 0: all, without padding.

    Raises:
        RunError: no layer, or a negative number of slots.
    """

    units: ClassVar[Units] = "content"
    attention: ClassVar[str] = "key–value attention"
    loss: ClassVar[str] = "InfoNCE: words pick their image"
    paper: ClassVar[str] = "Gupta et al., ECCV 2020"
    word_network: ClassVar[bool] = True
    has_cosines: ClassVar[bool] = False

    negatives: Literal["lm", "random", "none"] = "lm"
    layers: int = 2
    layer_width: Literal["joint", "input"] = "joint"
    word_slots: int = 0
    ranking: Ranking = field(
        default_factory=lambda: Ranking(value_weight=0.2, confidence_weight=1.0, area_weight=0.15, exclusivity=3.0)
    )
    schedule: Schedule = field(default_factory=lambda: Schedule(epochs=12))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.layers < 1:
            raise RunError(f"--layers is {self.layers}; it must be at least 1.")
        if self.word_slots < 0:
            raise RunError(f"--word-slots is {self.word_slots}; give 6 as in the original code, or 0 for all words.")

    @property
    def query_slots(self) -> int:
        """The slots of words in training."""
        return self.word_slots

    def aligner(self, region_width: int, state_width: int) -> Aligner:
        """Key-value attention."""
        from unboxed.attention.key_value import KeyValueAttention

        count_padding = self.word_slots > 0
        return KeyValueAttention(
            region_width, state_width, self.joint_width, self.layers, self.layer_width, count_padding
        )

    def objective(self, pairs: Pairs) -> dict[str, torch.Tensor]:
        """InfoNCE of each noun and adjective over the images of the batch."""
        from unboxed.objectives.contrastive import word_image_infonce

        matched_BCQ = pairs.match[0]
        return {"word_image": word_image_infonce(matched_BCQ, pairs.query_mask_CQ, pairs.image_of_C)}
