"""The detector's training: which grid cells a box is learned at, its loss, and an ONNX file equal to the network."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unboxed.boxes import iou
from unboxed.scenes import train_detector
from unboxed.scenes.detector_network import INPUT, STRIDES, SceneDetector, cell_centres
from unboxed.scenes.kinds import KINDS, class_names
from unboxed.scenes.train_detector import draw_training_picture, proposal_recall, train

pytest.importorskip("onnx")

_coordinate = st.integers(0, 40)
_box = st.tuples(_coordinate, _coordinate, st.integers(1, 30), st.integers(1, 30)).map(
    lambda b: [b[0], b[1], b[0] + b[2], b[1] + b[3]]
)


def test_cells_are_those_near_the_centre_and_the_smaller_box_wins() -> None:
    centres_N2, stride_N = cell_centres()
    boxes = np.array([[0, 0, 20, 20], [6, 6, 14, 14], [0, 0, 200, 200]], np.float32)
    cells, of_box = train_detector._targets(boxes)
    assert len(set(cells.tolist())) == len(cells)
    for cell, box in zip(cells.tolist(), of_box.tolist(), strict=True):
        x, y = centres_N2[cell].tolist()
        x1, y1, x2, y2 = boxes[box].tolist()
        assert x1 < x < x2 and y1 < y < y2
        assert max(abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)) <= stride_N[cell]
    assert {float(stride) for stride in stride_N[cells[of_box == 2]]} == {STRIDES[3]}
    assert centres_N2[cells[of_box == 1]].tolist() == [[10, 10]], "the cell that two boxes share"
    assert (of_box == 0).sum() == 8, "the cells around it"


@given(st.lists(st.tuples(_box, _box), min_size=1, max_size=5))
def test_generalized_iou_is_iou_less_the_empty_part_of_the_hull(pairs: list[tuple[list[int], list[int]]]) -> None:
    first, second = (torch.tensor([pair[k] for pair in pairs], dtype=torch.float32) for k in (0, 1))
    giou_N, iou_N = train_detector._giou(first, second)
    expected = np.diag(iou(first.numpy(), second.numpy()))
    assert iou_N.numpy() == pytest.approx(expected, abs=1e-6)
    assert (giou_N <= iou_N + 1e-6).all() and (giou_N > -1).all()
    assert torch.allclose(train_detector._giou(first, first)[0], torch.ones(len(pairs)))


def test_a_mirrored_picture_has_mirrored_boxes() -> None:
    picture = draw_training_picture(0, 1)
    twice = train_detector._mirrored(train_detector._mirrored(picture))
    assert np.array_equal(twice.pixels, picture.pixels)
    assert twice.boxes == pytest.approx(picture.boxes, abs=1e-3)


def test_a_run_is_deterministic_and_its_onnx_file_equals_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads = torch.get_num_threads()
    monkeypatch.setattr(train_detector, "_CHECK", 2)
    networks: list[SceneDetector] = []

    def kept(seed: int, pictures: int, steps: int) -> SceneDetector:
        networks.append(train(seed, pictures, steps, batch=2))
        return networks[-1]

    monkeypatch.setattr(train_detector, "train", kept)
    for name in ("a", "b"):
        out = tmp_path / f"{name}.onnx"
        monkeypatch.setattr(sys, "argv", ["train", "--out", str(out), "--pictures", "4", "--steps", "3", "--seed", "1"])
        train_detector.main()
    torch.set_num_threads(threads)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert "of the things in 2 fresh pictures" in capsys.readouterr().out
    assert 0 <= proposal_recall(networks[0], seed=1, first=4, count=1) <= 100

    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["class_names"].splitlines() == list(class_names())
    pixels = draw_training_picture(1, 4).pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255
    boxes, scores, features = session.run(["boxes", "scores", "features"], {"images": pixels})
    with torch.inference_mode():
        logits_BNK, boxes_BN4, features_BDHW = networks[0](torch.from_numpy(pixels))
    assert features == pytest.approx(features_BDHW.numpy(), abs=0.02)  # weights are stored in 16 bits
    score_N = torch.sigmoid(logits_BNK[0]).amax(1)
    assert scores[0].max(1) == pytest.approx(score_N.topk(400).values.numpy(), abs=0.01)
    overlap = iou(boxes[0], boxes_BN4[0].numpy())
    assert (overlap.max(axis=1) > 0.95).all(), "every box of the file is a box of the network"


def test_the_head_predicts_kinds_and_attributes_of_each_box() -> None:
    network = SceneDetector(kinds=len(KINDS), attributes=3).eval()
    with torch.inference_mode():
        features = torch.zeros(2, 64, INPUT // 4, INPUT // 4)
        features[:, :, :32] = 1
        boxes = torch.tensor([[[0.0, 0, 60, 60], [0, 196, 60, 256]]] * 2)
        described = network.describe(features, boxes)
        assert described.shape == (2, 2, len(KINDS) + 3)
        assert torch.allclose(described[0, 0], network.head(torch.ones(64)), atol=1e-5)
        assert torch.allclose(described[0, 1], network.head(torch.zeros(64)), atol=1e-5)
