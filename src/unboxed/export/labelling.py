"""Captions in, box annotations out: a trained run labels the images of a dataset for training a detector.

What is found is kept as it comes in `NAME.groundings.jsonl` beside the output, so that an interrupted call goes on
where it stopped, and another cut or format takes no time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from unboxed.data.dataset import Dataset, Split, load_dataset
from unboxed.data.images import open_image
from unboxed.errors import ExportError, ImageError, UnboxedError
from unboxed.export import coco, csv, huggingface, label_studio, yolo
from unboxed.export.selection import BoxChoice, Chosen, choose
from unboxed.inference.results import GroundedPhrase, Grounding
from unboxed.regions.extraction import image_key
from unboxed.regions.store.region_store import RegionStore
from unboxed.runtime.prefetch import ordered_map
from unboxed.runtime.progress import track
from unboxed.types import Example, Regions

if TYPE_CHECKING:
    from unboxed.inference.grounder import Grounder

__all__ = ["LabelFormat", "Labelled", "label_dataset"]

LabelFormat = Literal["coco", "coco-results", "label-studio", "yolo", "csv", "hf"]

_KEPT = 5  # boxes of a phrase that are kept, so that another --top needs no new look


@dataclass(frozen=True, eq=False)
class Labelled:
    """What was found and written.

    Attributes:
        groundings: one a caption.
        names: the image of each, relative to the dataset's folder of images.
        paths: the file of each image by name.
        chosen: the boxes that were written.
        skipped: image id -> why its image could not be used.
    """

    groundings: Sequence[Grounding]
    names: Sequence[str]
    paths: Mapping[str, Path]
    chosen: Chosen
    skipped: Mapping[str, str] = field(default_factory=dict)


def label_dataset(
    photos: Path,
    run: Path,
    out: Path,
    *,
    form: LabelFormat = "coco",
    choice: BoxChoice | None = None,
    split: str | None = None,
    regions: Path | None = None,
    workers: int | None = None,
    strict: bool = False,
    progress: bool = True,
    show: Callable[[str], None] = print,
) -> Labelled:
    """Ground the captions of a dataset and write their boxes.

    Args:
        photos: the dataset's TOML file, CSV, JSONL or folder.
        run: folder of the run.
        out: the file; for `yolo` a folder. It is written in one step, at the end.
        form: the format.
        choice: which boxes.
        split: only the images of this split; None: of all.
        regions: store of the photographs' regions; without one they are found the run's way.
        workers: threads that look at images; None: one for each core.
        strict: stop at the first image that cannot be read instead of skipping it.
        progress: show rate and time left.
        say: is told what is going on.

    Raises:
        DatasetError: the dataset or the split cannot be read.
        RunError: no run there.
        PhotoError: with `strict`, the first image that cannot be read; else when none can.
        ExportError: an unknown format, or a folder in the way.
    """
    if form not in get_args(LabelFormat):
        raise ExportError(f"There is no format {form!r}; there are {', '.join(get_args(LabelFormat))}.")
    _check_place(out, form)
    choice = choice or BoxChoice()
    if form == "hf":  # whose labels are the phrases themselves
        choice = replace(choice, names="phrases", merge=1.0)
    dataset = load_dataset(photos)
    dataset.require_images()
    splits = [dataset.split(name) for name in ([split] if split else dataset.split_names)]
    if strict:
        for part in splits:
            part.require_readable()
    skipped = {image_id: reason for part in splits for image_id, reason in part.unreadable.items()}
    skipped |= {image_id: "No file of that name is stored." for part in splits for image_id in part.missing}
    examples = _examples(splits)
    out.parent.mkdir(parents=True, exist_ok=True)
    groundings, names, paths = [], [], {}
    found = _found(run, examples, out, regions, max(choice.top, _KEPT), workers, strict, progress, show)
    for example, outcome in found:
        if isinstance(outcome, str):
            skipped[example.image_id] = outcome
            continue
        name = _name(dataset, example)
        paths[name] = example.path
        groundings += outcome
        names += [name] * len(outcome)
    if not groundings:
        raise ImageError(f"None of the {len(examples)} images could be used; {next(iter(skipped.values()))}")
    for image_id, reason in skipped.items():
        show(f"Skipped {image_id}: {reason}")
    chosen = choose(groundings, names, choice)
    _write(out, form, groundings, names, paths, choice)
    show(f"{out}: {chosen.describe()}" + (f"; {len(skipped):,} images skipped" if skipped else ""))
    if chosen.doubtful and not chosen.boxes:
        best = max(float(score) for own in groundings for phrase in own.phrases for score in phrase.scores[:1])
        show(f"No box scores at least {choice.min_score:g}; the best one scores {best:.2f}: name a lower --min-score.")
    return Labelled(groundings, names, paths, chosen, skipped)


def _check_place(out: Path, form: LabelFormat) -> None:
    if form != "yolo" and out.is_dir():
        raise ExportError(f"{out} is a folder; the {form} format is one file, such as {out / 'boxes.json'}.")
    older = out.is_dir() and ((out / "data.yaml").is_file() or not any(out.iterdir()))
    if form == "yolo" and out.exists() and not older:
        raise ExportError(f"{out} is in the way: the yolo format is a folder of its own; name a new one.")


def _examples(splits: Sequence[Split]) -> list[Example]:
    return list({example.image_id: example for part in splits for example in part.examples}.values())


def _name(dataset: Dataset, example: Example) -> str:
    return example.path.relative_to(dataset.images or example.path.parent).as_posix()


def _found(
    run: Path,
    examples: Sequence[Example],
    out: Path,
    regions: Path | None,
    top: int,
    workers: int | None,
    strict: bool,
    progress: bool,
    show: Callable[[str], None],
) -> Iterator[tuple[Example, list[Grounding] | str]]:
    """The groundings of each photograph's captions, or why there are none, in the order of `examples`."""
    from unboxed.inference.grounder import Grounder

    grounder = Grounder.load(run)
    kept = _Kept(out.with_name(f"{out.stem}.groundings.jsonl"), {"run": _fingerprint(run, regions), "top": top})
    look = _looker(grounder, regions)

    def work(example: Example) -> tuple[str, list[dict[str, Any]] | Regions | str]:
        """The photograph's key, and what is known of it, or its regions, or why there are none."""
        try:
            captions = [[caption.text, [[p.start, p.end] for p in caption.phrases]] for caption in example.captions]
            image = image_key(example.path, example.original_size)
            key = hashlib.sha256(json.dumps([image, captions]).encode()).hexdigest()
            return key, kept[key] if key in kept else look(example)
        except UnboxedError as error:
            if strict:
                raise
            return "", str(error)

    with kept:
        count = 1 if regions is not None else workers or os.cpu_count() or 1
        reused = 0
        outcomes = zip(examples, ordered_map(work, examples, count), strict=True)
        for example, (key, outcome) in track(outcomes, "Labelling", len(examples), progress):
            if isinstance(outcome, str):
                yield example, outcome
                continue
            if isinstance(outcome, Regions):
                grounded = grounder.ground_regions(outcome, example.captions)
                outcome = [_plain(own, example, c, top) for c, own in enumerate(grounded)]
                kept.add(key, outcome)
            else:
                reused += 1
            yield example, [_grounding(own) for own in outcome]
        if reused:
            show(f"{reused:,} images taken from {kept.path}, where an earlier call had left them")


def _looker(grounder: Grounder, regions: Path | None) -> Callable[[Example], Regions]:
    """What gives the regions of an image: a store, or the run's own extractor; safe in several threads."""
    if regions is None:
        extractor = grounder.extractor
        return lambda example: extractor(open_image(example.path), example.original_size)

    store = RegionStore.open(regions)
    return lambda example: store[example.image_id]


def _fingerprint(run: Path, regions: Path | None) -> str:
    digest = hashlib.sha256()
    for name in ("config.json", "model.safetensors"):
        digest.update((run / name).read_bytes())
    return digest.hexdigest() + ("" if regions is None else f":{regions.resolve()}")


class _Kept:
    """What was found, by image and captions: a line of JSON each, under a line that says by which run.

    A line that was cut short, or what another run found, is dropped when the file is opened.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self._head = {"format": "unboxed-groundings", **about}
        self._known: dict[str, list[dict[str, Any]]] = {}
        lines = path.read_bytes().split(b"\n") if path.is_file() else []
        entries = [entry for line in lines if (entry := _parsed(line)) is not None]
        if entries and entries[0] == self._head:
            self._known = {entry["key"]: entry["groundings"] for entry in entries[1:] if "key" in entry}

    def __enter__(self) -> _Kept:
        beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        lines = [self._head, *({"key": key, "groundings": own} for key, own in self._known.items())]
        beside.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
        beside.replace(self.path)
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def __getitem__(self, key: str) -> list[dict[str, Any]]:
        return self._known[key]

    def add(self, key: str, groundings: list[dict[str, Any]]) -> None:
        self._file.write(json.dumps({"key": key, "groundings": groundings}, ensure_ascii=False) + "\n")
        self._file.flush()


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _plain(grounding: Grounding, example: Example, caption: int, top: int) -> dict[str, Any]:
    """A grounding as JSON: its best boxes, with the types that the caption came with, and no regions."""
    types = [phrase.types for phrase in example.captions[caption].phrases]
    return {
        "caption": grounding.caption,
        "width": grounding.width,
        "height": grounding.height,
        "phrases": [
            {
                "text": phrase.text,
                "start": phrase.start,
                "end": phrase.end,
                "boxes": [[round(edge, 2) for edge in box] for box in phrase.boxes[:top].tolist()],
                "scores": [round(score, 6) for score in phrase.scores[:top].tolist()],
                "confidence": phrase.confidence,
                "types": own,
            }
            for phrase, own in zip(grounding.phrases, types, strict=True)
        ],
    }


def _grounding(entry: dict[str, Any]) -> Grounding:
    phrases = tuple(GroundedPhrase(**{**own, "types": tuple(own["types"])}) for own in entry["phrases"])
    size = (entry["width"], entry["height"])
    boxes, scores, none = (np.zeros(shape, np.float32) for shape in ((0, 4), 0, (0, 0)))
    return Grounding(entry["caption"], phrases, (), Regions(boxes, scores, none, none, (), (), *size), none, *size)


def _write(
    out: Path,
    form: LabelFormat,
    groundings: Sequence[Grounding],
    names: Sequence[str],
    paths: Mapping[str, Path],
    choice: BoxChoice,
) -> None:
    if form == "yolo":
        _write_folder(out, yolo.files(groundings, names, choice), csv.text(groundings, names, choice), paths)
        return
    if form == "csv":
        content = csv.text(groundings, names, choice)
    else:
        values: Any
        if form == "coco":
            values = coco.dataset(groundings, names, choice)
        elif form == "coco-results":
            values = coco.results(groundings, names, choice)
        elif form == "label-studio":
            values = label_studio.tasks(groundings, names, choice)
            config = label_studio.labelling_config(groundings, names, choice)
            _replace(out.with_name(f"{out.stem}.labelling.xml"), config)
        else:
            values = huggingface.pipeline_output(groundings, names, choice)
        content = json.dumps(values, ensure_ascii=False) + "\n"
    _replace(out, content)


def _replace(path: Path, content: str) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(content, encoding="utf-8")
    beside.replace(path)


def _write_folder(out: Path, files: Mapping[str, str], phrases: str, paths: Mapping[str, Path]) -> None:
    """A YOLO dataset: the files, the phrases that its format cannot hold, and links to the images."""
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        for name, content in {**files, "phrases.csv": phrases}.items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).write_text(content, encoding="utf-8")
        listed = (files["train.txt"] + files["val.txt"]).splitlines()
        for name in (line.removeprefix("./images/") for line in listed):
            link = beside / "images" / name
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                link.symlink_to(paths[name].resolve())
            except OSError:  # a disk or a system without links
                shutil.copyfile(paths[name], link)
        if out.exists():
            shutil.rmtree(out)
        beside.replace(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
