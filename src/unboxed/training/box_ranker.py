"""What ranks the boxes of a run: the trained model or the prior alone, decided on held-out images without boxes.

On a few hundred images training may make boxes worse than the untrained prior, although retrieval gets better: context
identifies an image. The detector shows it without any box of a phrase. Where the prior is sure of one region, the
trained attention alone should attend to that region too. If it finds less than 72 % of these regions, it has
not learned where things are, and the boxes are those of the prior alone. Retrieval then uses both, if the held-out
captions find their images no worse so than by the trained model alone; otherwise it uses the trained model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from unboxed.attention.ranking import pool_words
from unboxed.boxes import iou
from unboxed.inference.batching import CaptionsOfImages
from unboxed.inference.calibration import fit_presence
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.ranks import area_under_curve, rsum
from unboxed.inference.run_config import BoxesFrom, RunConfig
from unboxed.recipes.embeddings import caption_prior
from unboxed.recipes.members import members_of
from unboxed.runtime.progress import Show
from unboxed.training.calibration import SwappedPhrases, swapped_phrases
from unboxed.types import Array, Example

__all__ = ["FEWEST_SURE", "NEEDED_AGREEMENT", "BoxRankerChoice", "choose_box_ranker", "sure_regions", "with_box_ranker"]

NEEDED_AGREEMENT = 0.72
"""Share of the regions the prior is sure of that the trained attention must find.

Measured with boxes: at 98 % (2,000 drawn images), 85 % (1,000 images) and 74 % (500 images) training made
boxes better, at 70 % (200 drawn images) it made no difference, at 60 to 68 % (72 images) and 2 % (20 drawn images)
worse.
"""

FEWEST_SURE = 20
"""With fewer sure phrases the trained model is kept if it retrieves and separates no worse than the prior."""

_IMAGES = 200
_CAPTIONS = 5
_SURE = 0.5


@dataclass(frozen=True)
class BoxRankerChoice:
    """What ranks the boxes, and the measurements on held-out images.

    Attributes:
        boxes_from: what ranks the boxes.
        asked: whether the user asked for it, so that nothing was decided.
        images: number of held-out images.
        sure: number of phrases whose region the prior is sure of.
        agreement: the share in [0, 1] of these that the trained attention alone finds.
        rsum: of retrieval among the held-out images, by `prior`, `trained` and `combined`.
        auc: in percent, how well phrases of paired captions are separated from those of other images', by the same.
        prior_share: of the prior in the scores of retrieval; `RunConfig.prior_share`.
    """

    boxes_from: BoxesFrom
    asked: bool
    images: int
    sure: int
    agreement: float
    rsum: dict[str, float]
    auc: dict[str, float]
    prior_share: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """The facts of the run under `kept`."""
        return asdict(self)

    def __str__(self) -> str:
        kept = "the prior alone" if self.boxes_from == "prior" else "the trained model"
        retrieval = "; retrieval: trained model and prior" if self.prior_share else ""
        if self.asked:
            why = "as asked"
        elif self.sure < FEWEST_SURE:
            compared = "worse" if self.boxes_from == "prior" else "no worse"
            why = f"the trained part alone retrieves or separates {compared} than the prior"
        else:
            finds = f"the trained part alone finds {100 * self.agreement:.0f} % of {self.sure:,} regions"
            why = f"{finds} that the detector is sure of, {100 * NEEDED_AGREEMENT:.0f} % are needed"
        values = "; ".join(
            f"{title} {', '.join(f'{name} {value:.1f}' for name, value in found.items())}"
            for title, found in (("retrieval (rsum)", self.rsum), ("present against absent phrases (AUC)", self.auc))
        )
        return f"Boxes: {kept} ({why}){retrieval}. On {self.images:,} held-out images without boxes: {values}"


def with_box_ranker(
    split: EmbeddedSplit,
    held_out: Sequence[Example],
    boxes: Literal["better", "trained", "prior"],
    show: Show,
) -> RunConfig:
    """The config of the run with the ranker of its boxes, and with the measurements among its facts.

    Args:
        split: the model and the regions.
        held_out: images with captions that it was not trained on.
        boxes: `FitSettings.boxes`.
        show: called with a line of text.
    """
    config = split.grounder.config
    if boxes == "trained" or not (config.options.trains and config.options.reads_prior):
        return config
    choice = choose_box_ranker(split, held_out, None if boxes == "better" else boxes)
    if choice is None:
        return config
    show(str(choice))
    facts = {**config.facts, "kept": choice.to_dict()}
    return replace(config, boxes_from=choice.boxes_from, prior_share=choice.prior_share, facts=facts)


def choose_box_ranker(
    split: EmbeddedSplit, held_out: Sequence[Example], asked: BoxesFrom | None = None
) -> BoxRankerChoice | None:
    """Measure the prior, the trained model and both, and decide what ranks the boxes.

    Args:
        split: a model with a prior, and the regions.
        held_out: images with captions that it was not trained on; at most 200 are read.
        asked: what ranks the boxes; None: decided by the measurements.

    Returns:
        None if fewer than two images have regions.
    """
    examples = [example for example in held_out if example.image_id in split][:_IMAGES]
    if len(examples) < 2:
        return None
    found = [sure_regions(*given) for given in _attended(split, examples)]
    sure = sum(count for count, _ in found)
    agreement = sum(hits for _, hits in found) / max(sure, 1)
    retrieved, share = _retrieval(split, examples)
    separated = _separation(swapped_phrases(split, examples, images=_IMAGES))
    if sure >= FEWEST_SURE:
        helps = agreement >= NEEDED_AGREEMENT
    else:
        helps = all(found["trained"] >= found["prior"] for found in (retrieved, separated) if found)
    chosen: BoxesFrom = asked or ("trained" if helps else "prior")
    return BoxRankerChoice(
        boxes_from=chosen,
        asked=asked is not None,
        images=len(examples),
        sure=sure,
        agreement=agreement,
        rsum=retrieved,
        auc=separated,
        prior_share=share if chosen == "prior" and retrieved["combined"] >= retrieved["trained"] else 0,
    )


def sure_regions(
    attention_PR: npt.NDArray[np.floating], prior_PR: npt.NDArray[np.floating], boxes: Array
) -> tuple[int, int]:
    """The number of phrases whose region the prior is sure of, and how many of these regions the attention finds.

    The prior is sure of a region with a prior of at least one half, and twice that of any region elsewhere (IoU below
    one half). The attention finds it if its best region has an IoU of at least one half with it.

    Args:
        attention_PR: of P phrases over R regions.
        prior_PR: in [0, 1].
        boxes: `[R, 4]`.
    """
    same_RR = iou(boxes, boxes) >= 0.5
    best_P = prior_PR.argmax(axis=1)
    highest_P = prior_PR[np.arange(len(best_P)), best_P]
    elsewhere_P = np.where(same_RR[best_P], 0, prior_PR).max(axis=1, initial=0)
    sure_P = (highest_P >= _SURE) & (elsewhere_P <= highest_P / 2)
    found_P = same_RR[best_P, attention_PR.argmax(axis=1)]
    return int(sure_P.sum()), int((sure_P & found_P).sum())


@torch.inference_mode()
def _attended(split: EmbeddedSplit, examples: Sequence[Example]) -> Iterator[tuple[Array, Array, Array]]:
    """Of each image: the trained attention and the prior of each phrase over its regions, `[P, R]`, and the boxes."""
    grounder = split.grounder
    for example in examples:
        captions = example.captions[:_CAPTIONS]
        regions = split.store[example.image_id]
        batch = CaptionsOfImages.of(grounder.batcher, [captions]).batch
        image = split.embeddings([example.image_id], [regions]).of(torch.zeros(len(captions), dtype=torch.long))
        found = grounder.model.ground(image, batch).to("cpu")
        if found.prior_CPR is None:
            return
        alone = members_of(grounder.model)[0].aligner.uses_prior  # its attention is mixed with the prior
        alignment = found.alignment
        learned_CQR = alignment.similarity_BCQR[0].softmax(dim=-1) if alone else alignment.attention_BCQR[0]
        if grounder.config.options.units == "phrases":
            learned_CPR = learned_CQR
        else:
            learned_CPR = pool_words(learned_CQR, batch.phrase_CPW, grounder.config.options.ranking.pooling)
        real_CP = batch.phrase_CPW.any(dim=-1).numpy()
        yield learned_CPR.numpy()[real_CP], found.prior_CPR.numpy()[real_CP], regions.boxes


@torch.inference_mode()
def _retrieval(split: EmbeddedSplit, examples: Sequence[Example]) -> tuple[dict[str, float], float]:
    """rsum of retrieval among the images by the prior, the trained model, and the sum of both in units of spread.

    And the factor of the prior in that sum, in units of the trained score.
    """
    grounder = split.grounder
    captions = [caption for example in examples for caption in example.captions[:_CAPTIONS]]
    image_of_C = np.repeat(np.arange(len(examples)), [len(example.captions[:_CAPTIONS]) for example in examples])
    encoded = grounder.encode_captions(captions)
    rows: dict[str, list[npt.NDArray[np.float32]]] = {"prior": [], "trained": []}
    for example in examples:
        image = split.embeddings([example.image_id])
        rows["trained"].append(grounder.model.score(image, encoded)[0].float().cpu().numpy())
        rows["prior"].append(caption_prior(image.to("cpu"), encoded.to("cpu"))[0].numpy())
    scores = {name: np.stack(found).astype(np.float64) for name, found in rows.items()}
    share = float(scores["trained"].std() / (scores["prior"].std() or np.inf))
    scores["combined"] = scores["trained"] + share * scores["prior"]
    return {name: round(rsum(score.astype(np.float32), image_of_C), 1) for name, score in scores.items()}, share


def _separation(found: SwappedPhrases) -> dict[str, float]:
    """The areas under the curve of the prior, the trained match, and a curve of both, which is fitted on the same."""
    present = found.present_N
    if found.prior_N is None or present.all() or not present.any():
        return {}
    nothing = np.zeros_like(found.match_N)
    curves = {
        "prior": (found._replace(match_N=nothing), fit_presence(nothing, present, found.prior_N)),
        "trained": (found, fit_presence(found.match_N, present)),
        "combined": (found, fit_presence(found.match_N, present, found.prior_N)),
    }
    return {
        name: round(100 * area_under_curve(nothing if curve is None else given.logits(curve), present), 1)
        for name, (given, curve) in curves.items()
    }
