"""A trained run that teaches another one: the probabilities by which it chooses the regions of phrases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from unboxed.errors import RegionsError, RunError, plain_reason
from unboxed.inference.batching import caption_groups
from unboxed.inference.grounder import Grounder
from unboxed.inference.grounding import region_answers
from unboxed.inference.run_config import RunConfig
from unboxed.regions.settings import RegionSettings
from unboxed.regions.store import RegionStore
from unboxed.runtime.progress import track
from unboxed.runtime.tensor_digests import numbers_digest
from unboxed.types import Array, Example

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
    """

    answers: Sequence[Sequence[_Answers]]

    @classmethod
    def of(cls, run: Grounder, store: RegionStore, examples: Sequence[Example], *, progress: bool = True) -> Teacher:
        """The answers of a run to all phrases, which are computed here, the captions of an image together.

        Args:
            run: one that ranks regions.
            store: the regions of the images.
            examples: the images; those without regions are left out.
            progress: show rate and time left.

        Raises:
            RegionsError: the run was trained on other features or classes.
        """
        stored = [example for example in examples if example.image_id in store]
        groups = caption_groups(stored, lambda example: len(example.captions))
        answers = (found for group in groups for found in _answered(run, store, group))
        return cls(list(track(answers, "Answers of the teacher", len(stored), progress)))

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
    """The digest of a run's weights, to distinguish it from others that teach.

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


def _answered(run: Grounder, store: RegionStore, group: Sequence[Example]) -> Iterator[list[_Answers]]:
    """The answers to the captions of each image."""
    regions_B = [store[example.image_id] for example in group]
    for of_captions in region_answers(run.parts, regions_B, [example.captions for example in group]):
        yield [_likeliest(probability_PR) for probability_PR in of_captions]


def _likeliest(probability_PR: Array) -> _Answers:
    regions_PK = np.argsort(-probability_PR, axis=1, kind="stable")[:, :_LIKELIEST]
    probability_PK = np.take_along_axis(probability_PR, regions_PK, axis=1)
    return _Answers(regions_PK.astype(np.uint16), probability_PK.astype(np.float16))
