"""Neural networks from files: ONNX graphs, their class names, and models of the transformers library."""

from __future__ import annotations

import ast
import json
import threading
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from unboxed.errors import DeviceError, RegionsError, UnboxedError, plain_reason
from unboxed.regions.external_data import external_data, require_external_data
from unboxed.regions.model_files import require_intact
from unboxed.runtime.devices import current_device
from unboxed.runtime.hub import load_cached_first, load_local, own_config
from unboxed.runtime.toml_file import read_toml
from unboxed.types import Array

__all__ = ["Network", "check_channels", "checked_probabilities", "class_list", "load_transformers", "photo_prompts"]


class Network:
    """An ONNX graph with one image input; safe to run from several threads at once.

    It runs on the device of `running_on` where it is opened.

    What the graph expects is described by its metadata, or by a TOML file of the same name beside it (`model.toml` for
    `model.onnx`), whose keys take precedence: `mean`, `std`, `classes` and others that the sources name.

    Attributes:
        path: the file.
        input_size: (width, height) where the graph fixes them, else None.
        outputs: (name, shape) of each output; a size that is not fixed is None.
        metadata: the key-value pairs in the file.
        provider: the execution provider of ONNX Runtime that runs it.

    Raises:
        RegionsError: no such file, not an ONNX graph, or not one image input.
        DeviceError: a device was named on which it cannot run.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        if not path.is_file():
            what = f"{path} is no file" if path.exists() else f"There is no model file {path}"
            raise RegionsError(f"{what}; give the path of an ONNX file.")
        require_external_data(path)
        require_intact(path, path.with_suffix(".toml"), *external_data(path))
        options = onnxruntime.SessionOptions()
        # One thread: an extraction runs several images at once, which scales better than several threads an image.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        device = current_device()
        providers = device.providers()
        directml = providers[0] == "DmlExecutionProvider"  # runs one image at a time, and without memory patterns
        options.enable_mem_pattern = not directml
        self._turn = threading.Lock() if directml else nullcontext()
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=providers)
            self.provider = device.check_provider(providers, session.get_providers(), str(path))
        except DeviceError:
            raise
        except Exception as error:  # onnxruntime raises its own unrelated classes
            reason = "it is no ONNX file" if "INVALID_PROTOBUF" in str(error) else plain_reason(error)
            raise RegionsError(
                f"{path} cannot be opened as an ONNX graph ({reason}); give a file exported to ONNX."
            ) from error
        image, sizes, mask = _inputs(path, session.get_inputs())
        self._channels_last = image.shape[3] == 3 and image.shape[1] != 3
        height, width = (_fixed(size) for size in (image.shape[1:3] if self._channels_last else image.shape[2:]))
        self.path, self._session, self._input, self._sizes, self._mask = path, session, image.name, sizes, mask
        self._dtype = _INPUT_TYPES[image.type]
        self.input_size = (width, height) if width and height else None
        self.outputs = tuple((node.name, tuple(_fixed(size) for size in node.shape)) for node in session.get_outputs())
        self.metadata: dict[str, str] = {**session.get_modelmeta().custom_metadata_map, **_described(path)}

    def run(
        self, pixels: npt.NDArray[np.uint8], mean: float | Array, scale: float | Array, names: list[str]
    ) -> list[Array]:
        """The outputs `names` for one image `[H, W, 3]`, or for n images `[n, H, W, 3]`, as float32.

        The input of the graph is `(pixels - mean) * scale`, channels first or last according to its shape, in its
        floating point type. A graph with an input of type uint8 normalizes by itself and gets the pixels as they are.

        Raises:
            RegionsError: the graph cannot run on this size.
        """
        images = pixels if pixels.ndim == 4 else pixels[None]
        batch: npt.NDArray[Any] = np.ascontiguousarray(images if self._channels_last else images.transpose(0, 3, 1, 2))
        if self._dtype != np.uint8:
            shape = (-1,) if self._channels_last else (-1, 1, 1)
            batch = batch.astype(np.float32)
            batch -= np.reshape(mean, shape).astype(np.float32)
            batch *= np.reshape(scale, shape).astype(np.float32)
        given: dict[str, npt.NDArray[Any]] = {self._input: batch.astype(self._dtype, copy=False)}
        if self._sizes:
            given[self._sizes] = np.array([[pixels.shape[-2], pixels.shape[-3]]] * len(batch), np.int64)
        if self._mask:
            given[self._mask] = np.ones((len(batch), *pixels.shape[-3:-1]), np.int64)
        try:
            with self._turn:
                outputs = self._session.run(names, given)
        except Exception as error:
            height, width = pixels.shape[-3:-1]
            raise RegionsError(
                f"{self.path} cannot run on an image of {width} x {height} pixels ({plain_reason(error)}); "
                "choose another input size in the region settings."
            ) from error
        return [np.asarray(output, dtype=np.float32) for output in outputs]

    def run_normalized(self, pixels: npt.NDArray[np.uint8], names: list[str], batch: int | None = None) -> list[Array]:
        """`run` with the mean and the scale of `normalization`; n images are given `batch` at a time."""
        mean, scale = self.normalization()
        if batch is None:
            return self.run(pixels, mean, scale, names)
        parts = [self.run(pixels[start : start + batch], mean, scale, names) for start in range(0, len(pixels), batch)]
        return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]

    def normalization(self) -> tuple[Array, Array]:
        """(mean, scale) of a backbone's or segmenter's input, for pixels in 0..255; scale is 1 / standard deviation.

        The metadata `mean` and `std`, one or three numbers each, define them. Without these they are 127.5 and 1 /
        127.5.

        Raises:
            RegionsError: metadata that are not such numbers.
        """
        try:
            mean, std = (_numbers(self.metadata.get(key, "127.5")) for key in ("mean", "std"))
        except ValueError as error:
            raise RegionsError(
                f"{self.path}: the metadata `mean` and `std` must be one or three numbers ({plain_reason(error)})."
            ) from error
        return mean, np.asarray(1 / np.maximum(std, 1e-6), dtype=np.float32)

    def describe_outputs(self) -> str:
        """The outputs as one line for error messages, `boxes [1, ?, 4], scores [1, ?, 80]`."""
        return ", ".join(
            f"{name} [{', '.join('?' if size is None else str(size) for size in shape)}]"
            for name, shape in self.outputs
        )


_INPUT_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


class _Inputs(NamedTuple):
    """The inputs of a graph: the image, and the names of further ones.

    Attributes:
        image: the image.
        sizes: its (width, height), which RT-DETR asks for.
        mask: the mask of its pixels, which DETR asks for.
    """

    image: Any
    sizes: str | None
    mask: str | None


def _inputs(path: Path, nodes: list[Any]) -> _Inputs:
    images = [node for node in nodes if len(node.shape) == 4]
    numbers = [node for node in nodes if node.type == "tensor(int64)"]
    sizes = [node.name for node in numbers if len(node.shape) == 2 and node.shape[1] == 2]
    masks = [node.name for node in numbers if len(node.shape) == 3 and "mask" in node.name]
    others = len(nodes) - len(images) - len(sizes[:1]) - len(masks[:1])
    if len(images) != 1 or others or not _has_colours(images[0].shape):
        found = ", ".join(f"{node.name} {node.shape}" for node in nodes)
        raise RegionsError(
            f"{path} has the inputs {found}; expected a single image input [n, 3, H, W] or [n, H, W, 3]. Export the "
            "model again with one."
        )
    if (_fixed(images[0].shape[0]) or 1) > 1:
        raise RegionsError(f"{path} takes {images[0].shape[0]} images at a time; export it for one, or for any number.")
    if images[0].type not in _INPUT_TYPES:
        known = ", ".join(name[7:-1] for name in _INPUT_TYPES)
        raise RegionsError(f"{path} has an image input of type {images[0].type[7:-1]}; expected {known}.")
    return _Inputs(images[0], next(iter(sizes), None), next(iter(masks), None))


def _has_colours(shape: list[Any]) -> bool:
    """Whether one axis has three channels; one that is not fixed may have them."""
    return shape[3] == 3 or _fixed(shape[1]) in (3, None)


def _described(path: Path) -> dict[str, str]:
    """The values of the TOML file beside a model, as metadata; empty without such a file."""
    file = path.with_suffix(".toml")
    if not file.is_file():
        return {}
    try:
        values = read_toml(file)
    except (OSError, ValueError) as error:
        raise RegionsError(
            f"{file}, which describes {path.name}, cannot be read ({plain_reason(error)}); correct or remove it."
        ) from None
    return {key: value if isinstance(value, str) else json.dumps(value, default=str) for key, value in values.items()}


def class_list(
    network: Network,
    file: Path | None,
    count: int | None,
    keys: tuple[str, ...] = ("classes", "class_names", "names"),
    others: Sequence[tuple[str, ...]] = (),
) -> tuple[str, ...]:
    """The K class names of a network: from `file`, one a line, else from the metadata of the graph, else of another.

    The metadata key is one of `keys`; its value holds lines, names separated by commas, a JSON list, or a dictionary
    from index to name.

    Args:
        network: the graph.
        file: a text file, or None.
        count: the number of classes in its output; None if the graph does not fix it.
        keys: of the metadata.
        others: class names of other networks; a graph that carries none has those of the first with `count` names.

    Raises:
        RegionsError: no names, or not `count` names.
    """
    carried = _parse_names(next((network.metadata[key] for key in keys if network.metadata.get(key)), ""))
    names, origin = carried, f"the metadata of {network.path}"
    if file is not None:
        require_intact(file)
        if not file.is_file():
            raise RegionsError(f"There is no class list {file}; give a text file with one class name a line.")
        try:
            listed = _lines(file.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError:
            raise RegionsError(f"The class list {file} is not UTF-8 text; give one class name a line.") from None
        if not carried or len(carried) != count or len(listed) == count:  # else the list belongs to another detector
            names, origin = listed, str(file)
    if not names and file is None:
        names = next((known for known in others if len(known) == count), ())
    if not names:
        text_file = "with `class_names`, a text file with one name a line, or " if "names" in keys else ""
        raise RegionsError(
            f"{network.path} carries no class names; give them {text_file}as `{keys[0]}` in its metadata or in a file "
            f"{network.path.with_suffix('.toml').name} beside it."
        )
    if count is not None and len(names) != count:
        raise RegionsError(f"{network.path} puts out {count} classes, but {origin} names {len(names)}.")
    return names


def check_channels(network: Network, count: int, names: Sequence[str]) -> None:
    """Check that a network, whose graph may not fix it, puts out as many channels as it has names.

    Raises:
        RegionsError: it does not.
    """
    if count != len(names):
        raise RegionsError(
            f"{network.path} puts out {count} channels, and {len(names)} are named; correct the list in its metadata "
            f"or in a file {network.path.with_suffix('.toml').name} beside it."
        )


def checked_probabilities(scores: Array, path: Path) -> Array:
    """Scores of a network, whose rounding errors beyond [0, 1] are cut off.

    Raises:
        RegionsError: they are no probabilities.
    """
    if scores.size and not (scores.min() >= -1e-6 and scores.max() <= 1 + 1e-6):  # also where one is NaN
        raise RegionsError(
            f"{path} has scores from {scores.min():.3g} to {scores.max():.3g}; export it with a sigmoid or softmax at "
            "the end, so that scores are in 0..1."
        )
    return np.clip(scores, 0, 1)


def load_transformers(kind: str, name: str, processor: str = "AutoImageProcessor") -> tuple[Any, Any]:
    """A model of the transformers library in evaluation mode on the current device, and its processor.

    Only safetensors weights are loaded, and no code of the model's repository is run.

    Args:
        kind: the auto class that loads it, such as `AutoModel`.
        name: hub name or local folder.
        processor: the auto class of its processor.

    Raises:
        RegionsError: transformers is not installed, or there is no such model.
    """
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise RegionsError(
            'Models of transformers need the extra "hf": pip install "unboxed[hf]". ONNX models work without it.'
        ) from error

    def load(local: bool) -> tuple[Any, Any]:
        kept: dict[str, Any] = {"local_files_only": local, "trust_remote_code": False}  # else it asks the terminal
        config = own_config(transformers, name, local)
        model = getattr(transformers, kind).from_pretrained(name, config=config, use_safetensors=True, **kept)
        model = model.eval().to(current_device().torch_device())
        return model, getattr(transformers, processor).from_pretrained(name, **kept)

    require_intact(Path(name))
    try:
        return load_local(load) if Path(name).is_dir() else load_cached_first(name, load)
    except (UnboxedError, MemoryError):
        raise
    except Exception as error:  # transformers and its libraries raise nearly anything on a damaged model
        where = "folder" if Path(name).is_dir() else "hub model"
        raise RegionsError(
            f"The {where} {name!r} cannot be loaded by transformers ({plain_reason(error)}); expected a hub name or a "
            "local folder with config.json, preprocessor_config.json and model.safetensors."
        ) from error


def photo_prompts(
    model: Any, processor: Any, texts: Sequence[str], article: str = "a ", padding: str = "max_length"
) -> Any:
    """The tokens of “a photo of a …” for each text, on the device of an image-text model of transformers.

    Args:
        model, processor: as `load_transformers` gives them.
        texts: what the photo is of.
        article: before each text.
        padding: of the tokens; SigLIP was trained with `max_length`, and for CLIP `longest` is the same and faster.
    """
    return processor.tokenizer(
        [f"a photo of {article}{text}" for text in texts],
        padding=padding,
        truncation=True,
        max_length=model.config.text_config.max_position_embeddings,
        return_tensors="pt",
    ).to(model.device)


def _parse_names(text: str) -> tuple[str, ...]:
    text = text.strip()
    if text.startswith(("[", "{")):
        try:
            try:
                value = json.loads(text)
            except (ValueError, RecursionError):
                value = ast.literal_eval(text)  # exporters write str(dict)
            if isinstance(value, dict):
                value = [value[key] for key in sorted(value, key=lambda key: int(key) if str(key).isdecimal() else 0)]
            return tuple(str(name) for name in value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return ()
    return _lines(text) if "\n" in text else tuple(name.strip() for name in text.split(",") if name.strip())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _numbers(text: str) -> Array:
    values = np.array([float(number) for number in text.strip("[] ").replace(",", " ").split()], np.float32)
    if values.size not in (1, 3) or not np.isfinite(values).all():
        raise ValueError(text)
    return values


def _fixed(size: object) -> int | None:
    return size if isinstance(size, int) and size > 0 else None
