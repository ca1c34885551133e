"""Extraction by the workers of a Ray cluster, or of a local Ray; the extra `ray`.

Ray Data streams the images' paths through a pool of actors, each of which opens the models once, and gives the regions
back in the order of the dataset. One process, which is not a worker, writes the store. So the store is the one that
threads of one process write, byte for byte, whatever the number of workers and however many of them are killed: Ray
starts them again and repeats what they had not finished, and the store has no half of anything.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unboxed.data.images import opened_in_turn, read_image
from unboxed.errors import EngineError, ImageError, UnboxedError, plain_reason
from unboxed.regions.cache import image_key
from unboxed.regions.extraction import Outcome
from unboxed.regions.extractor import RegionExtractor
from unboxed.regions.region_tensors import from_tensors, to_tensors
from unboxed.regions.settings import RegionSettings, settings_from_dict
from unboxed.regions.store import RegionStore
from unboxed.runtime.memory import prefetch_bytes
from unboxed.runtime.threads import available_cores
from unboxed.runtime.urls import absolute
from unboxed.types import Example, Regions

__all__ = ["RayWorkers", "chosen_workers"]

_RETRIES = 10  # of a task whose worker ended: an image that ends every worker would be repeated for ever
_BATCH = 4  # images of a task: few, so that little is repeated after a worker was killed
_GPU_BATCH = 16  # images of a task on a GPU, which threads ask its networks about at the same time
_FEWEST_OBJECTS, _MOST_OBJECTS = 80_000_000, 1 << 28  # bytes of the object store of a local Ray
_SECONDS = 10  # in which the address of a cluster must answer
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # and no settings; it begins gRPC
_ERROR = re.compile(r"^[\w.]*?(\w+(?:Error|Exception): .+)$", re.MULTILINE)


@dataclass(frozen=True)
class RayWorkers:
    """Workers of Ray, for `extract(…, workers=RayWorkers(2))`.

    The images, the models and this package must be at the same paths on all machines.

    Attributes:
        count: of workers; each takes one core, and one GPU where the device is CUDA.
        address: of a running cluster, `auto` or `host:port`; None: a local Ray is started, and stopped
            at the end. A Ray that the program has joined already is used as it is.
    """

    count: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        ray = _ray()  # without Ray, and without an answer, an error before a store is made
        if self.address == "auto":
            with self._joined(ray):  # Ray alone knows which cluster this is
                pass
        elif self.address is not None:
            _require_listener(self.address)

    def outcomes(self, store: RegionStore, examples: Sequence[Example], device: str) -> Generator[Outcome, None, None]:
        """What `extract` makes of each image, in order.

        Args:
            store: that the regions will be added to.
            examples: the images.
            device: that the networks run on.

        Raises:
            EngineError: Ray is not installed, does not answer, or failed.
        """
        known = [store.image_key(example.image_id) for example in examples]
        opened = False
        for outcome in self.found(store.settings, store.path, examples, device, known):
            if isinstance(outcome, tuple) and not opened:
                extractor = RegionExtractor(store.settings, device="cpu")
                store.define_columns(extractor.class_names, extractor.source_names, extractor.feature_blocks)
                opened = True
            yield outcome

    def found(
        self,
        settings: RegionSettings,
        folder: Path,
        examples: Sequence[Example],
        device: str,
        known: Sequence[str | None] | None = None,
    ) -> Generator[Outcome, None, None]:
        """The key and the regions of each image, in order, or the error that it causes.

        Args:
            settings: sources and features.
            folder: of the store or run that has the settings.
            examples: the images.
            device: that the networks run on.
            known: the key of each image whose regions are there already; the outcome of such an image is None.

        Raises:
            EngineError: as of `outcomes`.
        """
        ray = _ray()
        rows = [_row(example, key) for example, key in zip(examples, known or [None] * len(examples), strict=True)]
        if not rows:
            return
        with self._joined(ray):
            try:
                yield from self._streamed(
                    ray, rows, (json.dumps(settings.to_dict(folder)), str(folder.resolve()), device)
                )
            except UnboxedError:
                raise
            except Exception as error:  # of Ray, of Ray Data, and of what they are built on
                raise EngineError(f"Ray failed: {_cause(error)}. Repeat the command: it goes on.") from error

    def _streamed(self, ray: Any, rows: list[dict[str, Any]], worker: tuple[str, str, str]) -> Iterator[Outcome]:
        """The outcome of each row; `worker` are the arguments of a `_Worker`."""
        settings, folder, device = worker
        on_gpu = device.startswith("cuda")
        batch, gpus = (_GPU_BATCH, {"num_gpus": 1}) if on_gpu else (_BATCH, {})
        found = ray.data.from_items(rows, override_num_blocks=max(len(rows) // batch, 1)).map_batches(
            _Worker,
            fn_constructor_args=(settings, folder, "cuda" if on_gpu else device),  # its only one, whatever the number
            batch_size=batch,
            compute=ray.data.ActorPoolStrategy(size=self.count),
            num_cpus=1,
            max_task_retries=_RETRIES,
            **gpus,
        )
        for row in found.iter_rows():
            yield _outcome(row)

    @contextmanager
    def _joined(self, ray: Any) -> Iterator[None]:
        """A block in which this process belongs to a Ray, whose data keeps its order."""
        started = not ray.is_initialized()
        if started:
            objects = max(_FEWEST_OBJECTS, min(_MOST_OBJECTS, prefetch_bytes()))
            local = {"num_cpus": self.count, "include_dashboard": False, "object_store_memory": objects}
            options = local if self.address is None else {}
            try:
                ray.init(address=self.address or "local", log_to_driver=False, logging_level="ERROR", **options)
                logging.getLogger("ray.data").setLevel(logging.ERROR)
            except (ConnectionError, ValueError, RuntimeError, OSError, TimeoutError) as error:
                raise EngineError(
                    f"Ray does not answer at {self.address or 'local'}: {_cause(error)}. Check --ray-address, or "
                    "leave it out for a local Ray."
                ) from error
        try:
            context = ray.data.DataContext.get_current()
            context.execution_options.preserve_order = True
            context.enable_progress_bars = False
            yield
        finally:
            if started:
                ray.shutdown()


def chosen_workers(engine: str, count: int | None, address: str | None) -> RayWorkers | None:
    """The workers of the engine `ray`, as many as cores by default; None for the engine `local`.

    Raises:
        EngineError: the address of a cluster without `ray`, or Ray is not installed.
    """
    if engine == "ray":
        return RayWorkers(count or available_cores(), address)
    if address is not None:
        raise EngineError("--ray-address is that of a Ray cluster; add --engine ray.")
    return None


def _require_listener(address: str) -> None:
    """Raise an `EngineError` unless a gRPC server, as Ray's are, answers there; Ray itself waits for minutes.

    Args:
        address: `host:port`; with TLS, it is left to Ray.
    """
    if address.startswith("ray://"):
        raise EngineError(
            f"{address} is the address of a Ray client, which Ray Data does not support; start the command on a "
            "machine of the cluster, with --ray-address auto."
        )
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise EngineError(f"{address!r} is no address of a Ray cluster; expected auto or HOST:PORT.")
    if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS) as connection:
            connection.sendall(_HTTP2)
            answer = connection.recv(9, socket.MSG_WAITALL)
        reason = "" if answer[3:4] == b"\x04" else "another program listens there"  # the type of the frame: settings
    except (OSError, OverflowError) as error:
        reason = plain_reason(error)
    if reason:
        raise EngineError(
            f"Ray does not answer at {address}: {reason}. Check --ray-address, or leave it out for a local Ray."
        )


class _Worker:
    """An actor of Ray, which opens the models for its first image."""

    def __init__(self, settings: str, folder: str, device: str) -> None:
        self._settings, self._device = settings_from_dict(json.loads(settings), Path(folder)), device
        self._threads = ThreadPoolExecutor(_GPU_BATCH if device == "cuda" else 1)
        self._extractor: RegionExtractor | None = None
        self._opening = threading.Lock()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[bytes]]:
        columns = (batch["path"].tolist(), batch["size"].tolist(), batch["known"].tolist())
        return {"outcome": list(self._threads.map(self._encoded, *columns))}

    def _encoded(self, path: str, size: str, known: str) -> bytes:
        """The outcome of an image as bytes: a line of JSON, and the numbers of its regions."""
        try:
            original = tuple(json.loads(size)) if size else None
            content = read_image(Path(path))  # once: the key and the regions are of the same bytes
            key = image_key(content, original)
            if key == known:
                return b"{}\n"
            with self._opening:
                if self._extractor is None:
                    self._extractor = RegionExtractor(self._settings, device=self._device)
            with opened_in_turn(content, path) as image:
                return _to_bytes(key, self._extractor(image, original))
        except UnboxedError as error:
            return json.dumps({"error": str(error)}).encode() + b"\n"


def _row(example: Example, known: str | None) -> dict[str, Any]:
    size = json.dumps(example.original_size) if example.original_size else ""
    return {"path": str(absolute(example.path)), "size": size, "known": known or ""}


def _to_bytes(key: str, regions: Regions) -> bytes:
    from safetensors.numpy import save

    arrays, texts = to_tensors(regions)
    return json.dumps({"key": key, **texts}).encode() + b"\n" + save(arrays)


def _outcome(row: dict[str, Any]) -> Outcome:
    from safetensors.numpy import load

    line, _, numbers = row["outcome"].partition(b"\n")
    head = json.loads(line)
    if "error" in head:
        return ImageError(head["error"])
    if not head:
        return None
    return head["key"], from_tensors(load(numbers), head)


def _ray() -> Any:
    """The package, with `ray.data`."""
    try:
        import ray.data
        import ray.exceptions
    except ImportError as error:
        raise EngineError("Ray is not installed; install it with `pip install 'unboxed[ray]'`.") from error
    return ray


def _cause(error: BaseException) -> str:
    """What went wrong, in a line: the first error in a message with tracebacks, else its last line."""
    if type(error).__name__ in ("ActorDiedError", "ActorUnavailableError"):
        return f"workers ended {_RETRIES + 1} times at the same images; one may crash a library, or memory is too small"
    text = str(error).strip() or type(error).__name__
    named = _ERROR.search(text)
    return (named.group(1) if named else text.splitlines()[-1]).strip().rstrip(".")
