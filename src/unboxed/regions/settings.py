"""The settings of a region store: which sources propose regions, which features describe them, and a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from unboxed.errors import RegionsError
from unboxed.regions.external_data import external_data, require_external_data
from unboxed.regions.model_files import content_digest, copy_model
from unboxed.runtime.counts import require_count
from unboxed.runtime.hub import cached_folder
from unboxed.runtime.json_values import FieldHooks, UnknownFieldError, WrongKindError, from_json, path_of, to_json
from unboxed.runtime.paths import accept_strings

if TYPE_CHECKING:
    from unboxed.data.dataset import Dataset

__all__ = ["HUB_MODELS", "PROPOSES", "WITHOUT_DETECTOR", "ImportedRegions", "RegionSettings", "settings_from_dict"]

_VERSION = 1
PROPOSES = {"proposes": True}  # metadata of a field that turns a source on
HUB_MODELS = ("detector_hf", "backbone_hf")  # fields with hub names, or folders written as text
_ADDED = {"added": True}  # of a field that the first stores do not have: it is written where it is not the default
_SIDE = (1, 16384)  # of an image in pixels
_RANGES = dict.fromkeys(("detector_size", "segmenter_size", "backbone_size", "crop_size", "evidence_sizes"), _SIDE)
_RANGES |= dict.fromkeys(("top_k", "parts", "unions", "stuff", "proposals"), (0, 100_000))
_RANGES |= {"grid": (0, 100), "pixels": (0, 1024), "query_limit": (1, 100_000)}

WITHOUT_DETECTOR = (
    "They are good enough to search images by captions; their boxes are not: on COCO images they point at fewer "
    "objects than the image centre does. For boxes, fetch a detector once, such as `hf download hustvl/yolos-tiny`, "
    "PekingU/rtdetr_r18vd or PekingU/rtdetr_v2_r18vd (all Apache 2.0); `fit` without a recipe then takes it from the "
    'cache, with `pip install "unboxed[hf]"`. Or name an ONNX file: --detector FILE, or `detector` under [regions] of '
    "the dataset file."
)
"""What regions are good for that no detector found, and which detectors are available; `fit` and `doctor` print it."""


@dataclass(frozen=True)
class RegionSettings:
    """Which sources propose regions, and which features describe them."""

    detectors: tuple[Path, ...] = field(default=(), metadata=PROPOSES)
    """Object detectors, ONNX files (layouts: boxes + scores, YOLO, RT-DETR, DETR)."""
    segmenter: Path | None = field(default=None, metadata=PROPOSES)
    """Semantic segmenter, an ONNX file, for streets, grass and walls."""
    backbone: Path | None = None
    """Convolutional network, an ONNX file, whose feature maps describe the regions."""
    detector_hf: str | None = field(default=None, metadata=PROPOSES)
    """Object detector of transformers: hub name or local folder."""
    backbone_hf: str | None = None
    """Backbone of transformers: hub name or local folder."""
    class_names: Path | None = None
    """Text file, one class a line, for detectors that do not carry their class names."""
    proposer: Path | None = field(default=None, metadata=PROPOSES | _ADDED)
    """Class-agnostic proposer, an ONNX file with `boxes` and `scores` of one class."""
    part_segmenter: Path | None = field(default=None, metadata=_ADDED)
    """Segmenter of body parts, an ONNX file, which runs on the crop of each person; it replaces the fractions of the
    person's box that are proposed without it."""
    labeler: Path | None = field(default=None, metadata=_ADDED)
    """Classifier of crops, an ONNX file with `scores` [n, K] and `embedding` [n, V], or the folder or hub name of CLIP
    or SigLIP, which compares them with `queries`; it runs on every region."""
    queries: tuple[str, ...] = field(default=(), metadata=_ADDED)
    """What a zero-shot detector (OWLv2, Grounding DINO) is asked for, and what CLIP or SigLIP compare crops with; by
    default the nouns of the training captions."""
    query_limit: int = field(default=256, metadata=_ADDED)
    """Ask for at most this many nouns of the captions, the most frequent ones."""
    whole_image: bool = field(default=True, metadata=PROPOSES)
    """Propose the whole image."""
    grid: int = field(default=0, metadata=PROPOSES)
    """Propose the cells of an n x n grid; 0: none."""
    segments: bool = field(default=False, metadata=PROPOSES)
    """Propose segments of similar colour, which need no weights."""
    parts: int = 3
    """Propose the body parts of at most this many persons; 0: none."""
    proposals: int = field(default=40, metadata=_ADDED)
    """Keep at most this many boxes of the proposer."""
    unions: int = 2
    """Propose at most this many boxes around several things of one class; 0: none."""
    stuff: int = 12
    """Keep at most this many boxes of the segmenter."""
    top_k: int = 40
    """Keep at most this many boxes of all detectors together, and as many segments."""
    nms: float = 0.6
    """Non-maximum suppression of the detectors' boxes: the IoU above which the lower-scored of two boxes is removed."""
    duplicate: float = 0.8
    """Remove a box whose IoU with a box of an earlier source is above this."""
    score_threshold: float = 0.0
    """Remove boxes of detectors that score below this."""
    member_score: float = 0.3
    """Lowest score of a detection that is divided into parts or becomes a member of a union."""
    detector_size: int = 448
    """Longest side in pixels of the detectors' input, where the file does not fix it."""
    evidence_sizes: tuple[int, ...] = (320, 576)
    """Further longest sides at which detectors of any input size score regions; scores are averaged over all sizes."""
    segmenter_size: int = 352
    """Longest side in pixels of the segmenter's input."""
    backbone_size: int = 352
    """Longest side in pixels of the backbone's input."""
    feature_maps: tuple[str, ...] = ()
    """Outputs of the backbone to pool from; all its feature maps by default."""
    detector_features: bool = True
    """Also pool from feature maps among the detectors' outputs."""
    crops: bool = False
    """Also embed the crop of every region with the labeler, else the backbone: better features, 2 to 10 ms a region."""
    colour: bool = True
    """Describe regions by their colours."""
    texture: bool | None = None
    """Describe regions by edges, colour layout and outline; by default only without a backbone."""
    crop_size: int = field(default=128, metadata=_ADDED)
    """Side in pixels of the crops that the labeler gets, where the file does not fix it; 192 if it was trained on
    224."""
    pixels: int = 0
    """Describe regions by n x n of their pixels, for networks that learn from pixels; 0: do not."""

    def __post_init__(self) -> None:
        accept_strings(self)
        if not any(getattr(self, setting.name) for setting in fields(self) if setting.metadata.get("proposes")):
            raise RegionsError(
                "These region settings propose nothing; name a detector, or turn on whole_image, grid or segments."
            )
        self._check_ranges()
        if blank := [query for query in self.queries if not any(map(str.isalnum, query))]:
            raise RegionsError(f"queries holds {blank[0]!r}; expected words, such as `dog` or `red hat`.")
        if self.crops and not (self.backbone or self.labeler):
            raise RegionsError(
                "crops needs a labeler or a backbone (an ONNX file with an output `embedding`); name one."
            )

    def _check_ranges(self) -> None:
        for name in ("nms", "duplicate", "score_threshold", "member_score"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise RegionsError(f"{name} is {value}; expected a value in 0..1.")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                require_count(name, number, least=least, most=most, error=RegionsError)

    @staticmethod
    def weight_free() -> RegionSettings:
        """The settings that need no model file: segments, a 3 x 3 grid and the whole image."""
        return RegionSettings(segments=True, grid=3)

    @staticmethod
    def default_for(dataset: Dataset) -> tuple[RegionSettings, str]:
        """The settings for a dataset when the user gives none, and a sentence that describes them.

        They use the models that the dataset file names under `[regions]`; without these they are `weight_free`.

        Raises:
            DatasetError: a dataset without images.
        """
        dataset.require_images()
        models = dataset.regions
        if models is None or not (models.detector or models.segmenter or models.backbone):
            return RegionSettings.weight_free(), (
                f"Regions: segments from pixels, a 3 x 3 grid and the whole image, without weights. {WITHOUT_DETECTOR}"
            )
        settings = RegionSettings(
            detectors=(models.detector,) if models.detector else (),
            segmenter=models.segmenter,
            backbone=models.backbone,
            class_names=models.class_names,
            segments=models.detector is None,
        )
        return settings, f"Regions: the models that {dataset.path} names under [regions], and the whole image."

    def with_folders(self) -> Self:
        """The same settings, with a folder or hub name among the detectors as the detector of transformers.

        A labeler with a hub name becomes its folder in the local cache, which it is downloaded to if it is not there.

        Raises:
            RegionsError: two detectors of transformers, or a labeler that cannot be had.
        """
        if self.labeler is not None and _is_hub_name(self.labeler):
            return replace(self, labeler=_hub_folder(self.labeler.as_posix())).with_folders()
        folders = [path.as_posix() for path in self.detectors if path.is_dir() or _is_hub_name(path)]
        if not folders:
            return self
        if self.detector_hf or len(folders) > 1:
            other = self.detector_hf or folders[1]
            raise RegionsError(
                f"{folders[0]} and {other} are folders or hub names; name at most one detector of transformers."
            )
        files = tuple(path for path in self.detectors if path.as_posix() not in folders)
        return replace(self, detectors=files, detector_hf=folders[0])

    @property
    def names_classes(self) -> bool:
        """Whether any source may give regions the name of a class."""
        named = (self.detector_hf, self.segmenter, self.labeler, self.part_segmenter)
        return bool(self.detectors) or any(source is not None for source in named)

    def require_extractable(self) -> None:
        """Raises `RegionsError` where regions of a new image cannot be computed with these settings; here they can."""

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
        """The local files and folders that these settings name, by setting; detectors as `detectors[0]`, …"""
        found = {f"detectors[{i}]": path for i, path in enumerate(self.detectors)}
        for name in ("segmenter", "backbone", "class_names", "proposer", "part_segmenter", "labeler"):
            if (path := getattr(self, name)) is not None:
                found[name] = path
        for name in HUB_MODELS:
            if (text := getattr(self, name)) is not None and Path(text).is_dir():
                found[name] = Path(text)
        return found

    @property
    def with_texture(self) -> bool:
        """Whether the texture descriptor is part of the features."""
        return not (self.backbone or self.backbone_hf) if self.texture is None else self.texture

    def fingerprint(self) -> str:
        """sha256 over all settings and the content of all model files; their paths do not count.

        Raises:
            RegionsError: a file that is missing.
        """
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def identity(self) -> dict[str, Any]:
        """What `fingerprint` hashes: each setting by name, files as the sha256 of their content.

        Raises:
            RegionsError: a file that is missing.
        """
        identity = self.to_dict()
        for key, path in self.model_files.items():
            if not path.exists():
                raise RegionsError(f"The region settings name {path} as {key}, which does not exist.")
            require_external_data(path)
        identity["detectors"] = [content_digest(path) for path in self.detectors]
        for name, path in self.model_files.items():
            if "[" not in name:
                identity[name] = content_digest(path)
        return identity

    def to_dict(self, folder: Path | None = None) -> dict[str, Any]:
        """Plain JSON values; paths inside `folder` are written relative to it."""
        values = to_json(self, lambda path: _relative(path, folder), _hub_model_hooks(folder))
        unused = [
            item.name for item in fields(self) if "added" in item.metadata and getattr(self, item.name) == item.default
        ]
        return {"version": _VERSION, **{name: value for name, value in values.items() if name not in unused}}

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
        # The first stores were made without further sizes, and their settings do not list them.
        named = {"evidence_sizes": []} | {name: value for name, value in values.items() if name != "version"}
        try:
            return from_json(cls, named, lambda text: _absolute(text, folder), _hub_model_hooks(folder))
        except UnknownFieldError as error:
            known = ", ".join(setting.name for setting in fields(cls))
            raise RegionsError(f"The region settings have an unknown name {error.name!r}; known are {known}.") from None
        except WrongKindError as error:
            raise RegionsError(
                f"The region setting {error.name} is {error.value!r}; expected {error.expected}."
            ) from None

    def copied_to(self, folder: Path) -> Self:
        """The same settings with every model file copied into `folder`, and read from there.

        Raises:
            RegionsError: a file that is missing.
        """
        self.identity()  # a missing file is reported before anything is written
        copied: dict[str, Path] = {}

        def copy(path: Path) -> Path:
            name, number = path.name, 2
            while name in copied and copied[name] != path.resolve():
                name, number = f"{path.stem}-{number}{path.suffix}", number + 1
            copied[name] = path.resolve()
            # A graph names the files of its weights, so these keep their names, in a folder of their own.
            target = folder / Path(name).stem / path.name if external_data(path) else folder / name
            copy_model(path, target, folder)
            return target

        changed: dict[str, Any] = {"detectors": tuple(copy(path) for path in self.detectors)}
        for name, path in self.model_files.items():
            if "[" not in name:
                changed[name] = str(copy(path)) if name in HUB_MODELS else copy(path)
        return replace(self, **changed)


@dataclass(frozen=True)
class ImportedRegions(RegionSettings):
    """The settings of a store of precomputed features; of those of `RegionSettings` only `class_names` applies."""

    imported: str = ""
    """The format that the features were read from: the `format` of an importer."""
    boxes: bool = True
    """Whether the features have boxes; without them every region is stored as the whole image."""

    def __post_init__(self) -> None:
        if not self.imported:
            raise RegionsError("Imported regions need the name of the format they were read from.")

    def require_extractable(self) -> None:
        """Raises `RegionsError`: the networks that computed imported features are not known."""
        raise RegionsError(
            f"These regions were imported from {self.imported} features, and nothing here computes such features for a "
            "new image. Import those of the image as well (`unboxed import`) and name their store "
            "(--regions STORE of `evaluate`, `index` and `label`), or train on a store made by `unboxed regions`."
        )


def settings_from_dict(values: Mapping[str, Any], folder: Path | None = None) -> RegionSettings:
    """The settings of a store, extracted or imported, that `RegionSettings.to_dict` wrote.

    Args:
        values: plain JSON values.
        folder: relative paths are taken from it.

    Raises:
        RegionsError: written by a newer version, an unknown name, or a value of the wrong kind.
    """
    return (ImportedRegions if "imported" in values else RegionSettings).from_dict(values, folder)


_MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


def _hub_model_hooks(folder: Path | None) -> dict[str, FieldHooks]:
    def read(value: Any) -> str | None:
        if value is None:
            return None
        local = path_of(value, lambda text: _absolute(text, folder))
        return str(local) if local.is_dir() else value

    def write(value: str | None) -> str | None:
        return value if value is None or not Path(value).is_dir() else _relative(Path(value), folder)

    return dict.fromkeys(HUB_MODELS, FieldHooks(read, write))


def _is_hub_name(path: Path) -> bool:
    """Whether a model that is no file here can be one of the Hub, `owner/name`."""
    named = len(path.parts) == 2 and not path.is_absolute() and path.suffix.lower() not in (".onnx", ".ort", ".pt")
    return named and not path.exists() and not path.parent.exists()


def _hub_folder(name: str) -> Path:
    try:
        return cached_folder(name, _MODEL_FILES)
    except (OSError, ImportError) as error:
        reason = 'the extra "hf" is missing: pip install "unboxed[hf]"' if isinstance(error, ImportError) else error
        raise RegionsError(
            f"The labeler {name} is no file here, and no model of the Hub that can be had ({reason}); name an ONNX "
            "file, or CLIP or SigLIP by its folder or hub name."
        ) from error


def _absolute(text: str, folder: Path | None) -> Path:
    return folder / text if folder and not Path(text).is_absolute() else Path(text)


def _relative(path: Path, folder: Path | None) -> str:
    if folder is not None and path.resolve().is_relative_to(folder.resolve()):
        return path.resolve().relative_to(folder.resolve()).as_posix()
    return str(path.resolve())


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(_shown(item) for item in value) + ")"
    return value.name if isinstance(value, Path) else json.dumps(value)
