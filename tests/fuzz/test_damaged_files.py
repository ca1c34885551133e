"""Damaged bytes of every file that is read again end in a typed error, or in a valid result.

`UNBOXED_FUZZ=20000 pytest tests/fuzz` (`make fuzz`) tries that many inputs for each file.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from unboxed.data.dataset import load_dataset
from unboxed.data.images import open_image
from unboxed.errors import UnboxedError
from unboxed.export.groundings_file import GroundingsFile
from unboxed.inference.run_config import RunConfig
from unboxed.inference.weights import read_tensors
from unboxed.regions.store import RegionStore
from unboxed.search import index_images
from unboxed.search.image_embeddings import Shard
from unboxed.search.index_folder import IndexFolder
from unboxed.search.index_table import ImageTable
from unboxed.text.tokens import Vocabulary

_INPUTS = int(os.environ.get("UNBOXED_FUZZ", "40"))
_TEXTS = (b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b"[" * 3000, b"\xff\xfe", b"\x00", b"NaN", b"9" * 400)


def _mutated(content: bytes, rng: random.Random) -> bytes:
    """Content with some bytes changed, inserted, removed or repeated."""
    mutated = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        near = rng.choice((len(mutated), min(len(mutated), 400)))  # headers are at the beginning
        start = rng.randrange(near + 1)
        end = min(start + rng.choice((1, 1, 4, 30, 1000)), len(mutated))
        kind = rng.randrange(5)
        if kind == 0 and start < len(mutated):
            mutated[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            mutated[start:end] = rng.choice(_TEXTS)
        elif kind == 2:
            del mutated[start:end]
        elif kind == 3:
            mutated[start:start] = mutated[start:end]
        else:
            del mutated[start:]
    return bytes(mutated)


def _read_store(file: Path) -> None:
    store = RegionStore.open(file.parent if file.name == "store.json" else file.parents[1])
    for image_id in store:
        store[image_id]
        break


def _read_groundings(file: Path) -> None:
    for entry in GroundingsFile(file, "run", 5)._known:
        assert isinstance(entry, str)


_READERS: dict[str, Callable[[Path], object]] = {
    "config.json": lambda file: RunConfig.load(file.parent),
    "vocab.json": Vocabulary.load,
    "model.safetensors": read_tensors,
    "store/store.json": _read_store,
    "store/shards/000000.safetensors": _read_store,
    "index/index.json": lambda file: IndexFolder.of(file.parent),
    "table.safetensors": ImageTable.load,
    "index_shard.safetensors": Shard,
    "groundings.jsonl": _read_groundings,
    "data.toml": lambda file: load_dataset(file).split("train"),
    "captions.csv": lambda file: load_dataset(file.with_name("data.toml")).split("train"),
    "captions.jsonl": lambda file: load_dataset(file).split("train"),
    "photos/0.png": open_image,
    "photos/0.jpg": open_image,
}


@pytest.fixture(scope="module")
def files(tiny_run: Path, tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a valid file for each reader."""
    folder = tmp_path_factory.mktemp("fuzz")
    shutil.copytree(tiny_run, folder, dirs_exist_ok=True)
    shutil.copytree(tiny_dataset.parent, folder, dirs_exist_ok=True)
    index_images(tiny_run, tiny_dataset, folder / "index", progress=False)
    shutil.copy(next((folder / "index").glob("*/table.safetensors")), folder / "table.safetensors")
    shutil.copy(next((folder / "index").glob("*/shards/*.safetensors")), folder / "index_shard.safetensors")
    open_image(folder / "photos" / "0.png").save(folder / "photos" / "0.jpg")
    (folder / "captions.jsonl").write_text(
        '{"image": "photos/0.png", "captions": ["a red box"], "split": "train"}\n' * 3
    )
    (folder / "groundings.jsonl").write_text(
        '{"format": "unboxed-groundings", "run": "run", "top": 5}\n'
        '{"key": "k", "groundings": [{"caption": "a box", "width": 9, "height": 9, "phrases": [{"text": "a box", '
        '"start": 0, "end": 5, "boxes": [[1, 2, 3, 4]], "scores": [0.5], "confidence": 0.5, "types": []}]}]}\n'
    )
    return folder


@pytest.mark.parametrize("name", _READERS)
def test_a_damaged_file_is_a_typed_error_or_valid(name: str, files: Path, tmp_path: Path) -> None:
    file, rng = files / name, random.Random(name)
    content = file.read_bytes()
    try:
        for number in range(_INPUTS):
            damaged = _mutated(content, rng)
            file.write_bytes(damaged)
            try:
                _READERS[name](file)
            except (UnboxedError, OSError):  # the command line prints both in one line
                continue
            except Exception as error:
                kept = tmp_path / file.name
                kept.write_bytes(damaged)
                pytest.fail(f"input {number} of {name}, kept as {kept}: {error!r}")
    finally:
        file.write_bytes(content)
