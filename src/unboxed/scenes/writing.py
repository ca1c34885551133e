"""Writes the drawn world as a dataset in the native layout of Flickr30K Entities."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import numpy as np

from unboxed.errors import DatasetError
from unboxed.runtime.atomic import atomic_folder
from unboxed.runtime.locks import file_lock
from unboxed.runtime.progress import track
from unboxed.runtime.threads import available_cores
from unboxed.scenes.captions import Sentence, captions_of
from unboxed.scenes.composition import Scene, Thing, compose_scene
from unboxed.scenes.naming import Mention

__all__ = ["DETECTOR", "DrawnImage", "draw_image", "scene_and_captions", "write_scenes"]

DETECTOR = Path(__file__).with_name("detector.onnx")
SPLITS = ("train", "val", "test")
# Seeds are (purpose, seed, image), so the training pictures of the detector are never those of a dataset.
DATASET, DETECTOR_TRAINING = 0, 1
_TOML = """\
# The drawn world, seed {seed}. Paths are relative to this file.
format = "flickr30k-entities"
images = "images"
annotations = "."

[splits]
{splits}

[regions]
detector = "detector.onnx"
"""


@dataclass(frozen=True)
class DrawnImage:
    """The files of one image: its id, the JPEG file, the sentence file and the annotation file."""

    image_id: str
    jpeg: bytes
    sentences: str
    annotation: str


def scene_and_captions(purpose: int, seed: int, image: int) -> tuple[Scene, tuple[Sentence, ...]]:
    """The scene and the five captions of one image, which depend on the three numbers only."""
    rng = np.random.default_rng(np.random.SeedSequence((purpose, seed, image)))
    while True:
        scene = compose_scene(rng)
        sentences = captions_of(scene, rng)
        if sentences is not None:
            return scene, sentences


def draw_image(seed: int, image: int) -> DrawnImage:
    """The files of one image of a dataset."""
    scene, sentences = scene_and_captions(DATASET, seed, image)
    chains = _Chains(image)
    lines = [_line(sentence, chains) for sentence in sentences]
    buffer = io.BytesIO()
    scene.picture.save(buffer, "JPEG", quality=92, subsampling=0)
    return DrawnImage(str(image), buffer.getvalue(), "".join(lines), _annotation(scene, chains))


def write_scenes(
    out: Path,
    seed: int = 0,
    train: int = 2000,
    val: int = 300,
    test: int = 300,
    progress: bool = True,
    workers: int | None = None,
) -> Path:
    """Draw a dataset into the folder `out`, and return the path of its `data.toml`.

    The folder is written atomically. A complete dataset of the same seed and sizes is left as it is.

    Args:
        out: the folder to create.
        seed: 0 or more; the same seed gives the same bytes, for any number of workers.
        train, val, test: number of images of each split.
        progress: show a progress bar.
        workers: number of processes; by default one for each core.

    Raises:
        DatasetError: `out` exists and is something else, or a number is out of range.
    """
    out, sizes = Path(out), dict(zip(SPLITS, (train, val, test), strict=True))
    if seed < 0 or min(sizes.values()) < 0 or train + val + test == 0 or max(sizes.values()) >= 1_000_000:
        given = ", ".join(f"--{name} {count}" for name, count in {"seed": seed, **sizes}.items())
        raise DatasetError(f"{given}: give a seed of 0 or more, counts from 0 to 999,999, and at least one image.")
    toml = _toml(seed, sizes)
    if _is_same(out, toml, sizes):
        return out / "data.toml"
    with file_lock(out, wait=True):
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            if _is_same(out, toml, sizes):
                return out / "data.toml"
            raise DatasetError(f"{out} already holds something else; name a new folder for the scenes, or remove it.")
        with atomic_folder(out) as partial:
            _write(partial, seed, sizes, progress, workers or available_cores())
            (partial / "data.toml").write_text(toml, encoding="utf-8")
    return out / "data.toml"


def _ids(sizes: dict[str, int]) -> dict[str, list[int]]:
    """Image numbers of each split: 1000001.. for train, 2000001.. for val, so that pictures do not depend on sizes."""
    return {name: [k * 1_000_000 + i + 1 for i in range(sizes[name])] for k, name in enumerate(SPLITS, start=1)}


def _toml(seed: int, sizes: dict[str, int]) -> str:
    return _TOML.format(seed=seed, splits="\n".join(f'{name} = "{name}.txt"' for name in SPLITS if sizes[name]))


def _is_same(out: Path, toml: str, sizes: dict[str, int]) -> bool:
    try:
        if (out / "data.toml").read_text(encoding="utf-8") != toml:
            return False
        return all(
            (out / f"{name}.txt").read_text(encoding="utf-8").split() == [str(i) for i in ids]
            for name, ids in _ids(sizes).items()
            if ids
        )
    except (OSError, UnicodeDecodeError):
        return False


def _write(folder: Path, seed: int, sizes: dict[str, int], progress: bool, workers: int) -> None:
    for name in ("images", "Sentences", "Annotations"):
        (folder / name).mkdir()
    jobs = [(seed, image) for ids in _ids(sizes).values() for image in ids]
    for drawn in track(_drawn(jobs, workers), "Drawing scenes", len(jobs), progress):
        (folder / "images" / f"{drawn.image_id}.jpg").write_bytes(drawn.jpeg)
        (folder / "Sentences" / f"{drawn.image_id}.txt").write_bytes(drawn.sentences.encode())
        (folder / "Annotations" / f"{drawn.image_id}.xml").write_bytes(drawn.annotation.encode())
    for name, ids in _ids(sizes).items():
        if ids:
            (folder / f"{name}.txt").write_bytes("".join(f"{i}\n" for i in ids).encode())
    shutil.copyfile(DETECTOR, folder / "detector.onnx")


def _drawn(jobs: list[tuple[int, int]], workers: int) -> Iterator[DrawnImage]:
    if workers == 1 or len(jobs) < 32:
        yield from (draw_image(*job) for job in jobs)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_end_with_parent) as pool:
        yield from pool.map(draw_image, *zip(*jobs, strict=True), chunksize=16)


def _end_with_parent() -> None:
    """Ends this worker with its parent: one that is killed cannot stop its workers, which would wait for ever."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, name="parent", daemon=True).start()


class _Chains:
    """Numbers the coreference chains of one image: phrases that refer to the same things share a chain."""

    def __init__(self, image: int) -> None:
        self.image = image
        self.of: dict[frozenset[Thing] | str, Mention] = {}
        self.numbers: dict[frozenset[Thing] | str, str] = {"0": "0"}

    def number(self, mention: Mention) -> str:
        key = mention.things or mention.key
        if key not in self.numbers:
            self.numbers[key] = f"{self.image}{len(self.numbers):02d}"
            self.of[key] = mention
        return self.numbers[key]


def _line(sentence: Sentence, chains: _Chains) -> str:
    pieces = (
        piece if isinstance(piece, str) else f"[/EN#{chains.number(piece)}/{piece.type} {piece.words}]"
        for piece in sentence
    )
    return " ".join(pieces) + " \n"


def _annotation(scene: Scene, chains: _Chains) -> str:
    """The XML of one image: an object for each box, in inclusive pixels from 1, with the chains that it belongs to."""
    width, height = scene.picture.size
    names: dict[Thing, list[str]] = {}
    flags: list[tuple[str, bool]] = []
    for key, mention in chains.of.items():
        if not mention.things:
            flags.append((chains.numbers[key], mention.scene))
    for thing in scene.things:
        for key in chains.of:
            if isinstance(key, frozenset) and thing in key:
                names.setdefault(thing, []).append(chains.numbers[key])
    lines = [
        "<annotation>", f"\t<filename>{chains.image}.jpg</filename>", "\t<size>", f"\t\t<width>{width}</width>",
        f"\t\t<height>{height}</height>", "\t\t<depth>3</depth>", "\t</size>",
    ]  # fmt: skip
    for thing, numbers in names.items():
        x1, y1, x2, y2 = thing.box
        corners = (int(x1) + 1, int(y1) + 1, min(width, int(np.ceil(x2))), min(height, int(np.ceil(y2))))
        lines += ["\t<object>", *(f"\t\t<name>{number}</name>" for number in numbers), "\t\t<bndbox>"]
        lines += [f"\t\t\t<{tag}>{n}</{tag}>" for tag, n in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)]
        lines += ["\t\t</bndbox>", "\t</object>"]
    for number, is_scene in flags:
        lines += ["\t<object>", f"\t\t<name>{number}</name>", f"\t\t<scene>{int(is_scene)}</scene>"]
        lines += [f"\t\t<nobndbox>{int(not is_scene)}</nobndbox>", "\t</object>"]
    return "\n".join([*lines, "</annotation>", ""])
