"""New calibration of a finished run on images and captions of another collection, without boxes.

A run is calibrated on held-out images of the collection that it was trained on. On other images its matches have other
levels, so that its probabilities are off. Here they are calibrated as `fit` does it, on images with captions that are
swapped among them. The new calibration is kept where it describes phrases better than the present one, each half of the
images by a calibration on the other half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.data.dataset import load_dataset
from unboxed.data.image_files import skipped_lines
from unboxed.errors import EvaluationError
from unboxed.evaluation.options import EvaluationOptions
from unboxed.evaluation.split_regions import chosen_split, embedded_split
from unboxed.inference.calibration import PresenceCalibration
from unboxed.inference.embedded_split import EmbeddedSplit
from unboxed.inference.ranks import area_under_curve
from unboxed.inference.run_config import RunConfig
from unboxed.inference.run_folder import RUN_FOLDERS
from unboxed.runtime.locks import folder_lock, remove_left_overs
from unboxed.runtime.progress import Show, counted
from unboxed.training.calibration import SwappedPhrases, calibrated, swapped_phrases
from unboxed.types import Example

__all__ = ["Accepted", "Recalibration", "recalibrate", "recalibrated"]

_IMAGES = 500
_WEAK = 0.7  # area under the curve
_FEWEST = 4  # so that each half has two, between which captions are swapped


@dataclass(frozen=True)
class Accepted:
    """How a calibration decides about phrases.

    Attributes:
        own: share in [0, 1] of the phrases of the captions paired with an image that count as present.
        others: the same of the phrases of another image's captions.
        log_loss: of the probabilities; both classes weigh the same. log 2 is that of knowing nothing.
        auc: share in [0, 1] of the pairs of an own and a swapped phrase in which the own one is more probable.
    """

    own: float
    others: float
    log_loss: float
    auc: float

    def __str__(self) -> str:
        return f"{100 * self.own:.0f} % of the phrases of paired captions, {100 * self.others:.0f} % of swapped ones"


@dataclass(frozen=True)
class Recalibration:
    """The result of a new calibration.

    Attributes:
        images: number of images.
        before: the decisions of the calibration that the run had; None if it had none.
        after: those of the new one, each half of the images by a calibration on the other half.
        kept: whether the run has the new calibration now.
    """

    images: int
    before: Accepted | None
    after: Accepted
    kept: bool

    def __str__(self) -> str:
        before = "" if self.before is None else f"Before, {self.before} counted as in the image. "
        done = "Written into the run" if self.kept else "The run keeps its calibration, which is no worse"
        if self.before is not None:
            done += f" (log loss {self.after.log_loss:.3f}, before {self.before.log_loss:.3f})"
        line = f"{before}Calibrated on {self.images:,} images: {self.after}. {done}."
        if self.after.auc < _WEAK:
            line += f" The run hardly tells them apart (AUC {100 * self.after.auc:.0f} %): train on images like these."
        return line

    def to_dict(self) -> dict[str, Any]:
        """What `unboxed calibrate --json` prints."""
        return {
            "photos": self.images,
            "before": None if self.before is None else asdict(self.before),
            "after": asdict(self.after),
            "kept": self.kept,
        }


def recalibrate(run: Path, data: Path, split: str | None = None, *, show: Show = print) -> Recalibration:
    """Calibrate a run on a dataset and write the calibration into the run, where it is better than the present one.

    Args:
        run: folder of the run.
        data: images with captions: a table (CSV, JSONL, JSON), a folder, a dataset's TOML file, or tar or Parquet
            files, also at URLs.
        split: of the dataset; None: every image, or of the dataset that the run was trained on the held-out ones.
        show: called with lines of text.

    Raises:
        UnboxedError: the run, the dataset or the split is unusable.
        EvaluationError: too few images, or captions that do not tell present phrases from absent ones.
    """
    run, dataset = Path(run), load_dataset(data)
    name = str(dataset.path.resolve())
    own = RunConfig.load(run).facts.get("data") == name
    options = EvaluationOptions(split=split or ("val" if own else "all"))
    chosen = chosen_split(dataset, options, show)
    for line in (*dataset.notes, *skipped_lines(chosen.left_out)):
        show(line)
    with folder_lock(run, wait=True, show=show):
        remove_left_overs(run, RUN_FOLDERS)
        embedded = embedded_split(run, chosen, options, show)
        new, result = recalibrated(embedded, chosen.examples, show)
        if result.kept:
            config = embedded.grounder.config
            facts = {**config.facts, "calibration": {"data": name, "photos": result.images}}
            replace(config, presence=new, facts=facts).save(run)
    return result


def recalibrated(
    split: EmbeddedSplit, examples: Sequence[Example], show: Show = lambda line: None
) -> tuple[PresenceCalibration, Recalibration]:
    """A calibration on images with captions, and how it compares with the present one of the model.

    Args:
        split: the model and the regions.
        examples: images that the model was not trained on; at least 4 with regions.
        show: called with a line of text if few images calibrate.

    Raises:
        EvaluationError: too few images, or captions that do not tell present phrases from absent ones.
    """
    stored = [example for example in examples if example.image_id in split]
    if len(stored) < _FEWEST:
        raise EvaluationError(f"{counted(len(stored), 'image')} can be used; a calibration needs at least {_FEWEST}.")
    halves = stored[::2], stored[1::2]
    new = calibrated(split, stored, show=show)
    crossed = [(calibrated(split, half), other) for half, other in (halves, halves[::-1])]
    if new is None or any(curve is None for curve, _ in crossed):
        raise EvaluationError(
            "The run does not separate phrases of an image's captions from those of other captions, so that it cannot "
            "be calibrated on these images; take more images, or train on them."
        )
    found = [(curve, swapped_phrases(split, half, images=_IMAGES)) for curve, half in crossed]
    after = _accepted(found)
    present = split.grounder.config.presence
    before = None if present is None else _accepted([(present, phrases) for _, phrases in found])
    kept = before is None or after.log_loss < before.log_loss
    return new, Recalibration(len(stored), before, after, kept)


def _accepted(found: Sequence[tuple[PresenceCalibration | None, SwappedPhrases]]) -> Accepted:
    logit_N = np.concatenate([phrases.logits(curve) for curve, phrases in found if curve is not None])
    probability_N = 1 / (1 + np.exp(-logit_N.clip(-30, 30)))
    present_N = np.concatenate([phrases.present_N for _, phrases in found])
    loss_N = -np.log(np.where(present_N, probability_N, 1 - probability_N).clip(min=1e-12))
    own, others = present_N, ~present_N
    accepted_N = probability_N >= 0.5
    loss = (float(loss_N[own].mean()) + float(loss_N[others].mean())) / 2
    auc = area_under_curve(probability_N, present_N)
    return Accepted(float(accepted_N[own].mean()), float(accepted_N[others].mean()), loss, auc)
