"""Trains the drawn world's detector: `python -m unboxed.scenes.train_detector --out detector.onnx`.

Its training pictures have seeds that no dataset has (see `writing`), so it never sees a picture or a box of a dataset.
The detectors of grounding papers are trained on Visual Genome in the same way.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from unboxed import boxes as box_arithmetic
from unboxed.scenes.composition import compose_scene
from unboxed.scenes.detector_network import INPUT, STRIDES, SceneDetector, save_onnx
from unboxed.scenes.kinds import KINDS, class_names
from unboxed.scenes.writing import DETECTOR_TRAINING

__all__ = ["TrainingPicture", "draw_training_picture", "main", "train"]

# The range of the longest side of the boxes that each level predicts.
_REACH = ((0, 26), (26, 60), (60, 120), (120, 10_000))
_KINDS = tuple(KINDS)
_CHECK = 200
_DESCRIBED, _PROPOSED = 20, 40  # boxes of a picture


@dataclass(frozen=True, eq=False)
class TrainingPicture:
    """A training picture with its things.

    Attributes:
        pixels: `[256, 256, 3]` uint8, padded with grey.
        boxes: `[M, 4]` pixels.
        kinds: `[M]` indices into the kinds.
        attributes: M tuples of (attribute, value).
    """

    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    kinds: npt.NDArray[np.int64]
    attributes: tuple[tuple[tuple[str, str], ...], ...]


def draw_training_picture(seed: int, number: int) -> TrainingPicture:
    """One training picture, compressed and decoded as the pictures of a dataset are."""
    rng = np.random.default_rng(np.random.SeedSequence((DETECTOR_TRAINING, seed, number)))
    scene = compose_scene(rng)
    buffer = io.BytesIO()
    scene.picture.save(buffer, "JPEG", quality=92, subsampling=0)
    picture: Image.Image = Image.open(buffer)
    scale = INPUT / max(picture.size)
    if scale != 1:
        picture = picture.resize((INPUT, INPUT), Image.Resampling.BILINEAR)
    pixels = np.full((INPUT, INPUT, 3), 114, np.uint8)
    pixels[: picture.height, : picture.width] = np.asarray(picture)
    seen = [t for t in scene.things if t.visible > 0.35 and min(t.box[2] - t.box[0], t.box[3] - t.box[1]) * scale >= 4]
    return TrainingPicture(
        pixels,
        np.array([t.box for t in seen], np.float32).reshape(-1, 4) * np.float32(scale),
        np.array([_KINDS.index(t.kind) for t in seen], np.int64),
        tuple(tuple(t.attributes.items()) for t in seen),
    )


def _targets(boxes: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of the grid cells near the centre of each box, and of their boxes; of two boxes the smaller wins."""
    taken: dict[int, int] = {}
    sides = boxes[:, 2:] - boxes[:, :2]
    offset = np.cumsum([0, *((INPUT // stride) ** 2 for stride in STRIDES)])
    for m in np.argsort(-sides.prod(axis=1), kind="stable").tolist():
        longest = float(sides[m].max())
        level = next(k for k, (low, high) in enumerate(_REACH) if low <= longest < high)
        stride, cells = STRIDES[level], INPUT // STRIDES[level]
        cx, cy = (boxes[m, :2] + boxes[m, 2:]) / 2 / stride
        for row in range(math.floor(cy - 1), math.floor(cy + 1) + 1):
            for column in range(math.floor(cx - 1), math.floor(cx + 1) + 1):
                x, y = column + 0.5, row + 0.5
                inside = boxes[m, 0] < x * stride < boxes[m, 2] and boxes[m, 1] < y * stride < boxes[m, 3]
                nearest = row == math.floor(cy) and column == math.floor(cx)
                near = abs(x - cx) <= 1.0 and abs(y - cy) <= 1.0 and inside
                if (near or nearest) and 0 <= row < cells and 0 <= column < cells:
                    taken[int(offset[level]) + row * cells + column] = m
    return np.array(list(taken), np.int64), np.array(list(taken.values()), np.int64)


def _mirrored(picture: TrainingPicture) -> TrainingPicture:
    boxes = picture.boxes.copy()
    boxes[:, 0], boxes[:, 2] = INPUT - picture.boxes[:, 2], INPUT - picture.boxes[:, 0]
    return TrainingPicture(np.ascontiguousarray(picture.pixels[:, ::-1]), boxes, picture.kinds, picture.attributes)


def _giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Generalized IoU and IoU `[N]` of pairs of boxes `[N, 4]`."""
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    shared = (high - low).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).clamp(min=0).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    iou = shared / union.clamp(min=1e-6)
    return iou - (hull - union) / hull.clamp(min=1e-6), iou


class _DetectorLoss:
    """The training loss of a batch of pictures."""

    def __init__(self, network: SceneDetector, attributes: tuple[tuple[str, str], ...]) -> None:
        self.network, self.attributes = network, {pair: k for k, pair in enumerate(attributes)}
        labels = class_names()
        self.class_of_kind = np.array([labels.index(KINDS[kind].label) for kind in _KINDS])

    def loss(self, samples: list[TrainingPicture], rng: np.random.Generator) -> Tensor:
        pictures = torch.from_numpy(np.stack([picture.pixels for picture in samples])).permute(0, 3, 1, 2)
        pictures = (pictures.float() / 255).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits, boxes, features = self.network(pictures)
        image, cell, gold, label = self._positives(samples)
        giou, iou = _giou(boxes[image, cell], gold)
        # Nearly all cells are background: their loss is computed in 16 bits, that of the others in 32.
        background = functional.softplus(logits) * torch.sigmoid(logits).square()
        rows = logits[image, cell].float()
        score = torch.zeros(rows.shape)
        score[torch.arange(len(rows)), label] = iou.detach().clamp(min=0.05)
        focal = functional.binary_cross_entropy_with_logits(rows, score, reduction="none")
        foreground = focal * (torch.sigmoid(rows) - score).detach().abs().square()
        rest = background.sum(dtype=torch.float32) - background[image, cell].sum(dtype=torch.float32)
        classes = (foreground.sum() + rest) / len(gold) * 1.5
        return classes + 2 * (1 - giou).mean() + self._description(samples, features, rng)

    def _positives(self, samples: list[TrainingPicture]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        images, cells, gold, labels = [], [], [], []
        for k, picture in enumerate(samples):
            cell, box = _targets(picture.boxes)
            images.append(np.full(len(cell), k))
            cells.append(cell)
            gold.append(picture.boxes[box])
            labels.append(self.class_of_kind[picture.kinds[box]])
        image, cell_, label = (torch.from_numpy(np.concatenate(x)) for x in (images, cells, labels))
        return image, cell_, torch.from_numpy(np.concatenate(gold)), label

    def _description(self, samples: list[TrainingPicture], features: Tensor, rng: np.random.Generator) -> Tensor:
        """The loss of kinds and attributes, predicted from the mean features of up to 20 shifted boxes each."""
        boxes = torch.zeros(len(samples), _DESCRIBED, 4)
        kinds = torch.full((len(samples), _DESCRIBED), -100)
        attributes = torch.zeros(len(samples), _DESCRIBED, len(self.attributes))
        for b, picture in enumerate(samples):
            for m, k in enumerate(rng.permutation(len(picture.boxes))[:_DESCRIBED].tolist()):
                box = picture.boxes[k]
                size = np.tile(box[2:] - box[:2], 2)
                boxes[b, m] = torch.from_numpy(box + size * rng.uniform(-0.08, 0.08, 4).astype(np.float32))
                kinds[b, m] = int(picture.kinds[k])
                for pair in picture.attributes[k]:
                    attributes[b, m, self.attributes[pair]] = 1
        described = self.network.describe(features, boxes)
        real = kinds >= 0
        right = functional.cross_entropy(described[real][:, : len(_KINDS)], kinds[real])
        wrong = functional.binary_cross_entropy_with_logits(
            described[real][:, len(_KINDS) :], attributes[real], reduction="sum"
        )
        return 0.5 * right + 0.25 * wrong / max(1, int(real.sum()))


def train(seed: int, pictures: int, steps: int, batch: int = 8) -> SceneDetector:
    """Draw the pictures, train, and return the network in evaluation mode; deterministic on one thread."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(np.random.SeedSequence((DETECTOR_TRAINING, seed, 1 << 40)))
    started = time.monotonic()
    samples = [draw_training_picture(seed, number) for number in range(pictures)]
    print(f"{pictures} pictures drawn in {time.monotonic() - started:.0f} s", flush=True)
    pairs = tuple(sorted({pair for picture in samples for pairs in picture.attributes for pair in pairs}))
    network = SceneDetector(len(_KINDS), len(pairs)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    objective = _DetectorLoss(network, pairs)
    decay = [p for p in network.parameters() if p.ndim > 1]
    plain = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": 0.02}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.08)
    order = np.concatenate([rng.permutation(pictures) for _ in range(-(-steps * batch // pictures))])
    for step in range(steps):
        chosen = [samples[i] for i in order[step * batch : (step + 1) * batch].tolist()]
        loss = objective.loss([_mirrored(x) if rng.random() < 0.5 else x for x in chosen], rng)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 100 == 0:
            print(f"step {step + 1}: loss {loss.item():.3f}, {time.monotonic() - started:.0f} s", flush=True)
    trained: SceneDetector = network.eval()
    return trained


def proposal_recall(network: SceneDetector, seed: int, first: int, count: int) -> float:
    """Percentage of things of new pictures that one of the best 40 boxes overlaps with an IoU of 0.5 or more."""
    found = total = 0
    with torch.inference_mode():
        for number in range(first, first + count):
            picture = draw_training_picture(seed, number)
            pixels = torch.from_numpy(picture.pixels).permute(2, 0, 1)[None].float() / 255
            logits, boxes, _ = network(pixels)
            score = torch.sigmoid(logits[0]).amax(1).numpy()
            best = np.argsort(-score, kind="stable")[:300]
            candidates = boxes[0].numpy()[best].clip(0, INPUT)
            keep = box_arithmetic.nms(candidates, score[best], 0.6)[:_PROPOSED]
            overlap = box_arithmetic.iou(picture.boxes, candidates[keep])
            found += int((overlap.max(axis=1) >= 0.5).sum())
            total += len(picture.boxes)
    return 100 * found / max(1, total)


def main() -> None:
    """Train the detector and write its ONNX file."""
    parser = argparse.ArgumentParser(description="Train the detector of the drawn world.")
    parser.add_argument("--out", type=Path, required=True, help="the ONNX file to write")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    network = train(options.seed, options.pictures, options.steps)
    recall = proposal_recall(network, options.seed, options.pictures, _CHECK)
    print(f"of the things in {_CHECK} fresh pictures, {recall:.1f} % are proposed (IoU 0.5, best 40)", flush=True)
    metadata = {
        "class_names": "\n".join(class_names()),
        "licence": "Apache-2.0",
        "source": "unboxed.scenes.train_detector"
        f" --seed {options.seed} --pictures {options.pictures} --steps {options.steps}",
        "input": "images float32 [1, 3, 256, 256] RGB 0..1, upper left, padded with grey 114/255",
        "proposal_recall": f"{recall:.1f}",
    }
    save_onnx(network, options.out, metadata)


if __name__ == "__main__":
    main()
