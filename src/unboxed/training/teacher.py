"""A trained run that teaches another one: the probabilities by which it chooses the regions of phrases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unboxed.errors import RegionsError, RunError, plain_reason
from unboxed.inference.batching import CaptionsOfImages, caption_groups
from unboxed.inference.grounder import Grounder
from unboxed.inference.phrase_boxes import PhraseQueries, phrase_probabilities
from unboxed.inference.run_config import RunConfig
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.progress import track
from unboxed.runtime.tensor_digests import numbers_digest
from unboxed.types import Example

__all__ = ["Teacher", "require_same_regions", "teacher_digest"]

_LIKELIEST = 16  # regions of a phrase that are kept


class _Answers(NamedTuple):
    """The likeliest regions of the P phrases of a caption.

    Attributes:
        regions_PK: their places among the regions of the image.
        probability_PK: their probabilities.
    """

    regions_PK: npt.NDArray[np.uint16]
    probability_PK: npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Teacher:
    """What a run answers to the phrases of captions.

    Attributes:
        answers: of the captions of each image that has regions, in order.
        digest: of the run's weights, to distinguish it from others when a run that it teaches is resumed.
        corrections: the facts about the corrected boxes that the run was trained with, and that what it teaches knows
            of too; None: it saw no box.
    """

    answers: Sequence[Sequence[_Answers]]
    digest: str
    corrections: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, run: Path, store: RegionStore, examples: Sequence[Example], *, progress: bool = True) -> Teacher:
        """The answers of a run to all phrases, which are computed here, the captions of an image together.

        Args:
            run: its folder.
            store: the regions of the images.
            examples: the images; those without regions are left out.
            progress: show rate and time left.

        Raises:
            RunError: no run there.
            RegionsError: the run was trained on other features or classes.
        """
        grounder = Grounder.load(run)
        stored = [example for example in examples if example.image_id in store]
        groups = caption_groups(stored, lambda example: len(example.captions))
        answers = (found for group in groups for found in _answered(grounder, store, group))
        shown = track(answers, "Answers of the teacher", len(stored), progress)
        return cls(list(shown), teacher_digest(run), grounder.config.facts.get("corrections"))

    def probabilities(self, batch: Sequence[tuple[int, Sequence[int]]], phrases: int, regions: int) -> torch.Tensor:
        """The probabilities `[C, P, R]` of the regions of a batch; 0 for those that are not among the likeliest.

        Args:
            batch: the number of each image, and those of its captions that are in the batch.
            phrases: P.
            regions: R.
        """
        taught = [self.answers[image][number] for image, numbers in batch for number in numbers]
        probability_CPR = np.zeros((len(taught), phrases, regions), dtype=np.float32)
        for probability_PR, (regions_PK, probability_PK) in zip(probability_CPR, taught, strict=True):
            np.put_along_axis(probability_PR[: len(regions_PK)], regions_PK.astype(np.intp), probability_PK, axis=1)
        return torch.from_numpy(probability_CPR)


def teacher_digest(run: Path) -> str:
    """The digest of a run's weights.

    Raises:
        RunError: no run there, or none that finished an epoch.
    """
    RunConfig.load(run)
    try:
        return numbers_digest(run / "model.safetensors")
    except (OSError, ValueError) as error:
        raise RunError(f"{run} has no weights that can be read ({plain_reason(error)}); finish its training.") from None


def require_same_regions(run: Path, regions: RegionSettings) -> None:
    """Raise a `RegionsError` where a run was trained on regions of other settings than those that it is to teach on."""
    taught = RunConfig.load(run).regions
    if taught.fingerprint() != regions.fingerprint():
        raise RegionsError(
            f"{run} was trained on regions of other settings ({'; '.join(regions.differences(taught))}), and a teacher "
            f"needs the same; add --regions with the store of {run}, or leave out --regions and options of regions."
        )


@torch.inference_mode()
def _answered(grounder: Grounder, store: RegionStore, group: Sequence[Example]) -> Iterator[list[_Answers]]:
    """The answers to the captions of each image."""
    regions_B = [store[example.image_id] for example in group]
    for regions in regions_B:
        grounder.batcher.check(regions)
    captions = CaptionsOfImages.of(grounder.batcher, [example.captions for example in group])
    paired = grounder.model.encode_images(grounder.batcher.images(regions_B)).of(torch.tensor(captions.image_of_C))
    found = grounder.model.ground(paired, captions.batch).to("cpu")
    queries = PhraseQueries.of(captions, grounder.config.options.units == "phrases")
    mask_CR = paired.regions.mask_BR.cpu()
    probability_CPR = phrase_probabilities(grounder.config, regions_B, captions, queries, found, mask_CR)
    probability_CPR = probability_CPR.masked_fill(~mask_CR[:, None], -1)  # padded regions come last
    probability_CPK, region_CPK = probability_CPR.topk(min(_LIKELIEST, probability_CPR.shape[2]), dim=2)
    first = 0
    for count, regions in zip(captions.counts, regions_B, strict=True):
        answers = []
        for c in range(first, first + count):
            kept = slice(queries.shape(c)[0]), slice(len(regions))
            answers.append(
                _Answers(
                    region_CPK[c][kept].numpy().astype(np.uint16), probability_CPK[c][kept].numpy().astype(np.float16)
                )
            )
        yield answers
        first += count
