"""Lines for people where the probabilities of a run may not fit the images that it is used on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from unboxed.data.dataset import load_dataset
from unboxed.errors import ImageError, StoreError, UnboxedError
from unboxed.inference.results import GroundedPhrase
from unboxed.inference.run_config import RunConfig
from unboxed.regions.cache import image_key
from unboxed.regions.store import RegionStore
from unboxed.runtime.progress import to_call
from unboxed.text.lexicon import PRONOUNS
from unboxed.text.phrases import head_noun

__all__ = ["calibration_data", "refusal_note", "unknown_images_note"]

_MANY_REFUSED = 1 / 3  # of the phrases of right captions of its own collection a run refuses about a fifth
_FEWEST_PHRASES = 100
_LOOKED_AT = 20


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
        f"fit these images: `{to_call('calibrate', run, '--data', data)}` calibrates them on these images and captions."
    )


def unknown_images_note(run: Path, config: RunConfig, images: Mapping[str, Path]) -> str | None:
    """A line where the images do not seem to be of the collection that a run is calibrated on; None otherwise.

    They are if the store of the run has one of a few of them, or, after `calibrate`, if one lies among its images.

    Args:
        run: its folder.
        config: of the run.
        images: the file of each by its name.
    """
    if (data := calibration_data(config)) is None:
        return None
    names = list(images)
    some = {name: images[name] for name in names[:: max(len(names) // _LOOKED_AT, 1)]}
    if "calibration" in config.facts:
        folder = _folder(data)
        known = folder is not None and any(image.resolve().is_relative_to(folder.resolve()) for image in some.values())
    else:
        places = {run / "store", Path(str(config.facts.get("store")))}
        known = any(_has_one(place, some) for place in places if place.is_dir())
    if known:
        return None
    return (
        f"The probabilities of {run} are calibrated on {data}. On images of another kind they may be too low or too "
        f"high: lower or raise --min-confidence, or calibrate them on captions of such images: "
        f"{to_call('calibrate', run)} --data DATA"
    )


def _folder(data: str) -> Path | None:
    """The folder of the images of a dataset; None where it cannot be told."""
    try:
        return load_dataset(data).images
    except UnboxedError:
        return None


def _has_one(place: Path, images: Mapping[str, Path]) -> bool:
    """Whether the store in a folder has one of the images under its name, with its content."""
    try:
        store = RegionStore.open(place)
        for name, image in images.items():
            ids = (name, Path(name).name, Path(name).stem, image.absolute().as_posix())  # a table may name it so
            keys = {store.image_key(image_id) for image_id in ids} - {None}
            if keys and image_key(image, None) in {str(key).split(":")[0] for key in keys}:
                return True
    except (StoreError, ImageError):
        pass
    return False
