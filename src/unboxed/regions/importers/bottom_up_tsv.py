"""Importer of features of bottom-up attention (Anderson et al., CVPR 2018): tab-separated values, one line an image.

    image_id, width, height, number of boxes, boxes, features                                   bottom-up attention
    image_id, height, width, labels, scores, attributes, their scores, number, boxes, features  LXMERT

Labels, scores, boxes and features are base64 of float32, labels of integers; boxes are x1, y1, x2, y2 in pixels. Some
ports to Python 3 wrote the base64 as `b'...'`. Lines may be in any order and spread over several files.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unboxed.data.images import is_possible_size
from unboxed.errors import RegionsError, plain_reason
from unboxed.regions.base import FeatureImporter, PrecomputedImage, join_id

__all__ = ["BottomUpTSV", "parse_row"]

Kinds = tuple[np.dtype[Any], ...]

_MAX_LINE = 64_000_000  # bytes; a line of a hundred boxes has about one million
_FLOATS: Kinds = (np.dtype("<f4"),)


class BottomUpTSV(FeatureImporter):
    """The features of one TSV file, or of a folder of them."""

    format = "tsv"
    reads = "a TSV file of bottom-up attention, or a folder of them; six columns, or the ten of LXMERT"

    def __init__(self, path: Path) -> None:
        self._files = sorted(path.glob("*.tsv")) if path.is_dir() else [path]
        if not self._files:
            raise RegionsError(f"{path} has no .tsv files; --features names a TSV file or a folder of them.")

    def images(self, wanted: Collection[str]) -> Iterator[PrecomputedImage]:
        """The images in the order of the lines; one line is in memory at a time."""
        for path in self._files:
            with path.open("rb") as stream:
                for number, line in enumerate(iter(partial(stream.readline, _MAX_LINE), b""), start=1):
                    try:
                        if len(line) == _MAX_LINE:
                            raise RegionsError(f"the line has more than {_MAX_LINE:,} bytes")
                        if line.strip() and join_id(_text(line.partition(b"\t")[0])) in wanted:
                            yield parse_row(line)
                    except RegionsError as error:
                        reason = str(error).rstrip(".")
                        raise RegionsError(f"{path}:{number}: {reason}. Compute or fetch the line anew.") from None


def parse_row(line: bytes) -> PrecomputedImage:
    """The image of one line in either layout of columns.

    Raises:
        RegionsError: another number of columns, invalid base64, or other than one value or row for each box.
    """
    fields = line.strip(b"\r\n").split(b"\t")
    labels = scores = None
    if len(fields) == 6:
        image_id, width, height, count_text, boxes, features = fields
    elif len(fields) == 10:
        image_id, height, width, classes, confidences, _, _, count_text, boxes, features = fields
    else:
        raise RegionsError(f"{len(fields)} columns; expected 6 (bottom-up attention) or 10 (LXMERT)")
    count = _whole(count_text, "the number of boxes")
    size = (_whole(width, "the width"), _whole(height, "the height"))
    if not is_possible_size(*size):
        raise RegionsError(f"an image of {size[0]} x {size[1]} pixels")
    if len(fields) == 10:
        labels = _one_each(classes, count, "labels", (np.dtype("<i8"), np.dtype("<i4"))).astype(np.int64)
        scores = _one_each(confidences, count, "scores")
    box_values = _numbers(boxes, count, "boxes")
    if count and box_values.shape[1] != 4:
        raise RegionsError(f"{box_values.size} box coordinates for {count} boxes; expected {4 * count}")
    return PrecomputedImage(
        _text(image_id), _numbers(features, count, "features"), box_values.reshape(count, 4), size, scores, labels
    )


def _one_each(field: bytes, count: int, what: str, kinds: Kinds = _FLOATS) -> npt.NDArray[np.float32]:
    """`[count]` from base64."""
    values = _numbers(field, count, what, kinds)
    if values.size != count:
        raise RegionsError(f"{values.size} {what} for {count} boxes; expected one for each")
    return values.ravel()


def _numbers(field: bytes, count: int, what: str, kinds: Kinds = _FLOATS) -> npt.NDArray[np.float32]:
    """`[count, n]` from base64; of several number types the one that gives one number for each box."""
    if field[:2] in (b"b'", b'b"') and field[-1:] == field[1:2]:
        field = field[2:-1]
    try:
        content = b64decode(field, validate=True)
    except binascii.Error as error:
        raise RegionsError(f"the {what} are not base64 ({plain_reason(error)})") from None
    kind = next((kind for kind in kinds if len(content) == count * kind.itemsize), kinds[0])
    if bool(content) != bool(count) or len(content) % (kind.itemsize * count or 1):
        raise RegionsError(f"{len(content)} bytes of {what} for {count} boxes; expected {kind.itemsize} a number")
    return np.frombuffer(content, kind).reshape(count, -1 if count else 0)


def _whole(field: bytes, what: str) -> int:
    text = _text(field)
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise RegionsError(f"{what} is {text[:20]!r}; expected a whole number")
    return int(text)


def _text(field: bytes) -> str:
    return field.decode("utf-8", errors="replace").strip()
