"""Damaged files of every dataset format and of precomputed features end in a typed error, or in a valid result."""

from __future__ import annotations

import io
import itertools
import json
import pickle
import shutil
import tarfile
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unboxed.data.dataset import load_dataset
from unboxed.regions.importing import import_regions, open_features

_CAPTIONS = ["A man with a dog.", "Two dogs run.", "A dog.", "A man sits.", "The dog sleeps."]
_SENTENCES = "[/EN#1/people Two young guys] look at [/EN#2/animals a dog] .\n"
_XML = """<annotation><size><width>40</width><height>30</height><depth>3</depth></size>
  <object><name>1</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>20</ymax></bndbox></object>
</annotation>"""

_number = itertools.count()


def _read(folder: Path) -> None:
    shutil.rmtree(folder / "unboxed", ignore_errors=True)  # the images of a damaged file that were unpacked
    dataset = load_dataset(folder / "data.toml" if (folder / "data.toml").is_file() else folder)
    for split in dataset.split_names:
        assert all(example.captions for example in dataset.split(split).examples)


def _import(form: str) -> Callable[[Path], None]:
    def read(folder: Path) -> None:
        store = folder / f"store{next(_number)}"
        try:
            import_regions(load_dataset(folder / "data.toml"), open_features(folder, form), store, progress=False)
        finally:
            shutil.rmtree(store, ignore_errors=True)

    return read


_READERS: dict[str, Callable[[Path], None]] = {
    "table/data.csv": _read,
    "table_tsv/captions.tsv": _read,
    "json/captions.json": _read,
    "lines/captions.jsonl": _read,
    "entities/Sentences/7.txt": _read,
    "entities/Annotations/7.xml": _read,
    "entities_tar/annotations.tar": _read,
    "karpathy/dataset_coco.json": _read,
    "coco/captions.json": _read,
    "coco/instances.json": _read,
    "refcoco/refs(unc).p": _read,
    "refcoco/instances.json": _read,
    "scan/train_ims.npy": _import("scan"),
    "scan/train_caps.txt": _import("scan"),
    "scan/train_ids.txt": _read,
    "parquet/train.parquet": _read,
    "arrow/train.arrow": _read,
    "tar/train.tar": _read,
    "tsv/features.tsv": _import("tsv"),
    "hdf5/features.hdf5": _import("hdf5"),
    "hdf5/boxes.hdf5": _import("hdf5"),
    "maf/train_features_compress.hdf5": _import("maf"),
    "maf/train_imgid2idx.pkl": _import("maf"),
    "maf/train_detection_dict.json": _import("maf"),
}


def _png(colour: str) -> bytes:
    Image.new("RGB", (40, 30), colour).save(content := io.BytesIO(), "PNG")
    return content.getvalue()


def _write_annotations(folder: Path) -> None:
    """Tables, Flickr30K Entities, Karpathy's splits, COCO, RefCOCO."""
    for name in ("table", "table_tsv", "json", "lines", "entities", "entities_tar", "karpathy", "coco", "refcoco"):
        (folder / name).mkdir()
        for number in ("7", "8"):
            (folder / name / f"{number}.png").write_bytes(_png("red"))
    rows = [("image", "caption"), ("7.png", _CAPTIONS[0]), ("8.png", _CAPTIONS[1]), ("8.png", _CAPTIONS[2])]
    (folder / "table" / "data.csv").write_text("".join(f'{a},"{b}"\n' for a, b in rows))
    (folder / "table_tsv" / "captions.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows))
    listed = [{"image": image, "captions": [caption], "split": "train"} for image, caption in rows[1:3]]
    (folder / "json" / "captions.json").write_text(json.dumps(listed))
    (folder / "lines" / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in listed))
    for kind, content in (("Sentences/7.txt", _SENTENCES), ("Annotations/7.xml", _XML)):
        (folder / "entities" / kind).parent.mkdir()
        (folder / "entities" / kind).write_text(content)
    with tarfile.open(folder / "entities_tar" / "annotations.tar", "w") as archive:
        for part in ("Sentences", "Annotations"):
            archive.add(folder / "entities" / part, part)
    for name, place in (("entities", "."), ("entities_tar", "annotations.tar")):
        (folder / name / "train.txt").write_text("7\n")
        keys = f'format = "flickr30k-entities"\nimages = "."\nannotations = "{place}"\n'
        (folder / name / "data.toml").write_text(keys + '[splits]\ntrain = "train.txt"\n')
    images = [
        {"filename": f"{n}.png", "imgid": n, "split": "train", "sentences": [{"raw": text} for text in _CAPTIONS]}
        for n in (7, 8)
    ]
    (folder / "karpathy" / "dataset_coco.json").write_text(json.dumps({"images": images}))
    toml = 'format = "karpathy"\nimages = "."\nannotations = "dataset_coco.json"\n'
    (folder / "karpathy" / "data.toml").write_text(toml)
    _write_coco(folder)


def _write_coco(folder: Path) -> None:
    images = [{"id": n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in (7, 8)]
    captions = [{"image_id": n, "id": n, "caption": _CAPTIONS[0]} for n in (7, 8)]
    objects = [{"id": n, "image_id": n, "category_id": 18, "bbox": [1, 2, 9, 9], "iscrowd": 0} for n in (7, 8)]
    instances = {"images": images, "annotations": objects, "categories": [{"id": 18, "name": "dog"}]}
    (folder / "coco" / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    toml = 'format = "coco"\nimages = "."\n[splits]\ntrain = "captions.json"\n[instances]\ntrain = "instances.json"\n'
    (folder / "coco" / "data.toml").write_text(toml)
    refs = [{"image_id": n, "ann_id": n, "split": "train", "sentences": [{"raw": "the dog"}]} for n in (7, 8)]
    (folder / "refcoco" / "refs(unc).p").write_bytes(pickle.dumps(refs, 2))
    (folder / "refcoco" / "data.toml").write_text('format = "refcoco"\nimages = "."\nannotations = "refs(unc).p"\n')
    for name in ("coco", "refcoco"):
        (folder / name / "instances.json").write_text(json.dumps(instances))


def _write_containers(folder: Path) -> None:
    """Files that contain images: parquet, arrow and tar."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    for name in ("parquet", "arrow", "tar"):
        (folder / name).mkdir()
    pairs = zip(("red", "blue"), _CAPTIONS, strict=False)
    rows = [{"image": {"bytes": _png(colour), "path": None}, "caption": text} for colour, text in pairs]
    table = pyarrow.Table.from_pylist(rows)
    parquet.write_table(table, folder / "parquet" / "train.parquet")
    with pyarrow.ipc.new_stream(folder / "arrow" / "train.arrow", table.schema) as stream:
        stream.write_table(table)
    with tarfile.open(folder / "tar" / "train.tar", "w") as archive:
        for number in range(2):
            for suffix, content in (("png", _png("red")), ("txt", b"A dog."), ("json", b'{"caption": "a dog"}')):
                member = tarfile.TarInfo(f"{number}.{suffix}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def _write_features(folder: Path) -> None:
    """Features of two images in each format, and the captions of the images."""
    h5py = pytest.importorskip("h5py")
    for name in ("scan", "tsv", "hdf5", "maf"):
        (folder / name).mkdir()
        (folder / name / "captions.csv").write_text("image,caption,split\n7,A man.,train\n8,A dog.,train\n")
        toml = 'format = "table"\nimages = false\nannotations = "captions.csv"\n'
        (folder / name / "data.toml").write_text(toml)
    features, boxes = np.ones((2, 3, 4), np.float32), np.array([[1, 2, 9, 9]] * 3, np.float32)
    np.save(folder / "scan" / "train_ims.npy", features)
    (folder / "scan" / "train_caps.txt").write_text("A dog .\n" * 10)
    (folder / "scan" / "train_ids.txt").write_text("7\n8\n")
    (folder / "scan" / "data.toml").write_text('format = "scan"\nannotations = "."\n')
    packed = "\t".join(b64encode(values.tobytes()).decode() for values in (boxes, features[0]))
    (folder / "tsv" / "features.tsv").write_text("".join(f"{n}\t40\t30\t3\t{packed}\n" for n in (7, 8)))
    for name, values in (("features", features[0]), ("boxes", boxes)):
        with h5py.File(folder / "hdf5" / f"{name}.hdf5", "w") as file:
            file["7"], file["8"] = values, values
    with h5py.File(folder / "maf" / "train_features_compress.hdf5", "w") as file:
        file["features"], file["pos_bboxes"] = features.reshape(6, 4), np.array([[0, 3], [3, 6]], np.int32)
    (folder / "maf" / "train_imgid2idx.pkl").write_bytes(pickle.dumps({7: 0, 8: 1}, 2))
    found = {"bboxes": boxes.tolist(), "classes": ["man", "dog", "dog"], "attrs": []}
    (folder / "maf" / "train_detection_dict.json").write_text(json.dumps({"7": found, "8": found}))


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dataset, or features, in each format."""
    folder = tmp_path_factory.mktemp("datasets")
    _write_annotations(folder)
    _write_containers(folder)
    _write_features(folder)
    return folder


@pytest.mark.parametrize("name", _READERS)
def test_a_damaged_file_is_a_typed_error_or_valid(
    name: str, datasets: Path, refuses_damage: Callable[[Path, Callable[[Path], object]], None]
) -> None:
    folder = datasets / name.partition("/")[0]
    refuses_damage(datasets / name, lambda _: _READERS[name](folder))
