"""Lines of bottom-up attention: whatever was written is read, in both orders of columns, wrapped or not."""

from __future__ import annotations

import contextlib
from base64 import b64encode
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from unboxed.errors import RegionsError
from unboxed.regions.importers.bottom_up_tsv import BottomUpTSV, parse_row
from unboxed.regions.importing import open_features


def _line(image_id: str, size: tuple[int, int], boxes: np.ndarray, features: np.ndarray, wrapped: bool) -> bytes:
    def encoded(values: np.ndarray) -> str:
        content = b64encode(values.astype("<f4").tobytes())
        return str(content) if wrapped else content.decode()

    fields = [image_id, str(size[0]), str(size[1]), str(len(boxes)), encoded(boxes), encoded(features)]
    return "\t".join(fields).encode() + b"\n"


_floats = st.floats(-1e6, 1e6, width=32)


@given(st.data(), st.integers(1, 12), st.integers(1, 7), st.booleans())
def test_any_row_is_read_as_it_was_written(data: st.DataObject, count: int, width: int, wrapped: bool) -> None:
    boxes = data.draw(arrays.arrays(np.float32, (count, 4), elements=_floats))
    features = data.draw(arrays.arrays(np.float32, (count, width), elements=_floats))
    size = data.draw(st.tuples(st.integers(1, 9999), st.integers(1, 9999)))
    image_id = data.draw(st.from_regex(r"[A-Za-z0-9_./-]{1,20}", fullmatch=True))
    image = parse_row(_line(image_id, size, boxes, features, wrapped))
    assert (image.image_id, image.size) == (image_id, size)
    np.testing.assert_array_equal(image.boxes, boxes)
    np.testing.assert_array_equal(image.features, features)


@given(st.binary(max_size=80) | st.lists(st.sampled_from(["1", "3", "-1", "AAAA", "b''", "é", ""]), max_size=11))
def test_any_bytes_give_an_image_or_our_own_error(content: bytes | list[str]) -> None:
    line = content if isinstance(content, bytes) else "\t".join(content).encode()
    with contextlib.suppress(RegionsError):
        parse_row(line)


@pytest.mark.parametrize("label", [np.int64, np.int32])
def test_ten_columns_have_height_first_and_labels(label: type[np.generic]) -> None:
    values = {
        "labels": np.array([3, 5], label),
        "scores": np.array([0.5, 0.25], np.float32),
        "boxes": np.arange(8, dtype=np.float32),
        "features": np.arange(6, dtype=np.float32),
    }
    labels, scores, boxes, features = (b64encode(array.tobytes()) for array in values.values())
    image = parse_row(b"\t".join([b"x", b"20", b"40", labels, scores, labels, scores, b"2", boxes, features]))
    assert (image.size, image.boxes.shape, image.features.shape) == ((40, 20), (2, 4), (2, 3))
    assert (image.labels.tolist(), image.scores.tolist()) == ([3, 5], [0.5, 0.25])


def test_ten_columns_may_have_no_boxes() -> None:
    image = parse_row(b"x\t20\t40\t\t\t\t\t0\t\t")
    assert (image.size, image.boxes.shape, len(image.features)) == ((40, 20), (0, 4), 0)
    assert (len(image.labels), len(image.scores)) == (0, 0)


def test_a_box_has_one_score() -> None:
    label, two, box = (b64encode(bytes(size)) for size in (8, 8, 16))
    with pytest.raises(RegionsError, match="2 scores for 1 boxes; expected one for each"):
        parse_row(b"\t".join([b"x", b"20", b"40", label, two, label, two, b"1", box, box]))


def test_a_folder_of_striped_files_is_joined_by_id(tmp_path: Path) -> None:
    boxes, features = np.zeros((2, 4), np.float32), np.ones((2, 3), np.float32)
    (tmp_path / "0.tsv").write_bytes(_line("9", (4, 4), boxes, features, False) + b"broken, but not asked for\n")
    (tmp_path / "1.tsv").write_bytes(b"\n" + _line("000007", (4, 4), boxes[:1], features[:1], True))
    images = list(open_features(tmp_path, "tsv").images({"7", "9"}))
    assert [(image.image_id, len(image.features)) for image in images] == [("9", 2), ("000007", 1)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"7\t4\t4", "3 columns; expected 6"),
        (b"7\tw\t4\t1\tAAAA\tAAAA", "the width is 'w'; expected a whole number"),
        (b"7\t0\t4\t1\tAAAA\tAAAA", "an image of 0 x 4 pixels"),
        (b"7\t4\t4\t1\t!\tAAAA", "the boxes are not base64"),
        (b"7\t4\t4\t1\tAAAA\tAAAA", "3 bytes of boxes for 1 boxes"),
        (b"7\t4\t4\t1\tAAAAAA==\tAAAAAA==", "1 box coordinates for 1 boxes; expected 4"),
        (b"7\t4\t4\t2\t\t", "0 bytes of boxes for 2 boxes"),
        (b"7\t4\t4\t99999999999\tAAAA\tAAAA", "the number of boxes is '99999999999'"),
    ],
)
def test_a_bad_line_is_named_with_its_number(tmp_path: Path, line: bytes, message: str) -> None:
    (tmp_path / "a.tsv").write_bytes(b"\n" + line)
    with pytest.raises(RegionsError, match=rf"a\.tsv:2: {message}"):
        list(BottomUpTSV(tmp_path / "a.tsv").images({"7"}))


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unboxed.regions.importers.bottom_up_tsv._MAX_LINE", 50)
    (tmp_path / "a.tsv").write_bytes(b"7" * 60)
    with pytest.raises(RegionsError, match=r"a\.tsv:1: the line has more than 50 bytes"):
        list(BottomUpTSV(tmp_path / "a.tsv").images({"7"}))


def test_a_folder_without_files(tmp_path: Path) -> None:
    with pytest.raises(RegionsError, match=r"has no \.tsv files"):
        open_features(tmp_path, "tsv")
