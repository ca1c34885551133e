"""Everything that decides which regions come out of an image, as one value with a fingerprint."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from unboxed.errors import RegionsError

if TYPE_CHECKING:
    from unboxed.data.dataset import Dataset

__all__ = ["RegionSettings"]

_VERSION = 1


@dataclass(frozen=True)
class RegionSettings:
    """Which sources propose regions, and which features describe them."""

    detectors: tuple[Path, ...] = ()
    """Object detectors, ONNX files (layouts: boxes + scores, YOLOX, DETR)."""
    segmenter: Path | None = None
    """Semantic segmenter, an ONNX file, for streets, grass and walls."""
    backbone: Path | None = None
    """Convolutional network, an ONNX file, whose feature maps describe the regions."""
    detector_hf: str | None = None
    """Object detector of transformers: hub name or local folder."""
    backbone_hf: str | None = None
    """Backbone of transformers: hub name or local folder."""
    class_names: Path | None = None
    """Text file, one class a line, for detectors that do not carry their class names."""
    whole_image: bool = True
    """Propose the whole image."""
    grid: int = 0
    """Propose the cells of an n x n grid; 0: none."""
    segments: bool = False
    """Propose segments found from pixels alone, without weights."""
    parts: int = 3
    """Propose head, torso and legs of this many best persons; 0: none."""
    unions: int = 2
    """Propose at most this many boxes around several things of one class; 0: none."""
    stuff: int = 12
    """At most this many boxes of the segmenter."""
    top_k: int = 40
    """At most this many boxes of all detectors together, and of the segments."""
    nms: float = 0.6
    """Overlap (IoU) above which the lower-scored of two boxes of the detectors goes."""
    duplicate: float = 0.8
    """Overlap (IoU) above which a box of a later source repeats an earlier one and goes."""
    score_threshold: float = 0.0
    """Leave out boxes of detectors that score below this."""
    member_score: float = 0.3
    """A detection counts as a person with parts, or as a member of a union, from this score on."""
    detector_size: int = 448
    """Longest side in pixels of the detectors' input, where the file leaves it open."""
    evidence_sizes: tuple[int, ...] = (320, 576)
    """Further longest sides at which detectors that take any say what a region shows; it is the mean over all sizes."""
    segmenter_size: int = 352
    """Longest side in pixels of the segmenter's input."""
    backbone_size: int = 352
    """Longest side in pixels of the backbone's input."""
    feature_maps: tuple[str, ...] = ()
    """Outputs of the backbone to pool from; none named: all its feature maps."""
    detector_features: bool = True
    """Also pool from the feature maps that a detector puts out, if it does."""
    crops: bool = False
    """Also embed every region's crop with the backbone: better features, about 10 ms a region."""
    colour: bool = True
    """Describe regions by colour names."""
    texture: bool | None = None
    """Describe regions by edges, colour layout and outline; unset: only without a backbone."""
    pixels: int = 0
    """Describe regions by their own pixels, n x n of them, for networks trained from pixels; 0: not."""

    def __post_init__(self) -> None:
        if not (self.detectors or self.detector_hf or self.segmenter or self.whole_image or self.grid or self.segments):
            raise RegionsError(
                "These region settings propose nothing; name a detector, or turn on whole_image, grid or segments."
            )
        for name in ("nms", "duplicate", "score_threshold", "member_score"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise RegionsError(f"{name} is {value}; expected a value in 0..1.")
        for name in ("detector_size", "segmenter_size", "backbone_size"):
            value = getattr(self, name)
            if value < 1:
                raise RegionsError(f"{name} is {value}; expected at least 1.")
        if smallest := [size for size in self.evidence_sizes if size < 1]:
            raise RegionsError(f"evidence_sizes holds {smallest[0]}; expected at least 1.")
        for name in ("top_k", "grid", "parts", "unions", "stuff", "pixels"):
            value = getattr(self, name)
            if value < 0:
                raise RegionsError(f"{name} is {value}; expected 0 (none) or more.")
        if self.crops and not self.backbone:
            raise RegionsError("crops needs a backbone (an ONNX file with an output `embedding`); name one.")

    @staticmethod
    def weight_free() -> RegionSettings:
        """The settings that need no file at all: segments from pixels, a grid, the whole image."""
        return RegionSettings(segments=True, grid=3)

    @staticmethod
    def default_for(dataset: Dataset) -> tuple[RegionSettings, str]:
        """The settings where the user names none, and a sentence that says which they are.

        A dataset that brings its own models (`[regions]` in its file) is looked at with these; any other without
        weights.

        Raises:
            DatasetError: a dataset without images.
        """
        dataset.require_images()
        own = dataset.regions
        if own is None or not (own.detector or own.segmenter or own.backbone):
            return RegionSettings.weight_free(), (
                "Regions: segments from pixels, a 3 x 3 grid and the whole image, without weights; "
                "a detector and a backbone give better ones."
            )
        chosen = RegionSettings(
            detectors=(own.detector,) if own.detector else (),
            segmenter=own.segmenter,
            backbone=own.backbone,
            class_names=own.class_names,
            segments=own.detector is None,
        )
        return chosen, f"Regions: the models that {dataset.path} names under [regions], and the whole image."

    def differences(self, other: RegionSettings) -> list[str]:
        """One line for each setting that differs from `other`; files differ by content only.

        Raises:
            RegionsError: a file that is missing.
        """
        mine, theirs = self.identity(), other.identity()
        return [
            f"{name}: {_shown(getattr(other, name, None))} there, {_shown(getattr(self, name, None))} here"
            for name in {**mine, **theirs}
            if name != "version" and mine.get(name) != theirs.get(name)
        ]

    @property
    def model_files(self) -> dict[str, Path]:
        """Every local file or folder these settings read, by a name that is unique among them."""
        found = {f"detectors[{i}]": path for i, path in enumerate(self.detectors)}
        for name in ("segmenter", "backbone", "class_names"):
            if (path := getattr(self, name)) is not None:
                found[name] = path
        for name in ("detector_hf", "backbone_hf"):
            if (text := getattr(self, name)) is not None and Path(text).is_dir():
                found[name] = Path(text)
        return found

    @property
    def with_texture(self) -> bool:
        """Is the texture descriptor part of the features?"""
        return not (self.backbone or self.backbone_hf) if self.texture is None else self.texture

    def fingerprint(self) -> str:
        """sha256 over every value and the content of every model file; where the files lie does not count.

        Raises:
            RegionsError: a file that is missing.
        """
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """Each setting by name, files as the sha256 of their content: what `fingerprint` is taken of.

        Raises:
            RegionsError: a file that is missing.
        """
        identity = self.to_dict()
        for key, path in self.model_files.items():
            if not path.exists():
                raise RegionsError(f"The region settings name {path} as {key}, which does not exist.")
        identity["detectors"] = [_content(path) for path in self.detectors]
        for name, path in self.model_files.items():
            if "[" not in name:
                identity[name] = _content(path)
        return identity

    def to_dict(self, folder: Path | None = None) -> dict[str, Any]:
        """Plain JSON values; paths inside `folder` are written relative to it."""

        def plain(value: Any) -> Any:
            if isinstance(value, Path):
                return _relative(value, folder)
            return [plain(item) for item in value] if isinstance(value, tuple) else value

        values = {name: plain(value) for name, value in asdict(self).items()}
        for name in ("detector_hf", "backbone_hf"):
            if name in self.model_files:
                values[name] = _relative(Path(values[name]), folder)
        return {"version": _VERSION, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], folder: Path | None = None) -> Self:
        """The settings that `to_dict` wrote; relative paths are taken from `folder`.

        Raises:
            RegionsError: written by a newer version, an unknown name, or a value of the wrong kind.
        """
        version = values.get("version")
        if not isinstance(version, int) or version > _VERSION:
            raise RegionsError(
                f"The region settings have version {version!r}; this unboxed reads up to {_VERSION}. Update unboxed."
            )
        known = {field.name: field for field in fields(cls)}
        chosen: dict[str, Any] = {"evidence_sizes": ()}  # of a store that was made before there were any
        for name, value in values.items():
            if name == "version":
                continue
            if name not in known:
                raise RegionsError(f"The region settings have an unknown name {name!r}; known are {', '.join(known)}.")
            chosen[name] = _typed(name, str(known[name].type), value, folder)
        return cls(**chosen)

    def copied_to(self, folder: Path) -> RegionSettings:
        """The same settings with every model file copied into `folder` and read from there: nothing outside is needed.

        Raises:
            RegionsError: a file that is missing.
        """
        self.fingerprint()  # names a missing file before anything is written
        folder.mkdir(parents=True, exist_ok=True)
        taken: dict[str, Path] = {}

        def copy(path: Path) -> Path:
            target, number = folder / path.name, 2
            while target.name in taken and taken[target.name] != path.resolve():
                target, number = folder / f"{path.stem}-{number}{path.suffix}", number + 1
            taken[target.name] = path.resolve()
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            elif not target.exists() or not target.samefile(path):
                partial = target.with_name(target.name + ".partial")
                shutil.copyfile(path, partial)
                partial.replace(target)
            return target

        changed: dict[str, Any] = {"detectors": tuple(copy(path) for path in self.detectors)}
        for name, path in self.model_files.items():
            if "[" not in name:
                changed[name] = str(copy(path)) if name.endswith("_hf") else copy(path)
        return replace(self, **changed)


def _typed(name: str, kind: str, value: Any, folder: Path | None) -> Any:
    """`value` from JSON as the type that the field is annotated with."""

    def path(text: Any) -> Path:
        if not isinstance(text, str):
            raise TypeError
        return folder / text if folder and not Path(text).is_absolute() else Path(text)

    try:
        if value is None and "None" in kind:
            return None
        if name in ("detector_hf", "backbone_hf"):
            local = path(value)
            return str(local) if local.is_dir() else value
        if kind.startswith("tuple"):
            if not isinstance(value, list):
                raise TypeError
            if "int" in kind:
                return tuple(_typed(name, "int", item, folder) for item in value)
            return tuple(path(item) if "Path" in kind else str(item) for item in value)
        if kind.startswith("Path"):
            return path(value)
        wanted = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}[kind.split(" ")[0]]
        if not isinstance(value, wanted) or (isinstance(value, bool) and not kind.startswith("bool")):
            raise TypeError
    except TypeError:
        raise RegionsError(f"The region setting {name} is {value!r}; expected {kind}.") from None
    return value


def _relative(path: Path, folder: Path | None) -> str:
    if folder is not None and path.resolve().is_relative_to(folder.resolve()):
        return path.resolve().relative_to(folder.resolve()).as_posix()
    return str(path.resolve())


def _content(path: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        if file.is_file():
            digest.update(file.relative_to(path).as_posix().encode() if path.is_dir() else b"")
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_shown(item) for item in value) + ")"
    return value.name if isinstance(value, Path) else json.dumps(value)
