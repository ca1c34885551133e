"""Damages files: bytes of any file, values of JSON files, members of archives, tensors of safetensors files.

A test gives `refuses_damage` a valid file and its reader. Whatever the damage, the reader ends in a typed error or in a
valid result. `UNBOXED_FUZZ=20000 pytest tests/fuzz` (`make fuzz`) tries that many inputs for each file.
"""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from unboxed.errors import UnboxedError
from unboxed.runtime.tensor_digests import plain_metadata
from unboxed.runtime.tensor_file import write_tensor_file

_INPUTS = int(os.environ.get("UNBOXED_FUZZ", "12"))
_TEXTS = (b"null", b"-1", b"1e999", b"[]", b"{}", b'""', b"true", b"[" * 3000, b"\xff\xfe", b"\x00", b"NaN", b"9" * 400)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    7,
    1e300,
    10**30,
    10**400,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../x",
    "\0",
)
_VALUES += (10**400, "a" * 300, "\ud800", [], [[]], {}, {"a": 1}, [1, "x"])


def _bytes(content: bytes, rng: random.Random) -> bytes:
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


def _value(value: Any, rng: random.Random) -> Any:
    """A JSON value in which one value, at any depth, has become another, or is missing."""
    children: list[Any] = []
    if isinstance(value, dict | list):
        children = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not children or rng.random() < 0.15:
        return rng.choice(_VALUES)
    key, changed = rng.choice(children), value.copy()
    if rng.random() < 0.15:
        del changed[key]
    else:
        changed[key] = _value(value[key], rng)
    return changed


def _json(content: bytes, rng: random.Random) -> bytes:
    return json.dumps(_value(json.loads(content), rng)).encode()


def _json_lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines()
    number = rng.randrange(len(lines))
    lines[number] = _json(lines[number], rng)
    return b"\n".join(lines) + b"\n"


def _zip(content: bytes, rng: random.Random) -> bytes:
    """An archive in which the content of one member is damaged, and its checksum fits."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice(list(members))
    members[name] = _bytes(members[name], rng)
    with zipfile.ZipFile(written := io.BytesIO(), "w") as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return written.getvalue()


def _array(array: np.ndarray[Any, Any], rng: random.Random) -> np.ndarray[Any, Any]:
    """An array of another kind or shape, or with another value."""
    other = rng.randrange(6)
    if other == 0:
        kind = rng.choice(("float64", "float32", "int64", "uint8", "bool"))
        with np.errstate(all="ignore"):
            return array.astype(kind)
    if other == 1:
        return array.reshape(-1)
    if other == 2:
        return array[: len(array) // 2] if array.ndim else array.reshape(1)
    if other == 3 or not array.size:
        return array[None]
    changed = array.copy().reshape(-1)
    numbers: tuple[Any, ...] = (-1, 0, 100) if array.dtype.kind in "iub" else (np.nan, np.inf, -1e30, 0)
    with np.errstate(all="ignore"):
        changed[rng.randrange(len(changed))] = np.array(rng.choice(numbers)).astype(array.dtype)
    return changed.reshape(array.shape)


def _safetensors(content: bytes, rng: random.Random, scratch: Path) -> bytes:
    """Another tensor or text, and digests that fit."""
    scratch.write_bytes(content)
    with safe_open(scratch, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = plain_metadata(file.metadata())
    if metadata and rng.random() < 0.3:
        name = rng.choice(list(metadata))
        try:
            metadata[name] = _json(metadata[name].encode(), rng).decode()
        except ValueError:
            metadata[name] = rng.choice(("", "x", "-1"))
    elif rng.random() < 0.2:
        del tensors[rng.choice(list(tensors))]
    else:
        name = rng.choice(list(tensors))
        tensors[name] = _array(tensors[name], rng)
    write_tensor_file(scratch, tensors, metadata)
    return scratch.read_bytes()


_BY_SUFFIX = {".json": _json, ".jsonl": _json_lines, ".npz": _zip, ".zip": _zip}


@pytest.fixture
def refuses_damage(tmp_path: Path) -> Callable[[Path, Callable[[Path], object]], None]:
    """Checks that a reader raises nothing but typed errors for damaged copies of a file, which is restored."""

    def check(file: Path, reader: Callable[[Path], object]) -> None:
        content, rng = file.read_bytes(), random.Random(file.name)
        reader(file)  # undamaged
        try:
            for number in range(_INPUTS):
                if number % 2 and file.suffix in _BY_SUFFIX:
                    damaged = _BY_SUFFIX[file.suffix](content, rng)
                elif number % 2 and file.suffix == ".safetensors":
                    damaged = _safetensors(content, rng, tmp_path / "scratch.safetensors")
                else:
                    damaged = _bytes(content, rng)
                file.write_bytes(damaged)
                try:
                    reader(file)
                except (UnboxedError, OSError):  # the command line prints both in one line
                    continue
                except Exception as error:
                    kept = tmp_path / file.name
                    kept.write_bytes(damaged)
                    pytest.fail(f"input {number} of {file.name}, kept as {kept}: {error!r}")
        finally:
            file.write_bytes(content)

    return check
