"""The file in which labelling keeps its groundings, so that another call does not look at the images again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unboxed.errors import UnboxedError
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.runtime.atomic import write_text
from unboxed.runtime.digests import is_changed, with_digest
from unboxed.runtime.json_values import is_probability_or_none
from unboxed.runtime.parts import PartRecord
from unboxed.runtime.precision import current_precision
from unboxed.runtime.urls import resolved
from unboxed.types import Example, Regions

__all__ = ["GroundingsFile", "content_key", "run_key"]


class GroundingsFile:
    """Groundings by image and captions: a line of JSON for each image, below a line that identifies the run.

    A line that is damaged or was cut short is dropped when the file is opened, and so is everything that another run
    found. Used in a `with` block, which opens the file for `add`.

    Args:
        path: the file.
        run: the run, as `run_key` gives it.
        top: boxes that are kept of a phrase, besides those that it refers to. A file that has more of them stays so.
        exact: what has more boxes is dropped, too: the files of all parts of a dataset have the same number.

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path, run: str, top: int, *, exact: bool = False) -> None:
        self.path = path
        self._head = {"format": "unboxed-groundings", "version": 2, "run": run, "top": top}
        self._known: dict[str, list[dict[str, Any]]] = {}
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        entries = [entry for line in lines if (entry := _parsed(line)) is not None]
        kept = entries[0].get("top") if entries else None
        if not exact and isinstance(kept, int) and kept > top and entries[0] == {**self._head, "top": kept}:
            self._head["top"] = top = kept
        self._top = top
        if entries and entries[0] == self._head:
            self._known = {entry["key"]: entry["groundings"] for entry in entries[1:] if _is_complete(entry)}

    def __enter__(self) -> GroundingsFile:
        lines = [self._head, *(_line(key, known) for key, known in self._known.items())]
        write_text(self.path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
        self._file = self.path.open("a", encoding="utf-8", errors="backslashreplace")
        self._written = set(self._known)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def finish(self, record: PartRecord) -> None:
        """Append the record of the part whose images are all here; another call removes it.

        Args:
            record: with the places of the images' keys.
        """
        self._file.write(json.dumps(record.to_dict()) + "\n")

    def get(self, key: str) -> list[Grounding] | None:
        """The groundings of an image, one a caption; None where there are none yet."""
        known = self._known.get(key)
        return None if known is None else [_from_json(entry) for entry in known]

    def add(self, key: str, groundings: Sequence[Grounding]) -> list[Grounding]:
        """Append the groundings of an image, once for images of the same content, and return them as `get` will.

        Args:
            key: of the image, as `content_key` gives it.
            groundings: one for each caption of the image.
        """
        entries = [_to_json(grounding, self._top) for grounding in groundings]
        if key not in self._written:
            self._written.add(key)
            self._file.write(json.dumps(_line(key, entries), ensure_ascii=False) + "\n")
            self._file.flush()
        return [_from_json(entry) for entry in entries]


def content_key(example: Example, image: str) -> str:
    """A hash of an image's content and of its captions with their phrases and the types of these.

    Args:
        example: the captions.
        image: the key of the image's content, as `image_key` gives it.
    """
    captions = [[caption.text, [[p.start, p.end, *p.types] for p in caption.phrases]] for caption in example.captions]
    return hashlib.sha256(json.dumps([image, captions]).encode()).hexdigest()


def run_key(run: Path, regions: Path | None) -> str:
    """A hash of a run's configuration and weights, the store of regions that it grounds with, and the precision."""
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((run / name).read_bytes())
    precision = current_precision()
    return (
        digest.hexdigest()
        + ("" if regions is None else f":{resolved(regions)}")
        + ("" if precision == "32" else f":{precision}")
    )


def _line(key: str, groundings: list[dict[str, Any]]) -> dict[str, Any]:
    return with_digest({"key": key, "groundings": groundings})


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def _is_complete(entry: dict[str, Any]) -> bool:
    """Whether a line has all that `add` wrote, each of its kind."""
    if is_changed(entry):
        return False
    try:
        for grounding in map(_from_json, entry["groundings"]):
            for phrase in grounding.phrases:
                boxes, scores = np.asarray(phrase.boxes, np.float64), np.asarray(phrase.scores, np.float64)
                if not isinstance(phrase.text, str) or not is_probability_or_none(phrase.confidence):
                    return False
                if not all(isinstance(word, str) for word in phrase.unknown):
                    return False
                if not all(isinstance(rank, int) and 0 <= rank < len(boxes) for rank in phrase.set_ranks):
                    return False
                if boxes.shape != (len(scores), 4) or not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
                    return False
            if not all(isinstance(side, int) and side > 0 for side in (grounding.width, grounding.height)):
                return False
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, UnboxedError):
        return False
    return isinstance(entry.get("key"), str)


def _to_json(grounding: Grounding, top: int) -> dict[str, Any]:
    """A grounding with the best boxes of its phrases, and no regions."""
    return {
        "caption": grounding.caption,
        "width": grounding.width,
        "height": grounding.height,
        "phrases": [_phrase_to_json(phrase, top) for phrase in grounding.phrases],
    }


def _phrase_to_json(phrase: GroundedPhrase, top: int) -> dict[str, Any]:
    kept = phrase.with_set(top)
    return {
        "text": phrase.text,
        "start": phrase.start,
        "end": phrase.end,
        "boxes": [[round(edge, 2) for edge in box] for box in phrase.boxes[kept].tolist()],
        "scores": [round(score, 6) for score in phrase.scores[kept].tolist()],
        "confidence": phrase.confidence,
        "types": phrase.types,
        "set_ranks": [kept.index(rank) for rank in phrase.set_ranks if rank in kept],
        "unknown": phrase.unknown,
    }


def _from_json(entry: dict[str, Any]) -> Grounding:
    lists = ("types", "set_ranks", "unknown")
    phrases = tuple(
        GroundedPhrase(**{**phrase, **{name: tuple(phrase.get(name, ())) for name in lists}})
        for phrase in entry["phrases"]
    )
    size = (entry["width"], entry["height"])
    boxes, scores, none = (np.zeros(shape, np.float32) for shape in ((0, 4), 0, (0, 0)))
    return Grounding(entry["caption"], phrases, (), Regions(boxes, scores, none, none, (), (), *size), none, *size)
