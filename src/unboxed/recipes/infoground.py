"""InfoGround: contrastive word–region attention with language-model negatives.

Gupta, Vahdat, Chechik, Yang, Kautz, Hoiem: Contrastive Learning for Weakly Supervised Phrase Grounding. ECCV 2020.

Words attend to regions through keys and values; the attended value must tell a caption's own image from the others of
the batch for each noun and adjective (a lower bound on the information that words and images share), and the true noun
must beat substitutes that a masked language model finds plausible but that would change what the caption says.

Where this differs from the paper by default: the text encoder is a small GRU trained along (the paper: frozen BERT),
so the learning rate is larger and has a one-cycle schedule; padding is masked everywhere; two captions of one image are
never each other's negatives; a new noun is drawn for substitution each time instead of one for good.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unboxed.alignment.ranking import Ranking
from unboxed.training.schedule import Schedule

if TYPE_CHECKING:
    from unboxed.recipes.infoground_model import InfoGroundModel
    from unboxed.text.vocabulary import Vocabulary

__all__ = ["InfoGround"]


@dataclass(frozen=True)
class InfoGround:
    """The choices of InfoGround.

    Attributes:
        negatives: `lm` (language-model substitutes, re-ranked), `random` (random nouns, the paper's baseline), `none`.
        negative_count: substitutes contrasted with a true word in one step (the paper: 25).
        negative_weight: weight of that contrast beside the word–image contrast (the paper: 1).
        joint_width: width that words and regions share (the paper: 384).
        layers: linear maps of each of the four networks (the paper: 2).
        text: `gru`, trained along, or the folder or hub name of a transformers encoder, which stays frozen (the paper:
            BERT).
        embedding_width, hidden_width: sizes of the GRU.
        dropout: of word vectors and region inputs while training, in [0, 1).
        backbone_features: also describe regions by the pooled maps of a backbone. Their receptive fields reach over
            the whole photograph, so that any region gives its photograph away: captions are found better, phrases
            worse. Regions that have no class probabilities are described by all there is.
        prior_area, prior_confidence: weights of the logarithms of a region's share of the photograph and of its highest
            class probability, added to the logits of the attention in training and after (the paper: 0).
        ranking: how the regions of a phrase are ranked.
        schedule: how long and how fast.
    """

    negatives: Literal["lm", "random", "none"] = "lm"
    negative_count: int = 10
    negative_weight: float = 1.0
    joint_width: int = 256
    layers: int = 2
    text: str = "gru"
    embedding_width: int = 200
    hidden_width: int = 128
    dropout: float = 0.1
    backbone_features: bool = False
    prior_area: float = 0.0
    prior_confidence: float = 0.0
    ranking: Ranking = field(default_factory=Ranking)
    schedule: Schedule = field(default_factory=Schedule)

    def build(
        self, vocabulary: Vocabulary, region_width: int, class_count: int, encoder: Path | None = None
    ) -> InfoGroundModel:
        """The untrained model.

        Args:
            vocabulary: the words it knows.
            region_width: width of a region's input.
            class_count: K, of the class probabilities in it.
            encoder: where a run keeps its pretrained text encoder, once it has one.
        """
        from unboxed.recipes.infoground_model import InfoGroundModel  # torch is loaded only where something is computed

        kept = encoder is not None and encoder.is_dir()
        return InfoGroundModel(self, vocabulary, region_width, class_count, str(encoder) if kept else self.text)
