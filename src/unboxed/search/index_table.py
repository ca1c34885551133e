"""Which images an index has, where their codes are, their captions, and what finds candidates: one file.

The file is written in one step at the end of a call. Until then the index answers as before, and a call that is killed
leaves nothing but finished shards behind.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from unboxed.errors import SearchError
from unboxed.search.low_rank import Sketch

__all__ = ["ImageTable", "Texts"]


@dataclass(frozen=True, eq=False)
class Texts:
    """Many short texts as two tensors; one is decoded when it is asked for.

    Attributes:
        characters: uint8, UTF-8.
        ends: int64, where each text ends.
    """

    characters: torch.Tensor
    ends: torch.Tensor

    @staticmethod
    def of(texts: Sequence[str]) -> Texts:
        """Pack them."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = np.cumsum([len(text) for text in encoded], dtype=np.int64) if encoded else np.zeros(0, np.int64)
        characters = np.frombuffer(b"".join(encoded), np.uint8).copy()
        return Texts(torch.from_numpy(characters), torch.from_numpy(ends))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        start = int(self.ends[index - 1]) if index else 0
        return bytes(self.characters[start : int(self.ends[index])].numpy()).decode("utf-8", "surrogatepass")

    def all(self) -> list[str]:
        """Every text."""
        whole, ends = self.characters.numpy().tobytes(), [0, *self.ends.tolist()]
        return [whole[first:last].decode("utf-8", "surrogatepass") for first, last in pairwise(ends)]


_NAME_IN_FILE = {"image_C": "photo_C"}  # the file format keeps the name of its first version


@dataclass(frozen=True, eq=False)
class ImageTable:
    """N images and C captions.

    Attributes:
        root: the folder that names are relative to.
        names: the photographs' files.
        key_NK: uint8, sha256 of what identifies each content.
        shard_N, number_N, start_N, count_N: where the codes are.
        size_N2: width and height in pixels.
        vectors_NE: float16, what finds candidates.
        sketch: what made them.
        sample_S: rows of the sample.
        captions: texts.
        image_C: row of each caption's image.
        weights_CF: float16, each caption's weights.
    """

    root: Path
    names: Texts
    key_NK: torch.Tensor
    shard_N: torch.Tensor
    number_N: torch.Tensor
    start_N: torch.Tensor
    count_N: torch.Tensor
    size_N2: torch.Tensor
    vectors_NE: torch.Tensor
    sketch: Sketch
    sample_S: torch.Tensor
    captions: Texts
    image_C: torch.Tensor
    weights_CF: torch.Tensor

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def keys(self) -> list[bytes]:
        """The contents, by row."""
        return [bytes(row) for row in self.key_NK.numpy()]

    def path(self, row: int) -> Path:
        """The file of an image."""
        return self.root / self.names[row]

    def save(self, path: Path) -> None:
        """Write the file in one step."""
        tensors: dict[str, torch.Tensor] = {}
        for name, value in ((field.name, getattr(self, field.name)) for field in fields(self)):
            if isinstance(value, torch.Tensor):
                tensors[_NAME_IN_FILE.get(name, name)] = value.contiguous()
            elif isinstance(value, Texts | Sketch):
                parts = ((field.name, getattr(value, field.name)) for field in fields(value))
                tensors |= {f"{name}.{part}": tensor.contiguous() for part, tensor in parts}
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        save_file(tensors, beside, {"root": json.dumps(str(self.root))})
        with beside.open("rb") as written:
            os.fsync(written.fileno())
        beside.replace(path)

    @staticmethod
    def load(path: Path) -> ImageTable:
        """Read what `save` wrote; large tensors are maps of the file.

        Raises:
            SearchError: damaged.
        """
        try:
            opened: Any = safe_open(str(path), framework="pt")
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            tensors["image_C"] = tensors.pop(_NAME_IN_FILE["image_C"])
            nested: dict[str, Any] = {
                "names": Texts(*(tensors.pop(f"names.{field.name}") for field in fields(Texts))),
                "captions": Texts(*(tensors.pop(f"captions.{field.name}") for field in fields(Texts))),
                "sketch": Sketch(*(tensors.pop(f"sketch.{field.name}") for field in fields(Sketch))),
            }
            return ImageTable(root=Path(json.loads(opened.metadata()["root"])), **tensors, **nested)
        except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
            raise SearchError(f"{path} is damaged ({error}); delete it and run `unboxed index` again.") from None
