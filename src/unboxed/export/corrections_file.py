"""The file of corrections: JSON lines, one a change, that give the corrected images when they are replayed.

{"format": "unboxed-corrections", "version": 1}
{"image": "7.jpg", "width": 200, "height": 100, "captions": […], "boxes": […]}     before its first correction
{"image": "7.jpg", "action": "move", "box": 0, "edges": [10, 20, 60, 90]}
{"image": "7.jpg", "action": "undo"}
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from unboxed.errors import ExportError
from unboxed.export.corrections import CorrectedImage, Correction, apply, undo
from unboxed.export.labels import LabelledImage
from unboxed.export.labels_file import image_from_json, image_to_json

__all__ = ["CorrectionsFile", "read_corrections"]

_HEAD = {"format": "unboxed-corrections", "version": 1}
_MOST = 1_000  # corrections of an image
_LARGEST = 256_000_000  # bytes


class CorrectionsFile:
    """Corrected images and the file that their corrections are appended to.

    A correction is one write of one line that is on the disk when `correct` returns. A line that a power cut left
    incomplete at the end is removed. One process at a time may write: hold `file_lock(path)`.

    Args:
        path: the file; made with the first correction.

    Attributes:
        path: the file.
        states: the corrected images by name.

    Raises:
        ExportError: the file is something else, or a line of it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states = read_corrections(path)

    def state(self, image: LabelledImage) -> CorrectedImage:
        """The image with its corrections, or without any as it is."""
        known = self.states.get(image.name)
        return known if known and known.history else CorrectedImage.start(image_from_json(image_to_json(image)))

    def correct(self, image: LabelledImage, correction: Correction | None) -> CorrectedImage:
        """Append a correction, and return the corrected image.

        Args:
            image: as it is labelled now; kept with its first correction.
            correction: the change; None takes back the last one.

        Raises:
            ExportError: the correction is not possible; nothing is written.
            OSError: the file cannot be written.
        """
        before = self.state(image)
        if correction is not None and len(before.history) >= _MOST:
            raise ExportError(f"{image.name} has {_MOST:,} corrections; take some back.")
        after = undo(before) if correction is None else apply(before, correction)
        if after is before or after.history == before.history:
            return before
        change: dict[str, Any] = {"action": "undo"} if correction is None else correction.to_json()
        rows = [] if before is self.states.get(image.name) else [image_to_json(image)]
        self._append([*rows, {"image": image.name, **change}])
        self.states[image.name] = after
        return after

    def _append(self, rows: list[dict[str, Any]]) -> None:
        content = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab+") as file:
            file.seek(0)
            file.truncate(_complete(file.read()))
            if file.seek(0, os.SEEK_END) > _LARGEST:
                raise ExportError(f"{self.path.name} has reached {_LARGEST / 1e6:,.0f} MB; correct another copy.")
            file.write(content if file.tell() else json.dumps(_HEAD).encode() + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())


def read_corrections(path: Path) -> dict[str, CorrectedImage]:
    """The corrected images of a file by name; none where there is no file.

    Raises:
        ExportError: the file is something else, or a line of it is damaged.
    """
    try:
        content = Path(path).read_bytes() if Path(path).is_file() else b""
    except OSError as error:
        raise ExportError(f"The corrections {path} cannot be read ({error.strerror}).") from None
    states: dict[str, CorrectedImage] = {}
    for number, line in enumerate(content[: _complete(content)].splitlines(), start=1):
        try:
            row = json.loads(line)
            if number == 1 and row != _HEAD:
                raise ValueError("another kind of file")
            if number > 1:
                states[row["image"]] = _replayed(states.get(row["image"]), row)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError, ExportError) as error:
            reason = str(error) if isinstance(error, ExportError) else "it is no correction."
            raise ExportError(
                f"{path}, line {number}, cannot be replayed: {reason} Restore the file, or remove the line."
            ) from None
    return states


def _replayed(before: CorrectedImage | None, row: dict[str, Any]) -> CorrectedImage:
    if before is None or "action" not in row:
        return CorrectedImage.start(image_from_json(row))
    return undo(before) if row["action"] == "undo" else apply(before, Correction.from_json(row))


def _complete(content: bytes) -> int:
    """The number of bytes up to the end of the last complete line."""
    return content.rfind(b"\n") + 1
