"""Evidence of an image-text encoder (CLIP, SigLIP): embeddings of the crops of regions against those of phrases.

The cosine of a phrase with crops that have nothing to do with it is far from 0, and differs from phrase to phrase.
Subtracting the mean embedding of the training images' regions makes it 0 on average for every phrase, and `scale` makes
it 1 for the best region of an image and the phrases of its captions, on average. Neither reads a box of a phrase:

    evidence[phrase, region] = scale * phrase · (crop - mean)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unboxed.errors import ModelError, plain_reason
from unboxed.regions.sources.image_text import ImageTextModel
from unboxed.runtime.array_file import read_arrays
from unboxed.runtime.atomic import atomic_path
from unboxed.runtime.progress import Show
from unboxed.types import Array

__all__ = ["CropEvidence"]

_LEAST = 0.01  # cosine between the best region and the mean: below it, crops look alike to the encoder


class CropEvidence:
    """How well crops of regions show phrases; two factors of D numbers, whose inner product is the evidence.

    Args:
        model: the folder of the encoder that embedded the crops; it is opened for the first phrase.
        mean_D: of the embeddings of crops.
        scale: of the evidence.
    """

    def __init__(self, model: Path, mean_D: Array, scale: float = 1.0) -> None:
        self._model = model
        self._mean_D = mean_D
        self._scale = scale

    @cached_property
    def _encoder(self) -> ImageTextModel:
        return ImageTextModel.opened(self._model)

    @classmethod
    def fit(
        cls,
        model: Path,
        images: Iterable[tuple[Sequence[str], npt.NDArray[np.floating]]],
        show: Show = lambda line: None,
    ) -> CropEvidence:
        """Mean and scale on training images.

        Args:
            model: the folder of the encoder.
            images: of each, the phrases of its captions and the embeddings `[R, D]` of the crops of its regions.
            show: called with a line about how well the encoder tells these images apart.

        Raises:
            ModelError: no phrase in any caption.
        """
        found = [(phrases, np.asarray(crops_RD, dtype=np.float32)) for phrases, crops_RD in images if phrases]
        if not found:
            raise ModelError("The captions have no noun phrases to compare with crops; train with --prior none.")
        plain = cls(model, np.concatenate([crops_RD for _, crops_RD in found]).mean(axis=0))
        own, other = [], []
        for (phrases, crops_RD), (_, others_RD) in zip(found, [*found[1:], found[0]], strict=True):
            text_PD = plain.phrases(phrases)
            own.append((text_PD @ plain.regions(crops_RD).T).max(axis=1))
            other.append((text_PD @ plain.regions(others_RD).T).max(axis=1))
        best_N = np.concatenate(own)
        if len(found) > 1:
            share = 100 * (best_N > np.concatenate(other)).mean()
            show(
                f"Crops: {share:.0f} % of {len(best_N)} phrases fit the paired image better than another (chance: 50 %)"
            )
        return cls(model, plain._mean_D, 1 / max(float(best_N.mean()), _LEAST))

    @property
    def width(self) -> int:
        """D."""
        return len(self._mean_D)

    def phrases(self, texts: Sequence[str]) -> Array:
        """The factors `[N, D]` of phrases."""
        return np.float32(self._scale) * self._checked(self._encoder.phrases([text.lower() for text in texts]))

    def regions(self, crops_RD: npt.NDArray[np.floating]) -> Array:
        """The factors `[R, D]` of regions, from the embeddings of their crops."""
        return self._checked(crops_RD) - self._mean_D

    def _checked(self, embeddings: npt.NDArray[np.floating]) -> Array:
        if embeddings.shape[1] != self.width:
            raise ModelError(
                f"The prior was measured on embeddings of {self.width} numbers, and these have {embeddings.shape[1]}; "
                "restore the files of the run, or train it anew."
            )
        return np.asarray(embeddings, dtype=np.float32)

    def save(self, path: Path) -> None:
        """Write a NumPy archive, atomically; the encoder is not part of it."""
        with atomic_path(path) as partial:
            np.savez_compressed(partial, mean=self._mean_D, scale=np.float64(self._scale))

    @classmethod
    def load(cls, path: Path, model: Path) -> CropEvidence:
        """What `save` wrote.

        Args:
            path: the file.
            model: the folder of the encoder.

        Raises:
            ModelError: a file that is missing or damaged.
        """
        try:
            arrays = read_arrays(path)
            mean_D, scale = arrays["mean"], float(arrays["scale"])
            if mean_D.ndim != 1 or mean_D.dtype != np.float32 or not np.isfinite([*mean_D, scale]).all():
                raise ValueError(f"a mean of {mean_D.dtype} {list(mean_D.shape)}, and the scale {scale}")
            return cls(model, mean_D, scale)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} cannot be read ({plain_reason(error)}); train the run anew.") from error
