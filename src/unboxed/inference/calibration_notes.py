"""Lines for people where the probabilities of a run may not fit the images that it is used on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from unboxed.errors import StoreError
from unboxed.inference.results import GroundedPhrase
from unboxed.inference.run_config import RunConfig
from unboxed.regions.store import RegionStore
from unboxed.text.lexicon import PRONOUNS
from unboxed.text.phrases import head_noun

__all__ = ["calibration_data", "refusal_note", "unknown_images_note"]

_MANY_REFUSED = 1 / 3  # of the phrases of right captions of its own collection a run refuses about a fifth
_FEWEST_PHRASES = 100


def calibration_data(config: RunConfig) -> str | None:
    """The dataset that the probabilities of a run are calibrated on; None where there are none."""
    if config.presence is None:
        return None
    return str(config.facts.get("calibration", config.facts).get("data", "the data of the run"))


def refusal_note(run: Path, config: RunConfig, data: Path, phrases: Iterable[GroundedPhrase]) -> str | None:
    """A line where many phrases of captions count as not in their image, if this was not met by `calibrate` before.

    Args:
        run: its folder.
        config: of the run.
        data: the dataset of the captions.
        phrases: of captions that are about their images, as they were grounded.
    """
    confidences = [
        phrase.confidence
        for phrase in phrases
        if phrase.confidence is not None and head_noun(phrase.text) not in PRONOUNS
    ]
    refused = sum(confidence < 0.5 for confidence in confidences) / max(len(confidences), 1)
    own = calibration_data(config) in {str(place.resolve()) for place in (data, data / "data.toml")}
    if own or "calibration" in config.facts or len(confidences) < _FEWEST_PHRASES or refused < _MANY_REFUSED:
        return None
    return (
        f"{100 * refused:.0f} % of the {len(confidences):,} phrases of captions count as not in their image. Unless "
        f"that many are wrong, the probabilities of {run}, which are calibrated on {calibration_data(config)}, do not "
        f"fit these images: `unboxed calibrate {run} --data {data}` calibrates them on these images and captions."
    )


def unknown_images_note(run: Path, config: RunConfig, images: Iterable[str]) -> str | None:
    """A line where none of the images is among those that a run was trained or calibrated on; None otherwise.

    Args:
        run: its folder.
        config: of the run.
        images: names or ids of images.
    """
    data, store = calibration_data(config), config.facts.get("store")
    if data is None:
        return None
    try:
        stores = [RegionStore.open(place) for place in {run / "store", Path(str(store))} if place.is_dir()]
    except StoreError:
        return None
    known = {Path(image_id).stem for found in stores for image_id in found}
    if not known or any(Path(image).stem in known for image in images):
        return None
    return (
        f"The probabilities of {run} are calibrated on {data}. On images of another kind they may be too low or too "
        f"high: lower or raise --min-confidence, or calibrate them on captions of such images: unboxed calibrate {run} "
        "--data DATA"
    )
