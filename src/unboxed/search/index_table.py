"""The table of an index: its images and captions, where their embeddings are, and the vectors of the candidates.

The table is one file, written atomically at the end of a call. Until then searches use the old one, and a call that is
killed leaves nothing but complete shards.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from unboxed.errors import SearchError, plain_reason
from unboxed.runtime.json_values import path_of
from unboxed.runtime.packed_texts import check_packed, packed, unpacked
from unboxed.runtime.tensor_digests import check_tensor_file
from unboxed.runtime.tensor_file import write_tensor_file
from unboxed.search.candidates import LowRankScores
from unboxed.search.cells import checked_name

__all__ = ["TYPICAL", "ImageTable", "Texts", "spread"]

TYPICAL = 64
"""Queries that decide how many cells of faiss are searched."""


def spread(total: int, count: int) -> list[int]:
    """At most `count` of `total` rows, evenly spaced."""
    return list(range(0, total, max(1, total // count)))[:count]


@dataclass(frozen=True, eq=False)
class Texts:
    """Many short texts in two tensors; a text is decoded when it is indexed.

    Attributes:
        characters: uint8, all texts in UTF-8.
        ends: int64, the end of each text in `characters`.
    """

    characters: torch.Tensor
    ends: torch.Tensor

    def __post_init__(self) -> None:
        check_packed(self.characters.numpy(), self.ends.numpy())

    @staticmethod
    def of(texts: Sequence[str]) -> Texts:
        """Encode texts; lone surrogates, which file names may have, are kept."""
        characters, ends = packed(texts)
        return Texts(torch.from_numpy(characters.copy()), torch.from_numpy(ends))

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> str:
        return unpacked(self.characters.numpy(), self.ends.numpy(), index)

    def all(self) -> list[str]:
        """Every text."""
        whole, ends = self.characters.numpy().tobytes(), [0, *self.ends.tolist()]
        return [whole[first:last].decode("utf-8", "surrogatepass") for first, last in pairwise(ends)]


_NAME_IN_FILE = {"image_C": "photo_C", "digest_NK": "key_NK", "low_rank": "sketch"}
"""Names that the file format keeps from its first version."""

_NESTED = {"names": Texts, "captions": Texts, "low_rank": LowRankScores}


@dataclass(frozen=True, eq=False)
class ImageTable:
    """N images and C captions.

    Attributes:
        root: the folder that names are relative to.
        names: the files of the images.
        digest_NK: uint8, the sha256 of the key of each image's content.
        shard_N: number of the shard of each image.
        number_N, start_N, count_N: its rows in the shard, as in `ShardEntry`.
        size_N2: width and height in pixels.
        vectors_NE: float16, the candidates' vectors.
        low_rank: computes the vectors, and weights of captions.
        sample_S: rows of the sample.
        captions: texts.
        image_C: row of each caption's image.
        weights_CF: float16, weights of the captions.
        cells: name of the file beside the table that has the cells of faiss; empty for none.
    """

    root: Path
    names: Texts
    digest_NK: torch.Tensor
    shard_N: torch.Tensor
    number_N: torch.Tensor
    start_N: torch.Tensor
    count_N: torch.Tensor
    size_N2: torch.Tensor
    vectors_NE: torch.Tensor
    low_rank: LowRankScores
    sample_S: torch.Tensor
    captions: Texts
    image_C: torch.Tensor
    weights_CF: torch.Tensor
    cells: str = ""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def digests(self) -> list[bytes]:
        """`digest_NK` as bytes, by row."""
        return [bytes(row) for row in self.digest_NK.numpy()]

    def path(self, row: int) -> Path:
        """The file of an image."""
        return self.root / self.names[row]

    def typical_weights(self, score_SA: torch.Tensor) -> torch.Tensor:
        """Weights `[Q, E]` of captions of the index, or of anchor captions where it has none.

        Args:
            score_SA: exact scores of the sample for anchor captions.
        """
        if len(self.captions):
            return self.weights_CF[spread(len(self.captions), TYPICAL), :-1].float()
        return self.low_rank.weights(score_SA[:, :TYPICAL])[:-1].T.contiguous()

    def _check(self) -> None:
        """Raise a `ValueError` where tensors do not have the kinds and lengths that belong together."""
        images, captions = len(self.names), len(self.captions)
        rows = dict.fromkeys(("digest_NK", "size_N2", "vectors_NE"), (images, 2)) | {"weights_CF": (captions, 2)}
        rows |= dict.fromkeys(("shard_N", "number_N", "start_N", "count_N"), (images, 1))
        rows |= {"image_C": (captions, 1), "sample_S": (len(self.sample_S), 1)}
        for name, (count, axes) in rows.items():
            tensor = getattr(self, name)
            whole = axes == 1 or name in ("digest_NK", "size_N2")
            if tensor.shape[:1] != (count,) or tensor.ndim != axes or tensor.is_floating_point() == whole:
                raise ValueError(f"{name} is {tensor.dtype} {list(tensor.shape)} for {images} images")
        for of, end in ((self.image_C, images), (self.sample_S, images)):
            if len(of) and not (int(of.min()) >= 0 and int(of.max()) < end):
                raise ValueError(f"a row that is not among the {images} images")
        if bool((self.names.characters == 0).any()):
            raise ValueError("a name has a null character")

    def save(self, path: Path) -> None:
        """Write the table atomically."""
        tensors: dict[str, torch.Tensor] = {}
        for field in fields(self):
            value, name = getattr(self, field.name), _NAME_IN_FILE.get(field.name, field.name)
            if field.name in _NESTED:
                tensors |= {f"{name}.{part.name}": getattr(value, part.name) for part in fields(value)}
            elif isinstance(value, torch.Tensor):
                tensors[name] = value
        cells = {"cells": self.cells} if self.cells else {}
        write_tensor_file(path, tensors, {"root": json.dumps(str(self.root)), **cells})

    @staticmethod
    def load(path: Path) -> ImageTable:
        """Read what `save` wrote. Tensors are maps of the file.

        Raises:
            SearchError: the file is damaged.
        """
        try:
            check_tensor_file(path)
            opened: Any = safe_open(str(path), framework="pt")
            metadata = opened.metadata()
            values: dict[str, Any] = {
                "root": path_of(json.loads(metadata["root"])),
                "cells": checked_name(metadata.get("cells", "")),
            }
            for field in fields(ImageTable):
                name, nested = _NAME_IN_FILE.get(field.name, field.name), _NESTED.get(field.name)
                if nested is not None:
                    parts = (opened.get_tensor(f"{name}.{part.name}") for part in fields(nested))
                    values[field.name] = nested(*parts)
                elif field.name not in values:
                    values[field.name] = opened.get_tensor(name)
            table = ImageTable(**values)
            table._check()
            return table
        except (SafetensorError, OSError, ValueError, OverflowError, KeyError, TypeError, RecursionError) as error:
            raise SearchError(
                f"{path} is damaged ({plain_reason(error)}); delete it and run `unboxed index` again."
            ) from None
