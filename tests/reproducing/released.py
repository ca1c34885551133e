"""Writes tiny files in the layouts in which data and features were released."""

from __future__ import annotations

import json
import pickle
from base64 import b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

FEATURES, REGIONS, BLOCKS = 2048, 36, 15
WIDTH, HEIGHT = 60, 40
COLOURS = ("red", "blue", "green", "white")
THINGS = ("hat", "dog", "ball", "car")


def captions_of(number: int) -> list[str]:
    """Five captions of an image, as Flickr30K writes them."""
    colour, thing = COLOURS[number % 4], THINGS[number // 4 % 4]
    return [
        f"A man in a {colour} hat holds a {thing} .",
        f"A {colour} {thing} is beside a man 's dog .",
        f"The {thing} , which is {colour} , is near a car .",
        f"A man with a {thing} .",
        f"Two dogs and a {colour} {thing} .",
    ]


def entities_of(number: int) -> list[str]:
    """The captions with the brackets of Flickr30K Entities; the chains are numbered as in `BOXES`."""
    colour, thing = COLOURS[number % 4], THINGS[number // 4 % 4]
    return [
        f"[/EN#1/people A man] in [/EN#2/clothing a {colour} hat] holds [/EN#3/other a {thing}] .",
        f"[/EN#3/other A {colour} {thing}] is beside [/EN#4/animals a man 's dog] .",
        f"[/EN#3/other The {thing}] , which is {colour} , is near [/EN#0/notvisual a car] .",
        f"[/EN#1/people A man] with [/EN#3/other a {thing}] .",
        f"[/EN#4/animals Two dogs] and [/EN#3/other a {colour} {thing}] .",
    ]


BOXES = {1: [(1, 1, 20, 40)], 2: [(5, 1, 15, 8)], 3: [(30, 10, 50, 30)], 4: [(20, 25, 28, 40), (52, 25, 60, 40)]}
"""Inclusive pixels, from 1, of the chains of each image; the last has two boxes."""


def region_boxes(count: int, rng: np.random.Generator) -> np.ndarray:
    """`[count, 4]` float32 boxes in pixels: the annotated ones, moved a little, and others."""
    own = np.array([box for boxes in BOXES.values() for box in boxes], np.float32)
    first = rng.uniform([0, 0], [WIDTH / 2, HEIGHT / 2], (count, 2))
    others = np.concatenate([first, first + rng.uniform(4, 18, (count, 2))], axis=1)
    return np.concatenate([own + rng.uniform(-1, 0, own.shape), others])[:count].clip(0, None).astype(np.float32)


def region_features(count: int, rng: np.random.Generator) -> np.ndarray:
    """`[count, 2048]` float32 features that are not negative, as those of a ReLU."""
    return np.maximum(rng.normal(size=(count, FEATURES)), 0).astype(np.float32)


def write_scan(folder: Path, splits: dict[str, Sequence[int]], repeated: Sequence[str], ids: bool = True) -> None:
    """SCAN's directory. Splits in `repeated` have each image five times, the others once."""
    folder.mkdir(parents=True)
    for split, numbers in splits.items():
        rng = np.random.default_rng(len(split))
        times = 5 if split in repeated else 1
        features = np.stack([region_features(REGIONS, rng) for _ in numbers]).repeat(times, axis=0)
        np.save(folder / f"{split}_ims.npy", features)
        lines = [caption for number in numbers for caption in captions_of(number)]
        (folder / f"{split}_caps.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if ids:
            (folder / f"{split}_ids.txt").write_text("".join(f"{number}\n" * times for number in numbers))


def write_pfan_blocks(folder: Path) -> None:
    """PFAN's `{split}_boxes.npy` beside SCAN's files: 15 blocks of a 16 x 16 grid, and their shares, of each region."""
    for features in sorted(folder.glob("*_ims.npy")):
        rng, rows = np.random.default_rng(1), len(np.load(features, mmap_mode="r"))
        blocks = np.sort(rng.integers(0, 256, (rows, REGIONS, BLOCKS)), axis=2).astype(np.float64)
        shares = -np.sort(-rng.random((rows, REGIONS, BLOCKS)), axis=2)
        blocks[:, ::3, 9:], shares[:, ::3, 9:] = 256, 0  # regions that cover fewer blocks
        shares /= shares.sum(axis=2, keepdims=True)
        np.save(folder / features.name.replace("_ims", "_boxes"), np.concatenate([blocks, shares], axis=2))


def write_vocabulary(path: Path, captions: Iterator[str] | Sequence[str]) -> None:
    """SCAN's vocabulary."""
    words = dict.fromkeys(word for caption in captions for word in caption.lower().split())
    ids = {word: i for i, word in enumerate(("<pad>", "<start>", "<end>", "<unk>", *words))}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"word2idx": ids, "idx2word": {str(i): word for word, i in ids.items()}, "idx": len(ids)}
    path.write_text(json.dumps(content), encoding="utf-8")


def write_entities(folder: Path, splits: dict[str, Sequence[int]]) -> None:
    """Flickr30K Entities: sentences, annotations, the lists of the splits and the list of unrelated captions."""
    for name in ("Annotations", "Sentences"):
        (folder / name).mkdir(parents=True)
    for split, numbers in splits.items():
        (folder / f"{split}.txt").write_text("".join(f"{number}\n" for number in numbers))
        for number in numbers:
            (folder / "Sentences" / f"{number}.txt").write_text("\n".join(entities_of(number)) + "\n")
            (folder / "Annotations" / f"{number}.xml").write_text(_annotation(number))
    (folder / "UNRELATED_CAPTIONS").write_text(f"{splits['train'][0]} 4\n")


def _annotation(number: int) -> str:
    objects = "".join(
        f"<object><name>{chain}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        "</bndbox></object>"
        for chain, boxes in BOXES.items()
        for x1, y1, x2, y2 in boxes
    )
    return (
        f"<annotation><filename>{number}.jpg</filename><size><width>{WIDTH}</width><height>{HEIGHT}</height>"
        f"<depth>3</depth></size>{objects}</annotation>"
    )


def write_images(folder: Path, numbers: Sequence[int], name: str = "{}.jpg") -> None:
    """Images of noise."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name.format(number))


def write_infoground(folder: Path, splits: dict[str, Sequence[int]], names: str = "{}") -> None:
    """InfoGround's detections: four HDF5 files for each subset, with one data set an image; 34 to 50 regions."""
    import h5py

    for split, numbers in splits.items():
        (folder / split).mkdir(parents=True)
        files = {
            name: h5py.File(folder / split / f"{name}.hdf5", "w") for name in ("boxes", "features", "scores", "labels")
        }
        for number in numbers:
            rng = np.random.default_rng(number)
            count = int(rng.integers(34, 51))
            arrays = {
                "boxes": region_boxes(count, rng),
                "features": region_features(count, rng),
                "scores": np.sort(rng.random(count).astype(np.float32))[::-1],
                "labels": rng.integers(0, len(CLASSES), count),
            }
            for name, values in arrays.items():
                files[name].create_dataset(names.format(number), data=values)
        for file in files.values():
            file.close()


CLASSES = ("man", "hat", "dog", "ball", "car,automobile", "traffic light")
"""Class names, as `objects_vocab.txt` of bottom-up attention writes them."""


def write_tsv(path: Path, numbers: Sequence[int]) -> None:
    """The TSV of bottom-up attention, of 36 regions, in an order of its own."""
    lines = []
    for number in reversed(numbers):
        rng = np.random.default_rng(number)
        arrays = (region_boxes(REGIONS, rng), region_features(REGIONS, rng))
        encoded = [b64encode(values.tobytes()).decode() for values in arrays]
        lines.append("\t".join([str(number), str(WIDTH), str(HEIGHT), str(REGIONS), *encoded]))
    path.write_text("\n".join(lines) + "\n")


def write_karpathy(path: Path, splits: dict[str, Sequence[int]]) -> None:
    """Karpathy's `dataset_flickr30k.json`."""
    images = [
        {
            "filename": f"{number}.jpg",
            "imgid": number,
            "split": split,
            "sentids": list(range(5 * number, 5 * number + 5)),
            "sentences": [
                {"raw": text, "tokens": text.lower().split(), "imgid": number, "sentid": 5 * number + i}
                for i, text in enumerate(captions_of(number))
            ],
        }
        for split, numbers in splits.items()
        for number in numbers
    ]
    path.write_text(json.dumps({"images": images, "dataset": "flickr30k"}))


def write_coco_captions(path: Path, numbers: Sequence[int], stem: str) -> None:
    """COCO's `captions_*.json`."""
    images = [{"id": n, "file_name": f"COCO_{stem}_{n:012d}.jpg", "width": WIDTH, "height": HEIGHT} for n in numbers]
    annotations = [
        {"id": 10 * n + i, "image_id": n, "caption": text} for n in numbers for i, text in enumerate(captions_of(n))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"info": {}, "images": images, "annotations": annotations}))


def write_glove(path: Path, width: int = 300) -> None:
    """GloVe's text file."""
    text = " ".join(" ".join(captions_of(number)) for number in range(16)).lower()
    words = sorted({*text.split(), "automobile", "traffic", "light"})
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{w} {' '.join(f'{x:.5f}' for x in rng.normal(size=width))}\n" for w in words))


def write_maf(folder: Path, splits: dict[str, Sequence[int]]) -> None:
    """MAF's files: features of all images of a split, the numbers of the images, and the detections."""
    import h5py

    folder.mkdir(parents=True)
    for split, numbers in splits.items():
        rng, counts = np.random.default_rng(len(split)), [REGIONS + number % 3 for number in numbers]
        ends = np.cumsum(counts)
        with h5py.File(folder / f"{split}_features_compress.hdf5", "w") as file:
            file["features"] = region_features(int(ends[-1]), rng)
            file["pos_bboxes"] = np.stack([ends - counts, ends], axis=1).astype(np.int32)
        (folder / f"{split}_imgid2idx.pkl").write_bytes(pickle.dumps({n: row for row, n in enumerate(numbers)}, 2))
        found = {
            str(number): {
                "bboxes": region_boxes(count, rng).tolist(),
                "classes": [CLASSES[i] for i in rng.integers(0, len(CLASSES), count)],
                "attrs": ["red"] * count,
            }
            for number, count in zip(numbers, counts, strict=True)
        }
        (folder / f"{split}_detection_dict.json").write_text(json.dumps(found))


def write_backbone(path: Path) -> None:
    """In the place of VGG-19: one convolution whose map has a cell for 16 x 16 pixels."""
    from onnx import TensorProto, helper, numpy_helper, save

    weight = np.random.default_rng(0).normal(size=(8, 3, 16, 16)).astype(np.float32) / 16
    node = helper.make_node("Conv", ["image", "weight"], ["map"], strides=[16, 16])
    graph = helper.make_graph(
        [node],
        "backbone",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", 8, "y", "x"])],
        [numpy_helper.from_array(weight, "weight")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
